"""The folder that `--out` writes: results.json, tables, a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from minivl.config import ConfigError
from minivl.config.limits import how_to_raise, limit
from minivl.data.atomic import write_text
from minivl.data.trust import read_json
from minivl.results.names import FIGURE, FILES, QUERIES, RECORD, require_results
from minivl.results.queries import RECALLS
from minivl.results.record import FORMAT, json_text

LARGEST = 1e12  # of a query's numbers, either sign: beyond real scores, and sums of squares stay finite


class _Scores(BaseModel):
    """What of results.json is read."""

    model_config = ConfigDict(strict=True)
    task: str
    data: dict[str, Any]
    scores: dict[str, dict[str, Any]]


class Drawn(Protocol):
    """A figure: a `minivl.plots.Picture`."""

    def save(self, path: Path, /) -> Path: ...


@dataclass(frozen=True)
class Loaded:
    """A folder of results, read back."""

    folder: Path
    record: dict[str, Any]
    queries: pd.DataFrame


def write_results(
    folder: Path,
    record: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    texts: Mapping[str, str],
    picture: Drawn | None,
) -> Path:
    """Write results.json, the tables (.csv), other texts and the figure into a folder; earlier ones are replaced.

    results.json is taken away first and written last: a folder that has one is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for name, table in tables.items():
        write_text(folder / name, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
    for name, text in texts.items():
        write_text(folder / name, text)
    if picture is not None:
        picture.save(folder / FIGURE)
    write_text(folder / RECORD, json_text(record))
    return folder


def load_results(folder: Path) -> Loaded:
    """The scores and queries of a folder that `evaluate`, `adapt` or `finetune` wrote with --out.

    Raises ConfigError, which says what was expected, for anything else.
    """
    require_results(folder)
    record, file = read_json(folder / RECORD), folder / QUERIES
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ConfigError(f"{folder / RECORD} is not of format {FORMAT}, see docs/results-files.md")
    if record.get("kind") != "scores":
        raise ConfigError(
            f"{folder} holds {record.get('kind', 'something')!s:.40}: scores of evaluate, adapt or finetune are needed"
        )
    try:
        _Scores.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{folder / RECORD}: {place}: {first['msg']}, see docs/results-files.md") from error
    if not file.is_file():
        raise ConfigError(f"{folder} has no {QUERIES}: write it again")
    if file.stat().st_size > limit("metadata_mb") * 2**20:
        raise ConfigError(f"{file} is too large: {how_to_raise('metadata_mb')}")
    try:
        words = dict.fromkeys(("way", "query", "text", "target", "answer", "cluster"), str)
        queries = pd.read_csv(file, dtype=words, keep_default_na=False, na_values={})
        numbers = [name for name in queries.columns if name not in words]
        queries = queries.assign(**{name: pd.to_numeric(queries[name].replace({"": None})) for name in numbers})
    except (ValueError, OverflowError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as a table: {error}") from error
    if wrong := _problem(queries, numbers):
        raise ConfigError(f"{file} {wrong}, see docs/results-files.md")
    return Loaded(folder, record, queries)


def _problem(queries: pd.DataFrame, numbers: list[str]) -> str | None:
    """What is wrong with a table of queries; None if nothing is."""
    needed = {"query", "cluster"} | ({"target", "rank", *RECALLS} if "way" in queries else set())
    if missing := needed - set(queries.columns):
        return f"has no column {', '.join(sorted(missing))}"
    if (np.abs(queries[numbers].to_numpy(float)) > LARGEST).any():
        return f"has numbers beyond {LARGEST:g}"
    if "way" in queries:
        texts, videos = (queries[queries["way"] == way] for way in ("t2v", "v2t"))
        if len(texts) + len(videos) < len(queries) or set(texts["target"]) != set(videos["query"]):
            return "must have texts (t2v) with each clip as target, and each clip (v2t), and nothing else"
        recalls = queries[list(RECALLS)]
        if not (((recalls >= 0) & (recalls <= 100)).all(axis=None) and (queries["rank"] >= 1).all()):
            return "must have recalls from 0 to 100 and a rank from 1 in every row"
    if "weight" in queries:
        weight = queries["weight"].to_numpy(float)
        if not (weight == weight.clip(0).round()).all() or weight.sum() > limit("metadata_mb") * 2**20:
            return "has a weight that is no count"
    return None
