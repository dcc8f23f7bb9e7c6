"""One UniVL task at a scale: from its name to its scores."""

from dataclasses import replace
from pathlib import Path

from minivl.config import ConfigError, Scale
from minivl.data.wordpiece import load_tokenizer
from minivl.tasks.univl.base import Task
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.localization import Localization
from minivl.tasks.univl.retrieval import Retrieval
from minivl.tasks.univl.segmentation import Segmentation
from minivl.tasks.univl.sentiment import Sentiment

# Name -> class, its settings, and the name of its data. Retrieval and captioning come in two kinds each.
KINDS: dict[str, tuple[type[Task], dict, str]] = {
    "joint": (Retrieval, {"method": "joint"}, "retrieval"),
    "align": (Retrieval, {"method": "align"}, "retrieval"),
    "captioning": (Captioning, {"text": "transcript"}, "captioning"),
    "captioning-video": (Captioning, {"text": None}, "captioning"),
    "captioning-raw": (Captioning, {"text": None, "references": "raw"}, "captioning"),  # as released for MSR-VTT
    "captioning-both": (Captioning, {"text": "both"}, "captioning"),
    "segmentation": (Segmentation, {}, "segmentation"),
    "localization": (Localization, {}, "localization"),
    "sentiment": (Sentiment, {}, "sentiment"),
}


def fine_tune(
    name: str,
    settings: Scale,
    run_dir: Path,
    pretrained=UNIVL,
    scratch: bool = False,
    seed: int | None = None,
    steps: int | None = None,
    subset: int | None = None,
    progress: bool = True,
) -> Task:
    """Fine-tune a UniVL (a folder or hub name, or with `scratch` one of its sizes at random) on a task of KINDS.

    seed, steps and subset override the scale's. A run in `run_dir` that was interrupted goes on.
    Raises ConfigError for an unknown task.
    """
    if name not in KINDS:
        raise ConfigError(f"unknown task {name!r}: choose one of {', '.join(KINDS)}")
    kind, options, data = KINDS[name]
    config = settings.univl_tasks[name.partition("-")[0]]
    train = config.train
    if seed is not None:
        train = replace(train, seed=seed)
    if steps is not None:
        train = replace(train, steps=steps, epochs=None)
    task = kind.start(pretrained, load_tokenizer(pretrained), replace(config, train=train), scratch=scratch, **options)
    return task.fit(task_rows(data, "train", settings, subset), run_dir, progress=progress)


def score(name: str, task: Task, split: str, settings: Scale, progress: bool = True) -> dict[str, float]:
    """The scores of a fine-tuned task on a split of the scale's data."""
    return task.evaluate(task_rows(KINDS[name][2], split, settings), progress=progress)


def baseline_scores(name: str, split: str, settings: Scale) -> dict[str, dict[str, float]]:
    """What guessing gives: the task's baselines."""
    kind, _, data = KINDS[name]
    return kind.baselines(task_rows(data, "train", settings), task_rows(data, split, settings))
