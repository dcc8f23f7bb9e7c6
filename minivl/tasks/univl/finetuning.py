"""One UniVL task at a scale: from its name to its scores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from minivl.config import ConfigError, Scale
from minivl.data.own_world import world_hash
from minivl.data.wordpiece import load_tokenizer
from minivl.hub.checkpoints import CheckpointError
from minivl.hub.folders import find
from minivl.tasks.univl.base import Task
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.localization import Localization
from minivl.tasks.univl.retrieval import Retrieval
from minivl.tasks.univl.saving import read_task
from minivl.tasks.univl.segmentation import Segmentation
from minivl.tasks.univl.sentiment import Sentiment

# Name -> class and its settings. Retrieval and captioning come in several kinds each.
KINDS: dict[str, tuple[type[Task], dict[str, Any]]] = {
    "joint": (Retrieval, {"method": "joint"}),
    "align": (Retrieval, {"method": "align"}),
    "captioning": (Captioning, {"text": "transcript"}),
    "captioning-video": (Captioning, {"text": None}),
    "captioning-raw": (Captioning, {"text": None, "references": "raw"}),  # as released for MSR-VTT
    "captioning-both": (Captioning, {"text": "both"}),
    "segmentation": (Segmentation, {}),
    "localization": (Localization, {}),
    "sentiment": (Sentiment, {}),
}


def fine_tune(
    name: str,
    settings: Scale,
    run_dir: Path,
    pretrained: Path | str = UNIVL,
    scratch: bool = False,
    seed: int | None = None,
    subset: int | None = None,
    progress: bool = True,
) -> Task:
    """Fine-tune a UniVL (a folder or hub name, or with `scratch` one of its sizes at random) on a task of KINDS.

    `seed` takes the place of the scale's, `subset` takes the first so many videos. A run in `run_dir` that was
    interrupted goes on. Raises ConfigError for an unknown task.
    """
    if name not in KINDS:
        raise ConfigError(f"unknown task {name!r}: choose one of {', '.join(KINDS)}")
    kind, options = KINDS[name]
    config = settings.univl_tasks[name.partition("-")[0]]
    if seed is not None:
        config = replace(config, train=replace(config.train, seed=seed))
    task = kind.start(pretrained, load_tokenizer(pretrained), config, scratch=scratch, **options)
    data = world_hash(settings.own) if settings.own is not None else None
    return task.fit(task_rows(kind.kind, "train", settings, subset), run_dir, progress=progress, data=data)


def score(task: Task, split: str, settings: Scale, progress: bool = True) -> dict[str, float]:
    """The scores of a fine-tuned task on a split of the scale's data."""
    return task.evaluate(task_rows(task.kind, split, settings), progress=progress)


def baseline_scores(name: str, split: str, settings: Scale) -> dict[str, dict[str, float]]:
    """Scores of guessing: the task's baselines."""
    kind = KINDS[name][0]
    return kind.baselines(task_rows(kind.kind, "train", settings), task_rows(kind.kind, split, settings))


def load_task(name: Path | str) -> Task:
    """A fine-tuned task of whichever kind, from the folder or hub name that its `save_pretrained` wrote.

    Raises CheckpointError if there is none, or if a file of it is damaged.
    """
    folder = find(name)
    saved, classes = read_task(folder)[0]["kind"], {kind.kind: kind for kind, _ in KINDS.values()}
    if saved not in classes:
        raise CheckpointError(f"{folder / 'config.json'} has the task {saved!r}: expected {', '.join(classes)}")
    return classes[saved].from_pretrained(folder)
