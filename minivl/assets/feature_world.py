"""Narrated kitchen videos and opinions as features: what UniVL reads, small enough to be bundled.

Videos are rendered, encoded as mp4, read by the small S3D and thrown away. What stays is a folder in the one schema
(`minivl.data.schema`): per split a `metadata.jsonl`, whose rows name their tensor in `features.safetensors`.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from minivl.config import WorldConfig
from minivl.data.atomic import write_text
from minivl.data.video import write_video
from minivl.data.world.build import narrated_clips, opinion_clips
from minivl.progress import tqdm
from minivl.s3d.features import FEATURE_RATE, write_features
from minivl.s3d.model import S3D


@dataclass(frozen=True)
class Part:
    """One split of a feature world: clips `first` ... `first + count - 1` of a split of the rendered one."""

    name: str
    world_split: str
    first: int
    count: int
    columns: tuple[str, ...]


DOWNSTREAM = ("caption", "transcript", "steps", "step_captions", "task", "task_steps")
NARRATED = (
    Part("pretrain", "train", 0, 1000, ("transcript",)),
    Part("train", "train", 1000, 120, DOWNSTREAM),
    Part("val", "val", 0, 40, DOWNSTREAM),
    Part("test", "test", 0, 80, DOWNSTREAM),
)
OPINIONS = (
    Part("train", "train", 0, 300, ("transcript", "sentiment")),
    Part("val", "val", 0, 100, ("transcript", "sentiment")),
    Part("test", "test", 0, 200, ("transcript", "sentiment")),
)
KINDS: dict[str, tuple[tuple[Part, ...], Callable]] = {
    "narrated": (NARRATED, narrated_clips),
    "opinions": (OPINIONS, opinion_clips),
}


def write_feature_world(
    folder: Path,
    kind: str,
    net: S3D,
    world: WorldConfig,
    share: float = 1.0,
    parts: Sequence[Part] | None = None,
    progress: bool = True,
) -> Path:
    """Write all splits of a feature world into `folder` and return it; what is there already is kept.

    kind    "narrated" (split "pretrain" has transcripts only, as HowTo100M; the others have steps and captions) or
            "opinions"
    share   of the number of clips
    parts   the splits, if not the usual ones of the kind
    """
    usual, make_clips = KINDS[kind]
    for part in parts or usual:
        directory = folder / part.name
        if not (directory / "metadata.jsonl").exists():
            directory.mkdir(parents=True, exist_ok=True)
            _write_part(directory, part, make_clips, max(2, round(part.count * share)), net, world, progress)
    return folder


def renarrate(source: Path, folder: Path, world: WorldConfig, parts: Sequence[Part] = NARRATED, **speech: Any) -> Path:
    """Narrate the videos of a feature world anew: the same features, other transcripts.

    world   the settings that `source` was written with
    parts   the splits that it was written with
    speech  settings of transcripts that are changed, such as `transcript_shift=0.0`

    Writes `folder`, whose rows point to the features in `source`, and returns it. Raises ValueError if `source` was
    not written with the settings of `world`.
    """
    for part in parts:
        source_rows = [json.loads(line) for line in (source / part.name / "metadata.jsonl").open(encoding="utf-8")]
        rows = []
        for row, before, after in zip(
            source_rows, _narrated(part, world), _narrated(part, replace(world, **speech)), strict=False
        ):  # `source` may hold the first videos of a part only
            if row["transcript"] != before["transcript"]:
                raise ValueError(f"{source / part.name}: {row['video_id']} was not told with these settings")
            features = str((source / part.name).resolve() / row["feature_file"])
            rows.append({**row, "transcript": after["transcript"], "feature_file": features})
        (folder / part.name).mkdir(parents=True, exist_ok=True)
        _write_rows(folder / part.name, rows)
    return folder


def caption_again(folder: Path, part: Part, captioned: Part, world: WorldConfig) -> Path:
    """Add a split to a feature world whose videos are those of another one, with more columns, such as captions.

    part        the split that is there; `captioned` holds videos of it
    world       the settings that `folder` was written with

    Returns the folder. Only rows are written, so an earlier split of that name is replaced.
    Raises ValueError if the videos are others.
    """
    there = [json.loads(line) for line in (folder / part.name / "metadata.jsonl").open(encoding="utf-8")]
    rows = []
    for row, told in zip(there[captioned.first :], _narrated(captioned, world), strict=False):
        if row["video_id"] != told["video_id"]:
            raise ValueError(f"{folder / part.name}: {row['video_id']} is not the video {told['video_id']}")
        features = str((folder / part.name).resolve() / row["feature_file"])  # an absolute path stays what it is
        named = {"feature_file": features, "feature_rate": row["feature_rate"]}
        rows.append(named | {name: told[name] for name in ("video_id", *captioned.columns)})
    (folder / captioned.name).mkdir(parents=True, exist_ok=True)
    _write_rows(folder / captioned.name, rows)
    return folder


def _narrated(part: Part, world: WorldConfig) -> Iterator[dict]:
    """Metadata of the clips of a part; nothing is rendered."""
    clips = narrated_clips(part.world_split, part.first + part.count, world)
    return (row for row, _ in islice(clips, part.first, None))


def _write_part(directory, part, make_clips, count, net, world, progress):
    clips = islice(make_clips(part.world_split, part.first + count, world), part.first, part.first + count)
    rows, videos = [], {}
    with tempfile.TemporaryDirectory() as rendered:
        for row, draw in tqdm(clips, total=count, desc=f"rendering {part.name}", unit="video", disable=not progress):
            path = videos[row["video_id"]] = Path(rendered) / row["file_name"]
            write_video(path, draw(), world.fps)
            named = {"feature_file": f"features.safetensors::{row['video_id']}", "feature_rate": FEATURE_RATE}
            rows.append(named | {name: row[name] for name in ("video_id", *part.columns)})
        write_features(videos, net, directory / "features.safetensors", batch_size=32, progress=progress)
    _write_rows(directory, rows)


def _write_rows(directory: Path, rows: list[dict]) -> None:
    write_text(directory / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
