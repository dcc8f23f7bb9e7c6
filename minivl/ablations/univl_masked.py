"""CMLM and CMFM with one modality hidden from them: is the link between text and video what they are worth?

Pretraining, retrieval and captions are those of `univl_parts`.
"""

from dataclasses import replace
from typing import Any

import torch

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_parts import captions, measured, narrated_batch, pretrained, retrieval
from minivl.config import Scale
from minivl.config.settings import OBJECTIVES
from minivl.univl import UniVL
from minivl.univl.copying import with_next


def run_masked(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain as a cell says; scores of `univl_parts`, and what masked words and frames owe to the other modality."""
    univl, told, scores = pretrained(settings, cell, seed)
    by_segment = retrieval(univl, told, seed) | captions(univl, told, seed)
    return measured(by_segment, told, scores | owed(univl, told))


@torch.inference_mode()
def owed(univl: UniVL, settings: Scale) -> dict[str, float]:
    """Losses of CMLM and CMFM on test videos, and what is added when each gets the next one's frames, or its text."""
    batch = narrated_batch(univl, settings)
    before = univl.objectives
    weights: dict[str, Any] = {name: float(name in ("cmlm", "cmfm")) for name in OBJECTIVES}
    univl.objectives = replace(before, **weights)
    try:
        there, other_text = univl.losses(batch), univl.losses(with_next(batch, "attention_mask"))
        other_video = univl.losses(with_next(batch, "video_mask"))
    finally:
        univl.objectives = before
    return {
        "CMLM, loss": there["cmlm"].item(),
        "CMLM, other frames cost": (other_video["cmlm"] - there["cmlm"]).item(),
        "CMFM, loss": there["cmfm"].item(),
        "CMFM, other text costs": (other_text["cmfm"] - there["cmfm"]).item(),
    }
