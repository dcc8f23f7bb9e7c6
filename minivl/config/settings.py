"""Every hyperparameter with its default: of the world, the models, the losses, training and the tasks."""

import dataclasses
from dataclasses import dataclass, field


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


NARRATED_WORLD = WorldConfig(step_seconds=(3.0, 5.0))  # what the bundled narrated videos were rendered with


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
    augment: str = ""  # RandAugment of training frames as timm writes it, such as RANDAUGMENT; "": none


RANDAUGMENT = "rand-m7-n4-mstd0.5-inc1"  # of the released DiscoVLA: 4 operations of strength 7, each with chance 1/2

# What class tokens see in fusion layers, from nothing but their own frame to IVFusion (figure 3 of DiscoVLA).
STRATEGIES = ("image", "video", "average", "adapter")


@dataclass(frozen=True)
class DiscoVLAConfig:
    """DiscoVLA's own settings, defaults as released for MSR-VTT."""

    lora_rank: int = 8  # also the width of the fusion adapter's bottleneck
    vision_fusion_layers: int = 4  # H_V: how many of the last vision blocks fuse frames
    text_fusion_layers: int = 2  # H_L: how many of the last text blocks fuse frame captions
    strategy: str = "adapter"  # what fusion layers do: one of STRATEGIES
    alpha: float = 0.3  # weight of PImgAlign's loss; with alpha and beta 0 no frame captions are needed
    pool_scale: float | None = None  # s of PImgAlign's weighted sum; None: CLIP's own, nearly a maximum; 0 is a mean
    beta: float = 1.0  # weight of AlignDistill's loss; a loss of weight 0 is not computed
    distill: str = "release"  # AlignDistill as in the released code, or "paper": teacher detached, mean over the batch
    distill_scale: float | None = None  # s of its softmaxes; None: CLIP's own, which makes them nearly one-hot
    mask_padding: bool = False  # hide padded frames from fusion and PImgAlign; the release lets them take part
    temporal: int = 0  # beyond the paper: so many places of frames get a learned embedding; 0: order is not seen

    def __post_init__(self):
        if self.strategy not in STRATEGIES:
            raise ConfigError(f"strategy must be one of {', '.join(STRATEGIES)}, not {self.strategy!r}")
        if self.distill not in ("release", "paper"):
            raise ConfigError(f"distill must be release or paper, not {self.distill!r}")
        if min(self.alpha, self.beta, self.temporal) < 0:
            raise ConfigError(
                f"alpha, beta and temporal must not be negative, got {self.alpha}, {self.beta} and {self.temporal}"
            )


@dataclass(frozen=True)
class S3DConfig:
    """Sizes of the video network S3D and of its input; the defaults are those of the released one."""

    width: float = 1.0  # channels of every layer, as a share of the released ones
    feature_dim: int = 1024  # numbers per feature, a multiple of 8
    embed_dim: int = 512  # numbers per embedding, in which MIL-NCE compares clips with sentences
    image_size: int = 224  # pixels, square, even
    frames_per_second: int = 16  # of the input, even; one second makes one feature

    def __post_init__(self):
        if self.feature_dim % 8 or self.image_size % 2 or self.frames_per_second % 2:
            raise ConfigError(
                "S3D needs an even image_size, even frames_per_second and a feature_dim that is a "
                f"multiple of 8, got {self.image_size}, {self.frames_per_second} and {self.feature_dim}"
            )


@dataclass(frozen=True)
class UniVLConfig:
    """Sizes of UniVL; the defaults are those of the released model, whose text encoder is bert-base-uncased."""

    vocab_size: int = 30522
    video_dim: int = 1024  # numbers per video feature (S3D)
    hidden_size: int = 768
    num_heads: int = 12
    intermediate_size: int = 3072
    text_layers: int = 12
    video_layers: int = 6
    cross_layers: int = 2
    decoder_layers: int = 3
    text_positions: int = 512  # longest text; the decoder reads the same table of positions
    video_positions: int = 512
    cross_positions: int = 1024
    dropout: float = 0.1
    parts: tuple[str, ...] = ("cross", "decoder", "heads")  # beyond the two encoders; "heads" predict what was masked
    pad_token_id: int = 0
    bos_token_id: int = 101  # [CLS]: begins texts and captions
    eos_token_id: int = 102  # [SEP]: ends them


@dataclass(frozen=True)
class ObjectiveConfig:
    """The five pretraining objectives: their weights, and the choices in which paper and release part.

    The defaults are what the equations of the paper say; `ObjectiveConfig.release()` is what the released code does.
    """

    joint: float = 1.0  # weights; an objective of weight 0 is not computed
    cmlm: float = 1.0
    cmfm: float = 1.0
    align: float = 1.0
    decoder: float = 1.0
    anchors: str = "all"  # MIL-NCE's mean is over "all" clips, or over the "middle" clip of each video (release)
    count_padding: bool = False  # True (release): [PAD] after the caption is a target of the decoder, too
    detach_frames: bool = True  # False (release): CMFM trains the normalisation of its own targets
    global_negatives: bool = True  # False (release): every process contrasts its own clips only
    contrast_hidden_texts: bool = True  # False: clips whose text EnhancedV hides stay out of Joint and Align

    @classmethod
    def release(cls, **changes) -> "ObjectiveConfig":
        """What the released code computes."""
        return cls(
            **{"anchors": "middle", "count_padding": True, "detach_frames": False, "global_negatives": False, **changes}
        )


@dataclass(frozen=True)
class NarrationConfig:
    """How narrated videos become training clips; the defaults are those of the release."""

    clips_per_video: int = 3  # n: consecutive clips that are positives of each other in MIL-NCE
    min_seconds: float = 5.0  # a clip grows by its neighbours until it is that long
    max_words: int = 48  # tokens, [CLS] and [SEP] included
    max_frames: int = 64  # video features
    mask_share: float = 0.15  # of tokens and of frames
    hide_text: float = 0.0  # EnhancedV: chance that the texts of a video are hidden as a whole (0.15 in the paper)


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    batch_size: int = 128  # over all processes, before gradient accumulation
    learning_rate: float = 6e-4
    weight_decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    warmup: float = 0.1  # share of all steps with a linearly rising learning rate
    decline: str = "cosine"  # after the warm-up the rate falls along half a "cosine" or "linear"ly, to 0
    undecayed: tuple[str, ...] = ()  # parameters whose name contains one of these have no weight decay
    slower: tuple[tuple[str, float], ...] = ()  # (start of a parameter's name, factor of its learning rate)
    max_grad_norm: float = 1.0
    steps: int | None = None  # exactly one of steps and epochs
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
            raise ConfigError("TrainConfig needs exactly one of steps and epochs")
        if self.decline not in ("cosine", "linear"):
            raise ConfigError(f"TrainConfig.decline must be 'cosine' or 'linear', not {self.decline!r}")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ConfigError(f"TrainConfig.chunk_size must be at least 1, or None, not {self.chunk_size}")


# BERT's recipe: biases and LayerNorms do not decay. As in the release that of the raw features does.
BERT_UNDECAYED = ("bias", "LayerNorm.weight", ".norm.weight")


@dataclass(frozen=True)
class UniVLPretrainConfig:
    """Pretraining of UniVL; the defaults are the release's recipe on HowTo100M."""

    model: UniVLConfig = UniVLConfig()  # vocabulary and special tokens are taken from the tokenizer
    tokenizer: str = "bert-base-uncased"  # a folder or hub name; "train": make one of `vocabulary` tokens
    vocabulary: int = 400
    text_weights: str | None = "bert-base-uncased"  # where the text encoder starts; None: at random
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig.release)
    narration: NarrationConfig = NarrationConfig()
    staged: bool = True  # StagedP: a first stage trains the two encoders with Joint alone
    hide_text: float = 0.15  # EnhancedV, in stage two; 0 is without
    # 1920 and 960 videos per update on 8 GPUs: 15 and 2 per GPU and forward pass.
    stage_one: TrainConfig = TrainConfig(
        batch_size=120,
        gradient_accumulation=16,
        epochs=50,
        learning_rate=1e-4,
        weight_decay=0.01,
        decline="linear",
        undecayed=BERT_UNDECAYED,
        slower=(("text.", 0.1),),
        num_workers=8,
    )
    stage_two: TrainConfig = TrainConfig(
        batch_size=16,
        gradient_accumulation=60,
        epochs=50,
        learning_rate=1e-4,
        weight_decay=0.01,
        decline="linear",
        undecayed=BERT_UNDECAYED,
        num_workers=8,
    )


@dataclass(frozen=True)
class TaskConfig:
    """Fine-tuning of UniVL on one downstream task."""

    train: TrainConfig
    max_words: int = 48
    max_frames: int = 48


@dataclass(frozen=True)
class CorpusConfig:
    """A real corpus by its name in `minivl.data.corpora`, and which of its protocols."""

    name: str
    protocol: str | None = None  # None: the corpus' first


@dataclass(frozen=True)
class ClipPretrainConfig:
    """Pretraining of the small CLIP on (frame, short caption) pairs of the world."""

    images: int = 40_000  # rendered training pairs
    held_out: int = 1_000  # rendered pairs of recipes that training never saw
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


def override(config, **changes):
    """A copy of a config dataclass with some values changed; a name it does not have is an error."""
    unknown = set(changes) - {f.name for f in dataclasses.fields(config)}
    if unknown:
        known = ", ".join(f.name for f in dataclasses.fields(config))
        raise ConfigError(f"{type(config).__name__} has no setting {', '.join(sorted(unknown))}; it has {known}")
    return dataclasses.replace(config, **changes)
