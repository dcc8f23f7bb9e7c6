"""The whole matrix: each of UniVL's objectives left out, by all five tasks, in several narrated worlds.

Pretraining is that of `univl_parts`. All scores are means over test videos of what a video, or its segments, have: so
tasks on segments, on videos and on opinions are judged alike. Opinions are the bundled ones in every world.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_lessons import localization_scores, right_seconds
from minivl.ablations.univl_parts import FEW, TESTED, few, pretrained
from minivl.ablations.univl_worlds import hash_of_features
from minivl.config import Scale
from minivl.data.wordpiece import load_tokenizer
from minivl.metrics.captioning import caption_scores
from minivl.metrics.retrieval import scores_by_video
from minivl.tasks.univl.captioning import as_tokens
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.finetuning import KINDS
from minivl.tasks.univl.segmentation import frame_labels
from minivl.tasks.univl.sentiment import sentiments
from minivl.train.loop import seed_everything
from minivl.univl import UniVL

if TYPE_CHECKING:
    from datasets import Dataset

# Task of KINDS -> steps of fine-tuning. Localization works as pretraining leaves it.
FINE_TUNED = {"joint": 30, "align": 30, "captioning": 60, "segmentation": 60, "localization": 0, "sentiment": 60}
SLOW = ("align", "captioning")  # these are scored on the first TESTED videos: all pairs are read, captions are searched


def run_matrix(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain as a cell says, fine-tune a copy for every task, and score."""
    univl, told, scores = pretrained(settings, cell, seed)
    by_video = dict(_scored(task, univl, told, seed) for task in FINE_TUNED)
    scores |= {name: float(values.mean()) for name, values in by_video.items()}
    examples = {name: values.astype(np.float32) for name, values in by_video.items()}
    return Measured(scores, examples, test_set=hash_of_features(told.narrated / "test"))


def _scored(name: str, univl: UniVL, settings: Scale, seed: int) -> tuple[str, NDArray]:
    """Scores on a task by test video, after as many steps of fine-tuning as FINE_TUNED says."""
    kind, options = KINDS[name]
    steps = FINE_TUNED[name]
    seed_everything(seed)
    task = kind(copy.deepcopy(univl), load_tokenizer(UNIVL), few(settings, name, steps, seed), **options)
    if steps:
        with TemporaryDirectory() as run_dir:
            task.fit(
                task_rows(kind.kind, "train", settings, None if name == "sentiment" else FEW),
                Path(run_dir),
                progress=False,
            )
    test = task_rows(kind.kind, "test", settings, TESTED if name in SLOW else None)
    score, measure = SCORES[name]
    _, videos = np.unique(test["video_id"], return_inverse=True)
    return score, np.bincount(videos, weights=measure(task, test)) / np.bincount(videos)


def _found(task: Any, test: "Dataset") -> NDArray:
    return scores_by_video(task.predict(test, progress=False))["R@sum"]


def _captions(task: Any, test: "Dataset") -> NDArray:
    truth = [as_tokens(task.tokenizer, [caption], task.config.max_words) for caption in test["caption"]]
    return caption_scores(task.predict(test, progress=False), truth)["CIDEr"]


def _right_seconds(task: Any, test: "Dataset") -> NDArray:
    labels = task.predict(test, progress=False)
    truth = [frame_labels(row["steps"], row["feature_rate"], len(seen)) for row, seen in zip(test, labels, strict=True)]
    return right_seconds(labels, truth)


def _recall(task: Any, test: "Dataset") -> NDArray:
    return localization_scores(task, test)[1]["recall per video"]


def _smaller_error(task: Any, test: "Dataset") -> NDArray:
    return -100 * np.abs(task.predict(test, progress=False) - sentiments(test))


# Task -> name of its score, in which more is better, and what gives it for each row (N,).
SCORES: dict[str, tuple[str, Callable[[Any, "Dataset"], NDArray]]] = {
    "joint": ("FT-Joint, R@sum", _found),
    "align": ("FT-Align, R@sum", _found),
    "captioning": ("captions, CIDEr", _captions),
    "segmentation": ("segmentation, right seconds", _right_seconds),
    "localization": ("localization, recall", _recall),
    "sentiment": ("sentiment, -100 x error", _smaller_error),
}
