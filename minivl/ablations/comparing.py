"""Results of ablations, finished or not, and every comparison in them: what the explorer of ablations shows.

    studies = read_results("runs/ablate-discovla")        {name: a row per run}
    pairs = run_differences(studies["components"], "LoRA", "R@sum")
    differences(pairs)                                    a row per other cell

Differences, intervals and verdicts are those of `minivl.metrics`, by which studies are judged, too.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from minivl.ablations.runner import OWN_COLUMNS, AblationError, results_table
from minivl.config.limits import limit
from minivl.metrics.bootstrap import paired_seeds, paired_worlds
from minivl.metrics.verdicts import verdicts

SETTING = "settings."  # how columns of settings begin
JUDGED = ("difference", "low", "high", "Holm p", "detectable", "verdict")
NOT_SCORES = (*OWN_COLUMNS, "study", "prediction", "cpu seconds", "trained parameters")


def read_results(path: Path | str) -> dict[str, pd.DataFrame]:
    """Results of `minivl ablate` as tables by name of the study: a row per run.

    path   a CSV file of runs; or a folder of results: its `runs.csv`, or, where a study has not come to its end, the
           results that are there, of each study in a folder of its own

    Raises AblationError if there are none, or they are no runs of cells with seeds.
    """
    path = Path(path)
    if path.is_dir() and (path / "runs.csv").is_file():
        return _studies(path.resolve().name, _read_csv(path / "runs.csv"))
    if path.is_file():
        return _studies(path.resolve().parent.name if path.name == "runs.csv" else path.stem, _read_csv(path))
    if not path.exists():
        raise AblationError(f"{path} does not exist: give a CSV file of runs, or a folder of 'minivl ablate'")
    found = {file.parent for file in [*path.glob("*-seed*.json"), *path.glob("*/*-seed*.json")]}
    if not found:
        raise AblationError(
            f"{path} has neither a runs.csv nor results of single runs (*-seed*.json), also not below it"
        )
    return {_name(folder): _runs(results_table(folder), folder) for folder in sorted(found)}


def scores_of(table: pd.DataFrame) -> list[str]:
    """The scores of a table of runs that differ between runs, as it has them."""
    numbers = table.select_dtypes("number").columns
    return [
        column
        for column in numbers
        if column not in NOT_SCORES and not column.startswith(SETTING) and table[column].nunique() > 1
    ]


def cells_of(table: pd.DataFrame) -> list[str]:
    """The cells of a table of runs, in its order."""
    return list(dict.fromkeys(table["cell"]))


def settings_of(table: pd.DataFrame, cell: str) -> str:
    """The settings of a cell as they are read: "alpha 0.3, rounds 0"; those that it leaves alone are not in it."""
    row = table[table["cell"] == cell].iloc[0]
    known = {name.removeprefix(SETTING): row[name] for name in table if name.startswith(SETTING)}
    said = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in known.items()
            if not pd.isna(value)]  # fmt: skip
    return ", ".join(said) or "as they are by default"


def run_differences(table: pd.DataFrame, baseline: str, score: str) -> dict[str, pd.DataFrame]:
    """Every other cell minus the baseline, run by run: cell -> a table with a row per seed, or per seed in a world.

    Columns: world (if there are several), seed, a and b (the score of the cell and of the baseline), difference. Runs
    that only one of them has are left out, and so are cells that share none.
    """
    wide = table.pivot(index=_keys(table), columns="cell", values=score)
    shared = {
        cell: pd.DataFrame({"a": wide[cell], "b": wide[baseline]}).dropna()
        for cell in cells_of(table)
        if cell != baseline
    }
    return {
        cell: runs.assign(difference=runs["a"] - runs["b"]).reset_index() for cell, runs in shared.items() if len(runs)
    }


def differences(pairs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The `verdicts` on what `run_differences` gave: a row per cell.

    Where there are worlds, a world is what is counted, as in `minivl.ablations.study`; else a seed. Of less than two of
    them there is a mean without interval or verdict (NaN, "").
    Columns: cell, runs (how many), difference, low, high, Holm p, detectable, verdict.
    """
    compared = {cell: found for cell, runs in pairs.items() if (found := _compared(runs))}
    judged = verdicts(compared).set_index("comparison") if compared else pd.DataFrame()
    rows = []
    for cell, runs in pairs.items():
        known = judged.loc[cell] if cell in compared else {"difference": runs["difference"].mean(), "verdict": ""}
        rows.append({"cell": cell, "runs": len(runs), **{name: known.get(name, np.nan) for name in JUDGED}})
    return pd.DataFrame(rows, columns=["cell", "runs", *JUDGED])


def _compared(runs: pd.DataFrame) -> dict[str, float] | None:
    """`paired_worlds` of the runs in several worlds, else `paired_seeds`; None for a single world or seed.

    A run is one number here, the mean over its examples: the interval over worlds is the same as with all of them.
    """
    if "world" not in runs:
        return paired_seeds(runs["a"], runs["b"]) if len(runs) > 1 else None
    worlds = [of_world for _, of_world in runs.groupby("world")]
    if len(worlds) < 2:
        return None
    found = paired_worlds(*([of_world[[side]].to_numpy() for of_world in worlds] for side in "ab"))
    return {name: value for name, value in found.items() if not name.startswith("sd ")}  # these need the examples


def _studies(name: str, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One table per study, where a file has the runs of several."""
    if "study" not in table:
        return {name: table}
    return {str(study): rows.reset_index(drop=True) for study, rows in table.groupby("study", sort=False)}


def _keys(table: pd.DataFrame) -> list[str]:
    """The columns that say which run of a cell it is."""
    return [name for name in ("world", "seed") if name in table]


def _name(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if folder.name == "runs" else folder.name


def _read_csv(file: Path) -> pd.DataFrame:
    megabytes = file.stat().st_size / 2**20
    if megabytes > limit("metadata_mb"):
        raise AblationError(f"{file} has {megabytes:.0f} MB, which is no table of runs")
    try:
        table = pd.read_csv(file)
    except (ValueError, OSError) as error:  # of pandas' errors, too
        raise AblationError(f"{file} can't be read as a table: {error}") from error
    return _runs(table, file)


def _runs(table: pd.DataFrame, origin: Path) -> pd.DataFrame:
    """The table, if it is one of runs. Raises AblationError for other tables."""
    keys = [name for name in ("study", "cell") if name in table] + _keys(table)
    if not {"cell", "seed"} <= set(table):
        raise AblationError(f"{origin} is no table of runs: these have columns cell and seed; it has {_some(table)}")
    if table[keys].isna().any(axis=None):
        raise AblationError(f"{origin}: some runs have no {' or no '.join(keys)}")
    twice = table[table.duplicated(keys)]
    if len(twice):
        raise AblationError(f"{origin} has a run twice: {', '.join(f'{key} {twice[key].iloc[0]}' for key in keys)}")
    if not scores_of(table):
        raise AblationError(f"{origin} has no score that differs between runs, only {_some(table)}")
    return table


def _some(columns: Iterable[str]) -> str:
    names = [str(name) for name in columns]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
