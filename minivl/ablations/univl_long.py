"""Long pretraining: what it changes for FT-Joint, for FT-Align and for captions, in several worlds.

Pretraining and captions are those of `univl_parts`. Retrieval is fine-tuned on all captioned videos.
"""

import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_parts import TESTED, captions, copying, few, measured, pretrained
from minivl.config import Scale
from minivl.data.wordpiece import load_tokenizer
from minivl.metrics.retrieval import scores_by_video
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.retrieval import Retrieval
from minivl.univl import UniVL

TUNING = 100  # steps of fine-tuning for retrieval
CAPTIONS = {"joint": 32, "align": 16}  # per step; FT-Align reads all pairs of them with the segments


def run_long(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain as a cell says; R@1 of captions by both methods and CIDEr from video alone, after fine-tuning."""
    univl, told, scores = pretrained(settings, cell, seed)
    joint, align = (_recall(univl, told, method, seed) for method in CAPTIONS)
    by_segment = {
        "R@1, FT-Joint": joint,
        "R@1, FT-Align": align,
        "R@1, FT-Align minus FT-Joint": align - joint,
        "CIDEr": captions(univl, told, seed)["CIDEr"],
    }
    scores |= {f"R@1, {method}": float(_recall(univl, told, method, seed, steps=0).mean()) for method in CAPTIONS}
    return measured(by_segment, told, scores | copying(univl, told))


def _recall(univl: UniVL, settings: Scale, method: str, seed: int, steps: int = TUNING) -> np.ndarray:
    """R@1 (N,) of test captions after so many steps of fine-tuning by a method."""
    config = few(settings, method, steps, seed)
    config = replace(config, train=replace(config.train, batch_size=min(CAPTIONS[method], config.train.batch_size)))
    task = Retrieval(copy.deepcopy(univl), load_tokenizer(UNIVL), config, method=method)
    if steps:
        with TemporaryDirectory() as run_dir:
            task.fit(task_rows("retrieval", "train", settings), Path(run_dir), progress=False)
    return scores_by_video(task.predict(task_rows("retrieval", "test", settings, TESTED), progress=False))["t2v R@1"]
