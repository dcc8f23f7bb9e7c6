"""Studies over several worlds: a question, a prediction that is there before the results, and verdicts by one rule.

data_samples/results/NAME/prediction.md   written and committed first; a study does not run without it
out/prediction.md                         the prediction that the results in `out` were made under
out/runs/                                 a file per run, see `minivl.ablations.runner`
out/runs.csv, out/examples.npz            all runs, and the scores that are compared on each test example: `_examples`
out/verdicts.csv                          what follows from these two alone: `judge`
"""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from minivl.ablations.runner import (
    AblationError,
    Cell,
    Measured,
    examples_of,
    in_worlds,
    run_cells,
    save_arrays,
    save_results,
)
from minivl.config import BUNDLED, Scale
from minivl.data.atomic import write_text
from minivl.metrics.bootstrap import paired_worlds
from minivl.metrics.verdicts import verdicts

PREDICTIONS = BUNDLED / "results"  # of every study in a folder of its name


@dataclass(frozen=True)
class Contrast:
    """One comparison: the cells of which `a` minus `b` is taken, and the score that is compared."""

    name: str
    a: str
    b: str
    score: str


@dataclass(frozen=True)
class Study:
    """A question, the cells that are run for it, and the comparisons that answer it.

    run: runs and scores a cell with a seed; prepare: renders what the cell reads, before
    processes share it, and describes it.
    floor, ceiling: cells between whose scores a difference is stated as a share. Shares are given where all contrasts
    have one score. room: the study that has these cells, if it is another one; its bundled results are read.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    run: Callable[[Scale, Cell, int], Measured]
    prepare: Callable[[Scale, Cell], str]
    floor: str | None = None
    ceiling: str | None = None
    room: str | None = None


def run_study(
    study: Study,
    settings: Scale,
    worlds: Sequence[int],
    seeds: Sequence[int],
    out: Path,
    processes: int = 1,
    progress: bool = True,
    predictions: Path | None = None,
) -> pd.DataFrame:
    """Run all cells in all worlds with all seeds, write `runs.csv`, `examples.npz` and `verdicts.csv`, and judge.

    Returns what `judge` does. Results that are there are kept. Raises AblationError without a committed prediction, for
    another one than that of earlier results, and as `run_cells`.
    """
    out = Path(out)
    prediction = _prediction((predictions or PREDICTIONS) / study.name / "prediction.md", out)
    cells = in_worlds(study.cells, worlds)
    described = dict.fromkeys(f"World {cell.world}\n{study.prepare(settings, cell)}" for cell in cells)
    if progress:
        print(*described, sep="\n")
    table = run_cells(cells, seeds, partial(study.run, settings), out / "runs", progress, processes)
    table.insert(0, "prediction", prediction)
    judged_by = {contrast.score for contrast in study.contrasts}
    save_arrays(out / "examples.npz", _examples(table, out / "runs", judged_by))
    save_results(table, out / "runs.csv")
    judged = judge(study, out)
    save_results(judged, out / "verdicts.csv")
    return judged


def judge(study: Study, folder: Path) -> pd.DataFrame:
    """The `verdicts` on a study's contrasts, from `runs.csv` and `examples.npz` in a folder alone.

    Raises AblationError if a contrast's cells or scores are not there for the same seeds in at least two worlds.
    """
    table = pd.read_csv(folder / "runs.csv")
    with np.load(folder / "examples.npz", allow_pickle=False) as arrays:
        found = {contrast.name: _compared(contrast, table, arrays) for contrast in study.contrasts}
    ends: dict[str, float] = {}
    if study.floor and study.ceiling and len({contrast.score for contrast in study.contrasts}) == 1:
        measured = pd.read_csv(PREDICTIONS / study.room / "runs.csv") if study.room else table
        means = measured.groupby(["cell", "world"])[study.contrasts[0].score].mean().groupby("cell").mean()
        ends = {"floor": means[study.floor], "ceiling": means[study.ceiling]}
    judged = verdicts(found, **ends)
    judged.insert(1, "score", [contrast.score for contrast in study.contrasts])
    return judged


def _compared(contrast: Contrast, table: pd.DataFrame, arrays) -> dict[str, float]:
    sides = [table[table["cell"] == cell].sort_values("seed") for cell in (contrast.a, contrast.b)]
    if sides[0].empty or sides[0]["seed"].tolist() != sides[1]["seed"].tolist():
        raise AblationError(
            f"{contrast.name}: {contrast.a!r} and {contrast.b!r} need results of the same worlds and seeds; there are "
            f"{len(sides[0])} and {len(sides[1])}"
        )
    a, b = ([_stacked(runs, table, contrast.score, arrays) for _, runs in side.groupby("world")] for side in sides)
    keys = [_key("clusters", world) for world in sorted(sides[0]["world"].unique())]  # in the order of `groupby`
    clusters = [arrays[key] for key in keys] if all(key in arrays for key in keys) else None
    try:
        return paired_worlds(a, b, clusters)
    except ValueError as error:
        raise AblationError(f"{contrast.name}: {error}") from error


def _stacked(runs: pd.DataFrame, table: pd.DataFrame, score: str, arrays) -> NDArray:
    """A score on each example of some runs of one world (seeds, N), out of the arrays that `_examples` made."""
    world = int(runs["world"].iloc[0])
    rows = table.index[table["world"] == world].get_indexer(runs.index)
    found = arrays[key][rows] if (key := _key(score, world)) in arrays else np.full((len(rows), 1), np.nan)
    if np.isnan(found).all(axis=1).any():
        raise AblationError(f"there is no {score!r} by test example of {runs['cell'].iloc[0]!r} in examples.npz")
    return found


def _examples(table: pd.DataFrame, runs: Path, scores: set[str]) -> dict[str, NDArray]:
    """Scores on each test example, an array (runs, N) per score and world, whose rows are the runs of `table` in order.

    A run without a score has NaN. "clusters|WORLD" (N,) are what the examples of a world belong to.
    Raises AblationError if the runs of a world were not tested on the same examples.
    """
    arrays: dict[str, NDArray] = {}
    for world, of_world in table.groupby("world"):
        kept = [
            examples_of(runs, Cell(cell, world=world), seed) for cell, seed in of_world[["cell", "seed"]].to_numpy()
        ]
        clusters = [found["clusters"] for found in kept if "clusters" in found]
        if any(not np.array_equal(clusters[0], other) for other in clusters):
            raise AblationError(f"not all runs of world {world} were tested on the same examples")
        if clusters:
            arrays[_key("clusters", world)] = clusters[0]
        for score in sorted(scores.intersection(set().union(*kept))):
            N = next(len(found[score]) for found in kept if score in found)
            arrays[_key(score, world)] = np.stack([found.get(score, np.full(N, np.nan, np.float32)) for found in kept])
    return arrays


def _key(name: str, world: int) -> str:
    """Name of the array of a score, or of the clusters, of a world."""
    return f"{name}|{world}"


def _prediction(file: Path, out: Path) -> str:
    """Hash of the prediction's text, which is copied beside the results. AblationError if it is not as it must be."""
    if not file.is_file() or not (text := file.read_text(encoding="utf-8")).strip():
        raise AblationError(f"there is no prediction in {file}: say what you expect, and commit it, before you look")
    if _uncommitted(file):
        raise AblationError(f"{file} is not committed as it is: commit the prediction before there are results")
    copy = out / "prediction.md"
    if not copy.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_text(copy, text)
    elif copy.read_text(encoding="utf-8") != text:
        raise AblationError(f"{out} has results of another prediction than {file}: choose another folder with --out")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _uncommitted(file: Path) -> bool:
    """Whether git knows that a file is new or changed; outside of a repository, or without git, nobody knows."""
    try:
        asked = ["git", "status", "--porcelain", "--ignored", "--", file.name]
        return bool(subprocess.run(asked, cwd=file.parent, capture_output=True, text=True, check=False).stdout.strip())
    except FileNotFoundError:
        return False
