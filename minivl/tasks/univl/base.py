"""What UniVL's five downstream tasks have in common: fit, predict, evaluate."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import default_collate

from minivl.config import NarrationConfig, TaskConfig
from minivl.train.engine import default_device
from minivl.train.loop import fit, seed_everything
from minivl.univl import UniVL
from minivl.univl.layers import used_length

FIELDS_OF = {
    "attention_mask": ("input_ids", "attention_mask"),
    "video_mask": ("video", "video_mask"),
    "decoder_mask": ("input_caption_ids", "decoder_mask", "output_caption_ids"),
}


class Task(nn.Module, ABC):
    """A UniVL with what one task needs, to be fine-tuned on rows of the one schema and scored on others.

        task = Captioning.start("kitchen", tokenizer, config)          # or scratch=True: the same sizes at random
        task.fit(train_rows, run_dir)                                  # resumes by itself
        task.predict(rows); task.evaluate(rows)                        # scores by name, percent unless said
        Captioning.baselines(train_rows, rows)                         # the same scores for guessing

    rows are `datasets.Dataset`s with `features` and `feature_rate`, and the columns that the task names.
    """

    parts: tuple[str, ...] = ()  # of UniVL, beyond the two encoders
    collate: Callable = staticmethod(default_collate)

    def __init__(self, univl: UniVL, tokenizer, config: TaskConfig):
        super().__init__()
        self.univl, self.tokenizer, self.config = univl, tokenizer, config

    @classmethod
    def start(cls, pretrained, tokenizer, config: TaskConfig, scratch: bool = False, **settings):
        """The task on a pretrained UniVL (a folder or hub name), or on one of its sizes with random weights.

        settings   of the task itself. What is new starts at random, as `config.train.seed` says.
        """
        seed_everything(config.train.seed)
        univl = UniVL.from_pretrained(pretrained, parts=cls.parts_for(**settings))
        if scratch:
            univl = UniVL(univl.config, univl.objectives)
        return cls(univl, tokenizer, config, **settings).to(default_device())

    @classmethod
    def parts_for(cls, **settings) -> tuple[str, ...]:
        """Parts of UniVL, beyond the two encoders, that the task needs with these settings."""
        return cls.parts

    @property
    def inputs(self) -> NarrationConfig:
        """Lengths of texts and videos, as the data sets take them."""
        return NarrationConfig(max_words=self.config.max_words, max_frames=self.config.max_frames)

    def fit(self, rows, run_dir: Path, progress: bool = True):
        """Fine-tune on `rows`; a run in `run_dir` that was interrupted goes on. Returns the task itself."""
        settings = {
            "task": type(self).__name__,
            "config": dataclasses.asdict(replace(self.config, train=None)),
            "univl": dataclasses.asdict(self.univl.config),
            **self.settings(),
        }
        fit(
            self,
            self.dataset(rows),
            self.config.train,
            run_dir,
            collate=self.collate,
            settings=settings,
            progress=progress,
        )
        return self

    def settings(self) -> dict:
        """What defines a run of this task beyond its configuration, for the run's record."""
        return {}

    @abstractmethod
    def dataset(self, rows) -> torch.utils.data.Dataset:
        """Training examples."""

    @abstractmethod
    def losses(self, batch) -> dict[str, torch.Tensor]:
        """{..., "total"} of a batch of training examples."""

    @abstractmethod
    def predict(self, rows, progress: bool = True):
        """What the task says about each row."""

    @abstractmethod
    def evaluate(self, rows, progress: bool = True) -> dict[str, float]:
        """Scores on rows with their truth."""

    def move(self, batch: dict) -> dict:
        """A batch on the device of the model."""
        device = next(self.parameters()).device
        return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


def without_padding(batch: dict, *masks: str) -> dict:
    """A batch in which the fields of these masks end where the longest row does: the rest is padding everywhere."""
    cut = dict(batch)
    for mask in masks:
        cut |= {name: batch[name][:, : used_length(batch[mask])] for name in FIELDS_OF[mask]}
    return cut
