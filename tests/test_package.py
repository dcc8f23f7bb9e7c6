"""What `import minivl` offers, without importing anything heavy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minivl

ROOT = Path(minivl.__file__).parent


def test_import_is_light_and_names_come_when_they_are_used():
    code = (
        "import sys, minivl; assert minivl.scale('small').name == 'small'; assert minivl.find_videos; "
        "assert set(minivl.__all__) <= set(dir(minivl)); "
        "heavy = {'torch', 'numpy', 'transformers', 'datasets'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'unheard_of'; it offers .*load_clip"):
        minivl.unheard_of  # noqa: B018


def test_type_checkers_and_python_find_the_same_names_in_the_same_places():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    places = {alias.name: node.module for node in typed.body for alias in node.names}
    assert places == minivl._PLACES


@pytest.mark.parametrize("name", minivl._PLACES)
def test_each_name_is_there(name):
    module = ROOT.parent.joinpath(*minivl._PLACES[name].split("."))
    source = (module / "__init__.py" if module.is_dir() else module.with_suffix(".py")).read_text(encoding="utf-8")
    tree = ast.parse(source)
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert name in imported | {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_names_of_the_readme_are_offered():
    readme = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    rooms = {path.stem for path in ROOT.iterdir()}
    named = set(re.findall(r"\bminivl\.(\w+)\(", readme)) - rooms
    assert len(named) >= 4 and named <= set(minivl.__all__)
