"""Before and after the model: which frames of a clip it sees, and how its ranking is scored."""

import numpy as np
import torch
from torch import Tensor

from minivl.course.task import task
from minivl.data.sampling import frame_indices
from minivl.metrics.retrieval import retrieval_metrics


@task(points=2)
def sample_frames(num_frames: int, fps: float, max_frames: int) -> list[int]:
    """Numbers of the frames of a clip that the model sees: always max_frames of them.

    One frame per second: 0, s, 2s, ... with s = round(fps), below num_frames. If these are max_frames or more, take
    max_frames of them, evenly from the first to the last of them. If they are fewer, take max_frames of *all* frames
    instead, evenly from the first to the last frame (and some twice, if there are fewer).

    Evenly: np.linspace(first, last, count, dtype=int)
    """
    return frame_indices(num_frames, fps, max_frames)[0]


@sample_frames.set_cases
def _frame_cases(draw):
    yield "as many seconds as frames", {"num_frames": 40, "fps": 10.0, "max_frames": 4}
    yield "a long clip", {"num_frames": 295, "fps": 29.97, "max_frames": 4}
    yield "a short clip", {"num_frames": 25, "fps": 10.0, "max_frames": 6}
    yield "fewer frames than are asked for", {"num_frames": 3, "fps": 10.0, "max_frames": 5}


def _evenly(first, last, count, endpoint=True):
    return np.linspace(first, last, count, endpoint=endpoint, dtype=int).tolist()


def _sampled(num_frames, fps, max_frames, stride=round):
    grid = list(range(0, num_frames, stride(fps)))
    if len(grid) < max_frames:
        return _evenly(0, num_frames - 1, max_frames)
    return [grid[i] for i in _evenly(0, len(grid) - 1, max_frames)]


@sample_frames.mistake(
    "A long clip loses its end: you keep the first of its seconds. Spread them from the first to the last."
)
def _first_seconds(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    return grid[:max_frames] if len(grid) >= max_frames else _sampled(num_frames, fps, max_frames)


@sample_frames.mistake(
    "You always spread over all frames. With enough seconds, choose among the frames of the one-per-second grid."
)
def _no_grid(num_frames, fps, max_frames):
    return _evenly(0, num_frames - 1, max_frames)


@sample_frames.mistake(
    "A short clip has too few frames: the model needs max_frames of them. Spread these over all frames."
)
def _too_few(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    return grid if len(grid) < max_frames else _sampled(num_frames, fps, max_frames)


@sample_frames.mistake("29.97 frames per second are 30, not 29: round fps, do not cut it off.")
def _cut_off_fps(num_frames, fps, max_frames):
    return _sampled(num_frames, fps, max_frames, int)


@sample_frames.mistake("The last frame is never seen: evenly means both ends included.")
def _without_the_end(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    if len(grid) < max_frames:
        return _evenly(0, num_frames, max_frames, endpoint=False)
    return [grid[i] for i in _evenly(0, len(grid), max_frames, endpoint=False)]


@sample_frames.mistake(
    "A short clip is filled up by repeating its last second. Spread over all frames instead: more is seen."
)
def _last_repeated(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    if len(grid) < max_frames:
        return grid + [grid[-1]] * (max_frames - len(grid))
    return _sampled(num_frames, fps, max_frames)


@task(points=3)
def recall_at_k(similarity: Tensor, k: int) -> float:
    """R@K, text to video: the share of texts, in percent, whose own video is among the K best.

    Tied videos stand in random order, so what is asked for is the expected value. With g videos that score higher
    than the own one, and e that score the same (itself included), the text counts with the probability

        P = min(1, max(0, (k - g) / e))

    similarity (N, N), row i is text i and its own video is i; k -> a number from 0 to 100
    """
    return retrieval_metrics(similarity, ks=(k,))["t2v"][f"R@{k}"]


@recall_at_k.set_cases
def _recall_cases(draw):
    yield "three texts, one right", {"similarity": torch.tensor([[3.0, 1, 2], [5, 4, 1], [1, 3, 2]]), "k": 1}
    yield "no ties", {"similarity": draw(9, 9) + torch.eye(9), "k": 3}
    yield "every video has the same score", {"similarity": torch.zeros(8, 8), "k": 2}
    pairs = torch.tensor([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    yield "two videos share the best score", {"similarity": pairs, "k": 1}
    yield "some ties", {"similarity": draw.integers(0, 3, 10, 10).float(), "k": 4}


def _counts(similarity):
    own = similarity.diagonal()[:, None]
    return (similarity > own).sum(1), (similarity == own).sum(1)


def _percent(found):
    return 100 * found.double().mean().item()


@recall_at_k.mistake("Ties count as won: a model that gives every video the same score would be perfect.")
def _ties_win(similarity, k):
    return _percent(_counts(similarity)[0] < k)


@recall_at_k.mistake("Ties count as lost. In random order, the own video is sometimes the first of its equals.")
def _ties_lose(similarity, k):
    return _percent(sum(_counts(similarity)) <= k)


@recall_at_k.mistake(
    "Ties are broken by the place in the list, as argsort does: then video 0 wins them all. Take the expected value."
)
def _ties_by_place(similarity, k):
    order = similarity.argsort(dim=1, descending=True, stable=True)[:, :k]
    return _percent((order == torch.arange(len(similarity))[:, None]).any(1))


@recall_at_k.mistake("You rank texts for each video: the columns. Text to video ranks the videos of each row.")
def _videos_to_texts(similarity, k):
    above, equal = _counts(similarity.T)
    return _percent(((k - above) / equal).clamp(0, 1))


@recall_at_k.mistake("Off by one: the best rank is 1, so R@1 is those with nobody above them.")
def _off_by_one(similarity, k):
    above, equal = _counts(similarity)
    return _percent(((k - 1 - above) / equal).clamp(0, 1))


@recall_at_k.mistake("A share from 0 to 1. Recall is given in percent.")
def _a_share(similarity, k):
    above, equal = _counts(similarity)
    return _percent(((k - above) / equal).clamp(0, 1)) / 100
