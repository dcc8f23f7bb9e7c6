"""Every hyperparameter of training, of each network and task, with its default."""

from dataclasses import dataclass, field
from typing import Any

from minivl.config.checks import ConfigError, require_at_least, require_one_of, require_share
from minivl.config.limits import require_within
from minivl.config.settings import NarrationConfig, ObjectiveConfig, S3DConfig, UniVLConfig, WorldConfig


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    batch_size: int = 128  # over all processes, before gradient accumulation
    learning_rate: float = 6e-4
    weight_decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    warmup: float = 0.1  # share of all steps with a linearly rising learning rate
    schedule: str = "cosine"  # after the warm-up the rate falls to 0 along half a "cosine" or "linear"ly
    no_decay: tuple[str, ...] = ()  # parameters whose name contains one of these have no weight decay
    lr_multipliers: tuple[tuple[str, float], ...] = ()  # (start of a parameter's name, factor of its learning rate)
    max_grad_norm: float = 1.0
    steps: int | None = None  # exactly one of steps and epochs; the other is None
    epochs: int | None = 5
    seed: int = 42
    gradient_accumulation: int = 1
    mixed_precision: str = "no"  # "no", "bf16" or "fp16"
    chunk_size: int | None = None  # gradient caching: so many examples per process are embedded at a time; None: all
    activation_checkpointing: bool = False  # layers keep only their input for the backward pass: less memory, slower
    compile: bool = False  # layers by torch.compile
    log_every: int = 10  # steps
    checkpoint_every: int = 150  # steps
    num_workers: int = 0  # processes that decode videos

    def __post_init__(self):
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError(
                f"TrainConfig needs exactly one of steps and epochs, and none as the other; it has {self.steps} steps "
                f"and {self.epochs} epochs"
            )
        require_one_of(self, schedule=("cosine", "linear"), mixed_precision=("no", "bf16", "fp16"))
        require_at_least(1, self, "batch_size", "steps", "epochs", "gradient_accumulation", "chunk_size")
        require_at_least(1, self, "log_every", "checkpoint_every")
        require_at_least(
            0, self, "steps", "learning_rate", "weight_decay", "eps", "max_grad_norm", "seed", "num_workers"
        )
        require_share(self, "warmup")


# BERT's recipe: biases and LayerNorms do not decay. As in the release that of the raw features does.
BERT: dict[str, Any] = {
    "weight_decay": 0.01,
    "schedule": "linear",
    "no_decay": ("bias", "LayerNorm.weight", ".norm.weight"),
}


@dataclass(frozen=True)
class UniVLPretrainConfig:
    """Pretraining of UniVL; the defaults are the release's recipe on HowTo100M."""

    model: UniVLConfig = UniVLConfig()
    tokenizer: str = "bert-base-uncased"  # a folder or hub name; "train": make one of `vocabulary` tokens
    vocabulary: int = 400
    text_weights: str | None = "bert-base-uncased"  # where the text encoder starts; None: at random
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig.release)
    narration: NarrationConfig = NarrationConfig(hide_text=0.15)  # hide_text acts in stage two alone
    staged: bool = True  # StagedP: a first stage trains the two encoders with Joint alone
    # 1920 and 960 videos per update on 8 GPUs: 15 and 2 per GPU and forward pass.
    stage_one: TrainConfig = TrainConfig(
        batch_size=120,
        gradient_accumulation=16,
        epochs=50,
        learning_rate=1e-4,
        lr_multipliers=(("text.", 0.1),),
        num_workers=8,
        **BERT,
    )
    stage_two: TrainConfig = TrainConfig(
        batch_size=16, gradient_accumulation=60, epochs=50, learning_rate=1e-4, num_workers=8, **BERT
    )

    def __post_init__(self):
        require_at_least(1, self, "vocabulary")
        if self.stage_two.chunk_size is not None:
            raise ConfigError(
                "stage two cannot be trained in chunks: its losses are no function of embeddings of single clips, as "
                "stage one's is. Set stage_one.chunk_size alone, or more gradient_accumulation in stage two"
            )


@dataclass(frozen=True)
class TaskConfig:
    """Fine-tuning of UniVL on one downstream task."""

    train: TrainConfig
    max_words: int = 48
    max_frames: int = 48

    def __post_init__(self):
        require_within("positions", self, "max_words", "max_frames")
        if self.train is not None and self.train.chunk_size is not None:
            raise ConfigError("UniVL's tasks cannot be trained in chunks: leave out chunk_size")


@dataclass(frozen=True)
class ClipPretrainConfig:
    """Pretraining of the small CLIP on (frame, short caption) pairs of the world."""

    images: int = 40_000  # rendered training pairs
    held_out: int = 1_000  # rendered pairs of meals that training never saw
    vocabulary: int = 400  # at most, byte-pair tokens, special tokens included
    architecture: dict = field(
        default_factory=lambda: {
            "embed_dim": 96,
            "quick_gelu": True,
            "vision_cfg": {"image_size": 48, "patch_size": 8, "width": 96, "head_width": 32, "layers": 4},
            "text_cfg": {"context_length": 32, "width": 96, "heads": 3, "layers": 3},
        }
    )
    train: TrainConfig = TrainConfig(
        batch_size=128, learning_rate=1e-3, weight_decay=0.05, epochs=3, seed=0, log_every=50, checkpoint_every=200
    )


@dataclass(frozen=True)
class S3DPretrainConfig:
    """Training of the small S3D with MIL-NCE on narrated videos of the world."""

    net: S3DConfig = S3DConfig(width=0.25, feature_dim=96, embed_dim=128, image_size=48, frames_per_second=4)
    world: WorldConfig = WorldConfig(
        videos_train=600, videos_val=60, videos_test=0, step_seconds=(3.0, 5.0), transcript_shift=1.0
    )
    single_dishes: int = 300  # videos of one dish, beside the world's with two
    moods: int = 200  # clips of a cook's face, told as what it shows
    seconds_per_video: int = 2  # drawn at each look at a video
    positives: int = 2  # sentences nearest in time
    word_dim: int = 64
    text_hidden: int = 256
    max_words: int = 16
    train: TrainConfig = TrainConfig(
        batch_size=64, learning_rate=3e-3, weight_decay=0.01, epochs=110, seed=0, log_every=50, checkpoint_every=200
    )
