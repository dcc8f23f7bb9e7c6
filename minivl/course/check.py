"""Checks of students' answers: right, or what is wrong and why; never the answer."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minivl.config import ConfigError
from minivl.course.outcome import difference
from minivl.course.task import Case, Task
from minivl.course.tasks import ASSIGNMENTS, TASKS
from minivl.curriculum import require_assignment

RIGHT, WRONG, UNANSWERED = "right", "wrong", "unanswered"


class Verdict(NamedTuple):
    """What an answer is, RIGHT, WRONG or UNANSWERED, and what to tell the student."""

    state: str
    told: str = ""
    mistake: str = ""  # the name of the recognised one

    @property
    def right(self) -> bool:
        return self.state == RIGHT

    @property
    def message(self) -> str:
        """The state, and what there is to tell."""
        return f"{self.state}, {self.told}" if self.told else self.state


_found: dict[str, Verdict] = {}  # on the tasks that were checked in this process, for `report`


class WrongAnswer(AssertionError):
    """What `require` raises."""


def verdict(task: Task, answer: Callable, seed: int = 0) -> Verdict:
    """Try an answer on the cases of a task, with random numbers from this seed."""
    cases = task.cases(seed)
    found = [task.outcome(answer, case) for case in cases]
    if isinstance(found[0].error, NotImplementedError):
        return Verdict(UNANSWERED)
    told = [difference(mine, task.expected(case)) for mine, case in zip(found, cases, strict=True)]
    wrong = next((number for number, difference in enumerate(told) if difference), None)
    if wrong is None:
        return Verdict(RIGHT, f"in {len(cases)} of {len(cases)} cases")
    first = str(told[wrong])
    message = f"in case {wrong} ({cases[wrong].about}): {first}{'' if first.endswith(('.', '?')) else '.'}"
    for mistake in task.mistakes:
        if all(
            difference(mine, task.outcome(mistake.function, case)) is None
            for mine, case in zip(found, cases, strict=True)
        ):
            return Verdict(WRONG, f"{message}\nHint: {mistake.hint}", mistake.name)
    return Verdict(WRONG, f'{message}\nIts inputs: inputs("{task.name}", {wrong})')


def check(name: str, answer: Callable) -> int:
    """Tell whether an answer to a task is right, or what is wrong; the points that it gets.

    Raises ConfigError for a task that does not exist.
    """
    task = find(name)
    found = _found[name] = verdict(task, answer)
    points = task.points if found.right else 0
    print(f"{name}: {found.message}\n{points} of {task.points} points")
    return points


def require(name: str, answer: Callable, seed: int = 1) -> None:
    """Raise WrongAnswer unless an answer is right, also with other random numbers than `check` takes: hidden tests."""
    found = verdict(find(name), answer, seed)
    if not found.right:
        raise WrongAnswer(f"{name}: {found.message}")


def inputs(name: str, case: int) -> dict[str, Any]:
    """The inputs of a case of a task, as `check` numbers them, to look into what went wrong."""
    cases: list[Case] = find(name).cases()
    if not 0 <= case < len(cases):
        raise ConfigError(f"{name} has the cases 0 to {len(cases) - 1}, not {case}")
    return cases[case].inputs


def report(assignment: str) -> None:
    """Print how many tasks of an assignment were right when they were last checked; unchecked ones are unanswered."""
    print(total(assignment, tasks_of(assignment), _found))


def total(name: str, tasks: list[Task], verdicts: Mapping[str, Verdict]) -> str:
    """A line that says how many tasks are right, wrong and unanswered, and the points."""
    states = {task.name: verdicts.get(task.name, Verdict(UNANSWERED)).state for task in tasks}
    numbers = Counter(states.values())
    points, all_points = sum(task.points for task in tasks if states[task.name] == RIGHT), sum(t.points for t in tasks)
    return (
        f"{name}: {numbers[RIGHT]} of {len(tasks)} tasks right, {numbers[WRONG]} wrong, {numbers[UNANSWERED]} "
        f"unanswered; {points} of {all_points} points"
    )


def tasks_of(assignment: str) -> list[Task]:
    """The tasks of an assignment, in order. Raises ConfigError if there is none of that name."""
    return ASSIGNMENTS[require_assignment(assignment)]


def find(name: str) -> Task:
    """The task of a name. Raises ConfigError if there is none."""
    if name not in TASKS:
        raise ConfigError(f"there is no task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
