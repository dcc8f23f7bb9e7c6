"""The course: editions of the assignments, and checks of answers."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app
from minivl.config import ConfigError
from minivl.curriculum import ASSIGNMENTS, EDITIONS, assignment_of, require_assignment


@app.command()
def course(
    edition: Annotated[str, typer.Argument(help="student, solution, or source (for nbgrader)")],
    names: Annotated[list[str] | None, typer.Argument(help="assignments, such as univl_losses [default: all]")] = None,
    out: Annotated[Path, typer.Option(help="folder for the notebooks")] = Path("."),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace notebooks that are there")] = False,
) -> None:
    """Write the assignments of the course."""
    if edition not in EDITIONS:
        raise ConfigError(f"the editions are {', '.join(EDITIONS)}, not {edition!r}")
    names = [require_assignment(name) for name in names or ASSIGNMENTS]
    from minivl.course.check import tasks_of
    from minivl.course.editions import write_edition

    for name in names:
        tasks, path = tasks_of(name), write_edition(name, edition, out, overwrite)
        print(f"{path}: {len(tasks)} tasks, {sum(task.points for task in tasks)} points")


@app.command()
def check(
    name: Annotated[
        str,
        typer.Argument(help="an assignment (univl_losses), the lesson before it (03), or one of its tasks (mil_nce)"),
    ],
    file: Annotated[
        Path | None, typer.Argument(help="the notebook [default: ASSIGNMENT.ipynb, in this folder]")
    ] = None,
) -> None:
    """Check the answers in a notebook, whose code is run: right, wrong and why, or unanswered.

    The exit status is 1 unless all are right.
    """
    assignment = assignment_of(name)
    file = file or Path(f"{assignment}.ipynb")
    if not file.is_file():
        raise ConfigError(
            f"there is no notebook {file}: give its name behind {name}, or write one with "
            f"`minivl course student {assignment}`"
        )
    from minivl.course.answers import check_notebook
    from minivl.course.check import find, tasks_of, total

    tasks = [find(name)] if name in ASSIGNMENTS[assignment].tasks else tasks_of(assignment)
    verdicts = check_notebook(file, tasks)
    for task, verdict in verdicts.items():
        print(f"{task}: {verdict.message}")
    print(total(name if len(tasks) == 1 else assignment, tasks, verdicts))
    if not all(verdict.right for verdict in verdicts.values()):
        raise typer.Exit(1)
