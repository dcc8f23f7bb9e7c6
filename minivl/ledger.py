"""The reproduction ledger: every cell of the papers' tables that this project names, and what became of it.

    data_samples/results/ledger.csv     one row per cell: where it stands in the paper, its protocol, the command that
                                        would reproduce it, the paper's value, and where our value comes from
    data_samples/results/releases.csv   what a paper says and its released code does otherwise, and what it changes

No value of ours is written in these files. `source` names it, and it is computed when the ledger is drawn:

    univl_tasks.csv::align, pretrained::t2v R@1                            mean ± sd of a cell's score over seeds
    univl_tasks.csv::align, pretrained minus align, from scratch::t2v R@1  a gain, paired by seed, 95 % interval
    a.csv::one::R@1 minus b.csv::other::R@1                                the same, of two files
    a.csv::one::t2v R@1 + t2v R@5                                          a sum of scores
    curves.csv::one where step is 300::align                               of the rows of a cell those of one step
    dry_runs.csv::discovla-msrvtt-b32::trainable                           a number without seeds, by the first column
    tests/univl/test_objectives.py::test_cmfm                                    (releases.csv) a test that asserts it
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from minivl.config import BUNDLED, CHECKOUT
from minivl.data.tables import named_rows
from minivl.metrics.bootstrap import paired_seeds
from minivl.metrics.verdicts import LEVEL, NOTHING, holm

RESULTS = BUNDLED / "results"
REPRODUCED, SMALL, NOT_RUN = STATUSES = ("reproduced", "small world only", "not run here")
KINDS = ("level", "gain")  # a score, or by how much one method is better than another
REQUIRED = ("paper", "table", "task", "corpus", "protocol", "metric", "kind", "paper_value", "command", "status")
COLUMNS = (*REQUIRED, "source", "source_command", "note")
RELEASE_COLUMNS = ("paper", "topic", "equations", "release", "setting", "source", "effect")
# What stands in paper_value where there is no number.
CLAIMED, UNKNOWN = "+", "not at hand"


class LedgerError(ValueError):
    """A row of the ledger that says too little, or names a result that does not exist; the message says which."""


@dataclass(frozen=True)
class Measured:
    """The value of a source: mean and standard deviation over `seeds` runs; of a gain also its 95 % interval and p."""

    mean: float
    spread: float
    seeds: int
    low: float | None = None
    high: float | None = None
    p: float | None = None


def directions(gains: Sequence[Measured]) -> list[str]:
    """What each gain of a table shows: "higher", "lower" or "nothing shown".

    p is that of the interval, corrected for the number of gains in the table, as `verdicts` does it. Raises ValueError
    if one of them is not a gain.
    """
    chances = [gain.p for gain in gains if gain.p is not None]
    if len(chances) < len(gains):
        raise ValueError("a level has no direction, only a gain has")
    corrected = holm(chances)
    words = ("higher" if gain.mean > 0 else "lower" for gain in gains)
    return [word if p < LEVEL else NOTHING for word, p in zip(words, corrected, strict=True)]


def measure(source: str, results: Path = RESULTS) -> Measured:
    """The value that a source names. Raises LedgerError for a file, cell or score that does not exist."""
    sides = source.split(" minus ")
    if len(sides) == 2 and "::" not in sides[0].partition("::")[2]:  # FILE::CELL minus CELL::SCORE
        file, score = source.partition("::")[0], source.rpartition("::")[2]
        sides = [f"{sides[0]}::{score}", f"{file}::{sides[1]}"]
    columns = [_scores(side, results) for side in sides]
    if len(columns) == 1:
        return Measured(float(columns[0].mean()), float(columns[0].std()), len(columns[0]))
    first, second = columns
    if set(first.index) != set(second.index):
        raise LedgerError(
            f"source {source!r}: the seeds of the two cells differ: {sorted(first.index)} and {sorted(second.index)}"
        )
    found = paired_seeds(first, second.loc[first.index])
    spread, interval = float((first - second).std()), (found["low"], found["high"], found["t p"])
    return Measured(found["difference"], spread, len(first), *interval)


def _scores(source: str, results: Path) -> pd.Series:
    """The scores of FILE::CELL::SCORE by seed."""
    parts = source.split("::")
    if len(parts) != 3:
        raise LedgerError(
            f"source {source!r}: write FILE::CELL::SCORE, FILE::CELL minus CELL::SCORE, or the first "
            "form twice with `minus` between"
        )
    file, cell, score = parts
    if not (Path(results) / file).is_file():
        raise LedgerError(f"source {source!r}: there is no {file} in {results} (yet): run the command that makes it")
    table = pd.read_csv(Path(results) / file)
    terms = [score] if score in table else score.split(" + ")
    if not set(terms) <= set(table):
        raise LedgerError(f"source {source!r}: {file} has no score {score!r}; it has {', '.join(table.columns)}")
    try:
        rows = named_rows(table, cell)
    except KeyError as error:
        raise LedgerError(f"source {source!r}: {file}: {error.args[0]}") from error
    rows = rows.set_index("seed" if "seed" in table else table.columns[0])
    scores = rows[terms].sum(axis=1, skipna=False).dropna()
    if not len(scores):
        raise LedgerError(f"source {source!r}: cell {cell!r} has no {score!r}")
    return scores


def read_ledger(path: Path = RESULTS / "ledger.csv", results: Path = RESULTS) -> pd.DataFrame:
    """The rows of the ledger with what was measured: a `Measured` or None in the column `ours`.

    Raises LedgerError, which names file and line, for a missing column, an empty field, a status or kind that does
    not exist, a repeated cell, a status that does not fit the source, and whatever `measure` refuses.
    """
    rows: list[dict] = []
    seen: dict[tuple, int] = {}  # cell -> line
    for line, row in _lines(path, COLUMNS):
        try:
            _check(row)
            ours = measure(row["source"], results) if row["source"] else None
        except LedgerError as error:
            raise LedgerError(f"{path}, line {line}: {error}") from error
        if ours and (row["kind"] == "gain") != (ours.low is not None):
            raise LedgerError(f"{path}, line {line}: a gain, and only a gain, has a source with `minus`")
        cell = tuple(row[name] for name in ("paper", "table", "corpus", "protocol", "metric"))
        if cell in seen:
            raise LedgerError(f"{path}, line {line}: the cell {cell} is already in line {seen[cell]}")
        seen[cell] = line
        rows.append({**row, "ours": ours})
    return pd.DataFrame(rows, columns=[*COLUMNS, "ours"])


def read_releases(path: Path = RESULTS / "releases.csv", results: Path = RESULTS) -> pd.DataFrame:
    """Differences of papers and their released code; `measured` is a `Measured`, the name of a test, or None.

    Raises LedgerError, which names file and line, for an empty field, and for a result or a test that does not exist
    (where there are no tests, as in an installed wheel, their names are taken as they stand).
    """
    rows = []
    for line, row in _lines(path, RELEASE_COLUMNS):
        try:
            empty = [name for name in ("paper", "topic", "equations", "release", "setting") if not row[name]]
            if empty:
                raise LedgerError(f"empty: {', '.join(empty)}")
            if bool(row["effect"]) != row["source"].startswith("tests/"):
                raise LedgerError("`effect` says in words what a test asserts; numbers come from sources")
            measured = None
            if row["source"]:
                measured = _named_test(row["source"]) if row["effect"] else measure(row["source"], results)
        except LedgerError as error:
            raise LedgerError(f"{path}, line {line}: {error}") from error
        rows.append({**row, "measured": measured})
    return pd.DataFrame(rows, columns=[*RELEASE_COLUMNS, "measured"])


def ledger_table(ledger: pd.DataFrame) -> pd.DataFrame:
    """The ledger as it is read by people: values as text, one row per cell, gains judged together."""
    judged = _judged(list(ledger["ours"]))
    return pd.DataFrame(
        [
            {
                "task": row.task,
                "corpus": row.corpus,
                "protocol": row.protocol,
                "metric": row.metric,
                "paper": _paper_value(row),
                "ours": _value(row.ours, row.kind, row.status, direction),
                "delta": _delta(row),
                "status": row.status,
                "where the paper has it": row.table,
                "note": row.note,
            }
            for row, direction in zip(ledger.itertuples(), judged, strict=True)
        ],
        index=ledger.index,
    )


def releases_table(releases: pd.DataFrame) -> pd.DataFrame:
    """Differences between papers and releases with their measured effect, as text; effects are judged together."""

    def effect(row: Any, direction: str) -> str:
        if row.measured is None:
            return "not measured"
        if row.effect:
            return f"{row.effect} ({row.measured})"
        cells, _, score = row.source.partition("::")[2].rpartition("::")
        return f"{score}: {_value(row.measured, 'gain', SMALL, direction)} ({cells})"

    judged = _judged([None if row.effect else row.measured for row in releases.itertuples()])
    effects = [effect(row, direction) for row, direction in zip(releases.itertuples(), judged, strict=True)]
    shown = releases.rename(columns={"equations": "equations say", "release": "release does"})
    shown = shown[["paper", "topic", "equations say", "release does", "setting"]]
    return shown.assign(**{"measured effect": effects})


def _judged(measured: list[Measured | None]) -> list[str]:
    """`directions` of those that are gains, "" for all others."""
    gains = [value for value in measured if value is not None and value.p is not None]
    words = iter(directions(gains) if gains else ())
    return [next(words) if value is not None and value.p is not None else "" for value in measured]


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with exactly these columns."""
    if not Path(path).is_file():
        raise LedgerError(f"there is no {path}")
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != columns:
            raise LedgerError(
                f"{path}: the columns are {', '.join(reader.fieldnames or ())}; expected {', '.join(columns)}"
            )
        for row in reader:
            if None in row or None in row.values():
                raise LedgerError(f"{path}, line {reader.line_num}: {len(columns)} fields are expected")
            yield reader.line_num, {name: value.strip() for name, value in row.items()}


def _check(row: dict[str, str]) -> None:
    empty = [name for name in REQUIRED if not row[name]]
    if empty:
        raise LedgerError(f"empty: {', '.join(empty)}. A value that is not known is {UNKNOWN!r}")
    if row["status"] not in STATUSES or row["kind"] not in KINDS:
        raise LedgerError(
            f"status {row['status']!r} and kind {row['kind']!r}: choose from {', '.join(STATUSES)} and "
            f"{', '.join(KINDS)}"
        )
    if (row["status"] == NOT_RUN) == bool(row["source"]):
        raise LedgerError(
            f"the status is {row['status']!r} and the source {row['source']!r}: exactly what was run has a source"
        )
    if bool(row["source"]) != bool(row["source_command"]):
        raise LedgerError("source and source_command belong together")
    if row["paper_value"] != UNKNOWN and not (row["paper_value"] == CLAIMED and row["kind"] == "gain"):
        try:
            float(row["paper_value"])
        except ValueError as error:
            raise LedgerError(
                f"paper_value {row['paper_value']!r}: a number, {UNKNOWN!r}, or for gains {CLAIMED!r}, "
                "which is claimed without a number at hand"
            ) from error


def _named_test(source: str) -> str:
    file, _, name = source.partition("::")
    if CHECKOUT is None:
        return name
    if not (CHECKOUT / file).is_file() or f"\ndef {name}(" not in (CHECKOUT / file).read_text(encoding="utf-8"):
        raise LedgerError(f"source {source!r}: there is no such test")
    return name


def _paper_value(row):
    return {CLAIMED: "better, no number at hand", UNKNOWN: UNKNOWN}.get(row.paper_value, row.paper_value)


def _value(ours: Measured | None, kind: str, status: str, direction: str) -> str:
    if ours is None:
        return status
    if kind == "gain":
        return f"{ours.mean:+.2f} [{ours.low:+.2f}, {ours.high:+.2f}]: {direction}"
    return f"{ours.mean:.2f} ± {ours.spread:.2f} ({ours.seeds} seeds)" if ours.seeds > 1 else f"{ours.mean:.10g}"


def _delta(row):
    """Ours minus the paper's, where both are measured on the same data."""
    if row.ours is None or row.paper_value in (CLAIMED, UNKNOWN):
        return "-"
    if row.status == SMALL:
        return "other data"
    return f"{row.ours.mean - float(row.paper_value):+.2f}"
