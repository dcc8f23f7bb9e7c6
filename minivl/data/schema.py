"""The one schema of all corpora, and the folders that hold it.

A corpus is a folder as `datasets` calls a `VideoFolder`, which `datasets.load_dataset(folder)` opens too:

    corpus/train/metadata.jsonl     one JSON object per line: "file_name" beside columns of the schema
    corpus/train/clip-1.mp4 ...     the files that it names
    corpus/val/, corpus/test/       the same

Instead of "file_name", or beside it, a line may name features that were extracted from the video: "feature_file", a
.npy file or "features.safetensors::name", together with "feature_rate".
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minivl.data.features import SEPARATOR, FeatureError, check_reference

if TYPE_CHECKING:
    from datasets import Dataset

LAYOUT = "expected <folder>/train/metadata.jsonl beside the files that it names, and the same in val/ and test/"
SHOWN = 5  # problems per error


class SchemaError(ValueError):
    """Data that does not fit the schema: says which file and line, what is wrong and what is expected."""


def listing(problems: Iterable[str]) -> str:
    """The first of some problems, each on a line of its own below a message, and how many more there are."""
    problems = list(problems)
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "".join(f"\n  {problem}" for problem in [*problems[:SHOWN], *more])


@dataclass(frozen=True)
class Column:
    """One column: what it means, its type, in words what a right value is, and what the type does not say.

    A type is "string" or "float64", [type] for a list, {name: type} for an object, or None for any.
    """

    meaning: str
    type: str | list | dict | None
    rule: str
    is_right: Callable = lambda value: True


def _timed(meaning: str, name: str) -> Column:
    """A column of texts called `name` with their times."""
    return Column(
        meaning,
        [{name: "string", "start": "float64", "end": "float64"}],
        f"a list of {{{name}, start, end}} with start < end",
        lambda segments: all(segment["start"] < segment["end"] for segment in segments),
    )


COLUMNS = {
    "video_id": Column(
        "name of the clip; the file's name without suffix where the corpus gives none", "string", "a string"
    ),
    "video": Column("the video file, {path, bytes}", None, "made from file_name"),
    "features": Column(
        "where the features are that were extracted beforehand, for `load_features`",
        "string",
        "left out: it is made from feature_file",
        lambda v: False,
    ),
    "feature_rate": Column("features per second", "float64", "a number above 0", lambda v: v > 0),
    "start": Column("where the clip begins in the file, seconds", "float64", "a number, 0 or more", lambda v: v >= 0),
    "end": Column("where the clip ends in the file, seconds", "float64", "a number above 0", lambda v: v > 0),
    "caption": Column("what can be seen, in words", "string", "a string"),
    "captions": Column("several captions of the same clip", ["string"], "a list of strings, not empty", len),
    "transcript": _timed("what is said and when, seconds", "text"),
    "frame_captions": Column("one caption per sampled frame", ["string"], "a list of strings, not empty", len),
    "steps": _timed("what is done and when, seconds", "label"),
    "step_captions": Column("one sentence per step, in the order of `steps`", ["string"], "a list of strings"),
    "task": Column("name of the task that the steps belong to", "string", "a string"),
    "task_steps": Column("labels of all steps of the task, in their order", ["string"], "a list of strings"),
    "sentiment": Column(
        "opinion, from -3 (negative) to 3 (positive)", "float64", "a number in [-3, 3]", lambda v: -3 <= v <= 3
    ),
    "split": Column("train, val or test", "string", "a string"),
}


def load_split(folder: Path | str, split: str) -> "Dataset":
    """One split of a corpus as a `datasets.Dataset` with the columns of COLUMNS that it has, and its own extra ones.

    `video` is not decoded: a row's `["video"]["path"]` is the file. `features` is a reference for `load_features`.
    What is read is what is on disk now; nothing comes from a cache.
    Raises FileNotFoundError for a missing folder or split, SchemaError for lines that do not fit.
    """
    directory = _split_directory(Path(folder), split)
    metadata = directory / "metadata.jsonl"
    rows = _read_lines(metadata)
    columns = _columns(rows, metadata)
    for name, becomes in (("file_name", "video"), ("feature_file", "features")):
        if name in columns:
            files = columns.pop(name)
            columns[becomes] = [str((directory / file).absolute()) for file in files]
            columns.setdefault("video_id", [_name(file) for file in files])
    columns["split"] = [split] * len(rows)
    return make_dataset(columns, metadata)


def make_dataset(columns: dict[str, list], source: Path | str) -> "Dataset":
    """Columns as a `datasets.Dataset` with the types of the schema; other columns get the type of their values.

    Raises SchemaError, which names the `source`, for another column with values of different types.
    """
    from datasets import Dataset, Features, Video

    known = {name: column.type for name, column in COLUMNS.items() if column.type is not None}
    features = {
        name: _feature(known[name]) if name in known else _guessed_feature(name, values, source)
        for name, values in columns.items()
        if name != "video"
    }
    if "video" in columns:
        features["video"] = Video(decode=False)
    return Dataset.from_dict(columns, features=Features(features))


def first_rows(rows: "Dataset", count: int | None) -> "Dataset":
    """The first `count` rows, or all."""
    return rows if count is None else rows.select(range(min(count, len(rows))))


def captions_of(rows: "Dataset") -> tuple[list[str], np.ndarray]:
    """All captions of rows, and for each the number of its row (N_text,); none where rows have no such column."""
    if "captions" in rows.column_names:
        pairs = [(text, number) for number, texts in enumerate(rows["captions"]) for text in texts or []]
    elif "caption" in rows.column_names:
        pairs = [(text, number) for number, text in enumerate(rows["caption"]) if text is not None]
    else:
        pairs = []
    return [text for text, _ in pairs], np.array([number for _, number in pairs], dtype=int)


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
            raise SchemaError(f'{metadata}, line {number} must be an object like {{"file_name": "clip.mp4"}}')
    if not rows:
        raise SchemaError(f"{metadata} has no rows: write one JSON object per clip")
    return rows


def _columns(rows: dict[int, dict], metadata: Path) -> dict[str, list]:
    """The rows turned into columns, once every value has been checked."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    problems = [
        f"line {number}: {problem}"
        for number, row in rows.items()
        for problem in _problems(row, names, metadata.parent)
    ]
    if problems:
        raise SchemaError(f"{metadata} does not fit the schema:{listing(problems)}")
    return {name: [row[name] for row in rows.values()] for name in names}


def _problems(row: dict, names: list[str], directory: Path) -> list[str]:
    problems = _file_problems(row, directory)
    problems += [
        f"has no {column!r}, which other lines have: write null for none" for column in names if column not in row
    ]
    problems += [
        f"{column!r} must be {COLUMNS[column].rule}, got {value!r:.60}"
        for column, value in row.items()
        if column in COLUMNS and value is not None and not _is_right(value, COLUMNS[column])
    ]
    window = [row.get("start"), row.get("end")]
    if not problems and window.count(None) == 1:
        problems.append("'start' and 'end' go together: give both or none")
    elif not problems and None not in window and row["start"] >= row["end"]:
        problems.append(f"'start' must come before 'end', got {row['start']} and {row['end']}")
    if not problems and row.get("step_captions") is not None and len(row["step_captions"]) != len(row["steps"] or []):
        problems.append(
            f"'step_captions' must be one per step, got {len(row['step_captions'])} for {len(row['steps'] or [])} steps"
        )
    return problems


def _file_problems(row: dict, directory: Path) -> list[str]:
    """A row names a video file, features, or both."""
    if "file_name" not in row and "feature_file" not in row:
        return ["has no 'file_name' and no 'feature_file': name the mp4 file, or features that were extracted from it"]
    problems = [
        f"{column!r} must be a string: a file's name"
        for column in ("file_name", "feature_file")
        if column in row and not isinstance(row[column], str)
    ]
    if problems:
        return problems
    if "file_name" in row and not (directory / row["file_name"]).is_file():
        problems.append(f"names {row['file_name']!r}, which is not in {directory}")
    if "feature_file" in row:
        if row.get("feature_rate") is None:
            problems.append("has a 'feature_file' and no 'feature_rate': say how many features there are per second")
        try:
            check_reference(directory / row["feature_file"])
        except FeatureError as error:
            problems.append(f"names {row['feature_file']!r}: {error}")
    return problems


def _name(file: str) -> str:
    """Name of a video whose metadata doesn't say: the file without its suffix, or the tensor in the file."""
    return file.split(SEPARATOR, 1)[1] if SEPARATOR in file else Path(file).stem


def _is_right(value, column: Column) -> bool:
    return _fits(value, column.type) and bool(column.is_right(value))


def _fits(value, type_) -> bool:
    """Whether a JSON value has a type as Column describes types."""
    if type_ is None:
        return True
    if isinstance(type_, list):
        return isinstance(value, list) and all(_fits(item, type_[0]) for item in value)
    if isinstance(type_, dict):
        return (
            isinstance(value, dict)
            and value.keys() == type_.keys()
            and all(_fits(value[name], type_[name]) for name in type_)
        )
    if type_ == "string":
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _feature(type_):
    """A Column's type as `datasets` writes types."""
    from datasets import List, Value

    if isinstance(type_, list):
        return List(_feature(type_[0]))
    if isinstance(type_, dict):
        return {name: _feature(inner) for name, inner in type_.items()}
    return Value(type_)


def _guessed_feature(name: str, values: list, source: Path | str):
    import pyarrow
    from datasets.features.features import generate_from_arrow_type

    try:
        return generate_from_arrow_type(pyarrow.array(values).type)
    except pyarrow.ArrowException as error:
        raise SchemaError(f"{source}: column {name!r} has values of different types: {error}") from error
