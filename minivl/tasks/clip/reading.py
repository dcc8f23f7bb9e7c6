"""Windows of many videos, decoded by several processes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from minivl.data.images import crop_square
from minivl.data.sampling import sample_frames
from minivl.data.video import VideoError, probe
from minivl.data.windows import windows

MOST_PROCESSES = 8  # by default: with more, the model does not keep up
FEW = 8  # videos per process: for fewer, starting one takes longer than it saves

Window = tuple[float, float, np.ndarray]


@dataclass(frozen=True)
class WindowReader:
    """Sampling of the windows of a video, as a model sees them."""

    frames: int  # per window
    frames_per_second: float  # of a short video
    size: int  # pixels
    seconds: float  # of a window
    resizing: str = "shortest"  # of frames, see `crop_square`
    interpolation: str = "bicubic"

    def windows(self, path: Path) -> Iterator[Window]:
        """Start, end and frames, uint8 (F, size, size, 3), of each window of a video. Raises VideoError."""
        duration = probe(path).duration
        if duration <= 1.5 * self.seconds:
            frames, _ = sample_frames(path, self.frames, self.frames_per_second)
            yield 0.0, duration, crop_square(frames, self.size, self.resizing, self.interpolation)
            return
        parts = windows(path, self.seconds, self.frames, self.size, self.resizing, self.interpolation)
        for number, frames in enumerate(parts):
            start, end = number * self.seconds, (number + 1) * self.seconds
            if len(frames) < self.frames:  # the video ends here
                end = start + len(frames) / self.frames * self.seconds
                frames = frames[np.linspace(0, len(frames) - 1, self.frames).astype(int)]
            yield start, end, frames


class _Videos(IterableDataset):
    """(number of the video, window), then (number, None) when it is over, or (number, why it cannot be read).

    Each worker reads every n-th video from beginning to end.
    """

    def __init__(self, paths: Sequence[Path], reader: WindowReader):
        self.paths, self.reader = paths, reader

    def __iter__(self) -> Iterator[tuple[int, Window | str | None]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(first, len(self.paths), step):
            try:
                for window in self.reader.windows(self.paths[number]):
                    yield number, window
                yield number, None
            except VideoError as error:
                yield number, error.reason


def read_windows(
    paths: Sequence[Path], reader: WindowReader, processes: int | None = None
) -> Iterator[tuple[Path, Window | VideoError | None]]:
    """Each window of each video, then None; or the VideoError that ended it. Windows of a video come in order.

    processes   that decode, 1: this one; None: one for each core, if there is enough to do. A few windows of each are
                in memory
    """
    processes = processes or min(available_cores(), MOST_PROCESSES, len(paths) // FEW)
    workers = min(processes, len(paths)) if processes > 1 else 0
    for number, found in DataLoader(_Videos(paths, reader), batch_size=None, collate_fn=_as_it_is, num_workers=workers):
        yield paths[number], VideoError(paths[number], found) if isinstance(found, str) else found


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_it_is(item: object) -> object:
    return item
