"""FT-Align against FT-Joint from no to many steps, with hard negatives, and re-ranking, in several worlds.

Pretraining is that of `univl_parts`. A cell's method is its "method", or its name. A step of FT-Align reads all pairs
of BATCH captions and segments with the cross encoder. With hard negatives it reads as many pairs, of twice the
captions: each with its own segment and with the wrong ones that it is closest to by the means. The first cell of a
pretraining is charged for it: `cpu hours` is a study's, not a cell's.
"""

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, relu

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_parts import TESTED, captioned_world, few, measured, pretrained
from minivl.config import Scale
from minivl.data.wordpiece import load_tokenizer
from minivl.metrics.retrieval import scores_by_video
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.retrieval import CANDIDATES, Retrieval, rerank
from minivl.univl import UniVL

TUNED = (0, 30, 600)  # steps of fine-tuning, on all captioned videos
TIMES = 6  # those that the scale's tasks take
BATCH = 16  # captions whose pairs with all segments of the batch are read
MARGIN = 0.1  # that of FT-Align

_KNOWN: dict[tuple, Any] = {}  # similarities, and the model before fine-tuning: cells of a world and seed share them


class HardAlign(Retrieval):
    """FT-Align on the pairs that FT-Joint finds hard: S[i,j] for the `kept` nearest wrong videos j of each text i.

        L = mean_i mean_{j hard for i} relu( m + S[i,j] - S[i,i] )

    Which ones are hard is asked of the same encoders, without gradient, at every step.
    """

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        text, text_mask, video, video_mask = self.encode(batch)  # (N, W, D), (N, W), (N, T, D), (N, T)
        N = len(text)
        kept = min(N - 1, BATCH**2 // N - 1)  # with N own pairs, as many as all of BATCH captions
        with torch.no_grad():
            near = normalize(self.univl.pool_text(text, text_mask), dim=-1)
            near = near @ normalize(self.univl.pool_video(video, video_mask), dim=-1).T  # (N, N)
            hard = near.fill_diagonal_(-torch.inf).topk(kept).indices  # (N, kept)
        own = torch.arange(N, device=hard.device)[:, None]
        texts, videos = own.repeat(1, kept + 1).flatten(), torch.cat([own, hard], dim=1).flatten()
        scores = self.univl.align_pairs(text[texts], text_mask[texts], video[videos], video_mask[videos])
        scores = scores.view(N, kept + 1)
        return {"total": relu(MARGIN + scores[:, 1:] - scores[:, :1]).mean()}


METHODS = {  # kind of task, its method, captions per step
    "FT-Joint": (Retrieval, "joint", 2 * BATCH),
    "FT-Align": (Retrieval, "align", BATCH),
    "FT-Align, hard negatives": (HardAlign, "align", 2 * BATCH),
}


RANKERS = {
    "re-ranked": "FT-Align",
    "re-ranked, hard negatives": "FT-Align, hard negatives",
}  # who orders the best of FT-Joint


def run_align(settings: Scale, cell: Cell, seed: int) -> Measured:
    """R@1 of captions that look for their segments, after each number of steps; "re-ranked": both methods together."""
    told = replace(settings, narrated=captioned_world(cell))
    method, by_segment = cell.settings.get("method", cell.name), {}
    for steps in TUNED:
        of = partial(_similarities, settings=told, cell=cell, seed=seed, steps=steps)
        found = of(method) if method in METHODS else _reranked(of("FT-Joint"), of(RANKERS[method]))
        by_segment[f"R@1, {steps} steps"] = scores_by_video(found)["t2v R@1"]
    return measured(by_segment, told, {})


def _reranked(joint: NDArray, align: NDArray) -> NDArray:
    """The best candidates of FT-Joint in the order of an FT-Align."""
    return rerank(joint, lambda texts, videos: align[texts, videos], CANDIDATES)


def _similarities(method: str, settings: Scale, cell: Cell, seed: int, steps: int) -> NDArray:
    """Test captions with test segments (N, N), by a method that was fine-tuned on all captioned videos."""
    key = (method, settings.name, settings.narrated, _pretraining(cell), seed, steps)
    if key not in _KNOWN:
        kind, way, captions = METHODS[method]
        config = few(settings, way, steps, seed, TIMES)
        config = replace(config, train=replace(config.train, batch_size=captions))
        task = kind(copy.deepcopy(_pretrained(settings, cell, seed)), load_tokenizer(UNIVL), config, method=way)
        if steps:
            with TemporaryDirectory() as run_dir:
                task.fit(task_rows("retrieval", "train", settings), Path(run_dir), progress=False)
        _KNOWN[key] = task.predict(task_rows("retrieval", "test", settings, TESTED), progress=False)
    return _KNOWN[key]


def _pretrained(settings: Scale, cell: Cell, seed: int) -> UniVL:
    key = ("pretraining", settings.name, settings.narrated, _pretraining(cell), seed)
    if key not in _KNOWN:
        _KNOWN.clear()  # what is of another pretraining, world or seed
        _KNOWN[key] = pretrained(settings, cell, seed)[0]
    return _KNOWN[key]


def _pretraining(cell: Cell) -> tuple:
    """What of a cell's settings decides its pretraining, hashable."""
    return tuple(sorted((name, value) for name, value in cell.settings.items() if name != "method"))
