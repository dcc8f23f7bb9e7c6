"""What an explorer shows: clips with their captions, and what each model makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minivl.config.limits import how_to_raise, limit

LARGEST_LOGIT = 1e9  # of a softmax, far above what models have; sums over clips stay finite


class AlignmentError(ValueError):
    """Embeddings, similarities or clips that do not fit together, or a file that does not hold them."""


@dataclass(frozen=True)
class Clips:
    """Clips and captions, without any model; B clips and A captions.

    names          of the clips
    captions       texts, every clip has at least one
    video_of_text  (A,) the number of each caption's clip
    groups         of the clips, for example those that show the same things; None if there are no groups
    strips         pictures of the clips, uint8 (B, S, H, W, 3); None if there are none
    """

    names: list[str]
    captions: list[str]
    video_of_text: np.ndarray
    groups: list[str] | None = None
    strips: np.ndarray | None = None

    def __post_init__(self):
        A, B = len(self.captions), len(self.names)
        if max(A, B) > limit("explored"):
            raise AlignmentError(f"{A} captions of {B} clips are too many to be shown: {how_to_raise('explored')}")
        if B < 2:
            raise AlignmentError("there must be two clips or more: else every pair is a matching one")
        numbers = np.asarray(self.video_of_text)
        if numbers.shape != (A,) or numbers.dtype.kind not in "iu" or set(numbers.tolist()) != set(range(B)):
            raise AlignmentError(
                f"the {A} captions must belong to the clips 0 to {B - 1}, each of which has one or more; theirs are "
                f"{numbers.tolist()!r:.80}"
            )
        if self.groups is not None and len(self.groups) != B:
            raise AlignmentError(f"groups must be one for each of {B} clips, there are {len(self.groups)}")
        if self.strips is not None:
            _require("strips", self.strips, (B, None, None, None, 3), "u")

    @property
    def matches(self) -> np.ndarray:
        """Which captions belong to which clips, bool (A, B)."""
        return self.video_of_text[:, None] == np.arange(len(self.names))


@dataclass(frozen=True)
class Alignment:
    """What one model makes of A captions and B clips.

    similarity     (A, B): the higher, the better they fit
    texts          embeddings of the captions (A, D), videos: of the clips (B, D); None for models without them
    frames         embeddings of frames in the space of `texts` (B, F, D), and frame_mask (B, F), 0 for padding; or None
    logit_scale    what the model multiplies cosines by, before the softmax; None if it has no such number
    image_level    (A, B): similarities at the level of single frames, AlignDistill's teacher of `similarity`; or None
    distill_scale  what AlignDistill multiplies both by, before its softmax; None: the logit scale
    teacher        what `image_level` compares with frames, in words; None if that is not known
    """

    similarity: np.ndarray
    texts: np.ndarray | None = None
    videos: np.ndarray | None = None
    frames: np.ndarray | None = None
    frame_mask: np.ndarray | None = None
    logit_scale: float | None = None
    image_level: np.ndarray | None = None
    distill_scale: float | None = None
    teacher: str | None = None

    @property
    def softmax_scale(self) -> float | None:
        """What AlignDistill multiplies similarities by, before its softmax."""
        return self.logit_scale if self.distill_scale is None else self.distill_scale

    @classmethod
    def of_embeddings(cls, texts: np.ndarray, videos: np.ndarray, **others: Any) -> "Alignment":
        """An alignment whose similarities are the cosines of texts (A, D) and videos (B, D)."""
        return cls(unit(texts) @ unit(videos).T, texts, videos, **others)

    def check(self, clips: Clips, whose: str) -> None:
        """Raise AlignmentError, which says `whose` alignment it is, unless all shapes fit the clips."""
        A, B = len(clips.captions), len(clips.names)
        _require(f"{whose}: similarity", self.similarity, (A, B))
        if (self.texts is None) != (self.videos is None) or (self.frames is not None and self.texts is None):
            raise AlignmentError(f"{whose}: texts and videos go together, and frames need them: give all, or none")
        if self.texts is not None:
            _require(f"{whose}: texts", self.texts, (A, None))
            D = self.texts.shape[1]
            _require(f"{whose}: videos", self.videos, (B, D))
            if self.frames is not None:
                _require(f"{whose}: frames", self.frames, (B, None, D))
                _require(f"{whose}: frame_mask", self.frame_mask, self.frames.shape[:2], "biuf")
        for name in ("logit_scale", "distill_scale"):
            scale = getattr(self, name)
            if scale is not None and not 0 < scale < np.inf:
                raise AlignmentError(f"{whose}: {name} must be a number above 0, not {scale}")
        if self.image_level is not None:
            self._check_teacher(self.image_level, A, B, whose)

    def _check_teacher(self, image_level: np.ndarray, A: int, B: int, whose: str) -> None:
        """Raise AlignmentError unless image_level has a softmax beside that of the similarities."""
        _require(f"{whose}: image_level", image_level, (A, B))
        if self.softmax_scale is None:
            raise AlignmentError(f"{whose}: image_level needs a distill_scale, or a logit_scale, for its softmax")
        largest = max(float(np.abs(matrix).max()) for matrix in (image_level, self.similarity))
        if not self.softmax_scale * largest < LARGEST_LOGIT:
            raise AlignmentError(
                f"{whose}: similarity and image_level, times the scale {self.softmax_scale:g} of their softmax, must "
                f"stay below {LARGEST_LOGIT:g}, and the largest is {self.softmax_scale * largest:g}"
            )


@dataclass(frozen=True)
class Exploration:
    """Models side by side on the same clips.

    models   name -> stages, which are {"step 120": Alignment, ...}; one stage, called "", where there was no run.

    Raises AlignmentError for what does not fit together.
    """

    clips: Clips
    models: Mapping[str, Mapping[str, Alignment]]

    def __post_init__(self):
        if not self.models or not all(self.models.values()):
            raise AlignmentError("there must be at least one model, and each must have a stage")
        for name, stages in self.models.items():
            for stage, alignment in stages.items():
                alignment.check(self.clips, f"{name} {stage}".strip())


def together(explorations: list[Exploration]) -> Exploration:
    """All models of several explorations. Raises AlignmentError if they are not of the same captions and clips.

    The pictures are those of the first that has some. A name that occurs again gets a number.
    """
    first = next((e for e in explorations if e.clips.strips is not None), explorations[0])
    models: dict[str, Mapping[str, Alignment]] = {}
    for other in explorations:
        same = other.clips.captions == first.clips.captions and other.clips.names == first.clips.names
        if not same or not np.array_equal(other.clips.video_of_text, first.clips.video_of_text):
            raise AlignmentError(
                f"{', '.join(other.models)} and {', '.join(first.models)} are of different clips or captions, or in "
                "another order: only models that saw the same ones can stand side by side"
            )
        for name, stages in other.models.items():
            number = 2
            free = name
            while free in models:
                free, number = f"{name} ({number})", number + 1
            models[free] = stages
    return Exploration(first.clips, models)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) of length 1, float64; one of length 0 stays as it is."""
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)


def _require(what, array, shape, kinds="f"):
    """Raise AlignmentError unless an array has this shape (None: any, but not 0) and numbers of these kinds."""
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    if array is None:
        raise AlignmentError(f"{what} is missing: it must be of shape {wanted}")
    fits = array.ndim == len(shape) and all(
        size == want or (want is None and size > 0) for size, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        raise AlignmentError(f"{what} must be of shape {wanted}, not {array.dtype} {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise AlignmentError(f"{what} has numbers that are NaN or infinite: the model, or its file, is damaged")
