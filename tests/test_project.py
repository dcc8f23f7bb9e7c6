"""The house: one list of dependencies, a clean lock file, floors that only stand on lower ones."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
NAMED_BY_THE_USER = ("torch", "jupyterlab", "transformers", "open_clip_torch", "matplotlib", "seaborn", "datasets")


def names(requirements):
    return [re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in requirements]


def tracked(pattern):
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", pattern],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [REPO / f for f in files.split("\0") if f and (REPO / f).is_file()]


def test_conda_supplies_python_and_pyproject_the_rest():
    lines = [
        line.strip().removeprefix("- ")
        for line in (REPO / "environment.yml").read_text().splitlines()
        if line.strip().startswith("- ")
    ]
    assert lines == ["conda-forge", "python=3.11", "pip", "pip:", "-e .[dev]"]
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"


def test_the_packages_that_were_asked_for_are_dependencies():
    assert set(NAMED_BY_THE_USER) <= {re.match(r"[\w-]+", d)[0] for d in PYPROJECT["project"]["dependencies"]}


def test_lock_file_pins_every_dependency():
    lines = [line for line in (REPO / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
    assert all("==" in line for line in lines), "every line pins a version"
    wanted = PYPROJECT["project"]["dependencies"] + PYPROJECT["project"]["optional-dependencies"]["dev"]
    assert set(names(wanted)) <= set(names(lines))


def test_no_file_names_a_registry_or_an_absolute_path():
    hosts = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "npm" + "js", "/" + "root/", "/" + "home/"]))
    text = [".py", ".md", ".toml", ".yml", ".lock", ".ipynb", ".json", ".jsonl", ""]
    for path in tracked("."):
        if path.suffix in text:
            found = hosts.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path} names {found[0]}"


def test_the_repository_stays_small():
    sizes = {path: path.stat().st_size for path in tracked(".")}
    assert sum(sizes.values()) < 60e6
    assert sum(size for path, size in sizes.items() if "data_samples" in path.parts) < 25e6


# A room may import from the rooms of lower floors.
FLOORS = [
    {"config"},
    {"data", "metrics"},
    {"hub", "plots", "ledger"},
    {"train", "clip", "s3d"},
    {"univl", "discovla"},
    {"tasks", "assets"},
    {"fullscale"},
    {"ablations", "lessons"},
    {"cli", "__main__"},
]
MODULES = {
    ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((REPO / "minivl").rglob("*.py"))
}


def floor(room):
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def room_of(module):
    return module.split(".")[1]


@functools.cache
def imports_of(module):
    """The modules of the package that a module names in its imports, also those inside functions."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found if name in MODULES} - {"minivl", module}


def reachable(module):
    """All that is imported when a module is, through other modules, too."""
    seen, waiting = set(), [module]
    while waiting:
        new = imports_of(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


@pytest.mark.parametrize("module", [name for name in MODULES if name != "minivl"])
def test_floors(module):
    here = room_of(module)
    for other in {room_of(name) for name in imports_of(module)} - {here}:
        assert floor(other) < floor(here) or here == "__main__", f"{here} must not import {other}"


@pytest.mark.parametrize("paper, other", [("univl", "discovla"), ("discovla", "univl")])
def test_the_papers_never_import_each_other(paper, other):
    """Neither by name, through whichever module, nor at run time."""
    own = [name for name in MODULES if room_of(f"{name}.") == paper]
    for module in own:
        assert not {name for name in reachable(module) if room_of(name) == other}, module
    program = "; ".join(
        [f"import {name}" for name in own]
        + [
            "import sys",
            f"""print([
        name for name in sys.modules if name.startswith("minivl.{other}")])""",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
