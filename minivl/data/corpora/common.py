"""Shared by all corpora: what an adapter is, how it becomes a dataset in the one schema, what is put right on the way.

An adapter's `read(folder, split, protocol, problems)` yields rows with columns of the schema and one key more: `media`,
the names under which the video's file may lie on disk, without suffix, each with the columns that change if it does.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.data.corpora.files import read_table, seconds
from minivl.data.corpora.media import Media
from minivl.data.schema import COLUMNS, SHOWN, SchemaError, make_dataset

if TYPE_CHECKING:
    from datasets import Dataset

SHORTEST = 0.01  # seconds that a segment without length is given; it still names the same features


class Problems:
    """Record of what was put right or left out while reading: how often, with a few examples of each kind."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < SHOWN:
            examples.append(example)

    def lines(self) -> list[str]:
        return [
            f"{count} {kind}: {', '.join(self.examples[kind])}{', ...' if count > SHOWN else ''}"
            for kind, count in self.counts.items()
        ]

    def warn(self, title: str) -> None:
        """One warning with all of it, at the line that called `minivl.data.corpora.load`."""
        if self.counts:
            warnings.warn("\n  ".join([f"{title}:", *self.lines()]), stacklevel=4)


def _not_read_here(folder: Path, split: str, protocol: str, problems: Problems) -> Iterable[dict]:
    raise NotImplementedError("this corpus is too large to be read at once: its module has a `load` of its own")


@dataclass(frozen=True)
class Corpus:
    """One corpus. `card` says where it comes from and which files belong where; errors repeat its layout."""

    name: str
    card: str
    splits: tuple[str, ...]
    read: Callable[[Path, str, str, Problems], Iterable[dict]] = _not_read_here
    protocols: tuple[str, ...] = ("standard",)  # the first is the default
    same_files: bool = False  # protocols that draw the same videos differently: to check one is to check all

    @property
    def layout(self) -> str:
        """The card's part that shows the expected files."""
        return self.card[self.card.index("Layout") :].rstrip()

    def load(
        self,
        folder: Path | str,
        split: str,
        protocol: str | None = None,
        subset: int | None = None,
        transcripts: bool = True,
        source: str | None = None,
        media: Path | str | None = None,
        feature_rate: float = 1.0,
    ) -> "Dataset":
        """One split as a `datasets.Dataset` with the columns of minivl.data.schema that the corpus has.

        protocol: one of `.protocols`, None for the first. subset: only the first so many videos that are on disk.
        transcripts: False leaves out what is said. source: "features" or "video", None for features if there are any.
        media: folder with the videos or features, if they do not lie below `folder`. feature_rate: rows per second.
        Videos without a file on disk are left out; what was left out or put right is warned about, with counts.
        Raises FileNotFoundError for missing files, with the expected layout, SchemaError for broken ones, ValueError
        for a split, protocol or source that the corpus does not have.
        """
        protocol = protocol or self.protocols[0]
        self.expect(split, protocol, source)
        folder, problems = self.folder(folder), Problems()
        try:
            rows = list(self.read(folder, split, protocol, problems))
            if not rows:
                raise SchemaError("\n  ".join([f"{self.name} {split} in {folder} has no rows", *problems.lines()]))
            files = Media(folder if media is None else media, problems)
            rows = files.attach(rows, source or ("features" if files.features else "video"), feature_rate, problems)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}\n{self.name}: {self.layout}") from error
        rows = first_videos(rows, subset)
        problems.warn(f"{self.name} {split} in {folder}")
        return to_dataset([{**row, "split": split} for row in rows], () if transcripts else ("transcript",))

    def folder(self, folder: Path | str) -> Path:
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"no folder {folder}\n{self.name}: {self.layout}")
        return Path(folder)

    def expect(
        self, split: str, protocol: str, source: str | None, sources: tuple[str, ...] = ("features", "video")
    ) -> None:
        """ValueError for a split, protocol or source that the corpus does not have."""
        for what, choice, known in (
            ("split", split, self.splits),
            ("protocol", protocol, self.protocols),
            ("source", source, (None, *sources)),
        ):
            if choice not in known:
                raise ValueError(f"{self.name} has no {what} {choice!r}, only {', '.join(filter(None, known))}")


def first_videos(rows: list[dict], subset: int | None) -> list[dict]:
    """The rows of the first `subset` videos; all rows for None."""
    if subset is None:
        return rows
    if subset < 1:
        raise ValueError(f"subset must be 1 or more videos, got {subset}")
    kept = set(list(dict.fromkeys(row["video_id"] for row in rows))[:subset])
    return [row for row in rows if row["video_id"] in kept]


def clean_segments(segments: list[dict], where: str, problems: Problems, may_overlap: bool = True) -> list[dict]:
    """Segments with `start` and `end` as the schema wants them, sorted by start; what had to be changed is reported.

    A reversed segment is turned round, as the released loaders do. One that begins before 0 is cut. One without length
    is made 0.01 seconds long. Segments that overlap stay as they are; where a corpus should have none, they are
    reported.
    """
    cleaned = []
    for segment in segments:
        given = start, end = segment["start"], segment["end"]
        if start > end:
            problems.add("reversed segments, turned round", _named(where, given))
            start, end = end, start
        if start < 0:
            problems.add("segments that begin before 0, cut", _named(where, given))
            start, end = 0.0, max(end, 0.0)
        if start == end:
            problems.add(f"segments without length, made {SHORTEST} seconds long", _named(where, given))
            end += SHORTEST
        cleaned.append({**segment, "start": start, "end": end})
    cleaned.sort(key=lambda segment: segment["start"])
    if not may_overlap:
        for one, other in pairwise(cleaned):
            if other["start"] < one["end"]:
                problems.add(
                    "overlapping segments, kept",
                    f"{_named(where, (one['start'], one['end']))} and {_named('', (other['start'], other['end']))}",
                )
    return cleaned


def _named(where: str, times: tuple[float, float]) -> str:
    return f"{where} [{times[0]:g}, {times[1]:g}]".strip()


def parse_segment(value: Any, where: str) -> dict:
    """A pair [start, end] of an annotation file as {start, end}. Raises SchemaError for anything else."""
    if not isinstance(value, list) or len(value) != 2:
        raise SchemaError(f"{where}: a segment must be [start, end], got {value!r:.60}")
    return {"start": seconds(value[0], where), "end": seconds(value[1], where)}


def parallel(entry: Any, names: tuple[str, ...], where: str) -> list[dict]:
    """Equally long lists or arrays, as released pickles and HowTo100M's JSON have them, as one dict per place.

    `names` begin with "start" and "end". Raises SchemaError, which begins with `where`, for anything else.
    """
    lists = {}
    for name in names:
        if not isinstance(entry, dict) or not hasattr(entry.get(name), "__len__"):
            raise SchemaError(f"{where} must hold lists named {', '.join(names)}")
        lists[name] = list(entry[name])
    if len({len(values) for values in lists.values()}) > 1:
        raise SchemaError(
            f"{where} has lists of different lengths: "
            + ", ".join(f"{len(values)} {name}" for name, values in lists.items())
        )
    entries = [dict(zip(names, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    return [entry | parse_segment([entry["start"], entry["end"]], where) for entry in entries]


def unique_rows(path: Path, columns: tuple[str, ...], problems: Problems) -> Iterator[tuple[str, dict]]:
    """`read_table`, where the first column names each row: a repeated row is reported, a different one an error."""
    seen = {}
    for where, row in read_table(path, columns):
        row = {name: row[name].strip() for name in columns}
        name, content = row[columns[0]], tuple(row.values())
        if name not in seen:
            seen[name] = content
            yield where, row
        elif seen[name] == content:
            problems.add("lines that are there twice, read once", where)
        else:
            raise SchemaError(f"{where} names {name!r}, which an earlier line describes differently")


def to_dataset(rows: list[dict], left_out: tuple[str, ...] = ()) -> "Dataset":
    """Rows as a `datasets.Dataset`, with the columns of the schema that any of them has."""
    names = [name for name in COLUMNS if name not in left_out and any(name in row for row in rows)]
    return make_dataset({name: [row.get(name) for row in rows] for name in names}, "corpus")
