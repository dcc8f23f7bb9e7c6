"""Checks of students' answers: right, or what is wrong and why; never the answer."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from minivl.config import ConfigError
from minivl.course.outcome import difference
from minivl.course.task import Case, Task
from minivl.course.tasks import ASSIGNMENTS, TASKS

_points: dict[str, int] = {}  # of the tasks that were checked in this process, for `report`


class Verdict(NamedTuple):
    """Whether an answer is right, and what to tell the student. An unanswered task is not right."""

    right: bool
    message: str
    mistake: str = ""  # the name of the recognised one


class WrongAnswer(AssertionError):
    """What `require` raises."""


def verdict(task: Task, answer: Callable, seed: int = 0) -> Verdict:
    """Try an answer on the cases of a task, with random numbers from this seed."""
    cases = task.cases(seed)
    found = [task.outcome(answer, case) for case in cases]
    if isinstance(found[0].error, NotImplementedError):
        return Verdict(False, "not answered yet")
    told = [difference(mine, task.expected(case)) for mine, case in zip(found, cases, strict=True)]
    wrong = next((number for number, difference in enumerate(told) if difference), None)
    if wrong is None:
        return Verdict(True, f"right, in {len(cases)} of {len(cases)} cases")
    message = f"not yet. Case {wrong} ({cases[wrong].about}): {str(told[wrong]).rstrip('.')}."
    for mistake in task.mistakes:
        if all(
            difference(mine, task.outcome(mistake.function, case)) is None
            for mine, case in zip(found, cases, strict=True)
        ):
            return Verdict(False, f"{message}\nHint: {mistake.hint}", mistake.name)
    return Verdict(False, f'{message}\nIts inputs: inputs("{task.name}", {wrong})')


def check(name: str, answer: Callable) -> int:
    """Tell whether an answer to a task is right, or what is wrong; the points that it gets.

    Raises ConfigError for a task that does not exist.
    """
    task = find(name)
    right, message, _ = verdict(task, answer)
    points = _points[name] = task.points if right else 0
    print(f"{name}: {message}\n{points} of {task.points} points")
    return points


def require(name: str, answer: Callable, seed: int = 1) -> None:
    """Raise WrongAnswer unless an answer is right, also with other random numbers than `check` takes: hidden tests."""
    right, message, _ = verdict(find(name), answer, seed)
    if not right:
        raise WrongAnswer(f"{name}: {message}")


def inputs(name: str, case: int) -> dict[str, Any]:
    """The inputs of a case of a task, as `check` numbers them, to look into what went wrong."""
    cases: list[Case] = find(name).cases()
    if not 0 <= case < len(cases):
        raise ConfigError(f"{name} has the cases 0 to {len(cases) - 1}, not {case}")
    return cases[case].inputs


def report(assignment: str) -> None:
    """Print how many tasks of an assignment were right when they were last checked."""
    print(total(assignment, tasks_of(assignment), [name for name, points in _points.items() if points]))


def total(name: str, tasks: list[Task], right: Collection[str]) -> str:
    """A line that says how many tasks are right, and the points."""
    done = [task for task in tasks if task.name in right]
    points, all_points = (sum(task.points for task in some) for some in (done, tasks))
    return f"{name}: {len(done)} of {len(tasks)} tasks right, {points} of {all_points} points"


def assignment_of(name: str) -> str:
    """The assignment of that name, or the one with the task of that name. Raises ConfigError if there is neither."""
    if name in ASSIGNMENTS:
        return name
    if name not in TASKS:
        raise ConfigError(f"there is no assignment or task {name!r}; there are {', '.join([*ASSIGNMENTS, *TASKS])}")
    return next(assignment for assignment, tasks in ASSIGNMENTS.items() if TASKS[name] in tasks)


def tasks_of(assignment: str) -> list[Task]:
    """The tasks of an assignment, in order. Raises ConfigError if there is none of that name."""
    if assignment not in ASSIGNMENTS:
        raise ConfigError(f"there is no assignment {assignment!r}; there are {', '.join(ASSIGNMENTS)}")
    return ASSIGNMENTS[assignment]


def find(name: str) -> Task:
    """The task of a name. Raises ConfigError if there is none."""
    if name not in TASKS:
        raise ConfigError(f"there is no task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
