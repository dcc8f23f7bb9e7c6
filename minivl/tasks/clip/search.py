"""Search of videos by text: what was encoded is kept in an index on disk, and an answer says where in a video it is.

    score = cos( text, window )        window: some seconds of a video, encoded as DiscoVLA encodes a clip

A clip of up to one and a half windows is encoded as a whole, with the frames that training would show of it. Longer
videos are cut into windows, and read from beginning to end with a few windows in memory at a time.

Where all videos are in the index already, nothing is loaded but the text tower.
"""

import hashlib
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from minivl.clip import Clip, ModelError
from minivl.config import InputConfig, cache_dir
from minivl.data.text import tokenize
from minivl.data.video import VideoError
from minivl.data.world.language import pretraining_words
from minivl.discovla import DiscoVLA
from minivl.discovla.zero_shot import ZeroShot
from minivl.hub.checkpoints import finite
from minivl.tasks.clip import faiss_lists
from minivl.tasks.clip.index import Encoded, SearchIndex
from minivl.tasks.clip.models import find_model, load_text, load_whole
from minivl.tasks.clip.reading import WindowReader, read_windows

WINDOW = 30.0  # seconds; clips of retrieval corpora are mostly shorter, so they are searched as they are evaluated
WINDOWS_AT_ONCE = 8
FEW = 20  # windows, of which nothing can be said about the best
SMALL_MODEL = 10_000_000  # parameters


@dataclass(frozen=True)
class Hit:
    """One answer to a query."""

    path: Path
    score: float  # cosine
    start: float  # seconds
    end: float
    part: bool  # of a longer video
    above: float | None = None  # the mean of all windows, in standard deviations of them; None if nobody computed it
    among: int = 0  # windows

    @property
    def place(self) -> str:
        """For reading, where in a longer video it is: ", 1:30 - 2:00"."""

        def clock(seconds: float) -> str:
            minutes, seconds = divmod(round(seconds), 60)
            hours, minutes = divmod(minutes, 60)
            return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

        return f", {clock(self.start)} - {clock(self.end)}" if self.part else ""


def sureness(hits: Sequence[Hit]) -> str:
    """One sentence on whether the best answer is better than chance; "" for nothing to say.

    Of n windows that have nothing to do with the query, if their cosines are normal, the best is more than z standard
    deviations above their mean in one of twenty searches, where Phi(z)^n = 0.95.
    """
    best = hits[0]
    if best.above is None:
        return ""
    if best.among < FEW:
        return f"{best.among} windows are too few to tell whether the best stands out"
    chance = NormalDist().inv_cdf(0.95 ** (1 / best.among))
    against = (
        f"{best.above:.1f} standard deviations above the mean of {best.among} windows; chance alone reaches "
        f"{chance:.1f} in one search of 20"
    )
    if best.above > chance:
        return f"the best stands out: {against}"
    return f"the best does not stand out: {against}. None shows this, or many do, or the model cannot tell"


@dataclass
class Searcher:
    """A model, and how it looks at videos. `open_searcher` makes one by the name of a model."""

    text: Any  # DiscoVLA or AdaptedText: encodes captions
    tokenizer: Callable
    inputs: InputConfig
    model_identity: str  # changes with whatever changes embeddings
    load: Callable[[], tuple[Clip, DiscoVLA | ZeroShot]]  # the whole model, which videos need
    window: float = WINDOW  # seconds
    processes: int | None = None  # that decode videos, see `read_windows`
    vocabulary: frozenset[str] | None = None  # all words that its CLIP was trained on, where they can be listed

    def never_read(self, query: str) -> list[str]:
        """Words of a query that the model's CLIP was not trained on, as far as its words are known."""
        words = dict.fromkeys(re.findall(r"[^\W\d_]+", query.lower()))
        return [] if self.vocabulary is None else [word for word in words if word not in self.vocabulary]

    @torch.inference_mode()
    def encode_text(self, query: str) -> np.ndarray:
        """Embedding (D,) of a query, of length 1."""
        device = next(self.text.parameters()).device
        ids, mask = tokenize(self.tokenizer, [query], self.inputs.max_words)
        with _threads_for(self.text):
            text = self.text.encode_caption(ids.to(device), mask.to(device))[0]
        return torch.nn.functional.normalize(text, dim=-1).float().cpu().numpy()

    def encode_videos(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Encoded | VideoError]]:
        """For each video, in any order, its windows (start, end) in seconds and their embeddings (n, D).

        For what cannot be read a VideoError. A video is encoded on its own, so it does not matter what else there is.
        """
        spans: dict[Path, list[tuple[float, float]]] = {}
        rows: dict[Path, list[np.ndarray]] = {}
        waiting: dict[Path, list[np.ndarray]] = {}  # frames
        for path, found in read_windows(paths, self.reader, self.processes):
            if isinstance(found, tuple):
                start, end, frames = found
                spans.setdefault(path, []).append((start, end))
                waiting.setdefault(path, []).append(frames)
            if path in waiting and (found is None or len(waiting[path]) == WINDOWS_AT_ONCE):
                rows.setdefault(path, []).append(self._encode(waiting.pop(path)))
            if found is None:
                yield path, (spans.pop(path), np.concatenate(rows.pop(path)))
            elif isinstance(found, VideoError):
                for of_it in (spans, rows, waiting):
                    of_it.pop(path, None)
                yield path, found

    @torch.inference_mode()
    def _encode(self, windows: list[np.ndarray]) -> np.ndarray:
        """Frames (F, size, size, 3) of up to eight windows -> (n, D)."""
        clip, model = self._whole
        pixels = torch.stack([clip.preprocess(frames) for frames in windows])
        device = next(model.parameters()).device
        with _threads_for(model):
            rows = model.eval().encode_video(pixels.to(device))[0].float().cpu().numpy()
        if not np.isfinite(rows).all():
            raise ModelError(
                "this model's embeddings of videos are not finite: its weights or its preprocessing are damaged"
            )
        return rows

    @property
    def reader(self) -> WindowReader:
        """What samples windows of videos as the model sees them."""
        clip, inputs = self._whole[0], self.inputs
        looks = (clip.image_size, self.window, clip.resizing, clip.interpolation)
        return WindowReader(inputs.max_frames, inputs.frames_per_second, *looks)

    @cached_property
    def _whole(self) -> tuple[Clip, DiscoVLA | ZeroShot]:
        return self.load()


@contextmanager
def _threads_for(model: torch.nn.Module) -> Iterator[None]:
    """Run a small model on one thread: several would wait for each other four times longer than they compute."""
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL_MODEL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_searcher(name: str, window: float = WINDOW, processes: int | None = None) -> Searcher:
    """The searcher of a model, see `find_model` for its name; its vision tower is loaded when a video needs it."""
    source = find_model(name)
    text, tokenizer = load_text(source)
    words = pretraining_words() if source.clip.name == "kitchen" else None
    return Searcher(
        text, tokenizer, source.inputs, source.identity(), lambda: load_whole(source), window, processes, words
    )


def index_place(folder: Path, searcher: Searcher, root: Path | None = None) -> Path:
    """Place of the index of a folder: below `root`, or in the cache, so that the folder stays as it is.

    Another model, or another way of looking at videos, has another index.
    """
    folder = folder.absolute()
    looks = f"{folder}\n{searcher.window}\n{searcher.model_identity}"
    name = hashlib.sha256(looks.encode(errors="surrogateescape")).hexdigest()[:16]
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
        known.update(paths, searcher.encode_videos, progress)
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
        keys, cosines, spread = _best(searcher.encode_text(query), known, windows, top)
    finite(torch.from_numpy(cosines), "cosines")
    hits = [
        Hit(path, float(cosine), start, end, part, spread and _above(float(cosine), *spread), len(windows))
        for cosine, (path, start, end, part) in zip(cosines, (windows[key] for key in keys), strict=True)
    ]
    return hits, skipped


def _above(cosine: float, mean: float, deviation: float) -> float:
    return (cosine - mean) / deviation if deviation > 0 else 0.0


def _best(
    text: np.ndarray, index: SearchIndex, windows: dict, top: int
) -> tuple[list[int], np.ndarray, tuple[float, float] | None]:
    """Keys and cosines of the `top` nearest of these windows; of equally near ones the first.

    Also mean and standard deviation of the cosines of all windows; None where an index of neighbours spares computing
    them.
    """
    if index.kept and index.count == len(windows) > faiss_lists.EXACT:
        try:
            keys, cosines = faiss_lists.nearest_windows(
                text,
                index.place,
                np.sort(np.fromiter(windows, np.int64, len(windows))),
                lambda: index.embeddings()[1],
                top,
            )
            return keys.tolist(), cosines, None
        except ImportError:
            warnings.warn(
                f"{len(windows)} windows are searched one by one, which is slow: pip install minivl[index]",
                stacklevel=3,
            )
    keys, rows = index.embeddings()  # (n,), ascending, and (n, D)
    asked = np.fromiter(windows, np.int64, len(windows))
    rows = rows[np.searchsorted(keys, asked)]
    cosines = rows @ text / np.linalg.norm(rows, axis=1)  # (n,)
    order = np.argsort(-cosines, kind="stable")[:top]
    return asked[order].tolist(), cosines[order], (float(cosines.mean()), float(cosines.std()))


def frames_of(hit: Hit, searcher: Searcher) -> np.ndarray:
    """The frames of an answer as the model saw them, uint8 (F, size, size, 3)."""
    return next(frames for start, _, frames in searcher.reader.windows(hit.path) if math.isclose(start, hit.start))
