"""A recipe: the settings of one full-scale run, where each of them comes from, and what others got with it.

The settings are a `Scale`: what `--recipe` runs and what `minivl recipe show` prints is one and the same object.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from minivl.config import ConfigError, CorpusConfig, Scale, TrainConfig


@dataclass(frozen=True)
class Result:
    """A published number."""

    measure: str
    value: float
    source: str  # "paper" or "release"


@dataclass(frozen=True)
class CorpusSize:
    """About how much there is to train on, as the corpora's own pages say; used for estimates only."""

    examples: int  # of one epoch: videos, or (video, caption) pairs
    videos: int  # in all splits
    hours: float  # of video in all splits


@dataclass(frozen=True)
class Recipe:
    """One full-scale run.

    kind       which command runs it: "pretrain", "finetune" or "adapt"
    task       the stage of pretraining, or the task of `minivl finetune`; "" for adapt
    split      the split that its results are on
    settings   of the run; only what its kind reads matters
    processes  GPUs of the release: where contrastive losses see one process only, this fixes their negatives
    sources    where hyperparameters come from, by "section.name" or "section"; the longer name wins
    departures what differs from the paper's or the release's run nevertheless
    """

    name: str
    title: str
    kind: str
    task: str
    corpus: CorpusConfig
    split: str
    settings: Scale
    size: CorpusSize
    command: str
    processes: int = 4
    results: tuple[Result, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    departures: tuple[str, ...] = ()

    def __post_init__(self):
        if self.kind not in ("pretrain", "finetune", "adapt"):
            raise ConfigError(f"a recipe is run by pretrain, finetune or adapt, not by {self.kind!r}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the settings that decide about `sections`."""
        if self.kind == "finetune":
            return (f"univl_tasks.{self.task.partition('-')[0]}", "univl_pretrain.model", "univl_pretrain.objectives")
        return {"pretrain": ("univl_pretrain",), "adapt": ("adapt", "inputs", "discovla", "clip")}[self.kind]

    @property
    def sections(self) -> dict[str, Any]:
        """Configurations that the run reads of its settings, by name."""
        return {"pretrain": _pretraining, "finetune": _fine_tuning, "adapt": _adaptation}[self.kind](self)

    @property
    def train(self) -> TrainConfig:
        """Settings of the training."""
        return self.sections["train"]

    @property
    def steps(self) -> int:
        """Updates of the whole run, as the training loop counts them."""
        per_step = self.train.batch_size * self.train.gradient_accumulation
        return self.train.steps or (self.train.epochs or 0) * (self.size.examples // per_step)

    def source(self, section: str, name: str) -> str:
        """Source of a hyperparameter. KeyError if nobody said."""
        return self.sources.get(f"{section}.{name}") or self.sources[section]


@dataclass(frozen=True)
class Hyperparameter:
    """One line of `minivl recipe show`."""

    section: str
    name: str
    value: object
    source: str


def hyperparameters(recipe: Recipe) -> list[Hyperparameter]:
    """Every hyperparameter of a recipe with its source; those that are None are left out."""
    return [
        Hyperparameter(section, part.name, getattr(config, part.name), recipe.source(section, part.name))
        for section, config in recipe.sections.items()
        for part in dataclasses.fields(config)
        if getattr(config, part.name) is not None and not dataclasses.is_dataclass(getattr(config, part.name))
    ]


def _pretraining(recipe):
    from minivl.univl.pretraining import stages

    config = recipe.settings.univl_pretrain
    stage = next(stage for stage in stages(config) if stage.name == recipe.task)
    return {
        "train": stage.train,
        "narration": stage.narration,
        "objectives": config.objectives,
        "model": dataclasses.replace(config.model, parts=stage.parts),
    }


def _fine_tuning(recipe):
    from minivl.tasks.univl.finetuning import KINDS

    kind, options = KINDS[recipe.task]
    config, pretrained = recipe.settings.univl_tasks[recipe.task.partition("-")[0]], recipe.settings.univl_pretrain
    return {
        "train": config.train,
        "inputs": config,
        "objectives": pretrained.objectives,
        "model": dataclasses.replace(pretrained.model, parts=kind.parts_for(**options)),
    }


def _adaptation(recipe):
    settings = recipe.settings
    return {"train": settings.adapt, "inputs": settings.inputs, "discovla": settings.discovla, "clip": settings.clip}
