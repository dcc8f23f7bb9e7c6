"""Helpers of the lessons: the banner, live source beside its equation, tables with spread, running a lesson."""

import ast
import asyncio
import inspect
import json
import os
import platform
import re
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

import minivl
from minivl.config import NOTEBOOKS, Scale, scale, with_changes

WIDGET = "application/vnd.jupyter.widget-view+json"  # kind of an output that is nothing without its kernel


class LessonError(RuntimeError):
    """A lesson that does not exist or that stopped with an error."""


def banner() -> Scale:
    """Print where and at what scale a lesson runs, and return the scale's settings.

    `MINIVL_SET` has changes of settings as `with_changes` takes them, as a JSON list: what `minivl lesson --set` gives.
    """
    import torch

    changes = json.loads(os.environ.get("MINIVL_SET", "[]"))
    settings = with_changes(scale(), changes)
    pd.set_option("display.width", 140)
    warnings.filterwarnings("ignore", "IProgress not found")  # progress bars are text, with or without widgets
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"scale: {settings.name} (set MINIVL_SCALE to tiny, small or full) · {device} · "
        f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}"
    )
    if changes:
        print("set:", ", ".join(changes))
    return settings


def show_source(thing: Callable, equation: str = "") -> None:
    """Show the source of a function or class as it is in the package, under its equation (LaTeX)."""
    from IPython.display import Markdown, display

    display(Markdown(source_of(thing, equation)))


def source_of(thing: Callable, equation: str = "") -> str:
    """What `show_source` shows, as Markdown.

    The style is for pages that nbconvert writes, where code in an output has the font of what is around it.
    """
    path = Path(inspect.getfile(inspect.unwrap(thing))).relative_to(Path(minivl.__file__).parents[1])
    head = f"$$ {equation} $$\n\n" if equation else ""
    code = f"```python\n{inspect.getsource(thing)}```"
    return f'{head}`{path}`\n\n<div style="font-family: monospace">\n\n{code}\n\n</div>'


def shown_sources(notebook: Any) -> list[tuple[dict, str]]:
    """What a lesson's outputs show of the package: pairs of an output's data and what it would be by today's code.

    Only the imports of the notebook are run. Raises LessonError if a cell's outputs are not those of its calls.
    """
    code = [(cell, ast.parse(cell.source)) for cell in notebook.cells if cell.cell_type == "code"]
    imports: list[ast.stmt] = [
        node for _, tree in code for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(imports, type_ignores=[]), "imports of a lesson", "exec"), names)
    names["show_source"] = source_of
    pairs: list[tuple[dict, str]] = []
    for cell, tree in code:
        calls = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "show_source"
        ]
        shown = [
            output["data"]
            for output in cell.outputs
            if "```python\n" in output.get("data", {}).get("text/markdown", "")
        ]
        if len(calls) != len(shown):
            raise LessonError(f"a cell calls show_source {len(calls)} times and has {len(shown)} outputs of it")
        pairs += zip(shown, (eval(ast.unparse(call), names) for call in calls), strict=True)
    return pairs


def refresh_sources(name: str) -> int:
    """Put today's source into the outputs of a lesson in notebooks/, executing nothing; how many had another one."""
    import nbformat

    notebook = nbformat.read(_lesson(name), as_version=4)
    stale = [(data, text) for data, text in shown_sources(notebook) if data["text/markdown"] != text]
    for data, text in stale:
        data["text/markdown"] = text
    if stale:
        nbformat.write(notebook, _lesson(name))
    return len(stale)


def _lesson(name: str) -> Path:
    """The notebook of a lesson. Raises LessonError if there is none of that name."""
    source = NOTEBOOKS / f"{name}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb")))
        raise LessonError(f"there is no lesson {name!r}; there are {known}")
    return source


def mean_and_spread(table: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """One row per method: mean ± standard deviation (n - 1) over its runs; a single run shows no spread."""

    def cell(values: pd.Series) -> str:
        if values.isna().all():
            return "-"  # a score that these clips don't have
        return f"{values.mean():.1f}" + (f" ± {values.std():.1f}" if len(values) > 1 else "")

    grouped = table.groupby(by, sort=False)
    return grouped[columns].agg(cell).assign(runs=grouped.size())


def run_lesson(name: str, out: Path, scale_name: str | None = None, environment: dict[str, str] | None = None) -> Path:
    """Execute a notebook in a fresh kernel, in the current folder, and write it, with its outputs, into `out`.

    What the cells print, progress bars included, is shown as it comes. The notebook is written even if a cell
    fails, so that what happened can be read there. What the run cost is in its metadata (`cost_of`).
    Raises LessonError for an unknown lesson or one that failed, and KeyboardInterrupt for Ctrl-C.
    """
    import nbformat
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    source = _lesson(name)
    out.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(source, as_version=4)
    settings = {**os.environ, "MINIVL_RUNS": os.path.relpath(out), "MINIVL_PROGRESS": "text", **(environment or {})}
    scale_name = scale_name or scale().name
    settings["MINIVL_SCALE"] = scale_name
    written = out / source.name
    try:
        with tempfile.TemporaryDirectory(prefix="minivl-") as sockets, tempfile.TemporaryFile("w+") as complaints:
            client = _talking_client(notebook, sockets)
            # After each cell, as the kernel is gone when the notebook is complete: the last one counts.
            client.on_cell_executed = lambda **_: record_cost(notebook, scale_name, _spent(client))
            try:
                client.execute(env=settings, stderr=complaints)
            finally:
                if not client.told_to_end:  # a kernel that is told to end may complain of sockets that are gone
                    complaints.seek(0)
                    sys.stderr.write(complaints.read())
    except (asyncio.CancelledError, DeadKernelError):
        if client.told_to_end:
            raise KeyboardInterrupt from None
        raise
    except CellExecutionError as error:
        raise LessonError(
            f"the lesson stopped: {error.ename}: {error.evalue}\nThe traceback and all outputs so far are in {written}"
        ) from error
    finally:
        _drop_progress(notebook)
        nbformat.write(notebook, written)
    return written


def cost_of(notebook: Any, scale_name: str) -> dict[str, float] | None:
    """What the last recorded run of a lesson took: {"cpu minutes", "peak GB"}; None if none at this scale was recorded.

    "cpu minutes" are those of all cores, "peak GB" is the memory of the kernel at its highest (Linux alone tells it).
    """
    return notebook.metadata.get("minivl", {}).get("cost", {}).get(scale_name)


def record_cost(notebook: Any, scale_name: str, cost: dict[str, float]) -> None:
    """Write what a run took into the metadata of a notebook, where `cost_of` reads it."""
    notebook.metadata.setdefault("minivl", {}).setdefault("cost", {})[scale_name] = cost


def update_cost(name: str, written: Path, scale_name: str) -> dict[str, float]:
    """Put what a run of a lesson took, which wrote the notebook `written`, into notebooks/, and nothing else of it."""
    import nbformat

    cost = cost_of(nbformat.read(written, as_version=4), scale_name)
    assert cost is not None, "run_lesson records it"
    notebook = nbformat.read(_lesson(name), as_version=4)
    record_cost(notebook, scale_name, cost)
    nbformat.write(notebook, _lesson(name))
    return cost


def _spent(client):
    """What the kernel of a notebook client has taken so far, its finished child processes included."""
    import psutil

    kernel = psutil.Process(client.km.provisioner.pid)
    times = kernel.cpu_times()
    cost = {"cpu minutes": round(sum(times[:4]) / 60, 2)}  # user and system, and of children
    status = Path(f"/proc/{kernel.pid}/status")
    if status.is_file():
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        cost["peak GB"] = round(int(peak[1]) / 2**20, 2)
    return cost


def _talking_client(notebook, sockets):
    """A notebook client that also shows headings, prints, tables and progress bars in the terminal.

    sockets: an empty folder, where the kernel can be talked to.
    """
    from nbclient import NotebookClient
    from traitlets.config import Config

    class TalkingClient(NotebookClient):
        told_to_end = False

        def process_message(self, message: dict[str, Any], cell: Any, cell_index: int) -> Any:
            content = message["content"]
            if message["msg_type"] == "stream":
                stream = sys.stdout if content["name"] == "stdout" else sys.stderr
                stream.write(content["text"])
                stream.flush()
            elif message["msg_type"] in ("display_data", "execute_result"):
                text = content["data"].get("text/plain", "")
                if not text.startswith("<"):  # not the address of a figure or of a Markdown object
                    print(text)
            return super().process_message(message, cell, cell_index)

    def heading(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "markdown":
            print("".join(f"\n{line}\n" for line in cell.source.splitlines() if line.startswith("#")), end="")

    def end_on_signals(**_: object) -> None:
        """End the run when this program is told to end; nbclient ends the kernel alone, and fails at its absence."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def end() -> None:
            client.told_to_end = True
            assert task is not None
            task.cancel()  # nbclient may take it for the death of the kernel

        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(RuntimeError):  # not in the main thread, or on a system without such signals
                loop.add_signal_handler(number, end)

    # Sockets in the file system, where there are such: nobody else on the network can talk to the kernel. In a folder
    # of their own, as two kernels that begin at the same moment would choose the same names.
    transport = "ipc" if os.name == "posix" else "tcp"
    manager = {"transport": transport, "connection_file": str(Path(sockets) / "kernel.json")}
    client = TalkingClient(
        notebook,
        timeout=None,
        store_widget_state=False,
        kernel_name="python3",
        on_notebook_start=end_on_signals,
        on_cell_start=heading,
        config=Config({"KernelManager": manager}),
        resources={"metadata": {"path": os.getcwd()}},
    )
    return client


def _drop_progress(notebook) -> None:
    """Take progress bars out of the outputs: they are of use only while they move.

    Ours are lines of text there (`minivl.progress`), those of other libraries may be widgets.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                o
                for o in cell.outputs
                if not (o.output_type == "stream" and o.name == "stderr" and ("\r" in o.text or not o.text.strip()))
                and WIDGET not in o.get("data", {})
            ]
            cell.metadata.pop("execution", None)  # clock times, which would differ in every diff
