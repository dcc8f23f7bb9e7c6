"""StagedP at equal processor time: how much of it for stage one, which makes the encoders' outputs comparable?

A step of stage one (32 videos, Joint alone) takes as long as one of stage two (8 videos, everything), so cells with as
many steps in all have taken as long. Scores are those of `univl_parts`, and how comparable the outputs are when stage
two begins.
"""

from dataclasses import replace

from minivl.ablations.runner import Cell, Measured
from minivl.ablations.univl_parts import (
    after_stage_one,
    captioned_world,
    found_by_means,
    pretraining_of,
    run_parts,
    untrained,
)
from minivl.config import Scale


def run_staged(settings: Scale, cell: Cell, seed: int) -> Measured:
    """`run_parts`, with R@sum by the means of the encoders as stage two finds them."""
    measured = run_parts(settings, cell, seed)
    told = replace(settings, narrated=captioned_world(cell))
    before = after_stage_one(told, cell, seed)
    if before is None:
        before = untrained(told, pretraining_of(cell, settings.univl_pretrain, seed))
    measured.scores["R@sum, Joint, before stage two"] = float(found_by_means(before, told).mean())
    return measured
