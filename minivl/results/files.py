"""The folder that `--out` writes: results.json, tables, a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from minivl.config import ConfigError
from minivl.config.limits import how_to_raise, limit
from minivl.data.atomic import write_text
from minivl.data.trust import read_json
from minivl.results.names import FIGURE, FILES, QUERIES, RECORD, require_results
from minivl.results.record import FORMAT, json_text


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
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ConfigError(f"{folder / RECORD} is not of format {FORMAT}, see docs/results-files.md")
    if record.get("kind") != "scores":
        raise ConfigError(
            f"{folder} holds {record.get('kind', 'something')!s:.40}: scores of evaluate, adapt or finetune are needed"
        )
    file = folder / QUERIES
    if not file.is_file():
        raise ConfigError(f"{folder} has no {QUERIES}: write it again")
    if file.stat().st_size > limit("metadata_mb") * 2**20:
        raise ConfigError(f"{file} is too large: {how_to_raise('metadata_mb')}")
    try:
        words = dict.fromkeys(("way", "query", "text", "target", "answer", "cluster"), str)
        queries = pd.read_csv(file, dtype=words, keep_default_na=False, na_values={})
        numbers = [name for name in queries.columns if name not in words]
        queries = queries.assign(**{name: pd.to_numeric(queries[name].replace({"": None})) for name in numbers})
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as a table: {error}") from error
    missing = {"query", "cluster"} - set(queries.columns)
    if missing:
        raise ConfigError(f"{file} has no column {', '.join(sorted(missing))}, see docs/results-files.md")
    return Loaded(folder, record, queries)
