"""Runs lessons at the smallest scale, each in a fork of this process, which has loaded what takes long to load.

    python forked_lessons.py cpu|pretend RUNS NAME...

Prints the cell and the traceback of what fails; the exit code says how many lessons did.
"""

import contextlib
import importlib
import os
import sys
import traceback
from pathlib import Path

# Lessons whose models move to a GPU.
MOVING = ("00", "01", "03", "05", "06", "07", "08", "11", "a1")


LOADED = (  # what most lessons import, and that starts no thread
    "accelerate",
    "datasets",
    "IPython",
    "matplotlib.pyplot",
    "nbformat",
    "seaborn",
    "transformers",
    "minivl.ablations.studies",
    "minivl.lessons",
    "minivl.plots",
)


def main(device, runs, *names):
    os.environ |= {"MPLBACKEND": "Agg", "MINIVL_SCALE": "tiny"}
    for module in LOADED:
        importlib.import_module(module)
    failed = 0
    for name in names:
        child = os.fork()
        if not child:
            code = 1
            try:
                os.environ["MINIVL_RUNS"] = str(Path(runs) / name)
                code = not succeeds(name, device)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        failed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    return failed


def succeeds(name, device):
    """Run the code cells of a lesson in their order, as IPython does."""
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell

    from helpers.pretend_device import There, pretend_device
    from minivl.config import NOTEBOOKS

    os.chdir(NOTEBOOKS)
    shell = InteractiveShell.instance(colors="NoColor")
    with pretend_device() if device == "pretend" else contextlib.nullcontext():
        for cell in nbformat.read(f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type == "code" and not shell.run_cell(cell.source).success:
                print(f"{name}, cell {cell.id}: failed on {device}", file=sys.stderr)
                return False
    if device == "pretend" and name.startswith(MOVING) and not There.made:
        print(f"{name}: nothing was computed on the pretended device", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
