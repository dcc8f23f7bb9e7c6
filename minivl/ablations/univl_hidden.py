"""EnhancedV as what it is for: captions from video alone, by the share of hidden texts and the amount of captions.

Pretraining is that of `univl_parts`. The videos for fine-tuning differ, its steps do not.
"""

import numpy as np

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_parts import captions, copying, pretrained, test_videos
from minivl.ablations.univl_worlds import hash_of_features
from minivl.config import Scale

AMOUNTS = (15, 60, 240)  # captioned videos


def run_hidden(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain as a cell says, and write captions from video alone after fine-tuning on few and on more videos."""
    univl, told, scores = pretrained(settings, cell, seed)
    by_segment = {f"CIDEr, {videos} videos": captions(univl, told, seed, videos)["CIDEr"] for videos in AMOUNTS}
    scores |= {name: float(values.mean()) for name, values in by_segment.items()} | copying(univl, told)
    return Measured(
        scores,
        {name: values.astype(np.float32) for name, values in by_segment.items()},
        test_videos(told),
        hash_of_features(told.narrated / "test"),
    )
