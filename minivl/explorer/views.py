"""What the explorer's page shows of an alignment, as plain arrays and words."""

from typing import Any

import numpy as np
from scipy.stats import entropy

from minivl.explorer.alignments import Alignment, Clips, Exploration, unit
from minivl.metrics.retrieval import ranks, retrieval_metrics
from minivl.plots.alignment import gap_between, principal_directions, row_divergence, row_softmax, separation

BINS = 60
STEPS = 32767  # a similarity is kept as a whole number of so many steps from 0 to the largest
LIKED = 10  # clips, beside the right one, that are drawn of what teacher and student choose
ROWS = 256  # that are turned into float64 at once


def bin_edges(exploration: Exploration) -> np.ndarray:
    """Edges (BINS + 1,) of histograms that hold all similarities of all models and stages."""
    matrices = [alignment.similarity for stages in exploration.models.values() for alignment in stages.values()]
    low, high = min(float(matrix.min()) for matrix in matrices), max(float(matrix.max()) for matrix in matrices)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def view(alignment: Alignment, clips: Clips, edges: np.ndarray) -> dict[str, Any]:
    """All that the page shows of one alignment of A captions and B clips.

    matching, other       share of the pairs of each kind in every bin, percent (BINS,)
    numbers               {name: text} of the distributions and of retrieval
    similarity, step      int16 (A, B), and what one step of them is worth
    ranks, margins        (A,): of the right clip, and by how much it beats the strongest other one
    strongest             (A,): the number of that other clip
    text_points, video_points, gap, shares    two principal directions, and words about them; None without embeddings
    text_vectors, frame_vectors, frame_mask   int16, unit vectors in steps of 1/STEPS; None without frames
    logit_scale           number, or None
    distill               teacher and student of AlignDistill, see `distillation`; None without an image level
    """
    matches, similarity = clips.matches, alignment.similarity
    matching, other = (_shares(similarity[chosen], edges) for chosen in (matches, ~matches))
    own = similarity[np.arange(len(similarity)), clips.video_of_text]
    others = np.where(matches, -np.inf, similarity)
    strongest = others.argmax(1)
    step = max(float(np.abs(similarity).max()), 1e-12) / STEPS
    return {
        "matching": matching,
        "other": other,
        "numbers": _numbers(alignment, clips, float(np.minimum(matching, other).sum())),
        "similarity": np.round(similarity / step).astype(np.int16),
        "step": step,
        "ranks": ranks(similarity, clips.video_of_text),
        "margins": own - others.max(1),
        "strongest": strongest.astype(np.int32),
        **_points(alignment, clips),
        **_frames(alignment),
        "logit_scale": alignment.logit_scale,
        "distill": distillation(alignment, clips),
    }


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return 100 * np.histogram(values, edges)[0] / max(values.size, 1)


def _numbers(alignment: Alignment, clips: Clips, overlap: float) -> dict[str, str]:
    found = separation(alignment.similarity, clips.matches)
    prime = found["d'"]
    scores = retrieval_metrics(alignment.similarity, clips.video_of_text)
    scale = alignment.logit_scale
    return {
        "mean of matching pairs": f"{found['matching']:.3f}",
        "mean of other pairs": f"{found['other']:.3f}",
        "overlap": f"{overlap:.1f} %",
        "d′": f"{prime:.2f}",
        "ROC area": f"{found['auc']:.1f} %",
        "logit scale": "none" if scale is None else f"{scale:.1f}",
        "text to video R@1": f"{scores['t2v']['R@1']:.1f} %",
        "R@5": f"{scores['t2v']['R@5']:.1f} %",
        "median rank": f"{scores['t2v']['MedR']:g}",
    }


def _points(alignment: Alignment, clips: Clips) -> dict[str, Any]:
    """Captions and clips on the two directions in which all of them vary most, and the gap between the two kinds."""
    if alignment.texts is None or alignment.videos is None:
        return dict.fromkeys(("text_points", "video_points", "gap", "shares"))
    texts, videos = unit(alignment.texts), unit(alignment.videos)
    points, share = principal_directions(np.concatenate([texts, videos]))
    # Directions have no sign of their own: here captions are on the right, so that stages of a run can be compared.
    if points[: len(texts), 0].mean() < points[len(texts) :, 0].mean():
        points[:, 0] *= -1
    if points[0, 1] < 0:
        points[:, 1] *= -1
    return {
        "text_points": points[: len(texts)].astype(np.float32),
        "video_points": points[len(texts) :].astype(np.float32),
        "gap": f"{gap_between(texts, videos[clips.video_of_text])['gap']:.3f}",
        "shares": f"{100 * share:.0f} %",
    }


def _frames(alignment: Alignment) -> dict[str, Any]:
    if alignment.frames is None or alignment.texts is None or alignment.frame_mask is None:
        return dict.fromkeys(("text_vectors", "frame_vectors", "frame_mask"))
    return {
        "text_vectors": _steps(alignment.texts),
        "frame_vectors": _steps(alignment.frames),
        "frame_mask": (alignment.frame_mask > 0).astype(np.uint8),
    }


def distillation(alignment: Alignment, clips: Clips) -> dict[str, Any] | None:
    """Whom AlignDistill's teacher (image level) and student (video level) choose; None if there is no image level.

    teacher, student      (A, K): softmax(s I[i]) and softmax(s S[i]) of the K clips that are drawn
    clips                 (A, K): their numbers, in the teacher's order: the LIKED that one of the two likes best, and
                          the right one
    entropy               (A,): of the teacher, nats
    of_texts, of_clips    (A,) and (B,): KL(teacher || student) of each row and of each column, nats; half the sum of
                          their two means is the loss of the paper, were all of them one batch
    scale, words          s, and what the teacher compares with frames
    """
    scale = alignment.softmax_scale
    if alignment.image_level is None or scale is None:
        return None
    image, video = alignment.image_level, alignment.similarity
    parts = []
    for rows in _pieces(len(image)):
        p, q = row_softmax(image[rows], scale), row_softmax(video[rows], scale)
        parts.append((*_favourites(p, q, clips.video_of_text[rows]), entropy(p, axis=1)))
    chosen, teacher, student, entropies = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {
        "clips": chosen.astype(np.int32),
        "teacher": teacher.astype(np.float32),
        "student": student.astype(np.float32),
        "entropy": entropies,
        "of_texts": _divergences(image, video, scale),
        "of_clips": _divergences(image.T, video.T, scale),
        "scale": scale,
        "words": alignment.teacher,
    }


def _favourites(p: np.ndarray, q: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the clips that are drawn of p and q (R, B), and their shares in both: (R, K) each."""
    liked = np.maximum(p, q)
    liked[np.arange(len(p)), right] = np.inf  # the right one is drawn in any case
    chosen = np.argsort(-liked, axis=1, kind="stable")[:, : LIKED + 1]
    order = np.argsort(-np.take_along_axis(p, chosen, 1), axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, 1)
    return chosen, np.take_along_axis(p, chosen, 1), np.take_along_axis(q, chosen, 1)


def _divergences(teacher: np.ndarray, student: np.ndarray, scale: float) -> np.ndarray:
    """KL(teacher || student) of all rows, some of them at a time."""
    return np.concatenate([row_divergence(teacher[rows], student[rows], scale) for rows in _pieces(len(teacher))])


def _pieces(count: int) -> list[slice]:
    return [slice(first, first + ROWS) for first in range(0, count, ROWS)]


def _steps(vectors: np.ndarray) -> np.ndarray:
    return np.round(STEPS * unit(vectors)).astype(np.int16)
