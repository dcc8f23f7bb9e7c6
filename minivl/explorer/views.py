"""What the explorer's page shows of an alignment, as plain arrays and words."""

from typing import Any

import numpy as np

from minivl.explorer.alignments import Alignment, Clips, Exploration, unit
from minivl.metrics.retrieval import ranks, retrieval_metrics
from minivl.plots.alignment import gap_between, principal_directions, separation

BINS = 60
STEPS = 32767  # a similarity is kept as a whole number of so many steps from 0 to the largest


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


def _steps(vectors: np.ndarray) -> np.ndarray:
    return np.round(STEPS * unit(vectors)).astype(np.int16)
