"""Common base of UniVL's five downstream tasks: fit, predict, evaluate."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from minivl.config import NarrationConfig, TaskConfig
from minivl.data.segments import SegmentDataset
from minivl.tasks.univl.saving import SavedTask
from minivl.tasks.univl.whole_videos import encode_frames, name_of, read_videos, require_columns
from minivl.train.engine import default_device
from minivl.train.loop import SizedDataset, fit, fitting, seed_everything
from minivl.univl import UniVL
from minivl.univl.layers import init_weights

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame


class Task(SavedTask, ABC):
    """A UniVL with what one task needs, to be fine-tuned on rows of the one schema and scored on others.

        task = Captioning.start("kitchen", tokenizer, config)          # or scratch=True: the same sizes at random
        task.fit(train_rows, run_dir)                                  # resumes by itself
        task.predict(rows); task.evaluate(rows)                        # scores by name, percent unless said
        Captioning.baselines(train_rows, rows)                         # the same scores for guessing
        task.save_pretrained(folder); Captioning.from_pretrained(folder)

    rows are `datasets.Dataset`s with `features` and `feature_rate`, and the columns that the task names.
    """

    least: ClassVar[int] = 1  # examples in a batch; 2 where they are compared with each other

    def __init__(self, univl: UniVL, tokenizer: Any, config: TaskConfig):
        super().__init__()
        self.univl, self.tokenizer, self.config = univl, tokenizer, config

    @classmethod
    def start(
        cls, pretrained: Path | str, tokenizer: Any, config: TaskConfig, scratch: bool = False, **settings: Any
    ) -> Self:
        """The task on a pretrained UniVL (a folder or hub name), or on one of its sizes with random weights.

        settings   of the task itself. What is new starts at random, as `config.train.seed` says.
        """
        seed_everything(config.train.seed)
        univl = UniVL.from_pretrained(pretrained, parts=cls.parts_for(**settings))
        if scratch:
            univl = UniVL(univl.config, univl.objectives)
        return cls(univl, tokenizer, config, **settings).to(default_device())

    @property
    def section(self) -> str:
        """Name of the task's settings in a scale's `univl_tasks`."""
        return self.kind

    @property
    def inputs(self) -> NarrationConfig:
        """Lengths of texts and videos, as the data sets take them."""
        return NarrationConfig(max_words=self.config.max_words, max_frames=self.config.max_frames)

    def fit(self, rows: "Dataset", run_dir: Path, progress: bool = True, data: str | None = None) -> Self:
        """Fine-tune on `rows`; a run in `run_dir` that was interrupted goes on. Returns the task itself.

        A batch is at most as large as the data, and a warning says so. `data` tells other rows apart: a run goes on
        with the same alone.
        """
        settings = {
            "task": type(self).__name__,
            "config": dataclasses.asdict(self.config) | {"train": None},
            "univl": dataclasses.asdict(self.univl.config),
            **self.run_settings(),
        } | ({"data": data} if data else {})
        examples = self.dataset(rows)
        train = fitting(self.config.train, len(examples), f"univl_tasks.{self.section}.train", self.least)
        fit(self, examples, train, run_dir, settings=settings, progress=progress)
        return self

    def run_settings(self) -> dict[str, Any]:
        """Settings that a run of this task depends on beyond its configuration, for the run's record."""
        return self.settings()

    @abstractmethod
    def dataset(self, rows: "Dataset") -> SizedDataset:
        """Training examples."""

    @abstractmethod
    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """{..., "total"} of a batch of training examples."""

    @abstractmethod
    def predict(self, rows: "Dataset", progress: bool = True) -> Any:
        """The task's answer for each row."""

    @abstractmethod
    def predictions(self, rows: "Dataset", progress: bool = True) -> list[dict[str, Any]]:
        """`predict` as JSON has it: for each row `place_of` it, and the answer. No truth is read."""

    def evaluate(self, rows: "Dataset", progress: bool = True) -> dict[str, float]:
        """Scores on rows with their truth, see `scores_of`."""
        self.check_truth(rows)
        return self.scores_of(self.predict(rows, progress), rows)

    @abstractmethod
    def check_truth(self, rows: "Dataset") -> None:
        """Raise an error unless rows have what they are scored by: told before predictions, which take long."""

    @abstractmethod
    def scores_of(self, predicted: Any, rows: "Dataset") -> dict[str, float]:
        """Scores of what `predict` returned."""

    @abstractmethod
    def examples_of(self, predicted: Any, rows: "Dataset") -> "DataFrame":
        """What each example has in these scores, and what was predicted: see `minivl.results.queries`."""

    @staticmethod
    @abstractmethod
    def baselines(train_rows: "Dataset", rows: "Dataset") -> dict[str, dict[str, float]]:
        """Way of guessing -> the scores of `evaluate` that it gets."""

    # For the five tasks

    def segments(self, rows: "Dataset", text: str | None) -> SegmentDataset:
        """Rows cut to their `start` and `end` as the model reads them, see `SegmentDataset` for `text`."""
        require_columns(rows, "features", "feature_rate")
        return SegmentDataset(rows, self.tokenizer, self.inputs, text, feature_size=self.univl.config.video_dim)

    def encoded_videos(self, rows: "Dataset", progress: bool = True) -> Iterator[tuple[dict, Tensor]]:
        """Each row with the frames of its whole video as the video encoder sees them, (T, D)."""
        for row, features in read_videos(rows, self.univl.config.video_dim, progress):
            yield row, encode_frames(self.univl, features, self.config.max_frames, self.config.train.batch_size)

    def encode(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Texts (N, W, D) with their mask, and videos (N, T, D) with theirs, as the two encoders see a batch."""
        text = self.univl.encode_text(batch["input_ids"], batch["attention_mask"])
        video = self.univl.encode_video(batch["video"], batch["video_mask"])
        return text, batch["attention_mask"], video, batch["video_mask"]

    def encode_text(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Texts alone, on the device of the model: (N, W, D) and their mask."""
        batch = self.move({"ids": ids, "mask": mask})
        return self.univl.encode_text(batch["ids"], batch["mask"]), batch["mask"]

    def new_head(self, outputs: int) -> nn.Linear:
        """A linear layer (D -> outputs) on UniVL's hidden states, with random weights."""
        head = nn.Linear(self.univl.config.hidden_size, outputs)
        head.apply(init_weights)
        return head.to(next(self.univl.parameters()).device)

    def move(self, batch: dict) -> dict:
        """A batch on the device of the model."""
        device = next(self.parameters()).device
        return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


def place_of(row: dict) -> dict[str, Any]:
    """The clip that a row is about: {"video_id"}, and "start" and "end" in seconds where it is part of a video."""
    window = {name: row[name] for name in ("start", "end") if row.get(name) is not None}
    return {"video_id": name_of(row), **window}
