"""Data sets of mteb's text-video retrieval as folders of the one schema.

They are MSR-VTT, MSVD, DiDeMo, ActivityNet, VATEX and YouCook2. On the hub, and in a copy of it, such a data set is
parquet files with the columns `video` (its bytes) and `caption`, or `sentence` in YouCook2, one text per video:

    MSR-VTT/data/test-00000-of-00001.parquet

mteb's test sets are smaller than those of papers (MSR-VTT: 879 clips of the 1,000 of 1k-A; MSVD: the first caption of
each clip), as not every video can still be had. Scores on them compare with each other, not with papers' tables.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from minivl.data.atomic import replacing_folder, write_bytes, write_text
from minivl.data.schema import SchemaError, load_split

if TYPE_CHECKING:
    from datasets import Dataset

TEXTS = ("caption", "sentence", "text")  # columns that may hold what is seen in a video
NAMES = ("video_id", "id", "name")  # and its name


def read_mteb(source: Path | str, split: str = "test") -> "Dataset":
    """The rows of a data set of mteb, of a folder or of the hub; videos are not decoded.

    Raises SchemaError for one without a column `video` and a column of texts, FileNotFoundError without that split.
    """
    from datasets import Video, load_dataset

    try:
        rows = load_dataset(str(source), split=split)
    except ValueError as error:  # of datasets: no such split, or no files that it knows
        raise FileNotFoundError(f"{source} has no data set with a split {split!r}: {error}") from error
    if "video" not in rows.column_names or not set(TEXTS) & set(rows.column_names):
        raise SchemaError(
            f"{source} has the columns {', '.join(rows.column_names)}: `video` and one of {', '.join(TEXTS)} are needed"
        )
    return rows.cast_column("video", Video(decode=False))


def import_mteb(source: Path | str, folder: Path, split: str = "test") -> "Dataset":
    """Write a data set of mteb as `folder/SPLIT/`, which every command reads; returns its rows in the one schema.

    A clip is called as the data set calls it, else by its number, as in mteb.
    """
    rows = read_mteb(source, split)
    text = next(name for name in TEXTS if name in rows.column_names)
    names = next((name for name in NAMES if name in rows.column_names), None)
    with replacing_folder(folder / split) as unfinished:
        lines = []
        for number, row in enumerate(rows):
            suffix = Path(row["video"]["path"] or "video.mp4").suffix or ".mp4"
            file = f"{number:06d}{suffix}"
            content = row["video"]["bytes"]
            write_bytes(unfinished / file, Path(row["video"]["path"]).read_bytes() if content is None else content)
            name = str(row[names]) if names else str(number)
            lines.append(json.dumps({"file_name": file, "video_id": name, "caption": row[text]}, ensure_ascii=False))
        write_text(unfinished / "metadata.jsonl", "\n".join(lines) + "\n")
    return load_split(folder, split)
