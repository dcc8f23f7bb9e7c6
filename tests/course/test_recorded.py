"""The recorded values that ship with the package are those of tests/recorded."""

import torch
from safetensors.torch import load_file

from helpers.course_recorded import recorded
from minivl.course.recorded import RECORDED, recorded_of
from minivl.course.tasks import TASKS


def test_the_excerpt_is_what_was_recorded():
    """Else: python tests/helpers/course_recorded.py."""
    shipped, original = load_file(RECORDED), recorded()
    assert shipped.keys() == original.keys()
    assert all(torch.equal(shipped[name], value) for name, value in original.items())


def test_recorded_values_are_a_case_of_their_task():
    names = {name.partition(".")[0] for name in recorded()}
    assert len(names) == 8
    for name in names:
        *_, last = TASKS[name].cases()
        assert last.recorded is not None
    assert recorded_of("attention") is None


def test_recorded_values_win_over_the_reference():
    """A reference that differs from the released code is not right."""
    from minivl.course.check import verdict
    from minivl.course.task import Task

    task = TASKS["mil_nce"]
    wrong = Task("mil_nce", 1, lambda similarity, clips_per_video: 2 * similarity.sum(), True, task.call, task._cases)
    assert "values recorded from the released code" in verdict(wrong, wrong.reference).message
