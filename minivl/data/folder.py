"""Folders of videos without any annotation: the reader's own clips."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minivl.data.images import crop_square
from minivl.data.sampling import sample_frames
from minivl.data.video import VideoError

SUFFIXES = (".mp4", ".webm", ".avi", ".mov", ".mkv", ".m4v")
NAMED_IN_WARNING = 5  # skipped files; all of them are in LoadedVideos.skipped


@dataclass
class LoadedVideos:
    """What could be read of a list of files, and what could not."""

    paths: list[Path] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)  # one per path, uint8 (F, H, W, 3)
    skipped: list[tuple[Path, str]] = field(default_factory=list)  # file and reason


def find_videos(folder: Path | str) -> list[Path]:
    """All video files in a folder and the folders inside it, sorted; hidden ones are left out.

    Raises FileNotFoundError if there is no such folder or no video in it, NotADirectoryError for a file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: name a folder with videos")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name the folder that holds it")
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
                    and not any(part.startswith(".") for part in path.relative_to(folder).parts))
    if not videos:
        raise FileNotFoundError(f"{folder} holds no videos: looked for {', '.join(SUFFIXES)}, also in its subfolders")
    return videos


def load_videos(paths: Sequence[Path | str], max_frames: int, frames_per_second: float = 1.0, progress: bool = True,
                size: int | None = None) -> LoadedVideos:
    """Sampled frames (see `sample_frames`) of every file that can be read.

    With `size` frames are kept as middle squares of that many pixels, (F, size, size, 3): a long list of
    full-size videos would not fit into memory. `preprocess` gives the same result for both.
    Files that cannot be read are in `.skipped`, and one warning counts and names them.
    Raises ValueError for an empty list, VideoError if not a single file can be read.
    """
    if not paths:
        raise ValueError("no videos to load")
    loaded = LoadedVideos()
    for path in tqdm([Path(path) for path in paths], desc="reading videos", unit="video", disable=not progress):
        try:
            frames, _ = sample_frames(path, max_frames, frames_per_second)
        except VideoError as error:
            loaded.skipped.append((path, error.reason))
            continue
        loaded.paths.append(path)
        loaded.frames.append(frames if size is None else crop_square(frames, size))
    if not loaded.paths:
        raise VideoError(Path(paths[0]).parent, f"none of {len(paths)} videos can be read{_listing(loaded.skipped)}")
    if loaded.skipped:
        named, unnamed = loaded.skipped[:NAMED_IN_WARNING], loaded.skipped[NAMED_IN_WARNING:]
        warnings.warn(f"skipped {len(loaded.skipped)} of {len(paths)} videos{_listing(named)}"
                      + (f"\n  and {len(unnamed)} more" if unnamed else ""), stacklevel=2)
    return loaded


def _listing(skipped: list[tuple[Path, str]]) -> str:
    return ":" + "".join(f"\n  {path}: {reason}" for path, reason in skipped)
