"""UniVL's objectives and EnhancedV in several narrated worlds, judged by what reads the cross encoder and the decoder.

Stage one (Joint alone) is the same for all cells of a world and seed, so it is trained once. Stage two is as a cell
says: its settings are STEPS, names of ObjectiveConfig (CHANGED), and "hide_text".
"""

import copy
import functools
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from minivl.ablations.runner import Cell, Measured, at_most
from minivl.ablations.univl_worlds import PARTS, hash_of_features, narrated_world, told_in
from minivl.assets.feature_world import DOWNSTREAM, Part, caption_again
from minivl.config import NarrationConfig, Scale, TaskConfig, TrainConfig, UniVLPretrainConfig, override
from minivl.config.settings import OBJECTIVES
from minivl.data.features import load_features
from minivl.data.narration import NarratedDataset
from minivl.data.schema import first_rows, load_split
from minivl.data.wordpiece import load_tokenizer
from minivl.metrics.captioning import caption_scores
from minivl.metrics.retrieval import scores_by_video
from minivl.tasks.univl.captioning import Captioning, as_tokens
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.retrieval import Retrieval
from minivl.train.loop import seed_everything
from minivl.univl import UniVL
from minivl.univl.copying import what_it_copies
from minivl.univl.pretraining import Stage, sized_for, stages, train_stage

if TYPE_CHECKING:
    from datasets import Dataset

CAPTIONED = Part("train", "train", 0, 240, DOWNSTREAM)  # of the videos of pretraining, for fine-tuning
FEW = 60  # of them, which most studies fine-tune on
ALIGN_STEPS, CAPTION_STEPS = 30, 60  # of fine-tuning
TESTED = 80  # test videos: the cross encoder reads every caption with every segment of them
STEPS = {"stage_one": 100, "stage_two": 200}
VIDEOS = 8  # per step of stage two
CHANGED = (*OBJECTIVES, "cmlm_reads", "cmfm_reads")  # what a cell may change of ObjectiveConfig


def prepare_parts(settings: Scale, cell: Cell) -> str:
    """Render the world of a cell, unless it is there, and say how many segments its test split has."""
    told = replace(settings, narrated=captioned_world(cell))
    test, train = _test_rows(told), task_rows("retrieval", "train", told, FEW)
    return (
        f"test: {len(test):,} segments with different captions, of {len(set(test['video_id'])):,} videos; "
        f"fine-tuning: {len(train):,} segments"
    )


def captioned_world(cell: Cell) -> Path:
    """The narrated world of a cell with one split more: captions for the first videos of pretraining."""
    world, speech = told_in(cell)
    return caption_again(narrated_world(cell), PARTS[0], CAPTIONED, override(world, **speech))


def run_parts(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain as a cell says, then find segments by the cross encoder and write captions from video alone."""
    univl, told, scores = pretrained(settings, cell, seed)
    by_segment = retrieval(univl, told, seed) | captions(univl, told, seed)
    return measured(by_segment, told, scores | copying(univl, told))


def measured(by_segment: dict[str, np.ndarray], told: Scale, others: dict[str, float]) -> Measured:
    """A result of scores by test segment, (N,) each, beside others that have none."""
    return Measured(
        others | {name: float(values.mean()) for name, values in by_segment.items()},
        {name: values.astype(np.float32) for name, values in by_segment.items()},
        test_videos(told),
        hash_of_features(told.narrated / "test"),
    )


def pretrained(settings: Scale, cell: Cell, seed: int) -> tuple[UniVL, Scale, dict[str, float]]:
    """A UniVL as a cell says, the settings that read the cell's world, and what stage two took.

    Without Joint there is no stage one either, which trains nothing else; a cell that is "scratch" has neither.
    """
    told = replace(settings, narrated=captioned_world(cell))
    config = pretraining_of(cell, settings.univl_pretrain, seed)
    if cell.settings.get("scratch"):
        return untrained(told, config), told, {"stage two, cpu seconds": 0.0}
    before = after_stage_one(told, cell, seed) if config.objectives.joint else None
    began = time.process_time()
    univl = _train(stages(config)[1], before, told.narrated, config).eval()
    return univl, told, {"stage two, cpu seconds": time.process_time() - began}


def untrained(told: Scale, config: UniVLPretrainConfig) -> UniVL:
    """A UniVL with random weights, as stage two would have without any steps."""
    seed_everything(config.stage_two.seed)
    return UniVL(_sized(told.narrated, config).model, config.objectives).eval()


def after_stage_one(told: Scale, cell: Cell, seed: int) -> UniVL | None:
    """What stage two starts with: the two encoders after stage one, None where a cell has no steps of it."""
    steps = {name: cell.settings[name] for name in ("stage_one", "stage_two")}  # nothing else matters to stage one
    if not steps["stage_one"]:
        return None
    return _stage_one(told.narrated, pretraining_of(replace(cell, settings=steps), told.univl_pretrain, seed))


def pretraining_of(cell: Cell, config: UniVLPretrainConfig, seed: int) -> UniVLPretrainConfig:
    """The scale's pretraining with a cell's changes; its steps are never more than the scale's."""
    changes = cell.settings

    def steps_of(stage: TrainConfig, name: str) -> TrainConfig:
        return replace(stage, steps=at_most(changes[name], stage), seed=seed, checkpoint_every=10_000)

    return replace(
        config,
        tokenizer=str(UNIVL),
        narration=replace(config.narration, hide_text=changes.get("hide_text", 0.15)),
        staged=True,
        objectives=replace(config.objectives, **{name: changes[name] for name in CHANGED if name in changes}),
        stage_one=steps_of(config.stage_one, "stage_one"),
        stage_two=replace(steps_of(config.stage_two, "stage_two"), batch_size=VIDEOS),
    )


@functools.lru_cache(maxsize=4)  # the cells of a world follow each other, each with all seeds
def _stage_one(world: Path, config: UniVLPretrainConfig) -> UniVL:
    """The two encoders after stage one in a world."""
    return _train(stages(config)[0], None, world, config)


def _train(stage: Stage, before: UniVL | None, world: Path, config: UniVLPretrainConfig) -> UniVL:
    videos, tokenizer = load_split(world, "pretrain"), load_tokenizer(UNIVL)

    def dataset(narration: NarrationConfig, masked: bool) -> NarratedDataset:
        return NarratedDataset(videos, tokenizer, narration, masked, keep_features=True)

    with TemporaryDirectory() as run_dir:
        return train_stage(stage, before, _sized(world, config), dataset, Path(run_dir), progress=False)


def _sized(world: Path, config: UniVLPretrainConfig) -> UniVLPretrainConfig:
    features = load_features(load_split(world, "pretrain")[0]["features"])
    return sized_for(config, load_tokenizer(UNIVL), features.shape[1])


def _test_rows(settings: Scale) -> "Dataset":
    return task_rows("retrieval", "test", settings, TESTED)


def test_videos(settings: Scale) -> np.ndarray:
    """The number of the video of each test segment, (N,)."""
    return np.unique(_test_rows(settings)["video_id"], return_inverse=True)[1]


def found_by_means(univl: UniVL, settings: Scale) -> np.ndarray:
    """R@sum by segment (N,) by the means of the two encoders, which Joint compares."""
    joint = Retrieval(univl, load_tokenizer(UNIVL), settings.univl_tasks["joint"], method="joint")
    return scores_by_video(joint.predict(_test_rows(settings), progress=False))["R@sum"]


def retrieval(univl: UniVL, settings: Scale, seed: int) -> dict[str, np.ndarray]:
    """R@sum by segment (N,): by Joint's means, by Align's score of all pairs, and by that after few steps."""
    tokenizer, test = load_tokenizer(UNIVL), _test_rows(settings)
    align = Retrieval(copy.deepcopy(univl), tokenizer, few(settings, "align", ALIGN_STEPS, seed), method="align")
    by_align = align.predict(test, progress=False)
    with TemporaryDirectory() as run_dir:
        align.fit(task_rows("retrieval", "train", settings, FEW), Path(run_dir), progress=False)
    tuned = align.predict(test, progress=False)
    return {
        "R@sum, Joint": found_by_means(univl, settings),
        "R@sum, Align": scores_by_video(by_align)["R@sum"],
        "R@sum, FT-Align": scores_by_video(tuned)["R@sum"],
    }


def captions(univl: UniVL, settings: Scale, seed: int, videos: int = FEW) -> dict[str, np.ndarray]:
    """CIDEr and share of exact captions by segment (N,), from video alone after few steps on so many videos."""
    tokenizer, test = load_tokenizer(UNIVL), _test_rows(settings)
    task = Captioning(copy.deepcopy(univl), tokenizer, few(settings, "captioning", CAPTION_STEPS, seed), text=None)
    with TemporaryDirectory() as run_dir:
        task.fit(task_rows("captioning", "train", settings, videos), Path(run_dir), progress=False)
    truth = [as_tokens(tokenizer, [caption], task.config.max_words) for caption in test["caption"]]
    by_segment = caption_scores(task.predict(test, progress=False), truth)
    return {"CIDEr": by_segment["CIDEr"], "exact": by_segment["exact"]}


def few(settings: Scale, task: str, steps: int, seed: int, times: int = 1) -> TaskConfig:
    """A task's settings with so many steps of fine-tuning, or `times` the scale's if those are fewer."""
    config = settings.univl_tasks[task]
    train = replace(config.train, steps=at_most(steps, config.train, times), seed=seed, checkpoint_every=10_000)
    return replace(config, train=train)


def copying(univl: UniVL, settings: Scale) -> dict[str, float]:
    """`what_it_copies` of test videos, all of which speak."""
    return what_it_copies(univl, *(narrated_batch(univl, settings, hidden) for hidden in (0.0, 1.0)))


def narrated_batch(univl: UniVL, settings: Scale, hidden: float = 0.0) -> dict[str, torch.Tensor]:
    """The test videos as one pretraining batch, with so large a share of their texts hidden, where the model is."""
    videos, tokenizer = first_rows(load_split(settings.narrated, "test"), TESTED), load_tokenizer(UNIVL)
    seed_everything(0)
    narrated = NarratedDataset(videos, tokenizer, replace(settings.univl_pretrain.narration, hide_text=hidden))
    batch = torch.utils.data.default_collate([narrated[number] for number in range(len(narrated))])
    return {name: value.to(next(univl.parameters()).device) for name, value in batch.items()}
