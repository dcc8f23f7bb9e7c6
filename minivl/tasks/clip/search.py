"""Search of videos by text: what was encoded is kept in an index on disk, and an answer says where in a video it is.

    score = cos( text, window )        window: some seconds of a video, encoded as DiscoVLA encodes a clip

A clip of up to one and a half windows is encoded as a whole, with the frames that training would show of it. Longer
videos are cut into windows, and read from beginning to end with one window in memory at a time.
"""

import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from minivl.clip import Clip
from minivl.config import InputConfig, cache_dir
from minivl.data.images import crop_square, preprocess
from minivl.data.sampling import sample_frames
from minivl.data.text import tokenize
from minivl.data.video import VideoError, probe
from minivl.data.windows import windows
from minivl.discovla import DiscoVLA
from minivl.hub.checkpoints import finite
from minivl.tasks.clip import faiss_lists
from minivl.tasks.clip.index import SearchIndex

WINDOW = 30.0  # seconds; clips of retrieval corpora are mostly shorter, so they are searched as they are evaluated
WINDOWS_AT_ONCE = 8


@dataclass(frozen=True)
class Hit:
    """One answer to a query."""

    path: Path
    score: float  # cosine
    start: float  # seconds
    end: float
    part: bool  # of a longer video

    @property
    def place(self) -> str:
        """For reading, where in a longer video it is: ", 1:30 - 2:00"."""

        def clock(seconds: float) -> str:
            minutes, seconds = divmod(round(seconds), 60)
            hours, minutes = divmod(minutes, 60)
            return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

        return f", {clock(self.start)} - {clock(self.end)}" if self.part else ""


@dataclass(frozen=True)
class Searcher:
    """A model, and how it looks at videos."""

    model: DiscoVLA
    backbone: Clip
    inputs: InputConfig
    window: float = WINDOW  # seconds

    @torch.inference_mode()
    def encode_text(self, query: str) -> np.ndarray:
        """Embedding (D,) of a query, of length 1."""
        device = next(self.model.parameters()).device
        ids, mask = tokenize(self.backbone.tokenizer, [query], self.inputs.max_words)
        text = self.model.encode_caption(ids.to(device), mask.to(device))[0]
        return torch.nn.functional.normalize(text, dim=-1).float().cpu().numpy()

    @torch.inference_mode()
    def encode_video(self, path: Path) -> tuple[list[tuple[float, float]], np.ndarray]:
        """Windows (start, end) in seconds and their embeddings (n, D). Raises VideoError for what cannot be read."""
        self.model.eval()
        device = next(self.model.parameters()).device
        spans, rows, batch = [], [], []
        for start, end, frames in self.windows(path):
            spans.append((start, end))
            batch.append(preprocess(frames, self.backbone.image_size, self.backbone.mean, self.backbone.std))
            if len(batch) == WINDOWS_AT_ONCE:
                rows.append(self.model.encode_video(torch.stack(batch).to(device))[0])  # (8, F, 3, H, W) -> (8, D)
                batch = []
        if batch:
            rows.append(self.model.encode_video(torch.stack(batch).to(device))[0])
        return spans, torch.cat(rows).float().cpu().numpy()

    def windows(self, path: Path) -> Iterator[tuple[float, float, np.ndarray]]:
        """Start, end and frames, uint8 (F, size, size, 3), of each window of a video."""
        F, size, duration = self.inputs.max_frames, self.backbone.image_size, probe(path).duration
        if duration <= 1.5 * self.window:
            frames, _ = sample_frames(path, F, self.inputs.frames_per_second)
            yield 0.0, duration, crop_square(frames, size)
            return
        for number, frames in enumerate(windows(path, self.window, F, size)):
            start, end = number * self.window, (number + 1) * self.window
            if len(frames) < F:  # the video ends here
                end = start + len(frames) / F * self.window
                frames = frames[np.linspace(0, len(frames) - 1, F).astype(int)]
            yield start, end, frames

    def identity(self) -> str:
        """Changes with whatever changes embeddings."""
        digest = hashlib.sha256(
            repr(
                (
                    self.inputs,
                    self.window,
                    self.backbone.image_size,
                    self.backbone.mean,
                    self.backbone.std,
                    self.model.config,
                )
            ).encode()
        )
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def index_place(folder: Path, searcher: Searcher, root: Path | None = None) -> Path:
    """Place of the index of a folder: below `root`, or in the cache, so that the folder stays as it is.

    Another model, or another way of looking at videos, has another index.
    """
    folder = folder.absolute()
    name = hashlib.sha256(f"{folder}\n{searcher.identity()}".encode()).hexdigest()[:16]
    return (root or cache_dir() / "search") / f"{folder.name}-{name}"


def search(
    query: str,
    paths: list[Path],
    searcher: Searcher,
    top: int = 5,
    folder: Path | None = None,
    index: Path | None = None,
    progress: bool = True,
) -> tuple[list[Hit], list[tuple[Path, str]]]:
    """The `top` best windows, best first, and which files could not be read and why.

    folder: where all paths are, None for the folder that they share. index: where indexes are kept, see `index_place`.
    Raises ValueError for no paths, VideoError if not a single file can be read.
    """
    if not paths:
        raise ValueError("no videos to search")
    paths = [Path(path) for path in paths]
    folder = folder or Path(os.path.commonpath([path.absolute().parent for path in paths]))
    known = SearchIndex(index_place(folder, searcher, index), folder)
    with known.locked():
        known.update(paths, searcher.encode_video, progress)
        skipped = [(path, reason) for path in paths if (reason := known.skipped(path))]
        if len(skipped) == len(paths):
            listing = "".join(f"\n  {path}: {reason}" for path, reason in skipped)
            raise VideoError(folder, f"none of {len(paths)} videos can be read:{listing}")
        windows = {
            key: (path, *span, len(spans) > 1)
            for path in paths
            for keys, spans in [known.windows(path)]
            for key, span in zip(keys, spans, strict=True)
        }
        keys, cosines = _best(searcher.encode_text(query), known, windows, top)
    finite(torch.from_numpy(cosines), "cosines")
    hits = [
        Hit(path, float(cosine), start, end, part)
        for cosine, (path, start, end, part) in zip(cosines, (windows[key] for key in keys), strict=True)
    ]
    return hits, skipped


def _best(text: np.ndarray, index: SearchIndex, windows: dict, top: int) -> tuple[list[int], np.ndarray]:
    """Keys and cosines of the `top` nearest of these windows."""
    if index.kept and index.count == len(windows) > faiss_lists.EXACT:
        try:
            keys, cosines = faiss_lists.nearest_windows(
                text,
                index.place,
                np.sort(np.fromiter(windows, np.int64, len(windows))),
                lambda: index.embeddings()[1],
                top,
            )
            return keys.tolist(), cosines
        except ImportError:
            warnings.warn(
                f"{len(windows)} windows are searched one by one, which is slow: pip install minivl[index]",
                stacklevel=3,
            )
    keys, rows = index.embeddings()  # (n,), (n, D)
    asked = np.isin(keys, np.fromiter(windows, np.int64, len(windows)))
    keys, rows = keys[asked], rows[asked]
    cosines = rows @ text / np.linalg.norm(rows, axis=1)  # (n,)
    order = np.argsort(-cosines, kind="stable")[:top]
    return keys[order].tolist(), cosines[order]


def frames_of(hit: Hit, searcher: Searcher) -> np.ndarray:
    """The frames of an answer as the model saw them, uint8 (F, size, size, 3)."""
    return next(frames for start, _, frames in searcher.windows(hit.path) if math.isclose(start, hit.start))
