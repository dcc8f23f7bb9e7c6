"""Multimodal sentiment as in CMU-MOSI: how positive is an opinion, from -3 to 3?

The field reports a regression in several ways at once, and "accuracy" means two different things in it. Both are
given here, by name.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minivl.metrics.arrays import as_array, percent


def sentiment_metrics(predicted: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Compare scores of N clips, numpy, torch or lists of (N,) numbers; the truth lies in [-3, 3].

    Returns

        MAE                     mean |predicted - truth|
        correlation             Pearson's r. It is 0/0 if one side is constant; 0 is given then, with a warning: a
                                constant tells nothing about the truth
        acc-2, F1 non-negative  in percent, of "predicted >= 0" for "truth >= 0"
        acc-2, F1 positive      in percent, of "predicted > 0" for "truth > 0", without the clips whose truth is 0
        acc-7                   in percent; both rounded to the integers -3 ... 3 (halves to the even one)

    F1 is the weighted one: 2 TP / (2 TP + FP + FN) of each of the two classes, averaged by how many clips truly are of
    that class. (Code in
    the field often swaps the arguments and so weighs by the predicted counts.) Constant predictions make these
    numbers anything but 50: compare with a majority baseline.

    Raises ValueError if lengths differ, for NaN or infinity, truth outside of [-3, 3] and truth that is all 0.
    """
    predicted, truth = as_array(predicted), as_array(truth)
    _check(predicted, truth)
    polar = truth != 0
    return {
        "MAE": float(np.abs(predicted - truth).mean()),
        "correlation": _correlation(predicted, truth),
        **_binary(predicted >= 0, truth >= 0, "non-negative"),
        **_binary(predicted[polar] > 0, truth[polar] > 0, "positive"),
        "acc-7": percent(np.round(predicted).clip(-3, 3) == np.round(truth)),
    }


def _check(predicted: NDArray, truth: NDArray) -> None:
    if predicted.shape != truth.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"predictions of shape {predicted.shape} and truth of shape {truth.shape}: both must be (N,)")
    for name, values in (("predictions", predicted), ("truth", truth)):
        strange = np.flatnonzero(~np.isfinite(values))
        if len(strange):
            raise ValueError(f"the {name} have NaN or infinity at {strange[:5].tolist()}")
    outside = np.flatnonzero(np.abs(truth) > 3)
    if len(outside):
        raise ValueError(f"truth {outside[0]} is {truth[outside[0]]}, outside of [-3, 3]: is it on another scale?")
    if not truth.any():
        raise ValueError("every truth is 0: there is no positive or negative clip")


def _correlation(predicted: NDArray, truth: NDArray) -> float:
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        side = "predictions are" if np.ptp(predicted) == 0 else "truth is"
        warnings.warn(f"the {side} constant, so there is no correlation; it is given as 0", stacklevel=3)
        return 0.0
    return float(np.corrcoef(predicted, truth)[0, 1])


def _binary(predicted: NDArray, truth: NDArray, name: str) -> dict[str, float]:
    """Accuracy and weighted F1; predicted, truth: (N,) bool."""
    from sklearn.metrics import f1_score

    return {
        f"acc-2 {name}": percent(predicted == truth),
        f"F1 {name}": percent(f1_score(truth, predicted, average="weighted")),
    }
