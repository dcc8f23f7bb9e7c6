"""The frames of a clip that a model sees: the rule of the released DiscoVLA code, training and test alike."""

from pathlib import Path

import numpy as np

from minivl.data.video import VideoError, opened, pick_frames


def frame_indices(
    num_frames: int,
    fps: float,
    max_frames: int,
    frames_per_second: float = 1.0,
    start: float | None = None,
    end: float | None = None,
) -> tuple[list[int], list[int]]:
    """Numbers of the frames to show and a mask over `max_frames` places.

    A grid of `frames_per_second` is laid over the window from `start` to `end` (seconds, cut to whole
    seconds as in the release; without them the whole clip). A grid of more than `max_frames` points is
    thinned out evenly. A grid of fewer is given up: the frames are then spread evenly over the window, and
    repeated where it has fewer than `max_frames`. So there are always `max_frames` indices and the mask is
    all ones, except for a window outside the clip: no indices, mask all zeros.
    Raises ValueError for a rate of half of `frames_per_second` or less, whose grid would stand still.
    """
    if max_frames < 1 or not frames_per_second > 0:
        raise ValueError(f"max_frames and frames_per_second must be above 0, got {max_frames} and {frames_per_second}")
    first, last = _window(num_frames, fps, start, end)
    if last < first:
        return [], [0] * max_frames
    stride = round(fps / frames_per_second)
    if stride == 0:
        raise ValueError(
            f"a clip of {fps:g} frames per second is too slow to show {frames_per_second:g} per second: "
            f"ask for fewer than {2 * fps:g} frames_per_second"
        )
    grid = range(first, last + 1, stride)
    if len(grid) >= max_frames:
        indices = [grid[i] for i in _spread(0, len(grid) - 1, max_frames)]
    else:
        indices = _spread(first, last, max_frames)
    return indices, [1] * max_frames


def sample_frames(
    path: Path | str,
    max_frames: int,
    frames_per_second: float = 1.0,
    start: float | None = None,
    end: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The frames of a file that `frame_indices` picks, uint8 (max_frames, H, W, 3), and their mask (max_frames,).

    A file with fewer frames per second than asked for, which the release can't sample, offers all that it has.
    Raises VideoError for what cannot be read, and for a window outside the clip: a clip without a single
    valid frame would make every loss NaN.
    """
    with opened(path) as (info, frames):
        rate = min(frames_per_second, info.fps)
        try:
            indices, mask = frame_indices(info.num_frames, info.fps, max_frames, rate, start, end)
        except ValueError as error:
            raise VideoError(info.path, str(error)) from error
        if not indices:
            raise VideoError(
                info.path,
                f"the window from {start:g} to {end:g} seconds holds no frame of this clip of "
                f"{info.duration:.2f} seconds: check start and end",
            )
        return pick_frames(info.path, frames, indices), np.array(mask)


def _window(num_frames: int, fps: float, start: float | None, end: float | None) -> tuple[int, int]:
    """First and last frame number of a window in seconds; last < first if it holds none."""
    if start is None and end is None:
        return 0, num_frames - 1
    if start is None or end is None:
        raise ValueError(f"a window needs start and end, got start={start} and end={end}")
    first, last = sorted((max(0, int(start)), max(0, int(end))))  # whole seconds
    if first == last:
        last = first + 1
    return int(first * fps), int(min(last * fps, num_frames - 1))


def _spread(first: int, last: int, count: int) -> list[int]:
    """`count` whole numbers, evenly from `first` to `last`, both included (only `first` if count is 1)."""
    return np.linspace(first, last, count, dtype=int).tolist()
