"""Folders of strangers: nothing that they hold is ever run.

The configurations of transformers can name Python code (`auto_map`) that its loaders would import, from the folder or
from another repository. minivl needs no such code: every loader is called with `trust_remote_code=False`, and a
folder that names code is refused before any of them sees it, so nobody is ever asked whether to run it. What is
trusted and what is not stands in SECURITY.md.
"""

import json
import math
from pathlib import Path
from typing import Any

from minivl.config.limits import how_to_raise, limit

CODE_KEYS = ("auto_map", "trust_remote_code", "custom_generate", "custom_pipelines")


class UntrustedFile(ValueError):
    """A file that names code to be run, or that is no configuration at all."""


def refuse_code(folder: Path | str) -> None:
    """Raise UntrustedFile if a configuration in a model's folder names code. Other names than folders are passed over.

    Read are all files whose name contains "config" and ends in .json: transformers looks for code in no others. What
    else a tokenizer reads as text must be a file of bearable size.
    """
    if not Path(folder).is_dir():
        return
    for file in sorted(Path(folder).glob("*config*.json")):
        named = sorted(_code_keys(read_json(file)))
        if named:
            raise UntrustedFile(
                f"{file} names code to be run ({', '.join(named)}), and minivl runs none but its own: ask the author "
                "for a model without custom code, or remove these entries if the model does not need them"
            )
    for file in sorted([*Path(folder).glob("*.json"), *Path(folder).glob("*.txt")]):
        _check_file(file, "tokenizer_mb")


def read_json(file: Path, nan: bool = False) -> Any:
    """The content of a JSON file. Raises UntrustedFile for one that is too large, damaged or nested too deeply.

    nan   read NaN and Infinity, which are no JSON, though programs of others write them
    """
    _check_file(file, "json_mb")
    constants = None if nan else _no_number
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=constants, parse_float=_finite)
    except (OSError, ValueError, RecursionError) as error:
        raise UntrustedFile(f"{file} cannot be read as JSON: {type(error).__name__}: {error}") from error


def _check_file(file: Path, largest: str) -> None:
    """Raise UntrustedFile for what is no plain file, such as a pipe or a device, or is larger than that limit."""
    if not file.is_file():
        raise UntrustedFile(f"{file} is not there, or is no file")
    size = file.stat().st_size
    if size > limit(largest) * 2**20:
        raise UntrustedFile(f"{file} has {size / 2**20:.0f} MB: {how_to_raise(largest)}")


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.20} is too large a number")
    return number


def _code_keys(content: Any) -> set[str]:
    """Those of CODE_KEYS that occur as a key at any depth."""
    found: set[str] = set()
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {key for key in CODE_KEYS if key in part}
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found
