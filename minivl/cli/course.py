"""The course: editions of the assignments, and checks of answers."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app, require_new
from minivl.config import ConfigError
from minivl.curriculum import ASSIGNMENTS, EDITIONS, assignment_of, lesson_of, lessons, require_assignment


@app.command()
def course(
    what: Annotated[
        str,
        typer.Argument(
            help="an edition of the assignments (student, solution, or source, for nbgrader), slides (of lessons), "
            "or map (of the course)"
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="assignments, such as univl_losses; for slides lessons, such as 03 [default: all]"),
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="folder for what is written")] = Path("."),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files that are there")] = False,
) -> None:
    """Write the assignments of the course, slides of its lessons, or its map."""
    if what == "slides":
        _write_slides([lesson_of(name) for name in names or lessons()], out, overwrite)
    elif what == "map":
        _write_map(names or [], out, overwrite)
    elif what in EDITIONS:
        _write_assignments(what, [require_assignment(name) for name in names or ASSIGNMENTS], out, overwrite)
    else:
        raise ConfigError(f"write {', '.join(EDITIONS)}, slides or map, not {what!r}")


def _write_assignments(edition: str, names: list[str], out: Path, overwrite: bool) -> None:
    require_new((out / f"{name}.ipynb" for name in names), overwrite, ", and may hold somebody's answers")
    from minivl.course.check import tasks_of
    from minivl.course.editions import write_edition

    for name in names:
        tasks, path = tasks_of(name), write_edition(name, edition, out, overwrite)
        print(f"{path}: {len(tasks)} tasks, {sum(task.points for task in tasks)} points")


def _write_slides(names: list[str], out: Path, overwrite: bool) -> None:
    missing = [name for name in ("sphinx_revealjs", "latex2mathml", "mistune") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"slides need {', '.join(missing)}: pip install minivl[slides]")
    require_new((out / f"{name}.html" for name in names), overwrite)
    from minivl.slides import write_deck

    for name in names:
        path = write_deck(name, out, overwrite)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def _write_map(names: list[str], out: Path, overwrite: bool) -> None:
    if names:
        raise ConfigError(f"the map is of all lessons: leave {' '.join(names)} out")
    require_new([out / "map.md"], overwrite)
    from minivl.course_map import write_map

    print(write_map(out, overwrite))


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
