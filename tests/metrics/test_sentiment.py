"""Sentiment metrics by hand, the two meanings of accuracy, and predictions that cannot be scored."""

import json

import numpy as np
import pytest
import torch

from minivl.metrics.sentiment import sentiment_metrics

TRUTH = [-3.0, -1.0, 0.0, 0.0, 1.2, 2.6]
PREDICTED = [-4.0, 0.2, -0.5, 0.5, 1.0, -0.1]


@pytest.mark.parametrize("convert", [list, np.asarray, torch.tensor])
def test_by_hand(convert):
    ours = sentiment_metrics(convert(PREDICTED), convert(TRUTH))
    # Non-negative: truth - - + + + +, predicted - + - + + -; without the zeros: truth - - + +, predicted - + + -.
    # F1 of "+": 2 of 3 predicted and 4 true; of "-": 1 of 3 predicted and 2 true.
    assert ours == pytest.approx(
        {
            "MAE": (1 + 1.2 + 0.5 + 0.5 + 0.2 + 2.7) / 6,
            "correlation": np.corrcoef(PREDICTED, TRUTH)[0, 1],
            "acc-2 non-negative": 50,
            "F1 non-negative": 100 * (4 / 6 * 4 / 7 + 2 / 6 * 2 / 5),
            "acc-2 positive": 50,
            "F1 positive": 50,
            "acc-7": 100 * 4 / 6,
        }
    )  # -4 is clipped to -3; 0.2 misses -1; -0.5 and 0.5 are rounded to 0; -0.1 misses 3
    json.dumps(ours)


def test_zero_is_not_negative_and_not_positive():
    """A prediction of exactly 0 counts as non-negative in one convention and as not positive in the other."""
    ours = sentiment_metrics([0.0, 0.0, 0.5], [2.0, 1.0, 0.0])
    assert ours["acc-2 non-negative"] == 100
    assert ours["acc-2 positive"] == 0


def test_perfect_and_opposite():
    assert sentiment_metrics(TRUTH, TRUTH) == pytest.approx(
        {
            "MAE": 0,
            "correlation": 1,
            **dict.fromkeys(("acc-2 non-negative", "F1 non-negative", "acc-2 positive", "F1 positive", "acc-7"), 100),
        }
    )
    opposite = sentiment_metrics(-np.array(TRUTH), TRUTH)
    assert opposite["correlation"] == pytest.approx(-1) and opposite["acc-2 positive"] == opposite["F1 positive"] == 0


def test_f1_weighs_by_the_truth():
    """Always "positive" for 3 positive and 1 negative clips: F1 6/7 of the one class, 0 of the other."""
    with pytest.warns(UserWarning, match="predictions are constant"):
        ours = sentiment_metrics([1.0] * 4, [1.0, 2.0, 3.0, -1.0])
    assert ours["F1 positive"] == pytest.approx(100 * 3 / 4 * 6 / 7)
    assert ours["acc-2 positive"] == 75 and ours["correlation"] == 0
    json.dumps(ours, allow_nan=False)


def test_constant_truth():
    with pytest.warns(UserWarning, match="truth is constant"):
        assert sentiment_metrics([1.0, 2.0], [1.0, 1.0])["correlation"] == 0


@pytest.mark.parametrize(
    "predicted, truth, message",
    [
        ([1.0], [1.0, 2.0], r"shape \(1,\) and truth of shape \(2,\)"),
        ([], [], "both must be"),
        ([[1.0]], [[1.0]], "both must be"),
        ([1.0, np.nan], [1.0, 2.0], r"predictions have NaN or infinity at \[1\]"),
        ([1.0], [np.inf], r"truth have NaN or infinity at \[0\]"),
        ([1.0, 1.0], [1.0, 3.5], r"truth 1 is 3.5, outside of \[-3, 3\]"),
        ([1.0, -1.0], [0.0, 0.0], "every truth is 0"),
    ],
)
def test_errors_say_what_is_wrong(predicted, truth, message):
    with pytest.raises(ValueError, match=message):
        sentiment_metrics(predicted, truth)
