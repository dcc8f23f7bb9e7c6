"""Every task: the reference is right, every usual mistake is recognised as itself, and no answer is given away."""

import re

import pytest

from minivl.course.check import WRONG, verdict
from minivl.course.outcome import same
from minivl.course.tasks import ASSIGNMENTS, TASKS

MISTAKES = [(task.name, mistake) for task in TASKS.values() for mistake in task.mistakes]


@pytest.mark.parametrize("name", TASKS)
def test_the_reference_is_right_with_any_numbers(name):
    for seed in range(3):
        assert verdict(TASKS[name], TASKS[name].reference, seed).right


@pytest.mark.parametrize("name, mistake", MISTAKES, ids=[f"{name}-{mistake.name}" for name, mistake in MISTAKES])
def test_a_usual_mistake_gets_its_own_hint(name, mistake):
    for seed in (0, 1):  # of `check`, and of hidden tests
        found = verdict(TASKS[name], mistake.function, seed)
        assert found.state == WRONG and found.mistake == mistake.name and mistake.hint in found.told, (seed, found)


def test_mistakes_are_many_and_hints_differ():
    assert len(MISTAKES) >= 200
    for task in TASKS.values():
        assert len({mistake.hint for mistake in task.mistakes}) == len(task.mistakes) >= 3
        assert len({mistake.name for mistake in task.mistakes}) == len(task.mistakes)


@pytest.mark.parametrize("name", TASKS)
def test_cases_are_few_named_and_repeat(name):
    task = TASKS[name]
    cases, again = task.cases(), task.cases()
    assert 2 <= len(cases) <= 8 and len({case.about for case in cases}) == len(cases)
    for case, other in zip(cases, again, strict=True):
        assert same(case.inputs, other.inputs)


@pytest.mark.parametrize("name, mistake", MISTAKES, ids=[f"{name}-{mistake.name}" for name, mistake in MISTAKES])
def test_no_message_holds_the_answer(name, mistake):
    """The number that is shown is the student's, not the right one of the same place."""
    task = TASKS[name]
    told = verdict(task, mistake.function).message.partition("Hint:")[0]
    case = task.cases()[int(re.search(r"in case (\d+)", told)[1])]
    shown = re.search(r"the result((?:\[[\d, ]+\])*) is (-?[\d.]+),", told)
    if shown:
        right, places = task.expected(case).results, re.findall(r"\d+", shown[1])
        right = right[""] if "" in right else right[places.pop(0)]
        for place in places:
            right = right[int(place)]
        assert shown[2] != f"{float(right):.4g}" and not re.search(r"\d\.\d", told.replace(shown[0], ""))


def test_assignments_hold_every_task_once():
    tasks = [task.name for tasks in ASSIGNMENTS.values() for task in tasks]
    assert len(tasks) == len(set(tasks)) == len(TASKS) == 29
