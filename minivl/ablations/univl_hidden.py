"""EnhancedV as what it is for: captions from video alone, by the share of hidden texts and the amount of captions.

Pretraining is that of `univl_parts`. The videos for fine-tuning differ, its steps do not.
"""

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_parts import captions, copying, measured, pretrained
from minivl.config import Scale

AMOUNTS = (15, 60, 240)  # captioned videos


def run_hidden(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain as a cell says, and write captions from video alone after fine-tuning on few and on more videos."""
    univl, told, scores = pretrained(settings, cell, seed)
    by_segment = {f"CIDEr, {videos} videos": captions(univl, told, seed, videos)["CIDEr"] for videos in AMOUNTS}
    return measured(by_segment, told, scores | copying(univl, told))
