# One command each: `make demo` runs the main job, `make test` the tests, `make lab` opens the lessons.
# The first of them makes .venv and installs the locked versions; after that no network is needed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
# Trust the certificates that the machine trusts, as pip does.
export UV_SYSTEM_CERTS := true

.PHONY: demo test lab setup lint notebooks costs site site-check lock clean

demo: $(READY)
	$(BIN)/minivl demo

test: $(READY)
	$(BIN)/python -m pytest

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks

setup: $(READY)

# A half-made environment has no .ready and is made again; nothing is installed while it is up to date.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minivl needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# Unused names and imports, layout, types.
lint: $(READY)
	$(BIN)/ruff check minivl tests benchmarks notebooks docs
	$(BIN)/ruff format --check minivl tests benchmarks notebooks docs
	$(BIN)/mypy

# Execute every lesson at the small scale and put the results into notebooks/, so that outputs belong to their code.
notebooks: $(READY)
	for lesson in notebooks/*.ipynb; do $(BIN)/minivl lesson $$(basename $$lesson .ipynb) --update || exit 1; done

# Measure what every lesson takes at both scales, and draw the map of the course anew. Outputs stay as they are.
costs: $(READY)
	for lesson in notebooks/*.ipynb; do for scale in tiny small; do \
	  $(BIN)/minivl lesson $$(basename $$lesson .ipynb) --scale $$scale --cost || exit 1; done; done
	$(BIN)/minivl course map --out docs/teaching --overwrite

# The course site in build/site: open build/site/index.html, or put the folder on any web server.
site: $(READY)
	$(BIN)/python docs/site/build.py

# The same, then all of its pages in a headless Chromium, if there is one.
site-check: site
	MINIVL_SITE=build/site $(BIN)/python -m pytest tests/site

lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-annotate --no-header --extra dev --extra site \
	  --python-version 3.11 --upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv runs dist build .pytest_cache .ruff_cache .mypy_cache
