"""Action segmentation: which step is shown in each frame?

Frame accuracy is COIN's measure, and UniVL's. It can be high for a segmentation in a hundred pieces, which the
edit score and F1 of segments notice. Much of an instructional video is no step at all (background), so predicting
background everywhere is the baseline to beat: see `majority_baseline`.
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minivl.metrics.arrays import percent

OVERLAPS = (10, 25, 50)  # percent


def segmentation_metrics(
    predicted: Sequence[ArrayLike], truth: Sequence[ArrayLike], background: Hashable = None
) -> dict[str, float]:
    """Compare label sequences, one per video, with one label (integer or string) per frame.

    background  the label that stands for "no step"; None if there is none, and every frame shows a step

    Returns percentages:

        frame accuracy           share of all frames, over all videos, that are labelled right
        frame accuracy of steps  the same among the frames whose true label is not background
        class accuracy           the same for each true step, then the mean over steps
        edit                     100 (1 - D / longer length), mean over videos; D: how many segments must be inserted,
                                 deleted or replaced to turn one sequence of segments into the other (Levenshtein)
        F1@k, k = 10, 25, 50     of segments over all videos; a predicted segment is right if a true one of its label,
                                 not yet taken, overlaps it by k percent (intersection over union)

    Segments are runs of one label; those of background do not count in the edit score and F1.

    Raises ValueError if the sequences don't fit or no true frame shows a step.
    """
    guesses, labels = _checked(predicted, truth)
    everywhere = np.concatenate(labels)  # (all frames,)
    right = np.concatenate(guesses) == everywhere
    steps = np.unique(everywhere[everywhere != background])
    if not len(steps):
        raise ValueError(f"every true label is background ({background!r}): there is no step to find")

    pieces = [(_steps(p, background), _steps(t, background)) for p, t in zip(guesses, labels, strict=True)]
    return {
        "frame accuracy": percent(right),
        "frame accuracy of steps": percent(right[everywhere != background]),
        "class accuracy": float(np.mean([percent(right[everywhere == step]) for step in steps])),
        "edit": float(np.mean([_edit_score(p, t) for p, t in pieces])),
        **{f"F1@{k}": _segment_f1(pieces, k / 100) for k in OVERLAPS},
    }


def majority_baseline(train: Sequence[Sequence], truth: Sequence[Sequence]) -> list[np.ndarray]:
    """Predictions for the videos of `truth` that know nothing: the most frequent label of `train` in each frame."""
    labels, counts = np.unique(np.concatenate([np.asarray(video) for video in train]), return_counts=True)
    return [np.full(len(video), labels[counts.argmax()]) for video in truth]


def _checked(predicted: Sequence[ArrayLike], truth: Sequence[ArrayLike]) -> tuple[list[NDArray], list[NDArray]]:
    guesses, labels = [np.asarray(video) for video in predicted], [np.asarray(video) for video in truth]
    if not labels or len(guesses) != len(labels):
        raise ValueError(f"there are predictions for {len(predicted)} videos and true labels for {len(truth)}")
    for i, (p, t) in enumerate(zip(guesses, labels, strict=True)):
        if p.shape != t.shape or t.ndim != 1 or not len(t):
            raise ValueError(
                f"video {i} has predictions of shape {p.shape} and true labels of shape {t.shape}: both "
                "need one label per frame"
            )
        if (p.dtype.kind in "US") != (t.dtype.kind in "US"):
            raise ValueError(
                f"video {i} has predictions of type {p.dtype} and true labels of type {t.dtype}: text "
                "never equals a number"
            )
    return guesses, labels


class Segment(NamedTuple):
    """A run of one label: frames `start` up to, without, `stop`."""

    label: Any
    start: int
    stop: int


def segments(labels: Iterable[Hashable]) -> list[Segment]:
    """The runs of equal labels, in order."""
    found, start = [], 0
    for label, run in groupby(labels):
        stop = start + len(list(run))
        found.append(Segment(label, start, stop))
        start = stop
    return found


def _steps(labels: NDArray, background: Hashable) -> list[Segment]:
    """The segments of one video that are not background."""
    return [segment for segment in segments(labels.tolist()) if segment.label != background]


def _edit_score(predicted: list[Segment], truth: list[Segment]) -> float:
    if not predicted and not truth:
        return 100.0  # nothing to find and nothing found
    distances = list(range(len(truth) + 1))  # from no predicted segment to the first 0, 1, ... true ones
    for i, (label, _, _) in enumerate(predicted, start=1):
        row = [i]
        for j, (wanted, _, _) in enumerate(truth, start=1):
            row.append(min(distances[j - 1] + (label != wanted), distances[j] + 1, row[-1] + 1))
        distances = row
    return 100 * (1 - distances[-1] / max(len(predicted), len(truth)))


def _segment_f1(pieces: list[tuple[list[Segment], list[Segment]]], overlap: float) -> float:
    """F1 of predicted segments over all videos; each tries the true segment that it overlaps most."""
    hits = 0
    for predicted, truth in pieces:
        taken = set()  # true segments that were found, once or several times
        for segment in predicted:
            overlaps = [_intersection_over_union(segment, other) for other in truth]
            best = int(np.argmax(overlaps)) if overlaps else None
            if best is not None and overlaps[best] >= overlap:
                taken.add(best)
        hits += len(taken)
    return 100 * 2 * hits / sum(len(predicted) + len(truth) for predicted, truth in pieces)  # 2 TP / (2 TP + FP + FN)


def _intersection_over_union(a: Segment, b: Segment) -> float:
    """Of two segments; 0 if their labels differ."""
    if a.label != b.label:
        return 0.0
    shared = max(0, min(a.stop, b.stop) - max(a.start, b.start))
    return shared / (a.stop - a.start + b.stop - b.start - shared)
