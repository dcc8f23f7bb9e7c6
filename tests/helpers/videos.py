"""Videos read back."""

from pathlib import Path

from minivl.data.video import opened, pick_frames


def read_frames(path, indices):
    """The frames of a file with these numbers, uint8 (len(indices), H, W, 3)."""
    with opened(path) as (_, frames):
        return pick_frames(Path(path), frames, indices)
