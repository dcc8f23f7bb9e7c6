"""Annotations from the Hugging Face hub, or from a folder in the same form, beside videos or features on disk.

Datasets whose columns are known: friedrichor/MSR-VTT (its configurations train_9k, train_7k and test_1k are the
protocols; MSRVTT_Videos.zip in the same place holds the videos) and lmms-lab/YouCook2 (splits val and test).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from minivl.data.corpora.common import Problems, clean_segments, first_videos, parse_segment, to_dataset
from minivl.data.corpora.media import Media
from minivl.data.schema import COLUMNS, SchemaError

if TYPE_CHECKING:
    from datasets import Dataset

KNOWN_COLUMNS = {"lmms-lab/YouCook2": {"video_id": "youtube_id", "caption": "sentence", "task": "recipe_type"}}
OWN_COLUMNS = ("features", "video", "feature_rate", "split")  # of the schema, filled from the files on disk
SEGMENT = "segment"


def load_hub(
    repository: str,
    media: Path | str,
    split: str,
    protocol: str | None = None,
    subset: int | None = None,
    source: str | None = None,
    feature_rate: float = 1.0,
    columns: dict[str, str] | None = None,
) -> "Dataset":
    """A dataset of the hub in the one schema; its videos, or their features, are looked for below the folder `media`.

    protocol: the configuration of the dataset. columns: column of the schema -> column of the dataset; the others are
    found by the schema's names. A `caption` that is a list becomes `captions`, a `segment` [start, end] becomes both.
    Raises SchemaError if the dataset has no `video_id`, FileNotFoundError if none of its videos is on disk.
    """
    from datasets import load_dataset

    problems, columns = Problems(), columns or KNOWN_COLUMNS.get(repository, {})
    rows = load_dataset(repository, protocol, split=split)
    names = {name: columns.get(name, name) for name in (*COLUMNS, SEGMENT) if name not in OWN_COLUMNS}
    names = {name: column for name, column in names.items() if column in rows.column_names}
    if "video_id" not in names or set(columns) - set(names):
        raise SchemaError(
            f"{repository} has the columns {', '.join(rows.column_names)}: say which of them are "
            f"video_id{''.join(f', {name}' for name in columns if name not in names)} (`columns`)"
        )
    files = Media(media, problems)
    rows = [
        _row({name: row[column] for name, column in names.items()}, repository, problems)
        for row in rows.select_columns(sorted(set(names.values())))
    ]
    rows = files.attach(rows, source or ("features" if files.features else "video"), feature_rate, problems)
    problems.warn(f"{repository} {split}")
    return to_dataset([{**row, "split": split} for row in first_videos(rows, subset)])


def _row(row: dict, repository: str, problems: Problems) -> dict:
    if isinstance(row.get("caption"), list):
        row["captions"] = row.pop("caption")
    if SEGMENT in row:
        row |= clean_segments([parse_segment(row.pop(SEGMENT), repository)], row["video_id"], problems)[0]
    return {**row, "media": {row["video_id"]: {}}}
