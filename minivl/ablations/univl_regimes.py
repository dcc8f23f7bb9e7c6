"""Regimes in which UniVL's weaker effects might appear: speech that fits the picture, and longer pretraining.

`minivl.ablations.univl` found nothing for EnhancedV, StagedP, CMLM, CMFM and Align in one regime: speech that is up to
four seconds early or late, 300 steps. Here the same comparisons are made in two others.

    aligned   what is said is said at the time of its step, so that a decoder can copy the transcript: the reason that
              the paper gives for EnhancedV
    long      three times the steps: objectives that had barely begun to fall have time to teach something
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from minivl.ablations.runner import Cell, run_cells, save_results
from minivl.ablations.univl import STEPS, gather_curves, run_cell
from minivl.assets.feature_world import renarrate
from minivl.config import NARRATED_WORLD, Scale
from minivl.tasks.univl.pretraining import make_tokenizer

LONG = {"stage_one": 200, "stage_two": 600}
ALIGNED_CELLS = [
    Cell("aligned, StagedP", STEPS),
    Cell("aligned, StagedP + EnhancedV", {**STEPS, "hide_text": 0.15}),
    Cell("aligned, StagedP + EnhancedV apart", {**STEPS, "hide_text": 0.15, "contrast_hidden_texts": False}),
]
LONG_CELLS = [
    Cell("long, StagedP", LONG),
    Cell("long, StagedP + EnhancedV", {**LONG, "hide_text": 0.15}),
    Cell("long, one stage", {"stage_one": 0, "stage_two": 800}),
    Cell("long, without CMLM", {**LONG, "cmlm": 0.0}),
    Cell("long, without CMFM", {**LONG, "cmfm": 0.0}),
    Cell("long, without Align", {**LONG, "align": 0.0}),
]


def run_regimes(
    settings: Scale, seeds: Sequence[int], out: Path, workers: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Run all cells of both regimes with all seeds, one row each; results that are there are kept.

    The losses through the longer pretraining are in `out/univl_long_curves.csv`.
    """
    out = Path(out).resolve()
    told = renarrate(settings.narrated, out / "aligned", NARRATED_WORLD, transcript_shift=0.0)
    tables = []
    for cells, world in ((ALIGNED_CELLS, replace(settings, narrated=told)), (LONG_CELLS, settings)):
        folder = out / ("runs-" + cells[0].name.split(",")[0])
        make_tokenizer(world.univl_pretrain, world, folder / "tokenizer")
        tables.append(run_cells(cells, seeds, partial(run_cell, world, folder), folder, progress, workers))
    table = pd.concat(tables)
    save_results(table, out / "univl_regimes.csv")
    curves = gather_curves(out / "runs-long" / "curves", LONG_CELLS, seeds)
    save_results(curves, out / "univl_long_curves.csv", digits=4)
    return table
