"""The three scales: which values of the settings make one.

`MINIVL_SCALE` chooses between `tiny` (tests, seconds), `small` (the bundled world, minutes on a laptop; the default)
and `full` (the papers' sizes and recipes, data from `MINIVL_DATA`). Code that behaves differently looks at
`Scale.world`, not at the name: see `minivl.config`.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minivl.config.checks import ConfigError, fixed
from minivl.config.folders import NARRATED, cache_dir
from minivl.config.settings import (
    RANDAUGMENT,
    ClipConfig,
    CorpusConfig,
    DiscoVLAConfig,
    InputConfig,
    NarrationConfig,
    ObjectiveConfig,
    UniVLConfig,
    WorldConfig,
)
from minivl.config.training import (
    BERT,
    ClipPretrainConfig,
    S3DPretrainConfig,
    TaskConfig,
    TrainConfig,
    UniVLPretrainConfig,
)


@dataclass(frozen=True)
class Scale:
    """Everything that one scale fixes."""

    name: str = field(metadata=fixed("choose a scale by --scale or MINIVL_SCALE"))
    data: Path  # a folder with train/, val/ and test/, or where the world is rendered to
    narrated: Path  # the narrated videos that UniVL reads, as features; with real data a folder per corpus in `data`
    world: WorldConfig | None  # None: real data, nothing is rendered
    clip: ClipConfig
    inputs: InputConfig
    discovla: DiscoVLAConfig
    adapt: TrainConfig
    clip_pretrain: ClipPretrainConfig
    s3d_pretrain: S3DPretrainConfig
    univl_pretrain: UniVLPretrainConfig
    univl_tasks: dict[str, TaskConfig]  # by name of the task; retrieval by its two ways of scoring
    univl_corpora: dict[str, CorpusConfig]  # real data of each task, a folder of that name in `data`; {} with a world
    seeds: tuple[int, ...]  # adaptation seeds behind every mean and spread
    own: Path | None = field(default=None, metadata=fixed("give it by --data"))  # a world in place of UniVL's data


def _tiny() -> Scale:
    small = _small()
    return dataclasses.replace(
        small,
        name="tiny",
        world=WorldConfig(videos_train=16, videos_val=4, videos_test=8, frame_captions=4),
        inputs=InputConfig(max_frames=4, frames_per_second=4.0),
        adapt=dataclasses.replace(small.adapt, batch_size=8, steps=2, checkpoint_every=1, log_every=1),
        clip_pretrain=dataclasses.replace(
            small.clip_pretrain,
            images=64,
            held_out=16,
            train=dataclasses.replace(small.clip_pretrain.train, batch_size=16, epochs=1),
        ),
        s3d_pretrain=dataclasses.replace(
            small.s3d_pretrain,
            world=dataclasses.replace(small.s3d_pretrain.world, videos_train=6, videos_val=4),
            single_dishes=4,
            moods=4,
            train=dataclasses.replace(small.s3d_pretrain.train, batch_size=8, steps=2, epochs=None),
        ),
        univl_pretrain=dataclasses.replace(
            small.univl_pretrain,
            stage_one=dataclasses.replace(small.univl_pretrain.stage_one, batch_size=4, steps=2, checkpoint_every=1),
            stage_two=dataclasses.replace(small.univl_pretrain.stage_two, batch_size=4, steps=2, checkpoint_every=1),
        ),
        univl_tasks={
            name: dataclasses.replace(task, train=dataclasses.replace(task.train, batch_size=4, steps=2))
            for name, task in small.univl_tasks.items()
        },
        seeds=(0, 1, 2),
    )


def _small() -> Scale:
    return Scale(
        name="small",
        data=cache_dir() / "worlds",
        narrated=NARRATED,
        world=WorldConfig(),
        clip=ClipConfig(),
        inputs=InputConfig(max_frames=8, frames_per_second=4.0),
        discovla=DiscoVLAConfig(vision_fusion_layers=2, text_fusion_layers=1, alpha=0.0, beta=0.0),
        adapt=TrainConfig(batch_size=32, learning_rate=1e-2, steps=100, epochs=None, seed=0, checkpoint_every=25),
        clip_pretrain=ClipPretrainConfig(),
        s3d_pretrain=S3DPretrainConfig(),
        univl_pretrain=_small_univl(),
        univl_tasks=_small_tasks(),
        univl_corpora={},
        seeds=(0, 1, 2),
    )


def _small_univl() -> UniVLPretrainConfig:
    train = TrainConfig(
        batch_size=16, learning_rate=2e-3, steps=1000, epochs=None, seed=0, checkpoint_every=100, **BERT
    )
    return UniVLPretrainConfig(
        model=UniVLConfig(
            hidden_size=96,
            num_heads=4,
            intermediate_size=384,
            text_layers=2,
            video_layers=2,
            cross_layers=1,
            decoder_layers=2,
            text_positions=64,
            video_positions=64,
            cross_positions=128,
        ),
        tokenizer="train",
        vocabulary=300,
        text_weights=None,
        objectives=ObjectiveConfig(),
        narration=NarrationConfig(max_words=40, max_frames=16, hide_text=0.15),
        stage_one=dataclasses.replace(train, batch_size=32, steps=250),
        stage_two=train,
    )


def _small_tasks() -> dict[str, TaskConfig]:
    def task(steps: int, **changes: Any) -> TaskConfig:
        train = TrainConfig(
            batch_size=32, learning_rate=1e-3, steps=steps, epochs=None, seed=0, checkpoint_every=100, **BERT
        )
        return TaskConfig(dataclasses.replace(train, **changes), max_words=40, max_frames=16)

    return {
        "joint": task(100),
        "align": task(100),
        "captioning": task(200),
        "segmentation": task(200, batch_size=8),
        "localization": task(100, batch_size=16),
        "sentiment": task(100),
    }


def _full() -> Scale:
    return Scale(
        name="full",
        data=Path(os.environ.get("MINIVL_DATA", "data")),
        narrated=NARRATED,
        world=None,
        clip=ClipConfig("ViT-B-32", "openai"),
        inputs=InputConfig(augment=RANDAUGMENT),
        discovla=DiscoVLAConfig(),
        adapt=TrainConfig(num_workers=8),
        clip_pretrain=ClipPretrainConfig(),
        s3d_pretrain=S3DPretrainConfig(),
        univl_pretrain=UniVLPretrainConfig(),
        univl_tasks=_released_tasks(),
        univl_corpora={
            "retrieval": CorpusConfig("youcook2"),
            "captioning": CorpusConfig("youcook2"),
            "segmentation": CorpusConfig("coin"),
            "localization": CorpusConfig("crosstask"),
            "sentiment": CorpusConfig("mosi"),
        },
        seeds=(42, 43, 44),
    )


def _released_tasks() -> dict[str, TaskConfig]:
    """Released for retrieval and captioning on YouCook2; the other three tasks were not, and follow retrieval."""
    train = TrainConfig(batch_size=32, learning_rate=3e-5, epochs=5, num_workers=8, **BERT)
    tasks = {name: TaskConfig(train) for name in ("joint", "align", "segmentation", "localization", "sentiment")}
    return {**tasks, "captioning": TaskConfig(dataclasses.replace(train, batch_size=16), max_words=128, max_frames=96)}


SCALES = {"tiny": _tiny, "small": _small, "full": _full}


def scale(name: str | None = None) -> Scale:
    """The settings of one scale; without a name, of the one in `MINIVL_SCALE` (default `small`).

    Raises ConfigError for a scale that does not exist.
    """
    name = name or os.environ.get("MINIVL_SCALE") or "small"
    if name not in SCALES:
        raise ConfigError(f"unknown scale {name!r}: choose one of {', '.join(SCALES)} (set by MINIVL_SCALE or --scale)")
    return SCALES[name]()
