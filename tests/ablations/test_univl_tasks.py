"""Fine-tuning with and without pretraining: every task has its cells, guesses run once, and a table is written."""

import pandas as pd

from minivl.ablations import univl_tasks
from minivl.ablations.runner import Cell, Measured
from minivl.config import scale
from minivl.tasks.univl.finetuning import KINDS


def test_every_task_is_fine_tuned_from_both_starts():
    named = {cell.settings["task"] for cell in univl_tasks.CELLS}
    assert named <= KINDS.keys() and {KINDS[name][0] for name in named} == {kind for kind, *_ in KINDS.values()}
    assert len(univl_tasks.CELLS) == 2 * len(named) and len({cell.name for cell in univl_tasks.GUESSING}) == sum(
        map(len, univl_tasks.GUESSES.values())
    )


def test_a_table_with_all_seeds_and_guesses_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        univl_tasks,
        "run_cell",
        lambda settings, cell, seed: Measured(
            {"recall" if cell.settings["task"] == "localization" else "R@1": len(cell.name) + seed}
        ),
    )
    table = univl_tasks.run_tasks(scale("tiny"), [3, 4], tmp_path, progress=False)
    runs = table.groupby("cell").size()
    assert set(runs[[cell.name for cell in univl_tasks.CELLS]]) == {2}
    assert set(runs[[cell.name for cell in univl_tasks.GUESSING]]) == {1}
    written = pd.read_csv(tmp_path / "univl_tasks.csv")
    assert written[["cell", "seed", "R@1", "recall"]].equals(
        table[["cell", "seed", "R@1", "recall"]].reset_index(drop=True)
    )


def test_one_cell_of_each_kind_end_to_end():
    scores = {
        start: univl_tasks.run_cell(scale("tiny"), Cell("x", {"task": "sentiment", "start": start}), 0).scores
        for start in ("pretrained", "from scratch", "mean")
    }
    assert scores["pretrained"].keys() == scores["from scratch"].keys() == scores["mean"].keys()
    assert scores["pretrained"]["MAE"] != scores["from scratch"]["MAE"] and scores["mean"]["correlation"] == 0
