"""The worth of pretraining to UniVL's five tasks: fine-tuned from the bundled model, from scratch, and guessing.

A cell is a task and where it starts. From scratch means the same network with random weights and everything else
equal. There is one pretrained model, so seeds vary fine-tuning only: the order of the data and new weights.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from minivl.ablations.runner import Cell, Measured, run_cells, save_results
from minivl.config import Scale
from minivl.tasks.univl.finetuning import baseline_scores, fine_tune, score

# Task -> its guesses, see the `baselines` of each task.
GUESSES = {
    "joint": ("chance",),
    "align": ("chance",),
    "captioning": ("majority", "random", "transcript"),
    "captioning-video": ("majority", "random"),
    "segmentation": ("majority", "random", "nearest centroid"),
    "localization": ("chance", "evenly spread"),
    "sentiment": ("mean", "majority sign", "random"),
}
MAIN_SCORES = ["t2v R@1", "BLEU-4", "CIDEr", "frame accuracy", "recall", "correlation"]
CELLS = [
    Cell(f"{task}, {start}", {"task": task, "start": start})
    for task in GUESSES
    for start in ("pretrained", "from scratch")
]
GUESSING = [
    Cell(f"{task}, {guess}", {"task": task, "start": guess}) for task, guesses in GUESSES.items() for guess in guesses
]


def run_tasks(
    settings: Scale, seeds: Sequence[int], out: Path, workers: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Run all cells, fine-tuned ones with all seeds, one row each; results that are there are kept."""
    run = partial(run_cell, settings)
    table = pd.concat(
        [
            run_cells(CELLS, seeds, run, out, progress, workers),
            run_cells(GUESSING, seeds[:1], run, out, progress, workers),
        ]
    )  # no luck in a guess
    save_results(table, Path(out) / "univl_tasks.csv")
    return table


def run_cell(settings: Scale, cell: Cell, seed: int) -> Measured:
    """The scores of one task on the test split."""
    task, start = cell.settings["task"], cell.settings["start"]
    if start in GUESSES[task]:
        return Measured(baseline_scores(task, "test", settings)[start])
    with TemporaryDirectory() as run_dir:
        tuned = fine_tune(task, settings, Path(run_dir), scratch=start == "from scratch", seed=seed, progress=False)
        return Measured(score(tuned, "test", settings, progress=False))
