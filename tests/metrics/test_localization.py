"""Step localization by hand, against every ordered choice of frames, and chance against what guessing gives."""

import itertools
import json

import numpy as np
import pytest
import torch

from minivl.metrics.localization import chance_recall, ordered_frames, step_mask, step_recall


def test_by_hand():
    """Task a: 2 of 3 steps found in two videos; task b: 1 of 1. The mean over tasks, not over steps, is 5/6."""
    truth = [
        step_mask([(0, 0, 2), (1, 3, 4)], frames=5, steps=2),
        step_mask([(1, 1, 2)], frames=3, steps=2),
        step_mask([(0, 0, 1), (0, 3, 4)], frames=4, steps=1),
    ]
    scores = [np.zeros((5, 2)), np.zeros((3, 2)), np.zeros((4, 1))]
    scores[0][1, 0] = scores[0][2, 1] = 1  # step 0 found, step 1 one frame early
    scores[1][0, 0] = scores[1][1, 1] = 1  # step 0 does not occur and does not count
    scores[2][3, 0] = 1  # the second interval is as good as the first
    ours = step_recall(scores, truth, ["a", "a", "b"])
    assert ours["per task"] == pytest.approx({"a": 200 / 3, "b": 100})
    assert ours["recall"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    json.dumps(ours)
    tensors = [torch.tensor(s, requires_grad=True) for s in scores]
    assert step_recall(tensors, [torch.tensor(t) for t in truth], ["a", "a", "b"]) == ours


def test_seconds_become_frames():
    """From floor to ceil, so that the shortest interval has a frame."""
    assert step_mask([(0, 1.2, 2.1), (1, 0.4, 0.6)], 4, 2).T.astype(int).tolist() == [[0, 1, 1, 0], [1, 0, 0, 0]]
    assert step_mask([(0, 1.2, 2.1)], 6, 1, fps=2).T.astype(int).tolist() == [[0, 0, 1, 1, 1, 0]]
    assert step_mask([(0, 2, 99)], 4, 1).T.astype(int).tolist() == [[0, 0, 1, 1]]  # longer than the video
    assert step_mask([(0, 1.5, 1.5), (1, 2, 2)], 4, 2).T.astype(int).tolist() == [
        [0, 1, 0, 0],
        [0, 0, 0, 0],
    ]  # a moment


@pytest.mark.parametrize("seed", range(10))
def test_the_best_of_all_ordered_choices(seed):
    rng = np.random.default_rng(seed)
    frames, steps = int(rng.integers(3, 9)), 3
    scores = rng.normal(size=(frames, steps))
    best = max(itertools.combinations(range(frames), steps), key=lambda c: sum(scores[t, k] for k, t in enumerate(c)))
    assert ordered_frames(scores).tolist() == list(best)
    truth = rng.random((frames, steps)) < 0.5
    truth[0] = True
    assert step_recall([scores], [truth], ["a"], ordered=True)["recall"] == pytest.approx(
        100 * np.mean([truth[t, k] for k, t in enumerate(best)])
    )


def test_order_can_put_a_step_right():
    """Step 1 looks best before step 0, where it cannot be."""
    truth = step_mask([(0, 2, 3), (1, 3, 4)], 5, 2)
    scores = np.array([[0, 0], [0, 0.9], [1, 0], [0, 0.8], [0, 0]])
    assert step_recall([scores], [truth], ["a"])["recall"] == 50
    assert step_recall([scores], [truth], ["a"], ordered=True)["recall"] == 100


def test_all_steps_in_order_weigh_the_same():
    """0.6 + 1.0 is more than 0.7 + 0.85; a first step that counts twice would turn it around."""
    assert ordered_frames([[0.6, 0], [0.7, 1.0], [0, 0.85]]).tolist() == [0, 1]
    assert ordered_frames([[1.0, 0], [0.7, 0.6], [0, 0.85]]).tolist() == [0, 2]


def test_a_constant_model_gets_chance():
    rng = np.random.default_rng(1)
    truth = [rng.random((t, 3)) < 0.4 for t in (7, 9, 12)]
    tasks = ["a", "b", "a"]
    constant = step_recall([np.full(t.shape, 0.3) for t in truth], truth, tasks)
    assert constant["per task"] == pytest.approx(chance_recall(truth, tasks)["per task"])
    assert chance_recall([step_mask([(0, 0, 3)], 12, 1)], ["a"])["recall"] == pytest.approx(25)


def test_chance_in_order_is_the_mean_over_all_choices():
    rng = np.random.default_rng(2)
    truth = rng.random((8, 3)) < 0.4
    occurs = truth.any(0)
    choices = list(itertools.combinations(range(8), 3))
    expected = np.mean([[truth[t, k] for k, t in enumerate(choice)] for choice in choices], axis=0)[occurs].mean()
    assert chance_recall([truth], ["a"], ordered=True)["recall"] == pytest.approx(100 * expected)
    long = chance_recall([np.ones((600, 12), bool)], ["a"], ordered=True)
    assert long["recall"] == pytest.approx(100)


NAN = np.zeros((3, 1))
NAN[1] = np.nan
ONE = np.ones((3, 1), bool)


@pytest.mark.parametrize(
    "scores, truth, tasks, message",
    [
        ([], [], [], "scores of 0 videos"),
        ([np.zeros((3, 1))], [ONE], [], "tasks of 0"),
        ([np.zeros((3, 2))], [ONE], ["a"], r"video 0 has scores of shape \(3, 2\) and truth of shape \(3, 1\)"),
        ([NAN], [ONE], ["a"], "video 0 has NaN"),
        ([np.zeros((3, 1))] * 2, [ONE, ~ONE], ["a", "b"], "no step of task 'b' occurs"),
    ],
)
def test_errors_say_what_is_wrong(scores, truth, tasks, message):
    with pytest.raises(ValueError, match=message):
        step_recall(scores, truth, tasks)


def test_more_errors():
    with pytest.raises(ValueError, match="3 steps in order need as many frames, there are 2"):
        ordered_frames(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="3 steps in order need as many frames, there are 2"):
        chance_recall([np.ones((2, 3), bool)], ["a"], ordered=True)
    for interval in ((2, 0, 1), (-1, 0, 1), (0, 3, 2), (0, -1, 2)):
        with pytest.raises(ValueError, match="steps go from 0 to 1"):
            step_mask([interval], 5, 2)
