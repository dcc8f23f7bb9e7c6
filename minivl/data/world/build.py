"""Writes the world to disk: mp4 files and their metadata, in the one schema of `minivl.data.schema`.

A world is a folder with `train/`, `val/` and `test/`, each a `metadata.jsonl` beside its mp4 files,
which `datasets.load_dataset` opens as it is. A video depends on the seed, the split and its number
only, so a larger world begins with the videos of a smaller one.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from minivl.config import ConfigError, WorldConfig, cache_dir
from minivl.data.atomic import write_text
from minivl.data.video import write_video
from minivl.data.world import language, meals, opinions, timeline
from minivl.progress import tqdm

SPLITS = tuple(meals.SPLIT_SHARES)
FRAMES = "frames.sha256"
VERSION = 1  # raise it when the same settings give other videos or other words


def _row(
    name: str,
    split: str,
    meal: meals.Meal,
    group: int,
    moments: list[timeline.Moment],
    config: WorldConfig,
    rng: np.random.Generator,
) -> dict:
    seconds = language.caption_seconds(moments, config.fps, config.frame_captions)
    return {
        "file_name": f"{name}.mp4",
        "video_id": name,
        "split": split,
        "group": group,
        "caption": language.narrative_caption(moments, meal, config, rng),
        "frame_captions": language.frame_captions(moments, seconds, rng),
        "transcript": language.transcript(moments, config, rng),
        "steps": [
            {"label": m.step.label, "start": round(m.start, 3), "end": round(m.end, 3)}
            for m in moments
            if m.step is not None
        ],
        "task": meal.task,
        "task_steps": meal.task_steps(),
    }


def kitchen_clips(split: str, count: int, config: WorldConfig) -> Iterator[tuple[dict, Callable]]:
    """Metadata of each clip of a split, and a function that draws its frames (T, size, size, 3)."""
    for number, (group, meal) in enumerate(meals.draw_split(split, count, config)):
        # Time, words and pixels have a random stream each: turning a knob of one leaves the others as they are.
        streams = np.random.default_rng([config.seed, SPLITS.index(split), number]).spawn(3)
        moments = timeline.schedule(meal, config, streams[0])
        row = _row(f"{split}-{number:05d}", split, meal, group, moments, config, streams[1])
        yield row, lambda m=moments, r=streams[2]: np.stack(list(timeline.frames(m, config, r)))


def told_by_viewers(split: str, count: int, config: WorldConfig, viewers: int) -> list[list[str]]:
    """What so many viewers say of each clip of `kitchen_clips`: its own caption first, then the others that differ."""
    told = []
    for number, (_, meal) in enumerate(meals.draw_split(split, count, config)):
        time, words, _, others = np.random.default_rng([config.seed, SPLITS.index(split), number]).spawn(4)
        moments = timeline.schedule(meal, config, time)
        own = language.narrative_caption(moments, meal, config, words)
        said = {language.narrative_caption(moments, meal, config, others) for _ in range(viewers - 1)}
        told.append([own, *sorted(said - {own})])
    return told


def narrated_clips(split: str, count: int, config: WorldConfig) -> Iterator[tuple[dict, Callable]]:
    """As kitchen_clips, for UniVL: a dish is seasoned, and `step_captions` has a sentence for each of `steps`.

    The spice looks the same whichever it is: only the transcript, which may come too early or too late, names it.
    Every video is a group of its own, so that few steps look alike. Give steps of some seconds, as real videos have
    (`step_seconds=(3.0, 5.0)`).
    """
    for number, (group, meal) in enumerate(meals.draw_split(split, count, config, whole_groups=False)):
        streams = np.random.default_rng([config.seed, 20 + SPLITS.index(split), number]).spawn(4)
        meal = meals.season(meal, streams[0])
        moments = timeline.schedule(meal, config, streams[1])
        row = _row(f"narrated-{split}-{number:05d}", split, meal, group, moments, config, streams[2])
        row["step_captions"] = language.step_captions(moments)
        yield row, lambda m=moments, r=streams[3]: np.stack(list(timeline.frames(m, config, r)))


def opinion_clips(split: str, count: int, config: WorldConfig) -> Iterator[tuple[dict, Callable]]:
    """As kitchen_clips, for clips in which a cook gives an opinion; `caption` is what can be seen."""
    for number in range(count):
        rng = np.random.default_rng([config.seed, 10 + SPLITS.index(split), number])
        opinion = opinions.draw_opinion(rng)
        name = f"opinion-{split}-{number:05d}"
        row = {
            "file_name": f"{name}.mp4",
            "video_id": name,
            "split": split,
            "caption": f"a cook gives an opinion about a {opinion.dish.state} {opinion.dish.ingredient}",
            "transcript": [{"text": opinion.transcript, "start": 0.0, "end": round(opinion.seconds, 2)}],
            "sentiment": opinion.sentiment,
        }
        yield row, lambda o=opinion, r=rng: np.stack(list(opinions.opinion_frames(o, config, r)))


def write_split(
    folder: Path, clips: Iterator[tuple[dict, Callable]], count: int, fps: float, progress: bool = True
) -> None:
    """Write the clips of one split; files that exist are kept, so an interrupted call can be repeated.

    `frames.sha256` says which frames were drawn, for the files do not: x264 makes other bytes of them elsewhere.
    `metadata.jsonl` is written last: a folder that has one is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, digest = [], hashlib.sha256()
    for row, draw in tqdm(clips, total=count, desc=f"rendering {folder.name}", unit="video", disable=not progress):
        path = folder / row["file_name"]
        frames = draw()
        digest.update(repr(frames.shape).encode() + frames.tobytes())
        if not path.exists():
            write_video(path, frames, fps)
        rows.append(json.dumps(row))
    write_text(folder / FRAMES, digest.hexdigest() + "\n")
    write_text(folder / "metadata.jsonl", "\n".join(rows) + "\n")


def frames_hash(folder: Path) -> str | None:
    """The hash of the frames that the clips of a split folder were made of; None where it was not recorded."""
    file = folder / FRAMES
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def write_world(
    folder: Path,
    config: WorldConfig,
    make_clips: Callable[[str, int, WorldConfig], Iterator[tuple[dict, Callable]]] = kitchen_clips,
    progress: bool = True,
) -> Path:
    """Write all three splits of a world into `folder` and return it.

    Raises ConfigError if `folder` holds another world.
    """
    settings = json.dumps({"version": VERSION, "clips": make_clips.__name__, **dataclasses.asdict(config)}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "world.json"
    if stamp.exists() and stamp.read_text(encoding="utf-8") != settings:
        raise ConfigError(f"{folder} holds a world with other settings ({stamp}): name another folder or delete it")
    write_text(stamp, settings)
    for split in SPLITS:
        count = getattr(config, f"videos_{split}")
        if count and not (folder / split / "metadata.jsonl").exists():
            write_split(folder / split, make_clips(split, count, config), count, config.fps, progress)
    return folder


def cached_world(config: WorldConfig, progress: bool = True) -> Path:
    """The folder of the kitchen world with these settings; rendered at the first call, outside the repository."""
    settings = json.dumps({"version": VERSION, **dataclasses.asdict(config)}, sort_keys=True)
    name = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return write_world(cache_dir() / "worlds" / name, config, progress=progress)
