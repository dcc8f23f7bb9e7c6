"""Rows of a large corpus as shards on disk, written once, so that no process ever holds more than a few videos.

A shard is an Arrow stream of rows in the one schema. `datasets` maps it into memory for random access, or it is read
from front to back.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.data.atomic import replacing_folder
from minivl.data.schema import SchemaError, make_dataset

if TYPE_CHECKING:
    from datasets import Features

VIDEOS = 4096  # per shard
BATCH = 128  # videos that are in memory at a time
COLUMNS = ("video_id", "features", "feature_rate", "transcript", "split")


def features() -> "Features":
    """The columns of the rows as `datasets` writes types."""
    return make_dataset({name: [] for name in COLUMNS}, "shards").features


def write_shards(target: Path, rows: Iterable[dict], describe: Callable[[], dict[str, Any]]) -> None:
    """Write all rows below `target`, with an index that holds `describe()` at the end.

    All is written, or nothing; shards that were there are replaced. Two processes may do so at once: both write their
    own, and one of the two stays.
    Raises SchemaError if there is no row.
    """
    with replacing_folder(target) as unfinished:
        rows, counts = iter(rows), dict[str, int]()
        while first := list(islice(rows, BATCH)):
            name = f"shard-{len(counts):05d}.arrow"
            counts[name] = _write_shard(unfinished / name, chain(first, islice(rows, VIDEOS - len(first))))
        if not counts:
            raise SchemaError("\n  ".join([f"{target.parent} has no rows", *describe()["problems"]]))
        (unfinished / "index.json").write_text(json.dumps(describe() | {"shards": counts}, indent=1), encoding="utf-8")


def _write_shard(path: Path, rows: Iterator[dict]) -> int:
    import pyarrow

    schema, videos = features().arrow_schema, 0
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
            videos += len(batch)
    return videos


def read_index(target: Path) -> dict:
    """The index of shards; empty if there are none, or they cannot be used."""
    try:
        index = json.loads((target / "index.json").read_text(encoding="utf-8"))
        complete = all((target / name).is_file() for name in index["shards"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return index if complete else {}


def read_shards(shards: list[str]) -> Iterator[dict]:
    """Rows of shards from front to back, one batch in memory at a time. Raises SchemaError for a damaged one."""
    import pyarrow

    for shard in shards:
        try:
            with pyarrow.OSFile(shard, "rb") as file, pyarrow.ipc.open_stream(file) as reader:
                for batch in reader:
                    yield from batch.to_pylist()
        except Exception as error:  # whatever a damaged shard makes pyarrow raise, SystemError included
            raise SchemaError(f"{shard} is damaged ({error}): delete its folder, and it is made again") from error
