"""Two results on the same queries: differences with paired intervals, and which queries changed most."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from minivl.config import ConfigError
from minivl.metrics.bootstrap import paired_bootstrap
from minivl.metrics.verdicts import holm
from minivl.results.files import Loaded
from minivl.results.queries import WORDS
from minivl.results.scores import by_example

LISTED = 5  # examples that an error names
KEY = ["way", "query"]


@dataclass(frozen=True)
class Comparison:
    """B minus A.

    differences  a row per score: score, A, B, difference, low, high (95 %, paired over examples), p, Holm p
    changes      a row per query, what changed most first; see `_changes`
    """

    differences: pd.DataFrame
    changes: pd.DataFrame


def compare_results(a: Loaded, b: Loaded) -> Comparison:
    """Pair two results by their queries.

    An interval says how the difference would vary with other test examples of the same kind; it says nothing about
    training again. p is corrected for the number of scores by Holm. Raises ConfigError, which says how they differ,
    unless task, test data and queries are the same.
    """
    _check(a, b)
    key = KEY if "way" in a.queries else ["query"]
    first, second = a.queries, _in_order_of(a.queries, b.queries, key)
    one, other = by_example(first), by_example(second)
    rows = []
    for name in (name for name in a.record["scores"] if name in one and name in other):
        try:
            found = paired_bootstrap(other[name].values, one[name].values, clusters=one[name].clusters)
        except ValueError as error:
            raise ConfigError(f"{a.folder} and {b.folder}: {name}: {error}") from error
        means = {"A": float(one[name].values.mean()), "B": float(other[name].values.mean())}
        rows.append({"score": name, **means} | {part: found[part] for part in ("difference", "low", "high", "p")})
    if not rows:
        raise ConfigError(f"{a.folder} and {b.folder} have no score in common that each example has for itself")
    table = pd.DataFrame(rows)
    return Comparison(table.assign(**{"Holm p": holm(table["p"])}), _changes(first, second))


def _check(a: Loaded, b: Loaded) -> None:
    differing = list(_differences(a, b))
    if differing:
        raise ConfigError(f"{a.folder} and {b.folder} cannot be compared: " + "; ".join(differing))


def _differences(a: Loaded, b: Loaded) -> Iterator[str]:
    """How two results differ where they must not."""
    for name in ("task", "data"):
        if name not in a.record or name not in b.record:
            yield f"{(a if name not in a.record else b).folder} does not say its {name}"
            return
    if a.record["task"] != b.record["task"]:
        yield f"the task is {a.record['task']} and {b.record['task']}"
        return
    keys = [_keys(side.queries) for side in (a, b)]
    if any(len(set(key)) < len(key) for key in keys):
        yield "a query stands twice in queries.csv"
        return
    alone = [sorted(set(x) - set(y)) for x, y in (keys, keys[::-1])]
    for here, some in ((a, alone[0]), (b, alone[1])):
        if some:
            named = ", ".join(query for _, query in some[:LISTED])
            yield f"{len(some)} queries are only in {here.folder} ({named}{', ...' if len(some) > LISTED else ''})"
    hashes = [side.record["data"].get("sha256") for side in (a, b)]
    if not any(alone) and hashes[0] != hashes[1]:
        yield (
            f"the queries have the same names, but the test data differ (their hashes begin with {hashes[0]!s:.8} and "
            f"{hashes[1]!s:.8}): other captions, or other bytes of videos or features"
        )


def _keys(queries: pd.DataFrame) -> list[tuple[str, str]]:
    ways = queries["way"] if "way" in queries else [""] * len(queries)
    return list(zip(ways, queries["query"], strict=True))


def _in_order_of(queries: pd.DataFrame, others: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return queries[key].merge(others, on=key, how="left", validate="one_to_one")


def _changes(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Each query beside itself, what changed most first.

    Ranks change by their ratio: from 8 to 1 is as much as from 80 to 10. Without ranks it is the first score's
    difference. Columns: way, query, text, then "rank A", "rank B", "answer A", "answer B", or the scores.
    """
    kept = [name for name in ("way", "query", "text") if name in a]
    scores = [name for name in a.columns if name in b and name not in WORDS and a[name].dtype.kind in "fiu"]
    shown = ["rank", "answer"] if "rank" in a else [name for name in (*scores, "answer") if name in a]
    both: dict[str, Any] = {}
    for name in shown:
        both |= {f"{name} A": a[name], f"{name} B": b[name]}
    table = pd.concat([a[kept], pd.DataFrame(both)], axis=1)
    size = np.abs(np.log(b["rank"] / a["rank"])) if "rank" in a else np.abs(b[scores[0]] - a[scores[0]])
    return table.iloc[np.argsort(-size.to_numpy(), kind="stable")].reset_index(drop=True)
