"""Labels that come with a reader's own videos: one table, .csv or .jsonl, whatever task they are for.

    video,start,end,caption,label,task,sentiment
    soup.mp4,0:05,0:12.5,stir the soup,stir,soup,
    soup.mp4,14,21,add the salt,salt,soup,
    review.mp4,,,,,,-1.5

A row says what a stretch of a video shows. `video` is the name of the file, the path in its folder if several have that
name, either of them with or without suffix; `start` and `end` are seconds or h:mm:ss, left out where the row is about
the whole video. All other columns may be left out, too:

    caption    a sentence, for captioning and retrieval; several rows with the same times give several captions
    label      name of the step, for segmentation and localization: such a row needs its times
    task       what the steps are part of, for localization; without it the steps of all videos are one task
    sentiment  from -3 (negative) to 3 (positive)

Several sentiments of one stretch are averaged. A line of a .jsonl file is an object with the same names:

    {"video": "soup.mp4", "start": 5, "end": 12.5, "label": "stir", "task": "soup"}
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivl.config.limits import how_to_raise, limit
from minivl.data.schema import listing

COLUMNS = ("video", "start", "end", "caption", "label", "task", "sentiment")
SAID = ("caption", "label", "sentiment")  # a row has at least one of them
CLOCK = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,9}(?:\.\d*)?)")  # 1:02:03.5, 62:03.5 or 3723.5
ONE_TASK = "own videos"  # the task of steps that name none


class LabelError(ValueError):
    """A table of labels that cannot be used: says which file and lines, what is wrong and what to do."""


@dataclass(frozen=True)
class Label:
    """One row of a table."""

    place: str  # file and line, for errors
    video: str  # its name, as `named_videos` gives it
    start: float | None  # seconds; None for the whole video
    end: float | None
    caption: str | None = None
    label: str | None = None
    task: str | None = None
    sentiment: float | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of SAID the row says."""
        return tuple(name for name in SAID if getattr(self, name) is not None)


def read_labels(path: Path | str, videos: Mapping[str, Path], root: Path) -> list[Label]:
    """All rows of a table, in its order.

    videos, root   the videos that rows may name, by name, and the folder that they were found in

    Raises LabelError for a file that is missing, too large, not UTF-8 or of another kind, and with all bad rows
    together: unknown columns and videos, times that cannot be read or run backwards, sentiments outside of [-3, 3].
    """
    path = Path(path)
    names = _names(videos, root)
    labels, problems = [], []
    for line, row in _rows(path, _read_text(path)):
        try:
            labels.append(_label(f"{path}, line {line}", row, names))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        raise LabelError(f"{path} has rows that cannot be used:{listing(problems)}")
    if not labels:
        raise LabelError(f"{path} has no rows: write one per stretch of a video, under the header {','.join(COLUMNS)}")
    return labels


def _read_text(path: Path) -> str:
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise LabelError(f"{path}: labels are a .csv or a .jsonl file")
    if not path.is_file():
        raise LabelError(f"{path} is not there, or is no regular file: check the name")
    if path.stat().st_size > limit("metadata_mb") * 10**6:
        raise LabelError(f"{path} is too large for labels: {how_to_raise('metadata_mb')}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each line, from 1, and its cells by name; lines without any are passed over."""
    return _rows_of_csv(path, text) if path.suffix.lower() == ".csv" else _rows_of_jsonl(path, text)


def _rows_of_csv(path, text):
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # spreadsheets write what their language prefers
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        _check_header(path, names)
        reader.fieldnames = names
        for row in reader:
            if None in row:
                raise LabelError(f"{path}, line {reader.line_num}: more cells than the header has; quote commas")
            yield reader.line_num, {name: cell.strip() for name, cell in row.items() if cell and cell.strip()}
    except csv.Error as error:
        raise LabelError(f"{path}, line {reader.reader.line_num} is no line of a csv file: {error}") from error


def _check_header(path, names):
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or "video" not in names or len(set(names)) < len(names):
        found = f"unknown: {unknown[0]!r:.40}" if unknown else f"found: {','.join(names)!r:.100}"
        raise LabelError(f"{path}, line 1: the header must be some of {','.join(COLUMNS)}, video among them ({found})")


def _rows_of_jsonl(path, text):
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LabelError(f"{path}, line {number} is not valid JSON: {error}") from error
        if not isinstance(row, dict) or not set(row) <= set(COLUMNS):
            raise LabelError(f"{path}, line {number} must be an object with some of the names {', '.join(COLUMNS)}")
        yield number, {name: cell for name, cell in row.items() if cell is not None}


def _label(place: str, row: dict[str, Any], names: Mapping[str, str | None]) -> Label:
    """A row, checked. Raises ValueError that says what is wrong."""
    if not any(name in row for name in SAID):
        raise ValueError(f"says nothing: give one of {', '.join(SAID)}")
    texts = {name: _text(name, row[name]) for name in ("video", "caption", "label", "task") if name in row}
    times = {name: _seconds(name, row[name]) for name in ("start", "end") if name in row}
    if len(times) == 1:
        raise ValueError("start and end go together: give both or none")
    if times and times["start"] >= times["end"]:
        raise ValueError(f"start must come before end, got {row['start']} and {row['end']}")
    if "label" in texts and not times:
        raise ValueError(f"the step {texts['label']!r:.40} needs its start and end")
    return Label(
        place,
        _video(texts.pop("video", None), names),
        times.get("start"),
        times.get("end"),
        sentiment=_sentiment(row["sentiment"]) if "sentiment" in row else None,
        **texts,
    )


def _text(name: str, value: Any) -> str:
    words = " ".join(value.split()) if isinstance(value, str) else ""
    if not words or words != words.encode(errors="ignore").decode():  # JSON can hold halves of letters
        raise ValueError(f"{name} must be a text, got {value!r:.40}")
    return words


def _number(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {value!r:.40}")
    return number


def _seconds(name: str, value: Any) -> float:
    if not isinstance(value, str):
        seconds = _number(name, value)
    elif clock := CLOCK.fullmatch(value.strip()):
        hours, minutes, rest = clock.groups()
        seconds = 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(rest)
    else:
        raise ValueError(f"{name} must be seconds or h:mm:ss, got {value!r:.40}")
    if seconds < 0:
        raise ValueError(f"{name} must be 0 or more, got {value!r:.40}")
    return seconds


def _sentiment(value: Any) -> float:
    number = _number("sentiment", value)
    if not -3 <= number <= 3:
        raise ValueError(f"sentiment must be from -3 to 3, got {value!r:.40}")
    return number


def _video(reference: str | None, names: Mapping[str, str | None]) -> str:
    if reference is None:
        raise ValueError("names no video")
    if reference not in names:
        some = ", ".join(sorted({name for name in names.values() if name})[:3])
        raise ValueError(f"there is no video {reference!r:.60} in the folder; it holds {some} ...")
    name = names[reference]
    if name is None:
        raise ValueError(f"several videos are called {reference!r:.60}: write the path in the folder")
    return name


def _names(videos: Mapping[str, Path], root: Path) -> dict[str, str | None]:
    """All that a row may call a video -> its name; None where several are called so."""
    names: dict[str, str | None] = {}
    for name, file in videos.items():
        inside = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
        for called in {name, file.name, file.stem, inside.as_posix(), inside.with_suffix("").as_posix()}:
            names[called] = name if names.get(called, name) == name else None
    return names | {name: name for name in videos}
