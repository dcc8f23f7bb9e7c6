"""What a student sees in a notebook."""

import pytest

from minivl.config import ConfigError
from minivl.course import check, inputs, report, require
from minivl.course.check import WrongAnswer, find


def unanswered(**inputs):
    raise NotImplementedError()


def test_a_right_answer_gets_its_points(capsys):
    task = find("causal_mask")
    assert check("causal_mask", task.reference) == task.points
    assert capsys.readouterr().out == "causal_mask: right, in 2 of 2 cases\n1 of 1 points\n"


def test_a_wrong_answer_gets_none_and_a_hint(capsys):
    assert check("causal_mask", lambda mask: find("causal_mask").reference(mask).transpose(1, 2)) == 0
    assert capsys.readouterr().out == (
        "causal_mask: wrong, in case 0 (three words): the result[0, 0, 1] is True, which is not right.\n"
        'Its inputs: inputs("causal_mask", 0)\n0 of 1 points\n'
    )
    case = inputs("causal_mask", 0)
    assert case["mask"].shape == (1, 3)


def test_no_answer(capsys):
    assert check("mil_nce", unanswered) == 0
    assert capsys.readouterr().out == "mil_nce: unanswered\n0 of 3 points\n"


def test_report_counts_what_was_right_when_it_was_last_checked(capsys):
    check("causal_mask", find("causal_mask").reference)
    check("attention", find("attention").reference)
    check("attention", unanswered)
    capsys.readouterr()
    check("embed_frames", lambda **_: None)
    capsys.readouterr()
    report("univl_parts")
    assert capsys.readouterr().out == ("univl_parts: 1 of 6 tasks right, 1 wrong, 4 unanswered; 1 of 12 points\n")


def test_hidden_tests_take_other_numbers():
    """An answer that knows the visible cases by heart."""
    task = find("recall_at_k")
    known = [(case.inputs["similarity"], task.reference(**case.inputs)) for case in task.cases()]

    def by_heart(similarity, k):
        return next((result for matrix, result in known if matrix.equal(similarity)), 0.0)

    assert check("recall_at_k", by_heart) == 3
    with pytest.raises(WrongAnswer, match="recall_at_k: wrong"):
        require("recall_at_k", by_heart)
    require("recall_at_k", task.reference)


def test_names_that_do_not_exist():
    with pytest.raises(ConfigError, match="there is no task 'mil_nse'; there are sample_frames, collate_clips"):
        check("mil_nse", unanswered)
    with pytest.raises(ConfigError, match="there is no assignment 'univl'; there are video_text_data"):
        report("univl")
    with pytest.raises(ConfigError, match="mil_nce has the cases 0 to 4, not 9"):
        inputs("mil_nce", 9)
