"""Every hyperparameter, at three scales.

`MINIVL_SCALE` chooses between `tiny` (tests, seconds), `small` (the bundled world, minutes on a
laptop; the default) and `full` (the papers' sizes and recipes, data from `MINIVL_DATA`).
Nothing but the values below differs between the scales: the code is the same.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

REPO = Path(__file__).resolve().parents[1]
BUNDLED = REPO / "data_samples"


class ConfigError(ValueError):
    """A setting that does not exist or has a value that makes no sense."""


@dataclass(frozen=True)
class WorldConfig:
    """The kitchen world: what is rendered, and the knobs that the ablations turn."""

    seed: int = 0
    videos_train: int = 600  # videos, not frames
    videos_val: int = 120
    videos_test: int = 360  # rounded up to whole groups of four
    image_size: int = 48  # pixels, square
    fps: float = 4.0  # frames per second of the mp4 files
    dishes: int = 2  # dishes prepared in one video; two dishes can be bound in four ways
    step_seconds: tuple[float, float] = (1.5, 1.8)  # shortest and longest step
    dial: float = 0.5  # discrepancy dial: chance that a dish is told as a whole, not step by step
    clauses: int | None = None  # tell only that many single steps (the dial has no effect then); None: every dish
    novel: float = 0.0  # chance that an ingredient is one that CLIP's pretraining never saw or read
    style: float = 0.0  # shift of visual style from pretraining, 0 (none) to 1 (faded, tinted, blurred)
    clutter: float = 0.3  # chance of each object on the counter that no caption mentions
    filler: float = 0.4  # chance of a moment between steps in which nothing happens
    frame_captions: int = 8  # captions of single frames per video, spread as frame sampling spreads its frames
    transcript_shift: float = 4.0  # seconds; narration is shifted by up to this much either way
    transcript_missing: float = 0.2  # share of steps that the narrator says nothing about
    transcript_filler: float = 0.2  # chance of talk about something else, per step
    transcript_vague: float = 0.3  # chance that an attribute is dropped ("it", "the pot")


@dataclass(frozen=True)
class ClipConfig:
    """Which CLIP: an open_clip architecture with a weights tag or file, or a folder that holds both."""

    name: str = "kitchen"  # "kitchen": the bundled small CLIP; else as open_clip names it, or a folder
    pretrained: str | None = None  # open_clip's tag ("openai") or a file; None for folders


@dataclass(frozen=True)
class InputConfig:
    """What the model sees of a clip."""

    max_frames: int = 12
    frames_per_second: float = 1.0  # sampling rate before the choice of max_frames
    max_words: int = 32  # text tokens, start and end included


@dataclass(frozen=True)
class DiscoVLAConfig:
    """DiscoVLA's own settings, defaults as released for MSR-VTT."""

    lora_rank: int = 8  # also the width of the fusion adapter's bottleneck
    vision_fusion_layers: int = 4  # H_V: how many of the last vision blocks fuse frames
    text_fusion_layers: int = 2  # H_L: how many of the last text blocks fuse frame captions


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    batch_size: int = 128  # over all processes, before gradient accumulation
    learning_rate: float = 6e-4
    weight_decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    warmup: float = 0.1  # share of all steps with a linearly rising learning rate; then half a cosine
    max_grad_norm: float = 1.0
    steps: int | None = None  # exactly one of steps and epochs
    epochs: int | None = 5
    seed: int = 42
    gradient_accumulation: int = 1
    mixed_precision: str = "no"  # "no", "bf16" or "fp16"
    log_every: int = 10  # steps
    checkpoint_every: int = 150  # steps
    num_workers: int = 0  # processes that decode videos

    def __post_init__(self):
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError("TrainConfig needs exactly one of steps and epochs")


@dataclass(frozen=True)
class ClipPretrainConfig:
    """Pretraining of the small CLIP on (frame, short caption) pairs of the world."""

    images: int = 40_000  # rendered training pairs
    held_out: int = 1_000  # rendered pairs of recipes that training never saw
    vocabulary: int = 400  # at most, byte-pair tokens, special tokens included
    architecture: dict = field(default_factory=lambda: {
        "embed_dim": 96,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 48, "patch_size": 8, "width": 96, "head_width": 32, "layers": 4},
        "text_cfg": {"context_length": 32, "width": 96, "heads": 3, "layers": 3},
    })
    train: TrainConfig = TrainConfig(batch_size=128, learning_rate=1e-3, weight_decay=0.05, epochs=3,
                                     seed=0, log_every=50, checkpoint_every=200)


@dataclass(frozen=True)
class Scale:
    """Everything that one scale fixes."""

    name: str
    data: Path  # a folder with train/, val/ and test/, or where the world is rendered to
    world: WorldConfig | None  # None: real data, nothing is rendered
    clip: ClipConfig
    inputs: InputConfig
    discovla: DiscoVLAConfig
    adapt: TrainConfig
    clip_pretrain: ClipPretrainConfig
    seeds: tuple[int, ...]  # adaptation seeds behind every mean and spread


def cache_dir() -> Path:
    """Where rendered worlds are kept between runs, outside the repository (`MINIVL_CACHE` moves it)."""
    return Path(os.environ.get("MINIVL_CACHE") or platformdirs.user_cache_path("minivl"))


def runs_dir() -> Path:
    """Where runs write: `runs/` in the current folder (`MINIVL_RUNS` moves it)."""
    return Path(os.environ.get("MINIVL_RUNS", "runs"))


def _tiny() -> Scale:
    small = _small()
    return dataclasses.replace(
        small, name="tiny",
        world=WorldConfig(videos_train=16, videos_val=4, videos_test=8, frame_captions=4),
        inputs=InputConfig(max_frames=4, frames_per_second=4.0),
        adapt=dataclasses.replace(small.adapt, batch_size=8, steps=2, checkpoint_every=1, log_every=1),
        clip_pretrain=dataclasses.replace(
            small.clip_pretrain, images=64, held_out=16,
            train=dataclasses.replace(small.clip_pretrain.train, batch_size=16, epochs=1)),
        seeds=(0, 1, 2))


def _small() -> Scale:
    return Scale(
        name="small", data=cache_dir() / "worlds", world=WorldConfig(),
        clip=ClipConfig(), inputs=InputConfig(max_frames=8, frames_per_second=4.0),
        discovla=DiscoVLAConfig(vision_fusion_layers=2, text_fusion_layers=1),
        adapt=TrainConfig(batch_size=32, learning_rate=1e-2, steps=100, epochs=None, checkpoint_every=25),
        clip_pretrain=ClipPretrainConfig(), seeds=(0, 1, 2))


def _full() -> Scale:
    return Scale(
        name="full", data=Path(os.environ.get("MINIVL_DATA", "data")), world=None,
        clip=ClipConfig("ViT-B-32", "openai"), inputs=InputConfig(), discovla=DiscoVLAConfig(),
        adapt=TrainConfig(num_workers=8), clip_pretrain=ClipPretrainConfig(), seeds=(42, 43, 44))


SCALES = {"tiny": _tiny, "small": _small, "full": _full}


def scale(name: str | None = None) -> Scale:
    """The settings of one scale; without a name, of the one in `MINIVL_SCALE` (default `small`).

    Raises ConfigError for a scale that does not exist.
    """
    name = name or os.environ.get("MINIVL_SCALE") or "small"
    if name not in SCALES:
        raise ConfigError(f"unknown scale {name!r}: choose one of {', '.join(SCALES)} "
                          "(set by MINIVL_SCALE or --scale)")
    return SCALES[name]()


def override(config, **changes):
    """A copy of a config dataclass with some values changed; a name it does not have is an error."""
    unknown = set(changes) - {f.name for f in dataclasses.fields(config)}
    if unknown:
        known = ", ".join(f.name for f in dataclasses.fields(config))
        raise ConfigError(f"{type(config).__name__} has no setting {', '.join(sorted(unknown))}; it has {known}")
    return dataclasses.replace(config, **changes)
