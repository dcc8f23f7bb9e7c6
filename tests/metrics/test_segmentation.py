"""Segmentation metrics by hand, against a brute-force edit distance, and for baselines that know nothing."""

import functools
import json

import numpy as np
import pytest

from minivl.metrics.segmentation import majority_baseline, segmentation_metrics


def test_by_hand():
    truth = [[0, 0, 1, 1, 1, 1, 0, 2, 2, 2], [3, 3, 0, 0]]
    predicted = [[0, 1, 1, 1, 0, 0, 0, 2, 2, 0], [3, 0, 0, 2]]
    ours = segmentation_metrics(predicted, truth, background=0)
    assert ours == pytest.approx(
        {
            "frame accuracy": 100 * 8 / 14,  # frames 0, 2, 3, 6, 7, 8 of the first, 0 and 2 of the second
            "frame accuracy of steps": 100 * 5 / 9,
            "class accuracy": 100 * (2 / 4 + 2 / 3 + 1 / 2) / 3,
            "edit": (100 + 50) / 2,  # 1, 2 is right; 3, 2 must lose its 2
            # Overlaps: 1 shares 2 frames of 5; 2 shares 2 of 3; 3 shares 1 of 2. Four predicted, three true segments.
            "F1@10": 100 * 6 / 7,
            "F1@25": 100 * 6 / 7,
            "F1@50": 100 * 4 / 7,
        }
    )
    json.dumps(ours)


def test_without_background_every_frame_is_a_step():
    ours = segmentation_metrics([[0, 0, 1, 1]], [[0, 0, 0, 1]])
    assert ours["frame accuracy"] == ours["frame accuracy of steps"] == 75
    assert ours["class accuracy"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert ours["F1@50"] == 100


def test_perfect_and_text_labels():
    truth = [np.array(["none", "stir", "stir", "pour"]), np.array(["pour", "none", "none", "none"])]
    assert set(segmentation_metrics(truth, truth, background="none").values()) == {100}
    assert set(segmentation_metrics(truth, truth).values()) == {100}


def test_a_torn_segmentation_has_the_frames_but_not_the_segments():
    truth = [[1] * 20 + [2] * 20]
    torn = [[1, 1, 1, 3] * 5 + [2, 2, 2, 3] * 5]
    ours = segmentation_metrics(torn, truth)
    assert ours["frame accuracy"] == 75
    assert ours["edit"] == pytest.approx(100 * (1 - 18 / 20))  # 20 segments, two of which are wanted
    assert ours["F1@10"] == pytest.approx(100 * 2 * 2 / 22)  # each true segment is taken once
    assert ours["F1@25"] == 0


def test_each_true_segment_counts_once():
    ours = segmentation_metrics([[1, 1, 1, 0, 1, 1]], [[1] * 6], background=0)
    assert ours["F1@25"] == pytest.approx(100 * 2 / 3)  # 1 hit, 1 more predicted, none missed
    # The second piece overlaps by 2/6 and the first by exactly 3/6.
    assert ours["F1@50"] == pytest.approx(100 * 2 / 3)


def edit_distance(a, b):
    @functools.cache
    def steps(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(steps(i - 1, j) + 1, steps(i, j - 1) + 1, steps(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return steps(len(a), len(b))


@pytest.mark.parametrize("seed", range(8))
def test_edit_score_from_the_recursion(seed):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.integers(0, 3, (2, 15))
    truth[0] = 1
    runs = [[x for i, x in enumerate(labels) if x and (i == 0 or labels[i - 1] != x)] for labels in (predicted, truth)]
    expected = 100 * (1 - edit_distance(*runs) / max(map(len, runs)))
    assert segmentation_metrics([predicted], [truth], background=0)["edit"] == pytest.approx(expected)


def test_majority_baseline():
    train = [[0, 0, 0, 1], [2, 2, 0]]
    truth = [[0, 1, 1], [0, 0, 2, 2, 2]]
    guesses = majority_baseline(train, truth)
    assert [g.tolist() for g in guesses] == [[0, 0, 0], [0] * 5]
    ours = segmentation_metrics(guesses, truth, background=0)
    assert ours == pytest.approx(dict.fromkeys(ours, 0) | {"frame accuracy": 100 * 3 / 8})
    # A video in which nothing happens, and for which nothing was predicted, is right.
    assert segmentation_metrics([[0, 0], [0, 0]], [[0, 0], [0, 1]], background=0)["edit"] == 50


@pytest.mark.parametrize(
    "predicted, truth, message",
    [
        ([], [], "predictions for 0 videos"),
        ([[1]], [[1], [2]], "predictions for 1 videos and true labels for 2"),
        ([[1], [1, 2]], [[1], [1]], r"video 1 has predictions of shape \(2,\) and true labels of shape \(1,\)"),
        ([[[1]]], [[[1]]], "video 0"),
        ([[]], [[]], "video 0"),
        ([[1]], [["1"]], "text never equals a number"),
        ([[1, 0]], [[0, 0]], r"every true label is background \(0\)"),
    ],
)
def test_errors_say_what_is_wrong(predicted, truth, message):
    with pytest.raises(ValueError, match=message):
        segmentation_metrics(predicted, truth, background=0)
