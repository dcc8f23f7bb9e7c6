"""Checks of a whole notebook of answers, from the command line."""

import ast
from pathlib import Path
from typing import Any

from minivl.course.check import WRONG, Verdict, verdict
from minivl.course.task import Task

RUN = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)  # of cells that are not for answers


class NotebookError(ValueError):
    """A notebook that cannot be read, or does not belong to the tasks."""


def check_notebook(path: Path, tasks: list[Task]) -> dict[str, Verdict]:
    """Verdicts on the answers to tasks in a notebook, by name. Raises NotebookError.

    Its cells for answers are run in this process, and imports, functions and classes of its other cells; all else is
    not: no training, no figure. A cell that stops is a wrong answer, and does not keep the others from being checked.
    """
    names, stopped = _answers(path)
    asked = {task.name for task in tasks}
    if not asked & (names.keys() | stopped.keys()):
        raise NotebookError(f"{path} has no cell for an answer to {', '.join(asked)}: is it another assignment's?")
    return {task.name: _verdict(task, names.get(task.name), stopped.get(task.name), path) for task in tasks}


def _verdict(task, answer, stopped, path):
    if stopped:
        return Verdict(WRONG, stopped)
    if not callable(answer):
        return Verdict(WRONG, f"there is no function or class `{task.name}` in the cells for answers of {path.name}")
    return verdict(task, answer)


def _answers(path):
    """What a notebook defines, and by task what is to be told of cells for answers that stopped."""
    names: dict[str, Any] = {"__name__": "answers"}
    stopped: dict[str, str] = {}
    for number, cell in enumerate(_read(path).cells, 1):
        if cell.cell_type != "code":
            continue
        role = cell.metadata.get("nbgrader", {})
        answer = role.get("solution", False)
        try:
            code = ast.parse(cell.source, f"cell {number}")
            if not answer:
                code.body = [line for line in code.body if isinstance(line, RUN)]
            exec(compile(code, f"cell {number}", "exec"), names)
        except (Exception, SystemExit) as error:
            told = f"cell {number} of {path.name} stopped with {type(error).__name__}: {error}"
            if answer:
                stopped[role.get("grade_id", "")] = told
            elif not isinstance(error, SyntaxError):  # cells of one's own may hold what is not Python: %magic
                raise NotebookError(told) from error
    return names, stopped


def _read(path):
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has several of its own, and JSON's
        raise NotebookError(f"{path} is not a notebook: {error}") from error
