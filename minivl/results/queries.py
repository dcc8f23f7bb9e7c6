"""What each query got, as a table: the base of every interval and comparison.

    retrieval    a row per caption (way "t2v") and per clip (way "v2t"): rank, recalls, and what came first
    other tasks  a row per example, with those scores that each example has for itself

Ids are what `place` makes of the clip, and "#k" for its k-th caption.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from minivl.metrics.arrays import as_array
from minivl.metrics.retrieval import group_scores, scores_by_query

RECALLS = ("R@1", "R@5", "R@10")
GROUP_SCORES = ("find group", "within group")  # of captions, where clips come in groups
WORDS = ("way", "query", "text", "target", "answer", "cluster", "weight")  # columns that are no scores


def retrieval_table(
    similarity: ArrayLike,
    video_of_text: NDArray,
    captions: Sequence[str],
    clips: Sequence[str],
    groups: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The queries of both directions.

    similarity     (N_text, N_video)
    video_of_text  (N_text,) the column of each text's video
    captions       N_text texts; clips: N_video names, of which `ids_of` makes ids
    groups         of clips that share content, if there are any

    Columns: way, query (id), text (of a caption), target (id of the right answer; for a clip its best-ranked caption),
    rank (expected, best 1), R@1, R@5, R@10 (percent), find group and within group (percent, of captions, where there
    are groups), answer (id of what came first), cluster (what is drawn together: the group, or the clip).
    """
    scores = as_array(similarity)
    videos, texts = ids_of(clips), caption_ids(clips, video_of_text)
    found = scores_by_query(scores, video_of_text)
    own = np.where(video_of_text[:, None] == np.arange(len(videos)), scores, -np.inf)  # a clip's own captions alone
    cluster = np.array(videos if groups is None else [str(group) for group in groups])
    of_texts = {"query": texts, "text": list(captions), "target": [videos[i] for i in video_of_text]}
    of_videos = {"query": videos, "text": "", "target": [texts[i] for i in own.argmax(0)]}
    tables = []
    for way, columns, answers, clusters in (
        ("t2v", of_texts, [videos[i] for i in scores.argmax(1)], cluster[video_of_text]),
        ("v2t", of_videos, [texts[i] for i in scores.argmax(0)], cluster),
    ):
        values = {"rank": found[way]["MnR"], **{name: found[way][name] for name in RECALLS}}
        if way == "t2v" and groups is not None:
            of_groups = group_scores(scores, list(groups), video_of_text)
            values |= {name: 100 * of_groups[name] for name in GROUP_SCORES}
        tables.append(pd.DataFrame({"way": way, **columns, **values, "answer": answers, "cluster": clusters}))
    return pd.concat(tables, ignore_index=True)


def example_table(places: Sequence[str], columns: Mapping[str, ArrayLike | Sequence]) -> pd.DataFrame:
    """The examples of another task: an id each, a column `weight` if scores are means weighted by it, and scores."""
    ids = ids_of(places)
    return pd.DataFrame({"query": ids, **columns, "cluster": ids})


def place_name(place: Mapping[str, object]) -> str:
    """The name of a clip: that of its video, with the seconds of which it consists where it is a part."""
    window = f"@{place['start']:g}-{place['end']:g}" if "start" in place and "end" in place else ""
    return f"{place['video_id']}{window}"


def ids_of(names: Sequence[str]) -> list[str]:
    """Ids without white space, as TREC's files need them, and different: the second clip of a name gets "~2"."""
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        seen[name] += 1
        ids.append(quote(name, safe="/@,.:+-_") + (f"~{seen[name]}" if seen[name] > 1 else ""))
    return ids


def caption_ids(clips: Sequence[str], video_of_text: NDArray) -> list[str]:
    """Ids of captions: that of the clip, "#" and which of its captions it is, from 0."""
    videos, seen = ids_of(clips), Counter[int]()
    ids = []
    for video in video_of_text.tolist():
        ids.append(f"{videos[video]}#{seen[video]}")
        seen[video] += 1
    return ids
