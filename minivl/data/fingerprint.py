"""A hash of data that something was measured on: results can be paired where it agrees."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minivl.data.features import load_features

if TYPE_CHECKING:
    from datasets import Dataset


def rows_hash(rows: "Dataset") -> str:
    """SHA-256, in hexadecimal, of rows of the one schema and of the bytes of their videos or features.

    Where the files are does not matter, only what is in them: a copy of the data has the same hash. Clips that were
    rendered elsewhere may have another one, as not every encoder writes the same bytes.
    """
    digest = hashlib.sha256()
    known: dict[str, str] = {}  # where a video or its features are -> its hash; segments of a video share one
    for row in rows:
        described = {name: value for name, value in row.items() if value is not None}
        if "video" in described:
            described["video"] = _known(known, described["video"]["path"], _file_hash)
        if "features" in described:
            described["features"] = _known(known, described["features"], _features_hash)
        digest.update(json.dumps(described, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
    return digest.hexdigest()


def _known(known: dict[str, str], place: str, hash_of: Callable[[str], str]) -> str:
    if place not in known:
        known[place] = hash_of(place)
    return known[place]


def _file_hash(file: str) -> str:
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _features_hash(reference: str) -> str:
    features = load_features(reference)
    return hashlib.sha256(repr(features.shape).encode() + features.tobytes()).hexdigest()
