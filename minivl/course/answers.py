"""Checks of a whole notebook of answers, from the command line."""

import ast
from pathlib import Path
from typing import Any

from minivl.course.check import Verdict, verdict
from minivl.course.task import Task


class NotebookError(ValueError):
    """A notebook that cannot be read, or whose answers cannot be run."""


def check_notebook(path: Path, tasks: list[Task]) -> dict[str, Verdict]:
    """Verdicts on the answers to tasks in a notebook, by name. Raises NotebookError.

    The notebook's imports and its cells for answers are run in this process, all else is not: no training, no figure.
    """
    found = _answers(path)
    return {
        task.name: verdict(task, found[task.name])
        if callable(found.get(task.name))
        else Verdict(False, f"there is no `{task.name}` in the cells for answers of {path.name}")
        for task in tasks
    }


def _answers(path):
    """What imports and cells for answers define."""
    names: dict[str, Any] = {"__name__": "answers"}
    for number, cell in enumerate(_read(path).cells, 1):
        if cell.cell_type != "code":
            continue
        answer = cell.metadata.get("nbgrader", {}).get("solution", False)
        try:
            code = ast.parse(cell.source, f"cell {number}")
            if not answer:
                code.body = [line for line in code.body if isinstance(line, (ast.Import, ast.ImportFrom))]
            exec(compile(code, f"cell {number}", "exec"), names)
        except Exception as error:
            if answer or not isinstance(error, SyntaxError):  # cells of one's own may hold what is not Python: %magic
                raise NotebookError(f"{path}, cell {number} stopped with {type(error).__name__}: {error}") from error
    return names


def _read(path):
    import nbformat

    if not path.is_file():
        raise NotebookError(
            f"there is no notebook {path}: name it after the assignment, or write one with `minivl course`"
        )
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has several of its own, and JSON's
        raise NotebookError(f"{path} is not a notebook: {error}") from error
