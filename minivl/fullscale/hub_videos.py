"""A few videos of a corpus on the hub, with their captions, as a folder in the one schema.

Of the archive with all videos only the parts that hold the chosen ones are asked for, by HTTP ranges.
"""

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivl.data.atomic import replacing, write_text
from minivl.data.schema import SchemaError
from minivl.hub.downloads import DownloadError, download, told
from minivl.progress import tqdm

BLOCK = 2**20  # bytes that are asked for at once
MOST = 2**28  # bytes of one video


@dataclass(frozen=True)
class HubVideos:
    """A data set of the hub: annotations in JSON with `video_id` and `caption`, and one .zip with all videos."""

    repository: str
    archive: str
    configurations: Mapping[str, str]  # split -> configuration; in each, the split of that name


MSRVTT = HubVideos("friedrichor/MSR-VTT", "MSRVTT_Videos.zip", {"train": "train_9k", "test": "test_1k"})


def fetch(source: HubVideos, counts: Mapping[str, int], out: Path, progress: bool = True) -> None:
    """Write the first videos of each split into `out`, as many as `counts` says, with metadata.jsonl.

    Videos that are there are kept. Raises DownloadError if the network breaks off or a video comes damaged, and
    SchemaError for a data set of another form.
    """
    annotations = download(source.repository, ["README.md", "*.json"], "dataset")
    for split, count in counts.items():
        rows = _rows(annotations, source.configurations[split], split, count)
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        _extract(source, [row["video_id"] for row in rows], folder, progress)
        lines = [{"file_name": f"{row['video_id']}.mp4", **_captions(row["caption"])} for row in rows]
        write_text(folder / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _rows(folder: Path, configuration: str, split: str, count: int) -> list[dict[str, Any]]:
    """The first rows with a video of their own."""
    from datasets import load_dataset

    rows = load_dataset(str(folder), configuration, split=split)
    if not {"video_id", "caption"} <= set(rows.column_names):
        raise SchemaError(f"{configuration} has the columns {', '.join(rows.column_names)}: no video_id or no caption")
    found: dict[str, dict] = {}
    for row in rows:
        name = str(row["video_id"])
        if not name.replace("_", "").replace("-", "").isalnum():
            raise SchemaError(f"{configuration}: {name!r:.80} cannot be the name of a video's file")
        found.setdefault(name, row)
        if len(found) == count:
            break
    return list(found.values())


def _captions(caption: str | list[str]) -> dict[str, Any]:
    return {"caption": caption} if isinstance(caption, str) else {"captions": list(caption)}


def _extract(source: HubVideos, names: Iterable[str], folder: Path, progress: bool) -> None:
    """Copy videos out of the archive on the hub; each is whole, as its checksum in the archive says, or not there."""
    wanted = [name for name in names if not (folder / f"{name}.mp4").is_file()]
    if not wanted:
        return
    from huggingface_hub import HfFileSystem

    place = f"datasets/{source.repository}/{source.archive}"
    with told(place), HfFileSystem().open(place, "rb", block_size=BLOCK) as remote, zipfile.ZipFile(remote) as archive:
        members = {Path(member.filename).name: member for member in archive.infolist()}
        for name in tqdm(wanted, desc=f"{folder.name} videos", unit="video", disable=not progress):
            _copy(archive, members.get(f"{name}.mp4"), folder / f"{name}.mp4")


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, file: Path) -> None:
    if member is None or member.file_size > MOST:
        raise DownloadError(f"the archive has no {file.name}, or one of more than {MOST // 2**20} MB")
    try:
        with replacing(file) as unfinished, archive.open(member) as content, unfinished.open("wb") as stream:
            shutil.copyfileobj(content, stream, BLOCK)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DownloadError(f"{file.name} came damaged ({error}): give the same command again") from error
