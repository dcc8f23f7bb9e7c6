"""Step localization as in CrossTask: the steps of a task are known, when does each of them happen in a video?

For each step one frame is chosen, the one whose score is highest. It counts as found if that frame lies in one of
the intervals in which people saw the step.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import ceil, comb, floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minivl.metrics.arrays import as_array


def step_recall(
    scores: Sequence[ArrayLike], truth: Sequence[ArrayLike], tasks: Sequence[str], ordered: bool = False
) -> dict:
    """Average recall over tasks.

    scores   per video (T, K): how well frame t shows step k of the video's task; numpy or torch
    truth    per video (T, K): True where frame t shows step k, see `step_mask`
    tasks    per video: the name of its task
    ordered  choose the frames of a video together, step k + 1 after step k (see `ordered_frames`), as CrossTask and
             HowTo100M do; else each step by itself

    Returns {"recall": the mean over tasks, "per task": {task: recall}} in percent. A task's recall is the number of
    steps found in all its videos over the number of steps that occur there; steps that do not occur in a video do
    not count. If several frames have the same highest score, a step counts with the share of them that is right, so
    that a constant model gets `chance_recall`; with `ordered`, ties go to the earlier frame.

    Raises ValueError for shapes that don't fit, NaN, and a task none of whose steps occurs.
    """
    videos, masks = [as_array(video) for video in scores], [as_array(video).astype(bool) for video in truth]
    _check(videos, masks, tasks)
    found = []
    for video, mask in zip(videos, masks, strict=True):
        if ordered:
            found.append(mask[ordered_frames(video), np.arange(video.shape[1])])
        else:
            best = video == video.max(0)  # (T, K)
            found.append((best & mask).sum(0) / best.sum(0))
    return _over_tasks(found, masks, tasks)


def chance_recall(truth: Sequence[ArrayLike], tasks: Sequence[str], ordered: bool = False) -> dict:
    """The expected `step_recall` of guessing, exactly.

    A step guessed by itself is right with the share of frames that show it. With `ordered`, all ways to choose K
    frames of T in order are equally likely; step k (from 0) is then at frame t with probability

        C(t, k) C(T - 1 - t, K - 1 - k) / C(T, K)        C(n, k): ways to choose k of n
    """
    masks = [as_array(video).astype(bool) for video in truth]
    _check(masks, masks, tasks)
    found = [((_chance_in_order(*mask.shape) if ordered else 1 / len(mask)) * mask).sum(0) for mask in masks]
    return _over_tasks(found, masks, tasks)


def ordered_frames(scores: ArrayLike) -> NDArray:
    """The frames t_0 < t_1 < ... < t_(K-1) with the largest sum of scores[t_k, k], by dynamic programming; (K,).

    scores: (T, K). Raises ValueError if there are fewer frames than steps.
    """
    fits = as_array(scores)
    frames, steps = fits.shape
    if frames < steps:
        raise ValueError(f"{steps} steps in order need as many frames, there are {frames}: sample more densely")
    before = np.zeros(frames)  # best sum of all earlier steps, in frames before t
    best_of_step = []
    for k in range(steps):
        total = before + fits[:, k]  # with step k at frame t
        best_of_step.append(total)
        before = np.concatenate([[-np.inf], np.maximum.accumulate(total)[:-1]])  # -inf: no room for the steps so far
    chosen, end = [], frames
    for total in reversed(best_of_step):
        end = int(total[:end].argmax())
        chosen.append(end)
    return np.array(chosen[::-1])


def step_mask(intervals: Sequence[tuple[int, float, float]], frames: int, steps: int, fps: float = 1.0) -> NDArray:
    """(T, K) truth of one video from annotations (step from 0, start, end), in seconds.

    As CrossTask rounds: frames floor(start * fps) up to, without, ceil(end * fps).
    Raises ValueError for a step that does not exist or an interval that ends before it starts.
    """
    mask = np.zeros((frames, steps), dtype=bool)
    for step, start, end in intervals:
        if not 0 <= step < steps or not 0 <= start <= end:
            raise ValueError(
                f"step {step} from {start} to {end} s: steps go from 0 to {steps - 1}, and a start must "
                "not be negative or after its end"
            )
        mask[floor(start * fps) : ceil(end * fps), step] = True
    return mask


def _check(scores: list[NDArray], truth: list[NDArray], tasks: Sequence[str]) -> None:
    if not truth or not len(scores) == len(truth) == len(tasks):
        raise ValueError(f"there are scores of {len(scores)} videos, truth of {len(truth)} and tasks of {len(tasks)}")
    for i, (video, mask) in enumerate(zip(scores, truth, strict=True)):
        if video.shape != mask.shape or mask.ndim != 2 or not mask.size:
            raise ValueError(
                f"video {i} has scores of shape {video.shape} and truth of shape {mask.shape}: both must "
                "be (frames, steps)"
            )
        if np.isnan(video).any():
            raise ValueError(f"video {i} has NaN among its scores")


def _over_tasks(found: list[NDArray], truth: list[NDArray], tasks: Sequence[str]) -> dict:
    """found: per video (K,), 0 to 1 for each step, 0 for those that do not occur."""
    hits: dict[str, float] = defaultdict(float)
    steps: dict[str, int] = defaultdict(int)
    for right, mask, task in zip(found, truth, tasks, strict=True):
        hits[task] += float(right.sum())
        steps[task] += int(mask.any(0).sum())
    empty = [task for task in steps if not steps[task]]
    if empty:
        raise ValueError(f"no step of task {empty[0]!r} occurs in its videos: recall is not defined, leave it out")
    per_task = {task: 100 * hits[task] / steps[task] for task in steps}
    return {"recall": float(np.mean(list(per_task.values()))), "per task": per_task}


def _chance_in_order(frames: int, steps: int) -> NDArray:
    """(T, K): how likely step k is at frame t if all ordered choices are."""
    if frames < steps:
        raise ValueError(f"{steps} steps in order need as many frames, there are {frames}: sample more densely")
    return np.array(
        [
            [comb(t, k) * comb(frames - 1 - t, steps - 1 - k) / comb(frames, steps) for k in range(steps)]
            for t in range(frames)
        ]
    )
