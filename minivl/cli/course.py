"""The course: editions of the assignments, and checks of answers."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app


@app.command()
def course(
    edition: Annotated[str, typer.Argument(help="student, solution, or source (for nbgrader)")],
    names: Annotated[list[str] | None, typer.Argument(help="assignments, such as univl_losses [default: all]")] = None,
    out: Annotated[Path, typer.Option(help="folder for the notebooks")] = Path("."),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace notebooks that are there")] = False,
) -> None:
    """Write the assignments of the course."""
    from minivl.course.check import tasks_of
    from minivl.course.editions import write_edition
    from minivl.course.tasks import ASSIGNMENTS

    for name in names or ASSIGNMENTS:
        tasks, path = tasks_of(name), write_edition(name, edition, out, overwrite)
        print(f"{path}: {len(tasks)} tasks, {sum(task.points for task in tasks)} points")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="an assignment, such as univl_losses, or one task, such as mil_nce")],
    file: Annotated[
        Path | None, typer.Argument(help="the notebook [default: ASSIGNMENT.ipynb, in this folder]")
    ] = None,
) -> None:
    """Check the answers in a notebook, whose code is run; the exit status is 1 unless all are right."""
    from minivl.course.answers import check_notebook
    from minivl.course.check import assignment_of, find, tasks_of, total

    assignment = assignment_of(name)
    tasks = tasks_of(assignment) if name == assignment else [find(name)]
    verdicts = check_notebook(file or Path(f"{assignment}.ipynb"), tasks)
    for task, verdict in verdicts.items():
        print(f"{task}: {verdict.message}")
    print(total(name, tasks, [task for task, verdict in verdicts.items() if verdict.right]))
    if not all(verdict.right for verdict in verdicts.values()):
        raise typer.Exit(1)
