"""The one schema of all corpora, and the folders that hold it.

A corpus is a folder as `datasets` calls a `VideoFolder`, which `datasets.load_dataset(folder)` opens too:

    corpus/train/metadata.jsonl     one JSON object per line: "file_name" beside columns of the schema
    corpus/train/clip-1.mp4 ...     the files that it names
    corpus/val/, corpus/test/       the same
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LAYOUT = "expected <folder>/train/metadata.jsonl beside its mp4 files, and the same in val/ and test/"
SHOWN = 5  # bad rows per error


class SchemaError(ValueError):
    """Data that does not fit the schema: says which file and line, what is wrong and what is expected."""


def _in_order(stretches: list[dict]) -> bool:
    return all(stretch["start"] < stretch["end"] for stretch in stretches)


@dataclass(frozen=True)
class Column:
    """One column: what it means, its type, in words what a right value is, and what the type does not say.

    A type is "string" or "float64", [type] for a list, {name: type} for an object, or None for any.
    """

    meaning: str
    type: str | list | dict | None
    rule: str
    is_right: Callable = lambda value: True


COLUMNS = {
    "video_id": Column("name of the clip; the file's name without suffix where the corpus gives none",
                       "string", "a string"),
    "video": Column("the video file, {path, bytes}", None, "made from file_name"),
    "features": Column("features extracted from the video beforehand, in place of `video`", None, "(T, D)"),
    "feature_rate": Column("features per second", "float64", "a number above 0", lambda v: v > 0),
    "start": Column("where the clip begins in the file, seconds", "float64", "a number, 0 or more", lambda v: v >= 0),
    "end": Column("where the clip ends in the file, seconds", "float64", "a number above 0", lambda v: v > 0),
    "caption": Column("what can be seen, in words", "string", "a string"),
    "captions": Column("several captions of the same clip", ["string"], "a list of strings, not empty", len),
    "transcript": Column("what is said and when, seconds", [{"text": "string", "start": "float64", "end": "float64"}],
                         "a list of {text, start, end} with start < end", _in_order),
    "frame_captions": Column("one caption per sampled frame", ["string"], "a list of strings, not empty", len),
    "steps": Column("what is done and when, seconds", [{"label": "string", "start": "float64", "end": "float64"}],
                    "a list of {label, start, end} with start < end", _in_order),
    "task": Column("name of the task that the steps belong to", "string", "a string"),
    "sentiment": Column("opinion, from -3 (negative) to 3 (positive)", "float64", "a number in [-3, 3]",
                        lambda v: -3 <= v <= 3),
    "split": Column("train, val or test", "string", "a string"),
}


def load_split(folder: Path | str, split: str):
    """One split of a corpus as a `datasets.Dataset` with the columns of COLUMNS that it has, and its own extra ones.

    `video` is not decoded: a row's `["video"]["path"]` is the file. What is read is what is on disk now;
    nothing comes from a cache.
    Raises FileNotFoundError for a missing folder or split, SchemaError for lines that do not fit.
    """
    directory = _split_directory(Path(folder), split)
    metadata = directory / "metadata.jsonl"
    rows = _read_lines(metadata)
    columns = _columns(rows, metadata)
    names = columns.pop("file_name")
    columns["video"] = [str((directory / name).absolute()) for name in names]
    columns.setdefault("video_id", [Path(name).stem for name in names])
    columns["split"] = [split] * len(rows)
    return _dataset(columns, metadata)


def _split_directory(folder: Path, split: str) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: {LAYOUT}")
    splits = sorted(path.parent.name for path in folder.glob("*/metadata.jsonl"))
    if not splits:
        raise FileNotFoundError(f"{folder} holds no data: {LAYOUT}")
    if split not in splits:
        raise FileNotFoundError(f"{folder} has no split {split!r}, only {', '.join(splits)}")
    return folder / split


def _read_lines(metadata: Path) -> dict[int, dict]:
    """Line number, from 1, -> the object on that line; empty lines are left out."""
    rows = {}
    for number, line in enumerate(metadata.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows[number] = json.loads(line)
        except ValueError as error:  # not JSON, or not UTF-8
            raise SchemaError(f"{metadata}, line {number} is not valid JSON: {error}") from error
        if not isinstance(rows[number], dict):
            raise SchemaError(f"{metadata}, line {number} must be an object like {{\"file_name\": \"clip.mp4\"}}")
    if not rows:
        raise SchemaError(f"{metadata} has no rows: write one JSON object per clip")
    return rows


def _columns(rows: dict[int, dict], metadata: Path) -> dict[str, list]:
    """The rows turned into columns, once every value has been checked."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    problems = [f"line {number}: {problem}" for number, row in rows.items()
                for problem in _problems(row, names, metadata.parent)]
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise SchemaError(f"{metadata} does not fit the schema:\n  " + "\n  ".join(problems[:SHOWN]) + more)
    return {name: [row[name] for row in rows.values()] for name in names}


def _problems(row: dict, names: list[str], directory: Path) -> list[str]:
    name = row.get("file_name")
    if not isinstance(name, str):
        return ["has no 'file_name': name the mp4 file"]
    problems = [] if (directory / name).is_file() else [f"names {name!r}, which is not in {directory}"]
    problems += [f"has no {column!r}, which other lines have: write null for none"
                 for column in names if column not in row]
    problems += [f"{column!r} must be {COLUMNS[column].rule}, got {value!r:.60}" for column, value in row.items()
                 if column in COLUMNS and value is not None and not _is_right(value, COLUMNS[column])]
    if not problems and None not in (row.get("start"), row.get("end")) and row["start"] >= row["end"]:
        problems.append(f"'start' must come before 'end', got {row['start']} and {row['end']}")
    return problems


def _is_right(value, column: Column) -> bool:
    return _fits(value, column.type) and bool(column.is_right(value))


def _fits(value, type_) -> bool:
    """Whether a JSON value has a type as Column describes types."""
    if type_ is None:
        return True
    if isinstance(type_, list):
        return isinstance(value, list) and all(_fits(item, type_[0]) for item in value)
    if isinstance(type_, dict):
        return (isinstance(value, dict) and value.keys() == type_.keys()
                and all(_fits(value[name], type_[name]) for name in type_))
    if type_ == "string":
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _dataset(columns: dict[str, list], metadata: Path):
    from datasets import Dataset, Features, Video

    known = {name: column.type for name, column in COLUMNS.items() if column.type is not None}
    features = {name: _feature(known[name]) if name in known else _guessed_feature(name, values, metadata)
                for name, values in columns.items() if name != "video"}
    return Dataset.from_dict(columns, features=Features({**features, "video": Video(decode=False)}))


def _feature(type_):
    """A Column's type as `datasets` writes types."""
    from datasets import List, Value

    if isinstance(type_, list):
        return List(_feature(type_[0]))
    if isinstance(type_, dict):
        return {name: _feature(inner) for name, inner in type_.items()}
    return Value(type_)


def _guessed_feature(name: str, values: list, metadata: Path):
    import pyarrow
    from datasets.features.features import generate_from_arrow_type

    try:
        return generate_from_arrow_type(pyarrow.array(values).type)
    except pyarrow.ArrowException as error:
        raise SchemaError(f"{metadata}: column {name!r} has values of different types: {error}") from error
