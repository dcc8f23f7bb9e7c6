"""The room that a method has: what readers find without training, and what training all weights of CLIP reaches.

A cell's settings are those of `minivl.ablations.discovla`; that of a reader has its name, one of
`minivl.ablations.readers`.
"""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from minivl.ablations.discovla import (
    BATCH,
    BY_VIDEO,
    hash_of,
    measured,
    run_cell,
    training_of,
    world_and_rest,
    world_clips,
    world_of,
)
from minivl.ablations.discovla_viewers import told
from minivl.ablations.readers import READERS, TRUE_READERS, seen_similarities, true_similarities
from minivl.ablations.runner import Cell, Measured
from minivl.config import Scale, override
from minivl.data.world.language import told_dishes
from minivl.data.world.meals import draw_split
from minivl.discovla import DiscoVLA
from minivl.metrics.retrieval import group_metrics, retrieval_metrics, scores_by_video
from minivl.tasks.clip.retrieval import without_idle_fusion
from minivl.train.loop import fit, seed_everything


def run_reader(settings: Scale, cell: Cell, seed: int) -> Measured:
    """The scores of a reader; R@1 also of the captions that tell none, one and both of their dishes by name alone."""
    reader = cell.settings["reader"]
    world = world_of(settings, cell)
    test = world_clips(settings.inputs, world, None)[2]
    drawn, groups = draw_split("test", world.videos_test, world), np.asarray(test.rows["group"])
    if [group for group, _ in drawn] != groups.tolist():
        raise AssertionError("meals are drawn in the order of the clips")
    if reader in TRUE_READERS:
        found = true_similarities(test.captions, [meal for _, meal in drawn], TRUE_READERS[reader])
    else:
        found = seen_similarities(test, READERS[reader])
    by_video = scores_by_video(found)
    scores = {
        "R@sum": retrieval_metrics(found)["R@sum"],
        "t2v R@1": float(by_video["t2v R@1"].mean()),
        **group_metrics(found, groups),
    }
    named = np.array([sum("vessel" not in dish for dish in told_dishes(caption)) for caption in test.captions])
    for number in np.unique(named):
        scores[f"t2v R@1, {number} by name"] = float(by_video["t2v R@1"][named == number].mean())
    examples = {name: by_video[name].astype(np.float32) for name in BY_VIDEO if name in by_video}
    return Measured(scores, examples, groups, hash_of(test))


def run_adapted(settings: Scale, cell: Cell, seed: int) -> Measured:
    """`run_all_weights` for a cell that says "weights": "all", `run_cell` for any other."""
    chosen = dict(cell.settings)
    run = run_all_weights if chosen.pop("weights", None) == "all" else run_cell
    return run(settings, replace(cell, settings=chosen), seed)


def run_all_weights(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Train every weight but the logit scale, with the contrastive loss of videos alone, and score."""
    world, chosen = world_and_rest(settings, cell)
    train, val, test = world_clips(settings.inputs, world, chosen.pop("videos", None))
    train = told(train, world, chosen.pop("viewers", 1))
    rounds, batch, rate = chosen.pop("rounds", 1), chosen.pop("batch_size", BATCH), chosen.pop("learning_rate")
    training = training_of(settings, len(train), seed, rounds, batch, rate)
    began = time.process_time()
    seed_everything(seed)
    model = DiscoVLA.from_open_clip("kitchen", None, without_idle_fusion(override(settings.discovla, **chosen)))
    model.requires_grad_(True)
    model.clip.logit_scale.requires_grad_(False)  # as in adaptation
    with TemporaryDirectory() as run_dir:
        fit(model, train, training, Path(run_dir), progress=False)
    return measured(model.eval(), world, val, test, time.process_time() - began)
