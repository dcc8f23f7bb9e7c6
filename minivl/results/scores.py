"""Scores with the interval that other test examples might have given, and what guessing gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from minivl.metrics.bootstrap import paired_bootstrap
from minivl.results.queries import GROUP_SCORES, RECALLS, WORDS

SAMPLES = 2_000  # resamples of an interval


@dataclass(frozen=True)
class Score:
    """A score, its 95 % interval over test examples, and the same score of guessing.

    There is no interval (None) where the score is no mean over examples, such as a median rank or BLEU.
    """

    value: float
    low: float | None = None
    high: float | None = None
    guessing: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ByExample:
    """A score of each example, whose mean is the score, and which of them are drawn together: both (N,)."""

    values: NDArray
    clusters: NDArray


def scored(
    scores: Mapping[str, float], guesses: Mapping[str, Mapping[str, float]], queries: pd.DataFrame
) -> dict[str, Score]:
    """The scores with intervals, by `paired_bootstrap` against 0, from a table of queries.

    guesses   way of guessing -> its scores
    """
    known = by_example(queries)
    found = {}
    for name, value in scores.items():
        guessing = {way: float(of[name]) for way, of in guesses.items() if name in of}
        if name in known:
            examples = known[name]
            zeros = np.zeros(len(examples.values))
            spread = paired_bootstrap(examples.values, zeros, samples=SAMPLES, clusters=examples.clusters)
            found[name] = Score(float(value), spread["low"], spread["high"], guessing)
        else:
            found[name] = Score(float(value), guessing=guessing)
    return found


def by_example(queries: pd.DataFrame) -> dict[str, ByExample]:
    """The scores that are means over the rows of a table of queries, by the name that they have in `Results`.

    Of retrieval "t2v R@1", ..., "v2t MnR" and "R@sum" by clip, as in `scores_by_video`: all captions of a clip stay
    together. Where there is a column `weight`, an example stands as often as it says.
    """
    if "way" in queries:
        return _by_clip(queries)
    names = [name for name in queries.columns if name not in WORDS and queries[name].dtype.kind in "fiu"]
    times = queries["weight"].to_numpy() if "weight" in queries else np.ones(len(queries), int)
    clusters = np.repeat(queries["cluster"].to_numpy(), times)
    return {name: ByExample(np.repeat(queries[name].to_numpy(float), times), clusters) for name in names}


def _by_clip(queries: pd.DataFrame) -> dict[str, ByExample]:
    queries = queries.rename(columns={"rank": "MnR"})
    texts, videos = queries[queries["way"] == "t2v"], queries[queries["way"] == "v2t"].set_index("query")
    clusters, groups = videos["cluster"].to_numpy(), [name for name in GROUP_SCORES if name in queries]
    sums = texts.groupby("target")[["MnR", *RECALLS, *groups]].sum().loc[videos.index]
    of_texts = sums * len(videos) / len(texts)  # the mean over clips is that over captions
    found: dict[str, ByExample] = {}
    for way, of in (("t2v", of_texts), ("v2t", videos)):
        found |= {f"{way} {name}": ByExample(of[name].to_numpy(float), clusters) for name in (*RECALLS, "MnR")}
    total = np.sum([found[f"{way} {name}"].values for way in ("t2v", "v2t") for name in RECALLS], axis=0)
    found["R@sum"] = ByExample(total, clusters)
    return found | {name: ByExample(of_texts[name].to_numpy(float), clusters) for name in groups}
