"""The editions of an assignment: from one source with nbgrader's cells, what students get, and the solution.

The source marks answers by `### BEGIN SOLUTION` ... `### END SOLUTION` and hidden tests by `### BEGIN HIDDEN TESTS`
... `### END HIDDEN TESTS`. The student edition is what `nbgrader generate_assignment` makes of the source, but for the
checksums that nbgrader adds (tests/course/test_editions.py compares them).
"""

import copy
import re
from pathlib import Path
from typing import Any

from minivl.config import NOTEBOOKS, ConfigError
from minivl.curriculum import EDITIONS, require_assignment

ASSIGNMENTS_FOLDER = NOTEBOOKS / "assignments"  # students' editions, and the sources in source/
STUB = {"code": "# YOUR CODE HERE\nraise NotImplementedError()", "markdown": "YOUR ANSWER HERE"}


class AssignmentError(ValueError):
    """A source whose marks do not fit together."""


def source(assignment: str) -> Any:
    """The source of an assignment, a notebook. Raises ConfigError if there is none of that name."""
    import nbformat

    require_assignment(assignment)
    return nbformat.read(ASSIGNMENTS_FOLDER / "source" / f"{assignment}.ipynb", as_version=4)


def edition(assignment: str, kind: str) -> Any:
    """One of EDITIONS of an assignment. Raises ConfigError for another kind."""
    if kind not in EDITIONS:
        raise ConfigError(f"the editions are {', '.join(EDITIONS)}, not {kind!r}")
    make = {"student": student, "solution": solution, "source": lambda notebook: notebook}[kind]
    return make(source(assignment))


def student(notebook: Any) -> Any:
    """What students get: stubs in place of answers, no hidden tests, no outputs, and checks that can't be edited."""
    made = _without_outputs(notebook)
    for cell in made.cells:
        role = cell.metadata.get("nbgrader", {})
        answer = role.get("solution", False)
        stubbed = _without_region(cell.source, "SOLUTION", STUB.get(cell.cell_type, ""))
        if stubbed != cell.source and not answer:
            raise AssignmentError(f"a solution in a cell that is not marked as one: {cell.source:.80}")
        cell.source = STUB[cell.cell_type] if answer and stubbed == cell.source else stubbed
        cell.source = _without_region(cell.source, "HIDDEN TESTS", "")
        if answer:
            cell.metadata["deletable"] = False
        elif role.get("grade") or role.get("locked"):
            cell.metadata["deletable"] = cell.metadata["editable"] = False
    return made


def solution(notebook: Any) -> Any:
    """The answers, without marks and hidden tests."""
    made = _without_outputs(notebook)
    for cell in made.cells:
        source = _without_region(cell.source, "HIDDEN TESTS", "")
        cell.source = "\n".join(line for line in source.split("\n") if not re.search("(BEGIN|END) SOLUTION", line))
    return made


def write_edition(assignment: str, kind: str, folder: Path, overwrite: bool = False) -> Path:
    """Write an edition into a folder, as ASSIGNMENT.ipynb. Raises ConfigError for a file that is there already."""
    import nbformat

    made, path = edition(assignment, kind), folder / f"{assignment}.ipynb"
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists, and may hold somebody's answers: move it, or give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)
    return path


def _without_outputs(notebook):
    made = copy.deepcopy(notebook)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made


def _without_region(text, name, stub):
    """Text without what is between the lines BEGIN `name` and END `name`; a stub, indented alike, is in its place."""
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        begins, ends = f"BEGIN {name}" in line, f"END {name}" in line
        if begins and inside or ends and not inside:
            raise AssignmentError(f"BEGIN and END {name} do not alternate: {text:.80}")
        if begins:
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + stub_line for stub_line in stub.split("\n")] if stub else []
        elif not ends and not inside:
            kept.append(line)
        inside = (inside or begins) and not ends
    if inside:
        raise AssignmentError(f"BEGIN {name} without END {name}: {text:.80}")
    return "\n".join(kept)
