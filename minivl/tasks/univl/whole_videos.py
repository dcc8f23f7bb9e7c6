"""Common parts of the tasks on whole videos: a video is longer than UniVL reads at once, so it is read in windows.

Windows follow each other without overlap, and each is encoded alone: T frames of features, longest window M frames,
n = ceil(T / M) windows, the last of which may be shorter.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from minivl.data.features import FeatureReader
from minivl.data.schema import COLUMNS, SchemaError
from minivl.progress import tqdm
from minivl.univl import UniVL

if TYPE_CHECKING:
    from datasets import Dataset

HOW_TO_GIVE = {"features": "'feature_file', a .npy file, and 'feature_rate': `minivl features` makes them from videos"}


def in_windows(values: torch.Tensor, longest: int) -> torch.Tensor:
    """(T, ...) -> (n, M, ...), with zeros after the end of the last window."""
    missing = -len(values) % longest
    padding = values.new_zeros(missing, *values.shape[1:])
    return torch.cat([values, padding]).unflatten(0, (-1, longest))  # (n, M, ...)


@torch.inference_mode()
def encode_frames(univl: UniVL, features: np.ndarray, longest: int, batch_size: int) -> torch.Tensor:
    """Every frame of a video as the video encoder sees it within its window: raw (T, F) -> (T, D).

    `batch_size` windows are encoded together.
    """
    T = len(features)
    M = min(longest, T)
    device = next(univl.parameters()).device
    videos = in_windows(torch.from_numpy(features).to(device), M).split(batch_size)  # of (<= batch, M, F)
    masks = in_windows(torch.ones(T, dtype=torch.int64, device=device), M).split(batch_size)
    encoded = [univl.encode_video(video, mask) for video, mask in zip(videos, masks, strict=True)]
    return torch.cat(encoded).flatten(0, 1)[:T]  # (n, M, D) -> (T, D)


def read_videos(rows: "Dataset", size: int | None = None, progress: bool = False) -> Iterator[tuple[dict, np.ndarray]]:
    """Each row with its features (T, F), which have `size` numbers if that is given. Raises FeatureError."""
    read = FeatureReader(size)
    for row in tqdm(rows, desc="reading videos", unit="video", disable=not progress, leave=False):
        yield row, read(row["features"])


def require_columns(rows: "Dataset", *needed: str) -> None:
    """SchemaError if rows lack a column, which says how to write it."""
    missing = [name for name in needed if name not in rows.column_names]
    if missing:
        raise SchemaError(
            f"this task needs the columns {', '.join(needed)}; these rows have no {', '.join(missing)}, "
            f"only {', '.join(rows.column_names)}. Give every row "
            + "; ".join(HOW_TO_GIVE.get(name) or f"{name!r}: {COLUMNS[name].rule}" for name in missing)
        )


def name_of(row: dict) -> str:
    """Name of a row, for errors."""
    return row.get("video_id") or row["features"]
