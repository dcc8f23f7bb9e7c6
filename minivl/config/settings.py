"""Every hyperparameter of the world, the models, the losses and the data, with its default. Training: training.py."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from minivl.config.checks import ConfigError, fixed, require_at_least, require_one_of, require_share
from minivl.config.limits import require_within

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


@dataclass(frozen=True)
class WorldConfig:
    """The kitchen world: what is rendered, and the knobs that the ablations turn."""

    seed: int = 0
    videos_train: int = 600  # videos, not frames
    videos_val: int = 120
    videos_test: int = 360  # rounded up to whole groups of bindings
    image_size: int = 48  # pixels, square
    fps: float = 4.0  # frames per second of the mp4 files
    dishes: int = 2  # dishes prepared in one video, at most 3; two can be bound in 4 ways, three in 36
    sharing: bool = False  # dishes of a meal may share liquid and treatment: more meals, half of them for val and test
    step_seconds: tuple[float, float] = (1.5, 1.8)  # shortest and longest step
    dial: float = 0.5  # discrepancy dial: chance that a dish is told as a whole, not step by step
    clauses: int | None = None  # tell only that many single steps (the dial has no effect then); None: every dish
    novel: float = 0.0  # chance that an ingredient is one that CLIP's pretraining never saw or read
    style: float = 0.0  # shift of visual style from pretraining, 0 (none) to 1 (faded, tinted, blurred)
    clutter: float = 0.3  # chance of each object on the counter that no caption mentions
    filler: float = (
        0.4  # empty moments: before a step by a chance of filler / (3 dishes); 6 with two dishes: before each
    )
    frame_captions: int = 8  # captions of single frames per video, spread as frame sampling spreads its frames
    transcript_shift: float = 4.0  # seconds; narration is shifted by up to this much either way
    transcript_missing: float = 0.2  # share of steps that the narrator says nothing about
    transcript_filler: float = 0.2  # chance of talk about something else, per step
    transcript_vague: float = 0.3  # chance that an attribute is dropped ("it", "the pot")

    def __post_init__(self):
        require_at_least(0, self, "seed", "videos_train", "videos_val", "videos_test", "clauses", "transcript_shift")
        require_at_least(1, self, "image_size", "dishes", "frame_captions")
        require_share(self, "dial", "novel", "style", "clutter")
        require_share(self, "transcript_missing", "transcript_filler", "transcript_vague")
        if self.dishes > 3:
            raise ConfigError(f"WorldConfig.dishes must be at most 3, as there are three liquids, not {self.dishes}")
        if not 0 <= self.filler <= 3 * self.dishes:
            raise ConfigError(
                f"WorldConfig.filler must be between 0 and {3 * self.dishes} (before each of the steps of "
                f"{self.dishes} dishes), not {self.filler}"
            )
        if self.fps <= 0 or not 0 < self.step_seconds[0] <= self.step_seconds[1]:
            raise ConfigError(
                f"a world needs fps above 0 and step_seconds (shortest, longest); got {self.fps}, {self.step_seconds}"
            )


NARRATED_WORLD = WorldConfig(step_seconds=(3.0, 5.0))  # what the bundled narrated videos were rendered with


@dataclass(frozen=True)
class ClipConfig:
    """Choice of the CLIP: an open_clip architecture with a weights tag or file, or a folder that holds both."""

    name: str = "kitchen"  # "kitchen": the bundled small CLIP; else as open_clip names it, or a folder
    pretrained: str | None = None  # open_clip's tag ("openai") or a file; None for folders


@dataclass(frozen=True)
class InputConfig:
    """Sizes of a clip as the model reads it."""

    max_frames: int = 12
    frames_per_second: float = 1.0  # sampling rate before the choice of max_frames
    max_words: int = 32  # text tokens, start and end included
    augment: str = ""  # RandAugment of training frames as timm writes it, such as RANDAUGMENT; "": none

    def __post_init__(self):
        require_within("frames", self, "max_frames")
        require_within("positions", self, "max_words")
        require_within("fps", self, "frames_per_second", least=0.001)


RANDAUGMENT = "rand-m7-n4-mstd0.5-inc1"  # of the released DiscoVLA: 4 operations of strength 7, each with chance 1/2

# What class tokens see in fusion layers, from nothing but their own frame to IVFusion (figure 3 of DiscoVLA).
STRATEGIES = ("image", "video", "average", "adapter")


@dataclass(frozen=True)
class DiscoVLAConfig:
    """DiscoVLA's own settings, defaults as released for MSR-VTT."""

    lora_rank: int = 8  # also the width of the fusion adapter's bottleneck
    vision_fusion_layers: int = 4  # H_V: how many of the last vision blocks fuse frames
    text_fusion_layers: int = 2  # H_L: how many of the last text blocks fuse frame captions, where alpha or beta > 0
    strategy: str = "adapter"  # what fusion layers do: one of STRATEGIES
    alpha: float = 0.3  # weight of PImgAlign's loss; with alpha and beta 0 no frame captions are needed
    pool_scale: float | None = None  # s of PImgAlign's weighted sum; None: CLIP's own, nearly a maximum; 0 is a mean
    beta: float = 1.0  # weight of AlignDistill's loss; a loss of weight 0 is not computed
    # AlignDistill as in the released code; "paper": teacher detached, mean over the batch; "shuffled": a control
    distill: str = "release"
    distill_scale: float | None = None  # s of its softmaxes; None: CLIP's own, which makes them nearly one-hot
    mask_padding: bool = False  # hide padded frames from fusion and PImgAlign; the release lets them take part
    temporal: int = 0  # beyond the paper: so many places of frames get a learned embedding; 0: order is not seen

    def __post_init__(self):
        require_one_of(self, strategy=STRATEGIES, distill=("release", "paper", "shuffled"))
        require_within("width", self, "lora_rank")
        require_within("layers", self, "vision_fusion_layers", "text_fusion_layers", least=0)
        require_within("positions", self, "temporal", least=0)
        require_at_least(0, self, "alpha", "beta")


@dataclass(frozen=True)
class S3DConfig:
    """Sizes of the video network S3D and of its input; the defaults are those of the released one."""

    width: float = 1.0  # channels of every layer, as a share of the released ones
    feature_dim: int = 1024  # numbers per feature, a multiple of 8
    embed_dim: int = 512  # numbers per embedding, in which MIL-NCE compares clips with sentences
    image_size: int = 224  # pixels, square, even
    frames_per_second: int = 16  # of the input, even; one second makes one feature

    def __post_init__(self):
        require_within("width", self, "feature_dim", "embed_dim")
        require_within("pixels", self, "image_size")
        require_within("fps", self, "frames_per_second")
        if self.width <= 0:
            raise ConfigError(f"S3DConfig.width must be above 0, not {self.width}")
        if self.feature_dim % 8 or self.image_size % 2 or self.frames_per_second % 2:
            raise ConfigError(
                "S3D needs an even image_size, even frames_per_second and a feature_dim that is a "
                f"multiple of 8, got {self.image_size}, {self.frames_per_second} and {self.feature_dim}"
            )


@dataclass(frozen=True)
class UniVLConfig:
    """Sizes of UniVL; the defaults are those of the released model, whose text encoder is bert-base-uncased."""

    vocab_size: int = field(default=30522, metadata=fixed("it is the tokenizer's"))
    video_dim: int = field(default=1024, metadata=fixed("it is that of the features"))  # numbers per feature (S3D)
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
    pad_token_id: int = field(default=0, metadata=fixed("it is the tokenizer's"))
    bos_token_id: int = field(default=101, metadata=fixed("it is the tokenizer's"))  # [CLS]: begins texts and captions
    eos_token_id: int = field(default=102, metadata=fixed("it is the tokenizer's"))  # [SEP]: ends them

    def __post_init__(self):
        require_within("layers", self, "text_layers", "video_layers", "cross_layers", "decoder_layers", least=0)
        require_within("width", self, "video_dim", "hidden_size", "num_heads", "intermediate_size")
        require_within("vocabulary", self, "vocab_size")
        require_within("positions", self, "text_positions", "video_positions", "cross_positions")
        require_at_least(0, self, "pad_token_id", "bos_token_id", "eos_token_id")
        require_share(self, "dropout")
        if not set(self.parts) <= {"cross", "decoder", "heads"} or self.parts and "cross" not in self.parts:
            raise ConfigError(f"parts are cross, decoder and heads, the latter two with cross; not {self.parts}")


OBJECTIVES = ("joint", "cmlm", "cmfm", "align", "decoder")  # of UniVL: settings of ObjectiveConfig that are weights


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
    positives: str = "neighbours"  # in Joint: MIL-NCE; to compare with, "own" (NCE) and "own without neighbours"
    anchors: str = "all"  # MIL-NCE's mean is over "all" clips, or over the "middle" clip of each video (release)
    count_padding: bool = False  # True (release): [PAD] after the caption is a target of the decoder, too
    detach_frames: bool = True  # False (release): CMFM trains the normalisation of its own targets
    global_negatives: bool = True  # False (release): every process contrasts its own clips only
    contrast_hidden_texts: bool = True  # False: clips whose text EnhancedV hides stay out of Joint and Align
    cmlm_reads: str = "both"  # text and video; to compare with, "text": masked words are guessed without the video
    cmfm_reads: str = "both"  # text and video; to compare with, masked frames are guessed without the text ("video"),
    # from the video encoder, without the cross encoder ("encoder"), or from both encoders untrained by it ("frozen")

    def __post_init__(self):
        require_one_of(self, anchors=("all", "middle"), positives=("neighbours", "own", "own without neighbours"))
        require_one_of(self, cmlm_reads=("both", "text"), cmfm_reads=("both", "video", "encoder", "frozen"))
        require_at_least(0, self, *OBJECTIVES)

    @classmethod
    def release(cls, **changes: Any) -> "ObjectiveConfig":
        """The objectives that the released code computes."""
        return cls(
            **{"anchors": "middle", "count_padding": True, "detach_frames": False, "global_negatives": False, **changes}
        )


@dataclass(frozen=True)
class NarrationConfig:
    """Making of training clips from narrated videos; the defaults are those of the release."""

    clips_per_video: int = 3  # n: consecutive clips that are positives of each other in MIL-NCE
    min_seconds: float = 5.0  # a clip grows by its neighbours until it is that long
    max_words: int = 48  # tokens, [CLS] and [SEP] included
    max_frames: int = 64  # video features
    mask_share: float = 0.15  # of tokens and of frames
    hide_text: float = 0.0  # EnhancedV: chance that the texts of a video are hidden as a whole (0.15 in the paper)

    def __post_init__(self):
        require_at_least(1, self, "clips_per_video")
        require_within("positions", self, "max_words", "max_frames")
        require_at_least(0, self, "min_seconds")
        require_share(self, "mask_share", "hide_text")


@dataclass(frozen=True)
class CorpusConfig:
    """A real corpus by its name in `minivl.data.corpora`, and which of its protocols."""

    name: str
    protocol: str | None = None  # None: the corpus' first


def override(config: Config, **changes: Any) -> Config:
    """A copy of a config dataclass with some values changed; a name it does not have is an error."""
    unknown = set(changes) - {f.name for f in dataclasses.fields(config)}
    if unknown:
        known = ", ".join(f.name for f in dataclasses.fields(config))
        raise ConfigError(f"{type(config).__name__} has no setting {', '.join(sorted(unknown))}; it has {known}")
    return dataclasses.replace(config, **changes)
