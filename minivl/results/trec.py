"""Runs and relevance judgements as trec_eval, ranx and pytrec_eval read them.

run.trec      QUERY Q0 DOCUMENT RANK SCORE TAG      the best DEPTH clips of each caption
qrels.trec    QUERY 0 DOCUMENT 1                    the right clip of each caption
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minivl.metrics.arrays import as_array
from minivl.results.queries import caption_ids, ids_of

DEPTH = 1000  # as in TREC's own runs


def run_text(similarity: ArrayLike, video_of_text: NDArray, clips: Sequence[str], tag: str = "minivl") -> str:
    """The content of run.trec: for each caption the best clips, (N_text, N_video) similarities as scores.

    Ids are those of `retrieval_table`. Programs sort by score, and each breaks ties in its own way.
    """
    scores, videos = as_array(similarity), ids_of(clips)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    tag = tag.replace(" ", "-")
    lines = [
        f"{query} Q0 {videos[clip]} {rank} {row[clip]:.9g} {tag}\n"
        for query, row, best in zip(caption_ids(clips, video_of_text), scores, order, strict=True)
        for rank, clip in enumerate(best, start=1)
    ]
    return "".join(lines)


def answers_text(documents: Sequence[str], scores: Sequence[float], tag: str = "minivl") -> str:
    """A run of the answers to one query, q1, best first; nobody has judged them."""
    pairs = zip(ids_of(documents), scores, strict=True)
    return "".join(
        f"q1 Q0 {document} {rank} {score:.9g} {tag}\n" for rank, (document, score) in enumerate(pairs, start=1)
    )


def qrels_text(video_of_text: NDArray, clips: Sequence[str]) -> str:
    """The content of qrels.trec: the one right clip of each caption."""
    videos, queries = ids_of(clips), caption_ids(clips, video_of_text)
    return "".join(f"{query} 0 {videos[clip]} 1\n" for query, clip in zip(queries, video_of_text, strict=True))
