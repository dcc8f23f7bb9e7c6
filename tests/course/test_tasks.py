"""Every task: the reference is right, every usual mistake is recognised as itself, and no answer is given away."""

import re

import pytest
import torch

from minivl.course.check import verdict
from minivl.course.tasks import ASSIGNMENTS, TASKS

MISTAKES = [(task.name, mistake) for task in TASKS.values() for mistake in task.mistakes]


@pytest.mark.parametrize("name", TASKS)
def test_the_reference_is_right_with_any_numbers(name):
    for seed in range(3):
        assert verdict(TASKS[name], TASKS[name].reference, seed).right


@pytest.mark.parametrize("name, mistake", MISTAKES, ids=[f"{name}-{mistake.name}" for name, mistake in MISTAKES])
def test_a_usual_mistake_gets_its_own_hint(name, mistake):
    for seed in range(3):
        right, message, recognised = verdict(TASKS[name], mistake.function, seed)
        assert not right and recognised == mistake.name and mistake.hint in message, (seed, message)


def test_mistakes_are_many_and_hints_differ():
    assert len(MISTAKES) >= 75
    assert all(len(task.mistakes) >= 3 for task in TASKS.values())
    hints = [mistake.hint for _, mistake in MISTAKES]
    assert len(set(hints)) > len(hints) - 4  # a few are the same mistake in two tasks


@pytest.mark.parametrize("name", TASKS)
def test_cases_are_few_named_and_repeat(name):
    task = TASKS[name]
    cases, again = task.cases(), task.cases()
    assert 2 <= len(cases) <= 8 and len({case.about for case in cases}) == len(cases)
    for case, same in zip(cases, again, strict=True):
        for value, other in zip(case.inputs.values(), same.inputs.values(), strict=True):
            assert callable(value) or (torch.equal(value, other) if torch.is_tensor(value) else value == other)


@pytest.mark.parametrize("name, mistake", MISTAKES, ids=[f"{name}-{mistake.name}" for name, mistake in MISTAKES])
def test_no_message_holds_the_answer(name, mistake):
    """The number that is shown is the student's, not the right one of the same place."""
    task = TASKS[name]
    told = verdict(task, mistake.function).message.partition("Hint:")[0]
    case = task.cases()[int(re.search(r"Case (\d+)", told)[1])]
    shown = re.search(r"the (?:part (\d+) of the )?result(?:\[([\d, ]+)\])? is (-?[\d.]+),", told)
    if shown:
        right = task.expected(case).results[shown[1] or ""]
        for index in (shown[2] or "").split(", ") if shown[2] else []:
            right = right[int(index)]
        assert shown[3] != f"{float(right):.4g}" and not re.search(r"\d\.\d", told.replace(shown[0], ""))


def test_assignments_hold_every_task_once():
    tasks = [task.name for tasks in ASSIGNMENTS.values() for task in tasks]
    assert len(tasks) == len(set(tasks)) == len(TASKS) >= 10
