"""From decoded frames to what CLIP's vision encoder reads."""

import random
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageOps

from minivl.config import RANDAUGMENT, ConfigError

RESIZING = ("shortest", "squash", "longest")  # see `crop_square`

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue in [0, 1]
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def preprocess(
    frames: np.ndarray | Sequence[Image.Image],
    size: int,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
    resizing: str = "shortest",
    interpolation: str = "bicubic",
) -> torch.Tensor:
    """Frames, uint8 (F, H, W, 3) or F PIL images, as normalised float32 (F, 3, size, size).

    Frames become squares as `crop_square` makes them, values are brought to [0, 1], then `(value - mean) / std` per
    channel.
    """
    # In numpy: for so little work, torch would wait longer for its threads than they compute.
    pixels = crop_square(frames, size, resizing, interpolation).astype(np.float32) / 255
    pixels = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def augmented(frames: np.ndarray, policy: str) -> list[Image.Image]:
    """Frames (F, H, W, 3) uint8 after RandAugment, the same operations with the same strengths on all of them.

    policy: as timm writes it; "rand-m7-n4-mstd0.5-inc1" draws 4 of 15 operations, does each with chance 1/2 and
    a strength near 7 of 10. Draws follow from the global generators of python and numpy, which `fit` seeds.

    Raises ConfigError for a policy that timm does not know.
    """
    transform = _rand_augment(policy)
    drawn = random.getstate(), np.random.get_state()
    results = []
    for frame in frames:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        results.append(transform(Image.fromarray(frame)))
    return results


@lru_cache
def _rand_augment(policy):
    from timm.data.auto_augment import rand_augment_transform  # takes seconds to import

    grey, bicubic = (128, 128, 128), Image.Resampling.BICUBIC
    try:
        return rand_augment_transform(policy, {"img_mean": grey, "interpolation": bicubic})
    except (AssertionError, ValueError) as error:
        raise ConfigError(f"unknown augmentation {policy!r}: write it as timm does, such as {RANDAUGMENT}") from error


def crop_square(
    frames: np.ndarray | Sequence[Image.Image], size: int, resizing: str = "shortest", interpolation: str = "bicubic"
) -> np.ndarray:
    """Frames as squares, uint8 (F, size, size, 3); those that are such squares already come back as they are.

    resizing   "shortest": the short side becomes `size`, and the middle square is kept (CLIP); "squash": both sides
               become `size`, whatever the shape was (SigLIP, PE); "longest": the long side does, on black

    Raises ValueError if there are no frames or the array is not uint8 (F, H, W, 3).
    """
    if len(frames) == 0:
        raise ValueError("no frames to preprocess")
    if isinstance(frames, np.ndarray):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"frames must be uint8 (F, H, W, 3), got {frames.dtype} {frames.shape}")
        if frames.shape[1:3] == (size, size):
            return frames
        frames = [Image.fromarray(frame) for frame in frames]
    # With PIL, as CLIP was trained: resizing tensors rounds some pixels differently.
    method = Image.Resampling[interpolation.upper()]
    return np.stack([_square(image.convert("RGB"), size, resizing, method) for image in frames])


def _square(image: Image.Image, size: int, resizing: str, method: Image.Resampling) -> np.ndarray:
    if resizing == "squash":
        return np.asarray(image.resize((size, size), method))
    if resizing == "longest":
        return np.asarray(ImageOps.pad(image, (size, size), method))
    short = min(image.size)
    width, height = (int(size * side / short) for side in image.size)
    image = image.resize((width, height), method)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))
