"""The one JSON object of a result, which `--json` prints and results.json holds."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import minivl
from minivl.results.scores import Score

FORMAT = 1


def record_of(kind: str, command: str, **entries: Any) -> dict[str, Any]:
    """An object with the format, the version of the package, and the command; entries that are None are left out.

    kind   "scores", "answers", "ablation", "comparison" or "diagnosis"
    """
    given = {name: value for name, value in entries.items() if value is not None}
    return {"format": FORMAT, "kind": kind, "minivl": minivl.__version__, "command": command, **given}


def scores_record(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Scores as JSON has them."""
    return {name: dataclasses.asdict(score) for name, score in scores.items()}


def json_text(record: Mapping[str, Any]) -> str:
    """An object as text. What is not finite, which JSON cannot write, is null."""
    return json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):  # a number of numpy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return os.fspath(value) if isinstance(value, os.PathLike) else value
