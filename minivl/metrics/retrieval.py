"""Text-video retrieval: where does the right video rank for a text, and the right text for a video?

Equal scores are the trap of every ranking metric. Counting a tie as won lets a model that gives every pair the
same score look perfect, counting it as lost punishes rounding. Here every number is the **expected value if tied
candidates are put in random order**, so a constant model gets exactly chance.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minivl.metrics.arrays import as_array, percent


def retrieval_metrics(
    similarity: ArrayLike, video_of_text: ArrayLike | None = None, ks: tuple[int, ...] = (1, 5, 10)
) -> dict:
    """Recall and rank in both directions.

    similarity     (N_text, N_video), numpy or torch; higher means a better match
    video_of_text  (N_text,) the column of each text's video; by default text i belongs to video i

    Returns {"t2v": {"R@1", "R@5", "R@10", "MedR", "MnR"}, "v2t": the same, "R@sum"}. R@k: share of queries whose
    right candidate is among the k best, in percent. MedR, MnR: median and mean over the queries of the (expected)
    rank, best 1. R@sum: the sum of all recalls. A video with several captions counts once in v2t, with the
    best-ranked of them.

    Ties. Let g candidates score higher than the best right one, and w wrong and r right ones the same as it.
    Of these r + w in random order, the first right one has, as in drawing without replacement,

        P(position > n) = w/(r+w) * (w-1)/(r+w-1) * ... * (w-n+1)/(r+w-n+1)       E[position] = (r+w+1) / (r+1)

    and its rank is g + position. For t2v, r is 1. Without ties these are the usual metrics. The released DiscoVLA
    code differs with ties (a query then counts once for each position that its tie spans, so tied queries weigh
    more) and with NaN (the query is dropped).

    Raises ValueError for NaN, shapes that do not fit, a column that does not exist and a video without a caption.
    """
    queries = scores_by_query(similarity, video_of_text, ks)
    found = {
        way: {
            name: float(np.median(values)) if name == "MedR" else float(np.mean(values)) for name, values in of.items()
        }
        for way, of in queries.items()
    }
    return {**found, "R@sum": sum(found[way][f"R@{k}"] for way in ("t2v", "v2t") for k in ks)}


def scores_by_video(
    similarity: ArrayLike, video_of_text: ArrayLike | None = None, ks: tuple[int, ...] = (1, 5, 10)
) -> dict[str, NDArray]:
    """What each video has in the scores of `retrieval_metrics`: their values over videos have the score as mean.

    Returns {"t2v R@1", ..., "v2t MnR", "R@sum": (N_video,) each}; "MnR" is the rank. The captions of a video
    are summed up, times N_video / N_text, in what they have as queries. Arguments and errors as there.
    """
    scores, video_of_text = _checked(similarity, video_of_text)
    texts, videos = scores.shape
    found = {}
    for way, of in scores_by_query(scores, video_of_text, ks).items():
        for name, values in of.items():
            if way == "t2v":
                values = np.bincount(video_of_text, weights=values, minlength=videos) * videos / texts
            found[f"{way} {name}"] = values
    found["R@sum"] = np.sum([found[f"{way} R@{k}"] for way in ("t2v", "v2t") for k in ks], axis=0)
    return {name: values for name, values in found.items() if not name.endswith("MedR")}


def ranks(similarity: ArrayLike, video_of_text: ArrayLike | None = None) -> NDArray:
    """The (expected) rank of each text's video among all, best 1, (N_text,). Arguments and errors as above."""
    return scores_by_query(similarity, video_of_text, ks=())["t2v"]["MnR"]


def scores_by_query(
    similarity: ArrayLike, video_of_text: ArrayLike | None = None, ks: tuple[int, ...] = (1, 5, 10)
) -> dict[str, dict[str, NDArray]]:
    """What each query has in the scores of `retrieval_metrics`: {"t2v": {"R@1", ..., "MedR", "MnR"}, "v2t": the same}.

    Recalls in percent and (expected) ranks, twice, of the N_text queries of "t2v" and the N_video of "v2t". Arguments
    and errors as there.
    """
    scores, video_of_text = _checked(similarity, video_of_text)
    texts, videos = scores.shape
    uncaptioned = np.setdiff1d(np.arange(videos), video_of_text)
    if len(uncaptioned):
        raise ValueError(
            f"{len(uncaptioned)} videos have no caption, the first is column {uncaptioned[0]}: "
            "video-to-text is not defined for them, leave them out"
        )

    own = scores[np.arange(texts), video_of_text]  # each text's score with its video
    t2v = _summary(
        above=(scores > own[:, None]).sum(1), right=np.ones(texts, int), equal=(scores == own[:, None]).sum(1), ks=ks
    )

    best = np.full(videos, -np.inf)  # each video's score with the best of its captions
    np.maximum.at(best, video_of_text, own)
    v2t = _summary(
        above=(scores > best).sum(0),
        equal=(scores == best).sum(0),
        ks=ks,
        right=np.bincount(video_of_text[own == best[video_of_text]], minlength=videos),
    )
    return {"t2v": t2v, "v2t": v2t}


def group_metrics(similarity: ArrayLike, groups: ArrayLike, video_of_text: ArrayLike | None = None) -> dict[str, float]:
    """Text-to-video R@1 taken apart, where videos come in groups that share content and differ in how it is bound.

    groups  (N_video,) a label for each video; the rest as in `retrieval_metrics`

    Returns percentages: "find group" (the best-scoring of all videos is of the right group), "within group" (among
    the videos of the right group, the right one scores best), and "within-group chance" (what guessing gives
    there: the mean of 1 / group size). Ties count with their expected value in random order.

    Raises ValueError as `retrieval_metrics` does, and if there is not one label for each video.
    """
    return {name: percent(shares) for name, shares in group_scores(similarity, groups, video_of_text).items()}


def group_scores(
    similarity: ArrayLike, groups: ArrayLike, video_of_text: ArrayLike | None = None
) -> dict[str, NDArray]:
    """The scores of `group_metrics` for each text, (N_text,) shares from 0 to 1. Arguments and errors as there."""
    scores, video_of_text = _checked(similarity, video_of_text)
    texts, videos = scores.shape
    if np.shape(groups) != (videos,):
        raise ValueError(f"groups needs one label for each of the {videos} videos, got shape {np.shape(groups)}")
    labels = np.unique(groups, return_inverse=True)[1]
    inside = labels == labels[video_of_text][:, None]  # (N_text, N_video): is this video of the right group?

    winners = scores == scores.max(1, keepdims=True)
    found = (winners & inside).sum(1) / winners.sum(1)

    own = scores[np.arange(texts), video_of_text][:, None]
    beaten = (inside & (scores > own)).any(1)
    first = ~beaten / (inside & (scores == own)).sum(1)
    return {"find group": found, "within group": first, "within-group chance": 1 / inside.sum(1)}


def _checked(similarity: ArrayLike, video_of_text: ArrayLike | None) -> tuple[NDArray, NDArray]:
    """Both as numpy arrays, or ValueError."""
    scores = as_array(similarity)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"similarity must be a matrix (texts, videos), got shape {scores.shape}")
    nan_rows = np.flatnonzero(np.isnan(scores).any(1))
    if len(nan_rows):
        raise ValueError(f"similarity has NaN in {len(nan_rows)} rows, the first are {nan_rows[:5].tolist()}")

    texts, videos = scores.shape
    if video_of_text is None:
        if texts != videos:
            raise ValueError(
                f"similarity is {texts} x {videos}: if it is not square, video_of_text must say which "
                "video each text belongs to"
            )
        return scores, np.arange(texts)
    video_of_text = np.asarray(video_of_text)
    if video_of_text.shape != (texts,) or video_of_text.dtype.kind not in "iu":
        raise ValueError(
            f"video_of_text needs one integer for each of the {texts} texts, got {video_of_text.dtype} "
            f"of shape {video_of_text.shape}"
        )
    outside = np.flatnonzero((video_of_text < 0) | (video_of_text >= videos))
    if len(outside):
        raise ValueError(
            f"text {outside[0]} belongs to video {video_of_text[outside[0]]}, but the columns go from 0 to {videos - 1}"
        )
    return scores, video_of_text


def _summary(above: NDArray, right: NDArray, equal: NDArray, ks: tuple[int, ...]) -> dict[str, NDArray]:
    """Of each query; `equal` counts the candidates at the best right score, `right` those that are right."""
    ranks = above + (equal + 1) / (right + 1)
    recalls = {f"R@{k}": 100 * (1 - _all_wrong(right, equal, k - above)) for k in ks}
    return {**recalls, "MedR": ranks, "MnR": ranks}


def _all_wrong(right: NDArray, equal: NDArray, n: NDArray) -> NDArray:
    """P(the first n of the tied candidates are all wrong), elementwise; 1 where n <= 0."""
    probability = np.ones(len(n))
    for drawn in range(max(n.max(), 0)):
        factor = np.maximum(equal - right - drawn, 0) / np.maximum(equal - drawn, 1)
        probability = np.where(drawn < n, probability * factor, probability)
    return probability
