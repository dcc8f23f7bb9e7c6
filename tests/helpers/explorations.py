"""A small exploration: six captions of five clips, two models, one of them with three stages; hostile names."""

import numpy as np

from minivl.explorer import Alignment, Clips, Exploration
from minivl.explorer.alignments import unit

HOSTILE = "</script><img src=x onerror=\"window.hacked = true\"><b class='hacked'>$$x$$"
CAPTIONS = [HOSTILE, "a red pot", "a red pot", "a hand", "a knife slices a carrot", "the same carrot"]
VIDEO_OF_TEXT = np.array([0, 1, 2, 3, 4, 4])


def clips(strips=True):
    pictures = np.random.default_rng(0).integers(0, 255, (5, 3, 8, 8, 3), dtype=np.uint8) if strips else None
    names = [HOSTILE, "one", "two", "three", "four"]
    return Clips(names, CAPTIONS, VIDEO_OF_TEXT, [HOSTILE, "b", "b", "a", "a"], pictures)


def alignment(noise, seed=0, frames=True):
    """Captions near their clips, in three dimensions, with two frames; the last frame of clip 3 is padding."""
    rng = np.random.default_rng(seed)
    videos = rng.normal(size=(5, 3)).astype(np.float32)
    texts = (videos[VIDEO_OF_TEXT] + noise * rng.normal(size=(6, 3))).astype(np.float32)
    if not frames:
        return Alignment.of_embeddings(texts, videos)
    of_frames = np.stack([videos, -videos], axis=1)
    mask = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [1, 1]], dtype=np.float32)
    image_level = np.abs(unit(texts) @ unit(videos).T).astype(np.float32)  # of the better of the two frames
    return Alignment.of_embeddings(
        texts, videos, frames=of_frames, frame_mask=mask, logit_scale=20.0, image_level=image_level, distill_scale=5.0,
        teacher=HOSTILE,
    )  # fmt: skip


def exploration():
    stages = {f"step {step}": alignment(noise) for step, noise in ((0, 3.0), (5, 1.0), (10, 0.1))}
    return Exploration(clips(), {HOSTILE: {"": alignment(2.0, 1, frames=False)}, "run": stages})
