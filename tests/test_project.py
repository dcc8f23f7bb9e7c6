"""The house: one list of dependencies, a clean lock file, floors that only stand on lower ones."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
NAMED_BY_THE_USER = ("torch", "jupyterlab", "transformers", "open_clip_torch", "matplotlib", "seaborn", "datasets")


def names(requirements):
    return [re.match(r"[A-Za-z0-9_.-]+", line)[0].lower().replace("_", "-") for line in requirements]


def tracked(pattern):
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", pattern],
                           cwd=REPO, capture_output=True, text=True, check=True).stdout
    return [REPO / f for f in files.split("\0") if f and (REPO / f).is_file()]


def test_conda_supplies_python_and_pyproject_the_rest():
    lines = [line.strip().removeprefix("- ") for line in (REPO / "environment.yml").read_text().splitlines()
             if line.strip().startswith("- ")]
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


# A module may import from its own floor and from those below. The two papers never import each other.
FLOORS = [
    {"config"},
    {"checkpoints", "pretrained", "run_folder", "losses", "data", "metrics", "plots", "ledger", "measure"},
    {"engine", "gradient_cache", "training", "clip"},
    {"clip_pretraining", "discovla", "univl"},
    {"tasks", "recipes", "synthetic", "weights"},
    {"dry_run"},
    {"ablations"},
    {"lessons"},
    {"cli", "__main__"},
]


def floor(module):
    return next(level for level, modules in enumerate(FLOORS) if module in modules)


@pytest.mark.parametrize("path", sorted((REPO / "minivl").rglob("*.py")), ids=lambda p: str(p.relative_to(REPO)))
def test_floors(path):
    here = path.relative_to(REPO / "minivl").parts[0].removesuffix(".py")
    if here == "__init__":
        return
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("minivl."):
            imported.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "minivl":
            imported |= {alias.name for alias in node.names}
    for other in imported - {here}:
        assert floor(other) <= floor(here), f"{here} must not import {other}"
    assert not ({here, *imported} >= {"univl", "discovla"}), "the papers do not import each other"
