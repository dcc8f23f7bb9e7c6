"""A video of any length from beginning to end, one window of time after the other, in constant memory.

Frames are picked by their time stamps: sample i of a window is what is on screen at that moment. So any frame rate
will do, also one that varies, as phones write it; a slow one repeats frames.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minivl.data.images import crop_square
from minivl.data.video import AGAIN, LONGEST_FRAME, VideoError, check_duration, opened, to_rgb

ROUNDING = 1e-3  # seconds; webm and mkv files round time stamps that much


def windows(
    path: Path | str, seconds: float, count: int, size: int, resizing: str = "shortest", interpolation: str = "bicubic"
) -> Iterator[np.ndarray]:
    """Each window of so many seconds as `count` frames, uint8 (count, size, size, 3), squares as `crop_square` has it.

    Sample i of window k is what is on screen at (k + i / count) * seconds. The last frame stays on screen until its
    second is over, and the last window has fewer samples if the video ends before it.
    A video is decoded once, and only one window is in memory. Raises VideoError for a file that is no video, cut off
    or damaged.
    """
    path, window, sampled, rate = Path(path), [], 0, count / seconds
    for frame, until in on_screen(path):
        wanted = math.ceil((until - ROUNDING) * rate) - sampled  # samples that show this frame
        if wanted <= 0:
            continue
        if frame.is_corrupt:  # the decoder made something up for what it could not read
            raise VideoError(path, f"is damaged after second {sampled / rate:g}: {AGAIN}")
        image = crop_square(to_rgb(path, frame)[None], size, resizing, interpolation)[0]  # (size, size, 3)
        sampled += wanted
        for _ in range(wanted):
            window.append(image)
            if len(window) == count:
                yield np.stack(window)
                window = []
    if window:
        yield np.stack(window)


def spans(duration: float, seconds: float) -> list[tuple[float, float]]:
    """The start and end of each window; the last one has between half and one and a half of `seconds`, if it can."""
    count = max(1, math.floor(duration / seconds + 0.5))
    starts = [number * seconds for number in range(count)]
    return list(zip(starts, [*starts[1:], duration], strict=True))


def on_screen(path: Path) -> Iterator[tuple]:
    """Every frame and the second, counted from the first frame, at which the next one replaces it.

    Where a time stamp is missing, runs backwards or leaps, a frame counts as long as the one before it.
    """
    with opened(path) as (info, frames):
        length = min(1.0, 1 / info.fps)
        shown, clock = None, 0.0
        for frame in frames:
            if shown is not None:
                if None not in (frame.time, shown.time) and 0 <= frame.time - shown.time <= LONGEST_FRAME:
                    length = frame.time - shown.time
                clock += length
                check_duration(path, clock)
                yield shown, clock
            shown = frame
        yield shown, math.floor(clock + ROUNDING) + 1
