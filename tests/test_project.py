"""The house: one list of dependencies, a clean lock file, floors that only stand on lower ones."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minivl

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
    optional = PYPROJECT["project"]["optional-dependencies"]
    wanted = PYPROJECT["project"]["dependencies"] + optional["dev"] + optional["slides"]
    assert set(names(wanted)) - {"minivl"} <= set(names(lines))  # dev asks for minivl[slides]


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


def test_the_version_stands_in_one_place():
    assert "version" in PYPROJECT["project"]["dynamic"] and "version" not in PYPROJECT["project"]
    assert f"\nversion: {minivl.__version__}\n" in (REPO / "CITATION.cff").read_text(encoding="utf-8")


def layout():
    """Folders and files of the README's layout, as paths: an entry belongs to the one above that is indented less."""
    block = (REPO / "README.md").read_text(encoding="utf-8").split("## Layout")[1].split("```")[1]
    found, above = [], []
    for line in block.splitlines():
        entry = re.match(r"( *)([\w./]+)(?=  |$)", line)
        if entry and len(entry[1]) < 8:
            above = [*above[: len(entry[1]) // 2], entry[2]]
            found.append("".join(above).rstrip("/"))
    return found


def test_layout_of_the_readme():
    """Every folder of the package and every room is in it, and all that is in it exists."""
    rooms = {module.split(".")[1] for module in MODULES if "." in module}
    files = {f"minivl/{room}.py" for room in rooms - {"__main__"} if (REPO / "minivl" / f"{room}.py").is_file()}
    folders = {path.parent.relative_to(REPO).as_posix() for path in MODULES.values()}
    top = {path.relative_to(REPO).parts[0] for path in tracked(".") if len(path.relative_to(REPO).parts) > 1} - {".ci"}
    named = layout()
    assert len(named) == len(set(named))
    assert not (folders | files | top) - set(named), "not in the layout"
    assert not [path for path in named if not (REPO / path).exists()]


@pytest.mark.parametrize("text", ["README.md", "CONTRIBUTING.md"])
def test_files_that_the_documentation_names_exist(text):
    ours = "|".join(["minivl", "tests", "notebooks", "data_samples", "benchmarks"])
    text = (REPO / text).read_text(encoding="utf-8")
    named = set(re.findall(rf"(?<![\w/.-])(?:{ours})/[\w./-]*\w|(?<=\]\()(?!http)[^)#]+", text))
    named |= {name for name in re.findall(r"`([\w.-]+\.(?:md|toml|yml|lock|cff))`", text)}
    assert len(named) > 10
    made_up = {"notebooks/NN_name.ipynb", "tests/ROOM/test_x.py", "minivl/ROOM/x.py"}
    assert not [path for path in sorted(named - made_up) if not (REPO / path).exists()]


# A room may import from the rooms of lower floors.
FLOORS = [
    {"config", "progress"},
    {"curriculum", "data", "metrics"},
    {"results"},
    {"hub", "plots", "ledger", "prose"},
    {"train", "clip", "s3d", "explorer"},
    {"univl", "discovla"},
    {"tasks", "assets", "drawings", "export"},
    {"fullscale"},
    {"ablations", "lessons", "course", "slides"},
    {"course_map"},
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


def lacks_types(function):
    """Whether a parameter of a function, or what it returns, has no annotation."""
    a = function.args
    parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]
    untyped = [p.arg for p in parameters if p.annotation is None and p.arg not in ("self", "cls")]
    return bool(untyped) or (function.returns is None and function.name != "__init__")


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_are_typed(module):
    """Every function and method without a leading underscore, and every __init__: parameters and what it returns."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    public = [f for f in functions if f.name == "__init__" or not f.name.startswith("_")]
    assert not [f"{f.name}, line {f.lineno}" for f in public if lacks_types(f)]
