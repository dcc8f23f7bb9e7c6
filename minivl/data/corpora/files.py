"""Annotation files as they circulate: csv and JSON, with errors that name the file and the line."""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from minivl.data.schema import SchemaError

MISSING = object()  # marks `take` without a default
CHUNK = 1 << 20  # characters
LONGEST_ENTRY = 1 << 26  # characters of one entry of a streamed JSON file; HowTo100M's longest video has far fewer


def find_optional(folder: Path, *names: str) -> Path | None:
    """The first of some paths below a folder that exists, or None."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def find_file(folder: Path, *names: str) -> Path:
    """The first of some paths below a folder that exists. Raises FileNotFoundError."""
    if path := find_optional(folder, *names):
        return path
    raise FileNotFoundError(f"{folder} has no {' or '.join(names)}")


def read_table(path: Path, columns: tuple[str, ...], header: bool = True) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a csv as pairs of "FILE, line N" and {column: text}; one row at a time.

    Fields are parted by commas, semicolons, tabs or bars, whichever gives the `columns`, with or without a byte order
    mark. A file with a header may have further columns; one without must have exactly these.
    Raises SchemaError for any other file, for rows with too few or too many fields, and for text that isn't UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(path, file.readline(), columns, header)
            file.seek(0)
            reader = _reader(file, delimiter)
            names = [name.strip() for name in next(reader)] if header else list(columns)
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if not any(field.strip() for field in fields):
                    continue
                if len(fields) != len(names):
                    raise SchemaError(f"{where} has {len(fields)} fields, expected {len(names)}: {', '.join(names)}")
                yield where, dict(zip(names, fields, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{path} is not a csv of UTF-8 text: {error}") from error


def _reader(lines: Iterable[str], delimiter: str):
    """Tabs part fields in which quotes are plain text."""
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL)


def _delimiter(path: Path, line: str, columns: tuple[str, ...], header: bool) -> str:
    """The character at which the first line must be parted to give the columns."""
    for delimiter in ",;\t|" if header else "\t,;|":
        fields = [field.strip() for field in next(_reader([line], delimiter), [])]
        if set(columns) <= set(fields) if header else len(fields) == len(columns):
            return delimiter
    kind = "a header with" if header else "no header but"
    raise SchemaError(f"{path} must have {kind} the columns {', '.join(columns)}, and begins with {line.strip()!r:.80}")


def read_text(path: Path) -> str:
    """A whole file, with or without a byte order mark. Raises SchemaError if it isn't UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text: {error}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises SchemaError if it is broken, or an object names a key twice."""
    try:
        return json.loads(read_text(path), object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise SchemaError(f"{path}, line {error.lineno} is not valid JSON: {error.msg}") from error
    except (KeyError, RecursionError) as error:
        raise SchemaError(f"{path}: {error.args[0]}") from error


def _unique(pairs: list[tuple]) -> dict:
    """An object whose keys differ: `json` alone would silently keep the last of two entries."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return content


def stream_json(path: Path) -> Iterator[tuple[str, dict]]:
    """Entries of a file that holds one JSON object of objects, one after the other, in constant memory.

    Raises SchemaError with the line where the file breaks.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            stream = _Stream(path, file)
            separator = "{"
            while separator == "{" or stream.symbol() != "}":
                stream.expect(separator)
                if separator == "{" and stream.symbol() == "}":
                    return
                key, separator = stream.value(str), ","
                stream.expect(":")
                yield key, stream.value(dict)
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is not UTF-8 text: {error}") from error


class _Stream:
    """The unread rest of a JSON text, of which only a piece is in memory."""

    def __init__(self, path: Path, file: TextIO):
        self.path, self.file, self.text, self.position, self.line = path, file, "", 0, 1
        self.decoder = json.JSONDecoder(object_pairs_hook=_unique)

    def symbol(self) -> str:
        """The next character that isn't a space, left in place."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
                self.position += 1
            if self.position < len(self.text):
                return self.text[self.position]
            if not self._more():
                raise self._broken("the file ends too early")

    def expect(self, symbol: str) -> None:
        if self.symbol() != symbol:
            raise self._broken(f"expected {symbol!r}")
        self.position += 1

    def value(self, kind: type) -> Any:
        while True:
            self.symbol()
            try:
                value, self.position = self.decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:  # broken, or not yet read to its end
                if len(self.text) - self.position > LONGEST_ENTRY or not self._more():
                    raise self._broken(error.msg) from error
                continue
            except (KeyError, RecursionError) as error:
                raise self._broken(str(error.args[0])) from error
            if not isinstance(value, kind):
                raise self._broken(f"expected {'a name' if kind is str else 'an object'}")
            return value

    def _more(self) -> bool:
        """Drop what was read, and read as much again as is waiting; so a long entry is tried only a few times."""
        self.line += self.text.count("\n", 0, self.position)
        self.text, self.position = self.text[self.position :], 0
        chunk = self.file.read(max(CHUNK, len(self.text)))
        self.text += chunk
        return bool(chunk)

    def _broken(self, reason: str) -> SchemaError:
        line = self.line + self.text.count("\n", 0, self.position)
        return SchemaError(f"{self.path}, in what begins on line {line}, is not valid JSON: {reason}")


def take(record: Any, name: str, kind: type, where: str, default: Any = MISSING) -> Any:
    """`record[name]` of a known type. Raises SchemaError that says where, for another type or none."""
    if not isinstance(record, dict):
        raise SchemaError(f"{where} must be an object, got {record!r:.60}")
    value = record.get(name, default)
    if value is MISSING:
        raise SchemaError(f"{where} has no {name!r}")
    if value is not default and not isinstance(value, kind):
        raise SchemaError(f"{where}: {name!r} must be a {kind.__name__}, got {value!r:.60}")
    return value


def seconds(value: Any, where: str) -> float:
    """A time in seconds. Raises SchemaError for anything but a finite number, or text of one."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise SchemaError(f"{where}: a time must be a number of seconds, got {value!r:.60}")
    return number
