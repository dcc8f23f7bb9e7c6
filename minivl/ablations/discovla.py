"""The parts of DiscoVLA: where each helps, and where it hurts.

Every cell adapts the small CLIP to a kitchen world and is scored on videos whose meals training never saw. A cell's
settings are names of DiscoVLAConfig, of WorldConfig, and of the training below; "frames" says how many of a video are
read, and "viewers" how many tell each training video. Studies are lists of cells:

    components   LoRA, then each part of the paper on top of the one before
    strategies   what class tokens see in fusion layers (figure 3 of the paper)
    settings     fusion layers, rank, and the weights of the losses: `val R@sum` is what to choose by
    pooling      how PImgAlign sums up what fits: nearly a maximum, as in the paper, or nearly a mean
    noise        wrong frame captions
    distillation AlignDistill as in the paper and as released, with small and large batches
    converged    three times the steps
    dial         how much of a caption no single frame shows
    regimes      words, looks and amounts of data that differ from the bundled world's
    order        beyond the paper: telling the model which frame comes first, and asking it
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from minivl.ablations.discovla_viewers import told
from minivl.ablations.runner import Cell, Measured, run_cells, save_results
from minivl.clip import load_clip
from minivl.config import ConfigError, InputConfig, Scale, TrainConfig, WorldConfig, override, scale
from minivl.data.clips import ClipDataset
from minivl.data.world.build import cached_world
from minivl.data.world.language import in_other_order, moment_sentences
from minivl.data.world.meals import Step, describe_splits, draw_split
from minivl.discovla.beyond.probes import frame_accuracy, moment_scores, order_accuracy
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.metrics.retrieval import scores_by_video
from minivl.tasks.clip.retrieval import adapt, clips, evaluate, zero_shot

# Half of the quick start's batch and learning rate, for as many steps; `rounds` multiplies these.
BATCH, LEARNING_RATE = 16, 5e-3
CONVERGED = {"rounds": 3}
# The temporal embedding has four times the rate; 1 and 4 were tried on validation clips with seed 100.
PLACES_LEARN_FASTER = (("temporal.", 4.0),)
# alpha is the paper's. AlignDistill's scale was chosen on validation clips with one seed, the learning rate above with
# another one; the study `settings` is there to check both with more.
PIMGALIGN = {"alpha": 0.3}
ALIGNDISTILL = {**PIMGALIGN, "beta": 1.0, "distill": "paper", "distill_scale": 5.0}
# As many trained parameters as IVFusion in both towers has, and a few more.
LORA = {"vision_fusion_layers": 0, "lora_rank": 10}
METHODS: dict[str, dict[str, Any]] = {
    "LoRA": LORA,
    "IVFusion": {},
    "PImgAlign": PIMGALIGN,
    "AlignDistill": ALIGNDISTILL,
}
REGIMES: dict[str, dict[str, Any]] = {
    "told by two steps": {"clauses": 2},  # frame captions say much that the caption of the video leaves out
    "new ingredients": {"novel": 0.5},  # that CLIP has neither seen nor read of
    "few videos": {"videos": 100},
    "another style, few videos, two steps": {"style": 0.7, "clauses": 2, "videos": 200},
}


def _in(name: str, world: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]] = METHODS) -> list[Cell]:
    """All methods in one world, with the settings of that world."""
    return [Cell(f"{name}, {method}", {**world, **settings}) for method, settings in methods.items()]


STUDIES: dict[str, list[Cell]] = {
    "components": [
        Cell("zero-shot", {"rounds": 0}),
        Cell("LoRA, rank 8", {"vision_fusion_layers": 0}),
        Cell("LoRA", LORA),
        Cell("IVFusion"),
        Cell("PImgAlign without text fusion", {**PIMGALIGN, "text_fusion_layers": 0}),
        Cell("PImgAlign", PIMGALIGN),
        Cell("AlignDistill", ALIGNDISTILL),
    ],
    # "image" is `LoRA, rank 8`, "adapter" is `IVFusion`.
    "strategies": [Cell(f"strategy {name}", {"strategy": name}) for name in ("video", "average")],
    "settings": [
        Cell("alpha 1", {"alpha": 1.0}),
        *(
            Cell(
                f"beta {beta}, s {s or 'of CLIP'}", {**PIMGALIGN, "beta": beta, "distill": "paper", "distill_scale": s}
            )
            for beta, s in ((1.0, None), (0.1, None))
        ),
        *(Cell(f"H_V {layers}", {"vision_fusion_layers": layers}) for layers in (1, 4)),
        Cell("H_L 3", {**PIMGALIGN, "text_fusion_layers": 3}),
        Cell("rank 32", {"lora_rank": 32}),
    ],
    # At CLIP's own scale PImgAlign's weighted sum is nearly a maximum: a frame that fits many videos decides.
    "pooling": [
        Cell(f"{method}, pooled at {pool}", {**settings, "pool_scale": pool})
        for pool in (5.0, 0.0)
        for method, settings in (("PImgAlign", PIMGALIGN), ("AlignDistill", ALIGNDISTILL))
    ],
    "noise": [
        Cell(f"noise {noise}, {kind}", {**PIMGALIGN, "noise": noise, "noise_kind": kind})
        for noise, kind in ((0.5, "other"), (1.0, "other"), (1.0, "vague"))
    ],
    "distillation": [
        Cell(
            f"{behaviour}, batch {batch}",
            {**PIMGALIGN, "beta": 1.0, "distill": behaviour, "batch_size": batch, "rounds": BATCH / batch},
        )
        for batch in (8, 32)
        for behaviour in ("paper", "release")
    ],
    "converged": [
        *_in("stories, many videos, converged", {"dial": 1.0, "videos_train": 1500, **CONVERGED}),
        *_in("converged", CONVERGED),
        Cell("converged, strategy average", {"strategy": "average", **CONVERGED}),
    ],
    "dial": [cell for dial in (0.0, 1.0) for cell in _in(f"dial {dial}", {"dial": dial})],
    "regimes": [cell for name, world in REGIMES.items() for cell in _in(name, world)],
    # Twins are two clips: as many clips per step as without.
    "order": _in(
        "order",
        {"clauses": 2, "order": True, **CONVERGED},
        {
            "DiscoVLA": {},
            "positions": {"temporal": 8},
            "positions and twins": {"temporal": 8, "twins": True, "batch_size": BATCH // 2},
        },
    ),
}
BY_VIDEO = ("R@sum", "t2v R@1", "moments")  # scores that are kept for each test video, too
SCORES = ("t2v R@1", "v2t R@1", "R@sum", "find group", "within group", "frame accuracy", "val R@sum")


def run_study(
    name: str, settings: Scale, seeds: Sequence[int], out: Path, workers: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Run all cells of one study with all seeds, one row each; results that are there are kept.

    Raises ConfigError for a study that does not exist, and at full scale.
    """
    if settings.world is None:
        raise ConfigError("these studies need a world whose knobs can be turned: use --scale small")
    if name not in STUDIES:
        raise ConfigError(f"unknown study {name!r}: choose one of {', '.join(STUDIES)}")
    table = run_cells(STUDIES[name], seeds, partial(run_cell, settings), Path(out) / name, progress, workers)
    table.insert(0, "study", name)
    save_results(table, Path(out) / f"discovla_{name}.csv")
    return table


def world_of(settings: Scale, cell: Cell) -> WorldConfig:
    """The world of a cell: that of the settings with the knobs that the cell turns, and the seed of its world."""
    assert settings.world is not None  # studies refuse settings without a world
    knobs = {field.name for field in fields(WorldConfig)} & cell.settings.keys()
    seed = {} if cell.world is None else {"seed": cell.world}
    return override(settings.world, **{name: cell.settings[name] for name in knobs}, **seed)


def world_and_rest(settings: Scale, cell: Cell) -> tuple[WorldConfig, dict[str, Any]]:
    """The world of a cell, and those of its settings that are not about it."""
    world = world_of(settings, cell)
    return world, {name: value for name, value in cell.settings.items() if not hasattr(world, name)}


def render(settings: Scale, cell: Cell) -> str:
    """Render the world of a cell, unless it is there, and say how many different meals its splits have."""
    world = world_of(settings, cell)
    cached_world(world)
    return describe_splits(world)


def run_cell(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Adapt as the cell says, and score: on the test split, and `val ...` on the validation split."""
    world, chosen = world_and_rest(settings, cell)
    rounds, batch = chosen.pop("rounds", 1), chosen.pop("batch_size", BATCH)
    learning_rate = chosen.pop("learning_rate", LEARNING_RATE)
    noise, kind = chosen.pop("noise", 0.0), chosen.pop("noise_kind", "other")
    twins, order = chosen.pop("twins", False), chosen.pop("order", False)
    inputs = override(settings.inputs, max_frames=chosen.pop("frames", settings.inputs.max_frames))
    train, val, test = world_clips(inputs, world, chosen.pop("videos", None))
    train = told(train, world, chosen.pop("viewers", 1))
    config = override(settings.discovla, **chosen)
    if config.alpha or config.beta:
        train = with_pseudo_captions(train, rendered_captions(train, noise, kind))

    began = time.process_time()
    training = training_of(settings, len(train), seed, rounds, batch, learning_rate)
    with TemporaryDirectory() as run_dir:
        model: Any = (
            adapt("kitchen", None, train, config, training, Path(run_dir), progress=False, twins=twins)
            if rounds
            else zero_shot(load_clip("kitchen"))
        )
    return measured(model, world, val, test, time.process_time() - began if rounds else 0.0, order)


def training_of(
    settings: Scale, examples: int, seed: int, rounds: float, batch: int, learning_rate: float
) -> TrainConfig:
    """The scale's training with a cell's changes; `rounds` times the scale's steps."""
    return replace(
        settings.adapt,
        steps=max(1, int(rounds * (settings.adapt.steps or 0))),  # with 0 rounds nothing is trained
        batch_size=min(batch, examples),
        learning_rate=learning_rate,
        lr_multipliers=PLACES_LEARN_FASTER,
        seed=seed,
        checkpoint_every=10_000,
    )


def measured(
    model: Any, world: WorldConfig, val: ClipDataset, test: ClipDataset, spent: float, order: bool = False
) -> Measured:
    """The scores of a model that was trained for `spent` CPU seconds (0: not at all); `order`: that of order, too."""
    found = evaluate(model, test, progress=False)
    by_video = scores_by_video(found.similarity, test.video_of_text)
    by_video["moments"] = moment_scores(model, test, _moments("test", world))
    scores = {
        **found.row(),
        "moments": float(by_video["moments"].mean()),
        "frame accuracy": frame_accuracy(model, val),
        **({"order accuracy": order_accuracy(model, test, in_other_order)} if order else {}),
        "val R@sum": evaluate(model, val, progress=False).row()["R@sum"],
        "trained parameters": sum(p.numel() for p in model.trainable_parameters()) if spent else 0,
        "cpu seconds": spent,
    }
    examples = {name: by_video[name].astype(np.float32) for name in BY_VIDEO}
    return Measured(scores, examples, np.asarray(test.rows["group"]), hash_of(test))


def _moments(split: str, world: WorldConfig) -> list[set[str]]:
    """Every caption that a frame of each video of a split can have, idle frames aside."""
    drawn = draw_split(split, getattr(world, f"videos_{split}"), world)
    return [
        {said for dish in meal.dishes for verb in dish.verbs() for said in moment_sentences(Step(verb, dish))}
        for _, meal in drawn
    ]


@lru_cache(maxsize=2)  # the last worlds: decoding one takes as long as a quarter of an adaptation
def world_clips(
    inputs: InputConfig, world: WorldConfig, videos: int | None
) -> tuple[ClipDataset, ClipDataset, ClipDataset]:
    """Training, validation and test clips of a world, which is rendered if it is new."""
    folder, clip = cached_world(world, progress=False), load_clip("kitchen")
    settings = replace(scale("small"), inputs=inputs)
    train, val, test = (
        clips(folder, split, clip, settings, videos if split == "train" else None) for split in ("train", "val", "test")
    )
    return train, val, test


@lru_cache(maxsize=2)  # of the same worlds
def hash_of(data: ClipDataset) -> str:
    """A hash of the frames that models read of some clips, as decoded, and of their captions.

    x264 does not give the same bytes on every machine: results with the same hash were measured on the same pictures.
    """
    found = hashlib.sha256(repr(data.captions).encode())
    for index in range(len(data.paths)):
        found.update(data.frames(index)[0].tobytes())
    return found.hexdigest()[:16]
