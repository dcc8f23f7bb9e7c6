"""Step localization as on CrossTask: the steps of a task are known, when does a video show each? (section 4.3)

    score[t, k] = text_k . video_t        text_k: pooled words of step k's description; video_t: encoded frame t

Nobody labels steps for this: the two encoders have learned from narration to put what is said near to what is shown.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from minivl.config import TaskConfig
from minivl.config.settings import OBJECTIVES
from minivl.data.narration import NarratedDataset
from minivl.data.schema import SchemaError
from minivl.data.wordpiece import encode_texts
from minivl.metrics.localization import chance_recall, ordered_frames, step_mask, step_recall
from minivl.results.queries import example_table, place_name
from minivl.tasks.univl.base import Task, place_of
from minivl.tasks.univl.whole_videos import name_of, read_videos, require_columns
from minivl.univl import UniVL

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame


@dataclass(frozen=True)
class LocatedSteps:
    """Steps of one video, with the score of each in every frame."""

    steps: list[str]  # K descriptions in the order of the task
    scores: np.ndarray  # (T, K)
    rate: float  # frames per second

    def seconds(self, ordered: bool = False) -> np.ndarray:
        """When each step is seen best, (K,); chosen one by one, or together in the order of the task."""
        frames = ordered_frames(self.scores) if ordered else self.scores.argmax(0)
        return frames / self.rate


def descriptions(rows: "Dataset") -> list[list[str]]:
    """For each row the K steps of its task in order: its `task_steps`.

    Without that column they are derived from the annotations: all labels in the given videos of the task, in the order
    of their mean place in a video (then their number and order, but not their times, are known to the model).
    Raises SchemaError for a video without any.
    """
    if "task_steps" not in rows.column_names and {"task", "steps"} <= set(rows.column_names):
        orders = _derived_orders(rows)
        found = [orders.get(task) for task in rows["task"]]
    else:
        require_columns(rows, "task_steps")
        found = list(rows["task_steps"])
    for number, steps in enumerate(found):
        if not steps:
            raise SchemaError(f"{name_of(rows[number])} has no step descriptions: give its task a list `task_steps`")
    return found


def true_frames(row: dict, steps: list[str], frames: int) -> np.ndarray:
    """(T, K): whether frame t shows step k; a frame may show several.

    Raises SchemaError for a step that is not among the K.
    """
    shown = row["steps"] or []
    strange = [step["label"] for step in shown if step["label"] not in steps]
    if strange:
        raise SchemaError(f"{name_of(row)} shows {strange[0]!r}, which is not a step of its task: {', '.join(steps)}")
    intervals = [
        (k, step["start"], step["end"]) for step in shown for k, name in enumerate(steps) if name == step["label"]
    ]
    return step_mask(intervals, frames, len(steps), row["feature_rate"])


class Localization(Task):
    """Scores of frames for step descriptions, in the space of Joint.

    It works zero-shot after pretraining. `fit` goes on with Joint (MIL-NCE) on the narrations of videos, whose steps
    it never reads. Long videos are encoded in windows of `config.max_frames`.
    """

    kind: ClassVar[str] = "localization"
    least: ClassVar[int] = 2

    def __init__(self, univl: UniVL, tokenizer: Any, config: TaskConfig):
        super().__init__(univl, tokenizer, config)
        weights: dict[str, Any] = {**dict.fromkeys(OBJECTIVES, 0.0), "joint": 1.0}
        univl.objectives = replace(univl.objectives, **weights)

    def dataset(self, rows: "Dataset") -> NarratedDataset:
        return NarratedDataset(
            rows, self.tokenizer, self.inputs, masked=False, feature_size=self.univl.config.video_dim
        )

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.univl.losses(batch)

    @torch.inference_mode()
    def predict(self, rows: "Dataset", progress: bool = True) -> list[LocatedSteps]:
        """The scores (T, K) of each video, and the seconds that they choose."""
        require_columns(rows, "features", "feature_rate")
        self.eval()
        located = []
        for (row, frames), steps in zip(self.encoded_videos(rows, progress), descriptions(rows), strict=True):
            scores = frames @ self._encode_steps(steps).T  # (T, D) (D, K) -> (T, K)
            located.append(LocatedSteps(list(steps), scores.float().cpu().numpy(), row["feature_rate"]))
        return located

    def predictions(self, rows: "Dataset", progress: bool = True) -> list[dict[str, Any]]:
        """For each video its place and {"steps"}: {"label", "time", "ordered time"} for each step of its task.

        time           second in which the step is seen best
        ordered time   the same where all steps must keep the order of the task; None where it has more than the video
                       has frames
        """
        located = self.predict(rows, progress)
        return [place_of(row) | {"steps": _times(video)} for row, video in zip(rows, located, strict=True)]

    def _encode_steps(self, steps: list[str]) -> Tensor:
        """K descriptions -> (K, D)."""
        return self.univl.pool_text(*self.encode_text(*encode_texts(self.tokenizer, steps, self.config.max_words)))

    def check_truth(self, rows: "Dataset") -> None:
        require_columns(rows, "features", "feature_rate", "steps", "task")

    def scores_of(self, predicted: list[LocatedSteps], rows: "Dataset") -> dict[str, float]:
        """Average recall over tasks in percent, of steps chosen one by one and "ordered": see `step_recall`.

        Videos that show no step don't count. Raises SchemaError if all are such, ValueError if one has fewer frames
        than its task has steps.
        """
        return _recalls(_truth(predicted, rows), rows["task"], [video.scores for video in predicted])

    def examples_of(self, predicted: list[LocatedSteps], rows: "Dataset") -> "DataFrame":
        """The recall of each video's own steps, for videos that show one; the mean over tasks is another number."""
        truth = _truth(predicted, rows)
        shown = [number for number, mask in enumerate(truth) if mask.any()]
        recalls = [step_recall([predicted[i].scores], [truth[i]], [""])["recall"] for i in shown]
        places = [place_name(place_of(row)) for row in rows]
        return example_table([places[i] for i in shown], {"recall per video": recalls})

    @staticmethod
    def baselines(train_rows: "Dataset", rows: "Dataset") -> dict[str, dict[str, float]]:
        """The scores of

        chance         guessing frames, as exact expectation; "ordered": guessing them in the order of the task
        evenly spread  step k of K at the share (k + 0.5) / K of the video, which knows the order and nothing else
        """
        require_columns(rows, "features", "feature_rate", "steps", "task")
        truth, spread = [], []
        for (row, features), steps in zip(read_videos(rows), descriptions(rows), strict=True):
            T, K = len(features), len(steps)
            truth.append(true_frames(row, steps, T))
            chosen = ((np.arange(K) + 0.5) / K * T).astype(int)  # (K,)
            spread.append(np.arange(T)[:, None] == chosen)  # (T, K)
        return {"chance": _recalls(truth, rows["task"]), "evenly spread": _recalls(truth, rows["task"], spread)}


def _truth(predicted: list[LocatedSteps], rows: "Dataset") -> list[np.ndarray]:
    """(T, K) of each video: which frame shows which step."""
    return [true_frames(row, video.steps, len(video.scores)) for row, video in zip(rows, predicted, strict=True)]


def _times(video: LocatedSteps) -> list[dict[str, Any]]:
    K, T = len(video.steps), len(video.scores)
    alone, ordered = video.seconds().tolist(), video.seconds(ordered=True).tolist() if K <= T else [None] * K
    times = zip(video.steps, alone, ordered, strict=True)
    return [{"label": label, "time": time, "ordered time": in_order} for label, time, in_order in times]


def _recalls(truth, tasks, scores=None):
    """Average recalls of the videos that show a step; those of guessing without scores."""
    kept = [number for number, shown in enumerate(truth) if shown.any()]
    if not kept:
        raise SchemaError(f"none of these {len(truth)} videos shows a step: recall is not defined")
    truth, tasks = [truth[number] for number in kept], [tasks[number] for number in kept]
    orders = {"recall": False, "ordered recall": True}
    if scores is None:
        return {name: chance_recall(truth, tasks, ordered)["recall"] for name, ordered in orders.items()}
    scores = [scores[number] for number in kept]
    return {name: step_recall(scores, truth, tasks, ordered)["recall"] for name, ordered in orders.items()}


def _derived_orders(rows):
    """Task -> the labels in its videos, in the order of their mean place: start over the end of the last step."""
    places = defaultdict(lambda: defaultdict(list))
    for task, steps in zip(rows["task"], rows["steps"], strict=True):
        last = max((step["end"] for step in steps or []), default=None)
        for step in steps or []:
            places[task][step["label"]].append(step["start"] / last)
    return {task: sorted(found, key=lambda label: np.mean(found[label])) for task, found in places.items()}
