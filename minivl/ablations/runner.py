"""Run every cell of an ablation with every seed, keep each result on disk, and compare.

    out/fused-seed0.json          what one run gave: settings, scores, versions, times, the test set's hash
    out/fused-seed0.npz           scores of each test example, if the run gave them
    out/fused-seed1.error.txt     the traceback of a run that failed; gone once it succeeds
    out/fused-world3-seed300.json in world 3

A result is written whole or not at all and never computed twice, so a long ablation can be stopped and called again.
"""

import json
import math
import os
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import minivl
from minivl.config import TrainConfig
from minivl.data.atomic import replacing, write_text
from minivl.metrics.bootstrap import paired_seeds
from minivl.progress import tqdm

SEEDS_PER_WORLD = 100
# Of the results table; no score may have these names.
OWN_COLUMNS = ("cell", "world", "seed", "seconds", "cpu hours", "test set", "minivl", "torch", "device")


class AblationError(RuntimeError):
    """Cells that cannot be run or compared; the message says what to do."""


RECORD = ("cell", "world", "seed", "settings", "scores", "seconds", "cpu hours", "test set", "versions")


@dataclass(frozen=True)
class Cell:
    """One variant of an experiment: its name in tables and files, and the settings that make it (JSON values).

    world: the seed of the world that it runs in, if there are several.
    """

    name: str
    settings: dict = field(default_factory=dict)
    world: int | None = None

    def __post_init__(self):
        if not re.fullmatch(r"\w[\w .,+=-]*", self.name):
            raise AblationError(
                f"cell name {self.name!r}: use letters, digits, spaces and _ . , + = -, as it names a file"
            )
        try:
            json.dumps(self.settings)
        except TypeError as error:
            raise AblationError(f"settings of cell {self.name!r}: {error}; use numbers, texts and lists") from error


@dataclass(frozen=True)
class Measured:
    """What one run gave.

    scores     by name
    examples   of some scores the value of each test example, (N,), whose mean is the score
    clusters   (N,) labels of examples that were drawn together, see `paired_worlds`
    test_set   a hash of what the scores were measured on
    """

    scores: dict[str, float]
    examples: dict[str, NDArray] = field(default_factory=dict)
    clusters: NDArray | None = None
    test_set: str = ""


Run = Callable[[Cell, int], Measured]
Task = tuple[Cell, int]  # with its seed
Outcome = tuple[Cell, int, str | None]  # and what went wrong, if something did


def run_cells(
    cells: Sequence[Cell], seeds: Iterable[int], run: Run, out: Path, progress: bool = True, workers: int = 1
) -> pd.DataFrame:
    """Call run(cell, seed) for every cell and seed whose result is not in the folder `out` yet.

    run      trains and scores one cell with one seed
    workers  how many processes share the work. Each has an equal part of the cores; with more than one, `run` must be
             a function of a module, as it is imported by fresh processes

    In world w seed s is 100 w + s: seeds of its own in each world, as `paired_worlds` needs them. Cells run in the
    order of the list, each with all seeds, so that those beside each other can share what is costly to load.
    Returns the `results_table` of these cells and seeds. A cell that fails does not stop the others.

    Raises AblationError at once if `out` has a result of such a cell with other settings or names repeat, and at the
    end if runs failed. What was finished is kept then, as it is after Ctrl-C: the next call continues.
    """
    out, seeds = Path(out), list(seeds)
    wanted = [(cell, seed + SEEDS_PER_WORLD * (cell.world or 0)) for cell in cells for seed in seeds]
    if len({_file(out, cell, seed) for cell, seed in wanted}) < len(wanted):
        raise AblationError(
            f"cells need different names, and seeds may not repeat: {[cell.name for cell in cells]}, {seeds}"
        )
    waiting = [(cell, seed) for cell, seed in wanted if not _is_done(cell, seed, out)]
    out.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=len(wanted), initial=len(wanted) - len(waiting), desc="cells", unit="run", disable=not progress)
    failures = {}
    with bar:
        for cell, seed, failure in (_one_by_one if workers == 1 else _in_processes)(waiting, run, out, workers):
            bar.set_postfix_str(f"{cell.name}, seed {seed}")
            bar.update()
            if failure:
                failures[cell.name, seed] = failure
    if failures:
        listed = "\n".join(f"  {name}, seed {seed}: {failure}" for (name, seed), failure in failures.items())
        raise AblationError(
            f"{len(failures)} of {len(wanted)} runs failed; the others are kept in {out}, beside the "
            f"tracebacks (*.error.txt). Call again to repeat only these:\n{listed}"
        )
    return _table([_read(_file(out, cell, seed)) for cell, seed in wanted])


def results_table(out: Path) -> pd.DataFrame:
    """All results in a folder, one row per cell and seed, sorted by both.

    Columns: cell, world (if there are several), seed, settings.<name> for each setting, the scores, seconds, cpu hours
    (of all threads), test set (a hash), minivl and torch (versions), device (since there were others than CPUs).
    Raises AblationError if there are none or one cannot be read.
    """
    records = [_read(path) for path in Path(out).glob("*-seed*.json")]
    if not records:
        raise AblationError(f"there are no results in {out}: run the ablation first")
    return _table(sorted(records, key=lambda record: (record["cell"], record["seed"])))


def compare(table: pd.DataFrame, a: str, b: str, score: str) -> dict[str, float]:
    """Cell a minus cell b, paired by seed: mean difference, 95 % interval and p value, see `paired_seeds`.

    Raises AblationError for an unknown cell or score, and if both don't have a score for the same seeds.
    """
    if score not in table or not {a, b} <= set(table["cell"]):
        raise AblationError(
            f"cannot compare {score!r} of {a!r} and {b!r}: there are the columns {list(table.columns)} "
            f"and the cells {sorted(set(table['cell']))}"
        )
    first, second = (table[table["cell"] == name].set_index("seed")[score].dropna() for name in (a, b))
    if set(first.index) != set(second.index):
        raise AblationError(
            f"{a!r} has {score!r} for the seeds {sorted(first.index)} and {b!r} for "
            f"{sorted(second.index)}: run both with the same seeds"
        )
    return paired_seeds(first, second.loc[first.index])


def summary(table: pd.DataFrame, scores: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Cell -> score -> {"mean", "sd", "seeds"}, with several seeds also "low" and "high": Student's 95 % interval."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for cell, rows in table.groupby("cell", sort=False):
        found[str(cell)] = {}
        for score in scores:
            values = rows[score].dropna().to_numpy()
            if not len(values):
                continue
            of_score = {"mean": float(values.mean()), "seeds": len(values)}
            if len(values) > 1:
                spread = paired_seeds(values, np.zeros(len(values)))
                of_score |= {"sd": float(values.std(ddof=1)), "low": spread["low"], "high": spread["high"]}
            found[str(cell)][score] = of_score
    return found


def save_results(table: pd.DataFrame, path: Path, digits: int = 6) -> Path:
    """Write a results table as CSV with so many significant digits, the same bytes for the same table.

    `pandas.read_csv` reads it. Returns the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, table.to_csv(index=False, float_format=f"%.{digits}g", lineterminator="\n"))
    return path


def save_arrays(path: Path, arrays: dict[str, NDArray]) -> None:
    """Write arrays by name, compressed; `numpy.load` reads them. The file is whole or not there."""
    with replacing(path) as unfinished, unfinished.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def examples_of(out: Path, cell: Cell, seed: int) -> dict[str, NDArray]:
    """What a finished run measured on each test example, by score, and "clusters" if it has them; {} for nothing."""
    path = _file(out, cell, seed).with_suffix(".npz")
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def at_most(steps: int, config: TrainConfig, times: int = 1) -> int:
    """The steps that a cell names, or so many times the scale's own if those are fewer, as they are at `tiny`."""
    return max(1, min(steps, times * (config.steps or steps)))


def in_worlds(cells: Iterable[Cell], worlds: Iterable[int]) -> list[Cell]:
    """Every cell in every world, world by world."""
    cells = list(cells)
    return [replace(cell, world=world) for world in worlds for cell in cells]


def _one_by_one(waiting: list[Task], run: Run, out: Path, _workers: int) -> Iterator[Outcome]:
    for cell, seed in waiting:
        yield cell, seed, _run_one(cell, seed, run, out)


def _in_processes(waiting: list[Task], run: Run, out: Path, workers: int) -> Iterator[Outcome]:
    """Fresh processes, as forked ones inherit locks of torch's threads and hang."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_process, initargs=(threads,))
    try:
        futures = {pool.submit(_run_one, cell, seed, run, out): (cell, seed) for cell, seed in waiting}
        for future in as_completed(futures):
            error = future.exception()  # the process itself ended, or `run` could not be sent to it
            yield *futures[future], f"{type(error).__name__}: {error}" if error else future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, what waits is not started


def _begin_process(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, silently; results are whole or not there
    torch.set_num_threads(threads)


def _run_one(cell: Cell, seed: int, run: Run, out: Path) -> str | None:
    """Run and write the result; None, or what went wrong. Also called in other processes."""
    path, start, spent = _file(out, cell, seed), time.perf_counter(), time.process_time()
    trace = path.with_suffix(".error.txt")
    try:
        measured = run(cell, seed)
        record = {
            "cell": cell.name,
            "world": cell.world,
            "seed": seed,
            "settings": cell.settings,
            "scores": _checked(measured.scores),
            "seconds": round(time.perf_counter() - start, 1),
            "cpu hours": round((time.process_time() - spent) / 3600, 5),
            "test set": measured.test_set,
            "versions": {
                "minivl": minivl.__version__,
                "torch": torch.__version__,
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            },
        }
        if measured.examples:
            clusters = {} if measured.clusters is None else {"clusters": measured.clusters}
            save_arrays(path.with_suffix(".npz"), measured.examples | clusters)
        write_text(path, json.dumps(record, indent=2) + "\n")
    except Exception as error:  # whatever it is, the other cells go on
        write_text(trace, traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    trace.unlink(missing_ok=True)
    return None


def _checked(scores: dict[str, float]) -> dict[str, float]:
    scores = {name: float(value) for name, value in scores.items()}
    wrong = [name for name, value in scores.items() if name in OWN_COLUMNS or not math.isfinite(value)]
    if not scores or wrong:
        raise AblationError(
            f"the scores are {scores}: there must be some, all finite, and not named as one of {', '.join(OWN_COLUMNS)}"
        )
    return scores


def _is_done(cell: Cell, seed: int, out: Path) -> bool:
    """Is there a result of this run? AblationError if it is one with other settings."""
    path = _file(out, cell, seed)
    if not path.exists():
        return False
    stored, wanted = _read(path)["settings"], json.loads(json.dumps(cell.settings))
    differing = [
        f"{key} is {wanted.get(key)!r} now and was {stored.get(key)!r}"
        for key in sorted(stored.keys() | wanted.keys())
        if key not in stored or key not in wanted or stored[key] != wanted[key]
    ]
    if differing:
        raise AblationError(
            f"{path} is a result with other settings: {'; '.join(differing)}. Choose another name or "
            "folder, or delete that file to run it again."
        )
    return True


def _file(out: Path, cell: Cell, seed: int) -> Path:
    world = "" if cell.world is None else f"-world{cell.world}"
    return Path(out) / f"{cell.name}{world}-seed{seed}.json"


def _read(path: Path) -> dict:
    try:
        record = json.loads(path.read_text())
        return {key: record[key] for key in RECORD}
    except (ValueError, KeyError, TypeError) as error:
        raise AblationError(f"{path} is not a result of an ablation ({error!r}): delete it to run it again") from error


def _table(records: list[dict]) -> pd.DataFrame:
    table = pd.DataFrame(
        [
            {
                "cell": record["cell"],
                **({} if record["world"] is None else {"world": record["world"]}),
                "seed": record["seed"],
                **{f"settings.{name}": value for name, value in record["settings"].items()},
                **record["scores"],
                **{name: record[name] for name in ("seconds", "cpu hours", "test set")},
                **record["versions"],
            }
            for record in records
        ]
    )
    settings = [column for column in table if column.startswith("settings.")]  # cells may differ in which they have
    first = [*table.columns.intersection(["cell", "world", "seed"], sort=False), *settings]
    return table[[*first, *table.columns.drop(first)]]
