"""Progress bars: widgets where a notebook shows them, text elsewhere, all from one place."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import minivl

# A kernel with ipywidgets, as far as tqdm looks.
KERNEL = """
import sys, types
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: types.SimpleNamespace()
sys.modules["IPython"] = ipython
display = types.ModuleType("IPython.display"); display.display = print; sys.modules["IPython.display"] = display
widgets = types.ModuleType("ipywidgets")
for name in ("FloatProgress", "HBox", "HTML"): setattr(widgets, name, type(name, (), {}))
widgets.__version__ = "8.1.0"; sys.modules["ipywidgets"] = widgets
"""


@pytest.mark.parametrize(
    ("kernel", "variable", "module"),
    [(KERNEL, "", "tqdm.notebook"), (KERNEL, "text", "tqdm.std"), ("", "", "tqdm.asyncio")],
)
def test_what_a_bar_is(kernel, variable, module):
    code = f"import os; os.environ['MINIVL_PROGRESS'] = {variable!r}\n{kernel}\n"
    code += "from minivl.progress import tqdm; print([kind.__module__ for kind in tqdm.__mro__])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and module in done.stdout, done.stderr
    assert ("tqdm.notebook" in done.stdout) == (module == "tqdm.notebook")


def test_all_bars_come_from_one_place():
    files = [path for path in Path(minivl.__file__).parent.rglob("*.py") if path.stem != "progress"]
    assert not [path for path in files if re.search(r"^\s*(from|import) tqdm", path.read_text(), re.MULTILINE)]
