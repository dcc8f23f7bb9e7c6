"""The runs of lessons 07 and 08: every task, start and budget with several seeds, scored on each test example.

A lesson trains one seed of what it explains and reads the others from here. `univl_lessons.csv` has a row per cell and
seed, `univl_lessons.npz` the scores of each test example, `univl_lessons_verdicts.csv` what both show by one rule.
There is one pretrained model, in one rendered world: seeds vary fine-tuning only.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from minivl.ablations.runner import (
    AblationError,
    Cell,
    Measured,
    at_most,
    examples_of,
    run_cells,
    save_arrays,
    save_results,
)
from minivl.ablations.univl_probes import exchanged, lies_told, right_words, shuffled_labels
from minivl.config import BUNDLED, Scale
from minivl.data.wordpiece import load_tokenizer
from minivl.metrics.bootstrap import paired_bootstrap
from minivl.metrics.captioning import caption_metrics, caption_scores
from minivl.metrics.localization import step_recall
from minivl.metrics.retrieval import retrieval_metrics
from minivl.metrics.segmentation import segmentation_metrics
from minivl.metrics.sentiment import sentiment_metrics
from minivl.metrics.verdicts import verdicts
from minivl.tasks.univl.base import Task
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.finetuning import KINDS
from minivl.tasks.univl.localization import true_frames
from minivl.tasks.univl.retrieval import rerank
from minivl.tasks.univl.segmentation import BACKGROUND, frame_labels
from minivl.tasks.univl.sentiment import sentiments

if TYPE_CHECKING:
    from datasets import Dataset

NAME = "univl_lessons"
STARTS = ("pretrained", "from scratch")
CANDIDATES = 10  # of FT-Joint that FT-Align orders
MAIN_SCORES = ["R@1", "right seconds", "recall", "100 x MAE", "CIDEr x 100", "exact"]


def _cell(name: str, task: str, start: str, **settings: Any) -> Cell:
    return Cell(name, {"task": task, "start": start, **settings})


def _both(task: str, suffix: str = "", **settings: Any) -> list[Cell]:
    return [_cell(f"{task}, {start}{suffix}", task, start, **settings) for start in STARTS]


# Without "steps" a cell has those of the scale; 0 steps train nothing.
CELLS = [
    *(cell for steps in (0, 25, 100, 200) for cell in _both("joint", f", {steps} steps", steps=steps)),
    *_both("segmentation"),
    _cell("localization, as it is", "localization", "pretrained", steps=0),
    *_both("localization"),
    *_both("sentiment"),
    _cell("sentiment, words only", "sentiment", "pretrained", modalities=["text"]),
    _cell("sentiment, video only", "sentiment", "pretrained", modalities=["video"]),
    *(cell for steps in (20, 60) for cell in _both("captioning", f", {steps} steps", steps=steps)),
    _cell("captioning, pretrained", "captioning", "pretrained", lies=True),
    _cell("captioning, from scratch", "captioning", "from scratch"),
    *_both("captioning-video"),
    *_both("align"),
    *_both("sentiment", ", 400 steps", steps=400),
]

# Lesson (its notebook) -> comparison -> what is compared: (cell, score by example), the second taken from the first.
COMPARISONS: dict[str, dict[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "07_understanding": {
        **{
            f"R@1 after {steps} steps, pretrained minus scratch": (
                (f"joint, pretrained, {steps} steps", "R@1"),
                (f"joint, from scratch, {steps} steps", "R@1"),
            )
            for steps in (0, 25, 100, 200)
        },
        "R@1, FT-Align minus FT-Joint": (("align, pretrained", "R@1"), ("joint, pretrained, 100 steps", "R@1")),
        "R@1, re-ranked minus FT-Joint": (
            ("align, pretrained", "R@1, re-ranked"),
            ("joint, pretrained, 100 steps", "R@1"),
        ),
        "R@1 of FT-Align, pretrained minus scratch": (("align, pretrained", "R@1"), ("align, from scratch", "R@1")),
        "right seconds, pretrained minus scratch": (
            ("segmentation, pretrained", "right seconds"),
            ("segmentation, from scratch", "right seconds"),
        ),
        "right seconds, shuffled minus in order": (
            ("segmentation, pretrained", "right seconds, shuffled"),
            ("segmentation, pretrained", "right seconds"),
        ),
        "recall, as it is minus scratch": (
            ("localization, as it is", "recall per video"),
            ("localization, from scratch", "recall per video"),
        ),
        "recall, pretrained minus scratch": (
            ("localization, pretrained", "recall per video"),
            ("localization, from scratch", "recall per video"),
        ),
        "recall, pretrained minus as it is": (
            ("localization, pretrained", "recall per video"),
            ("localization, as it is", "recall per video"),
        ),
        **{
            f"smaller error, pretrained minus {other}": (
                ("sentiment, pretrained", "-100 x error"),
                (f"sentiment, {other}", "-100 x error"),
            )
            for other in ("from scratch", "words only", "video only")
        },
        "smaller error after 400 steps, pretrained minus scratch": (
            ("sentiment, pretrained, 400 steps", "-100 x error"),
            ("sentiment, from scratch, 400 steps", "-100 x error"),
        ),
        "smaller error, 400 steps minus 100": (
            ("sentiment, pretrained, 400 steps", "-100 x error"),
            ("sentiment, pretrained", "-100 x error"),
        ),
        "smaller error, other words minus another face": (
            ("sentiment, pretrained", "-100 x error, other words"),
            ("sentiment, pretrained", "-100 x error, another face"),
        ),
    },
    "08_captioning": {
        f"{name}, {score}": ((a, score), (b, score))
        for name, a, b in (
            ("video only, pretrained minus scratch", "captioning-video, pretrained", "captioning-video, from scratch"),
            ("with transcript, pretrained minus scratch", "captioning, pretrained", "captioning, from scratch"),
            ("pretrained, with minus without transcript", "captioning, pretrained", "captioning-video, pretrained"),
            ("scratch, with minus without transcript", "captioning, from scratch", "captioning-video, from scratch"),
            ("after 20 steps, pretrained minus scratch", *(f"captioning, {start}, 20 steps" for start in STARTS)),
            ("after 60 steps, pretrained minus scratch", *(f"captioning, {start}, 60 steps" for start in STARTS)),
        )
        for score in ("CIDEr x 100", "exact")
    },
}


def run_lessons(
    settings: Scale, seeds: Sequence[int], out: Path, workers: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Run all cells with all seeds, one row each, and write the three files into `out`; results there are kept."""
    out = Path(out)
    table = run_cells(CELLS, seeds, partial(run_cell, settings), out, progress, workers)
    save_results(table, out / f"{NAME}.csv")
    save_arrays(out / f"{NAME}.npz", _stacked(out, seeds))
    save_results(judge(out), out / f"{NAME}_verdicts.csv")
    return table


def run_cell(settings: Scale, cell: Cell, seed: int, videos: int | None = None) -> Measured:
    """The scores of one cell on the test split; of the first `videos` only, in training as well, if that is given."""
    task, options = cell.settings["task"], dict(cell.settings)
    kind = KINDS[task][0].kind
    train, test = (task_rows(kind, split, settings, videos) for split in ("train", "test"))
    options = {name: options[name] for name in ("steps", "modalities") if name in options}
    if options.get("steps"):  # four times the scale's own are what the longest cell has at small
        options["steps"] = at_most(options["steps"], settings.univl_tasks[task.partition("-")[0]].train, times=4)
    tune = partial(fine_tuned, settings, train, start=cell.settings["start"], seed=seed)
    with TemporaryDirectory() as runs:
        tuned = tune(task, run_dir=Path(runs) / task, **options)
        if task == "align":
            joint = tune("joint", run_dir=Path(runs) / "joint")
            scores, examples = align_scores(tuned, joint, test)
        else:
            scores, examples = MEASURES[kind](tuned, test)
        if cell.settings.get("lies"):
            scores |= lie_scores(tuned, test)
    clusters = np.unique(list(test["video_id"]), return_inverse=True)[1].astype(np.uint16)
    small = {
        name: values.astype(np.float16) if values.dtype.kind == "f" else values for name, values in examples.items()
    }
    return Measured(scores, small, clusters)


def fine_tuned(
    settings: Scale,
    rows: "Dataset",
    name: str,
    start: str,
    seed: int,
    run_dir: Path,
    steps: int | None = None,
    **options: Any,
) -> Task:
    """A task of KINDS after so many steps of fine-tuning (None: as the scale says; 0: as it starts).

    start      one of STARTS; "from scratch" is the same network with random weights and everything else equal
    options    of the task, beside those that its name says

    A finished run in `run_dir` is read, one that was interrupted goes on.
    """
    kind, fixed = KINDS[name]
    config = settings.univl_tasks[name.partition("-")[0]]
    config = replace(config, train=replace(config.train, seed=seed, steps=steps or config.train.steps))
    task = kind.start(UNIVL, load_tokenizer(UNIVL), config, scratch=start == "from scratch", **fixed, **options)
    return task if steps == 0 else task.fit(rows, run_dir, progress=False)


Scores = tuple[dict[str, float], dict[str, NDArray]]  # of the whole test set, and of each example


def joint_scores(task: Any, test: "Dataset") -> Scores:
    """Retrieval by text: text i belongs to segment i, as all captions of the test split differ."""
    return _found({"R@1": task.predict(test, progress=False)})


def align_scores(align: Any, joint: Any, test: "Dataset") -> Scores:
    """The same by FT-Align for all pairs, and with FT-Align ordering the best CANDIDATES of FT-Joint."""
    pairs, by_joint = align.pair_scorer(test, progress=False), joint.predict(test, progress=False)
    return _found({"R@1": pairs.all(progress=False), "R@1, re-ranked": rerank(by_joint, pairs, CANDIDATES)})


def _found(similarities: dict[str, NDArray]) -> Scores:
    scores: dict[str, float] = {}
    hits: dict[str, NDArray] = {}
    for name, similarity in similarities.items():
        suffix = name.removeprefix("R@1")
        scores |= {f"{score}{suffix}": value for score, value in retrieval_metrics(similarity)["t2v"].items()}
        hits[name] = 100.0 * (similarity.argmax(1) == np.arange(len(similarity)))
    return scores, hits


def segmentation_scores(task: Any, test: "Dataset") -> Scores:
    """Labels of seconds, as the videos are and with their seconds shuffled."""
    in_order, shuffled = task.predict(test, progress=False), shuffled_labels(task, test)
    truth = [
        frame_labels(row["steps"], row["feature_rate"], len(seen)) for row, seen in zip(test, in_order, strict=True)
    ]
    right = {"right seconds": right_seconds(in_order, truth), "right seconds, shuffled": right_seconds(shuffled, truth)}
    return segmentation_metrics(in_order, truth, BACKGROUND) | _means(right), right


def right_seconds(labels: Sequence[Sequence[str]], truth: Sequence[Sequence[str]]) -> NDArray:
    """Percent of the seconds of each video that are labelled right."""
    return np.array([100 * np.mean(np.array(a) == np.array(b)) for a, b in zip(labels, truth, strict=True)])


def _means(examples: dict[str, NDArray]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in examples.items()}


def localization_scores(task: Any, test: "Dataset") -> Scores:
    """When each step of a recipe happens; "recall per video" is of steps that are chosen alone."""
    shares = []
    for row, video in zip(test, task.predict(test, progress=False), strict=True):
        truth = true_frames(row, video.steps, len(video.scores))
        shares.append(step_recall([video.scores], [truth], ["this video"])["recall"])
    found = {"recall per video": np.array(shares)}
    return task.evaluate(test, progress=False) | _means(found), found


def sentiment_scores(task: Any, test: "Dataset") -> Scores:
    """How positive opinions are; by a model that hears and sees also with another face, and with other words."""
    truth, asked = sentiments(test), {"": test}
    if len(task.modalities) == 2:
        asked |= {", another face": exchanged(test, "features"), ", other words": exchanged(test, "transcript")}
    scores: dict[str, float] = {}
    examples: dict[str, NDArray] = {}
    for suffix, rows in asked.items():
        predicted = task.predict(rows, progress=False)
        found = sentiment_metrics(predicted, truth)
        found |= {f"100 x {name}": 100 * found.pop(name) for name in ("MAE", "correlation")}
        found["farthest from 0"] = float(np.abs(predicted).max())
        scores |= {f"{name}{suffix}": value for name, value in found.items()}
        examples |= {f"predicted{suffix}": predicted, f"-100 x error{suffix}": -100 * np.abs(predicted - truth)}
    return scores, examples


def captioning_scores(task: Any, test: "Dataset") -> Scores:
    """Captions against the one reference of each segment, word by kind of word, and what is written after a lie."""
    captions, truth = task.predict(test, progress=False), list(test["caption"])
    references = [[caption] for caption in truth]
    scores = caption_metrics(captions, references, meteor=False)
    scores["CIDEr x 100"] = 100 * scores.pop("CIDEr")
    scores |= {f"right {kind}": share for kind, share in right_words(captions, truth).items()}
    by_example = caption_scores(captions, references)
    return scores, {
        "exact": by_example["exact"],
        "CIDEr x 100": 100 * by_example["CIDEr"],
        "captions": np.array([caption.encode() for caption in captions]),
    }


def lie_scores(task: Any, test: "Dataset") -> dict[str, float]:
    """Percent of captions that have the true word, and the one that is said, for each kind of lie."""
    scores = {}
    for kind, rows, true, false in lies_told(test):
        written = [set(caption.split()) for caption in task.predict(rows, progress=False)]
        for name, words in (("true", true), ("said", false)):
            scores[f"{kind} lie, writes what is {name}"] = 100 * float(
                np.mean([wanted <= ours for wanted, ours in zip(words, written, strict=True)])
            )
    return scores


MEASURES: dict[str, Callable[[Any, "Dataset"], Scores]] = {
    "retrieval": joint_scores,
    "segmentation": segmentation_scores,
    "localization": localization_scores,
    "sentiment": sentiment_scores,
    "captioning": captioning_scores,
}


def _stacked(out: Path, seeds: Sequence[int]) -> dict[str, NDArray]:
    """ "CELL|SCORE": a score of each test example with each seed (S, N); "TASK|videos": which video each is of (N,)."""
    arrays: dict[str, NDArray] = {}
    for cell in CELLS:
        runs = [examples_of(out, cell, seed) for seed in seeds]
        arrays[f"{cell.settings['task']}|videos"] = runs[0].pop("clusters")
        arrays |= {f"{cell.name}|{score}": np.stack([run[score] for run in runs]) for score in runs[0]}
    return arrays


def judge(folder: Path = BUNDLED / "results") -> pd.DataFrame:
    """The verdict on every comparison, from `univl_lessons.npz` alone.

    Columns: "comparison", "lesson", those of `verdicts`, which corrects for the comparisons of a lesson. Test videos
    are drawn whole, with all their segments. Raises AblationError if an array is not there.
    """
    tables = []
    with np.load(Path(folder) / f"{NAME}.npz", allow_pickle=False) as arrays:
        for lesson, comparisons in COMPARISONS.items():
            table = verdicts({name: _compared(arrays, *pair) for name, pair in comparisons.items()})
            table.insert(1, "lesson", lesson)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _compared(arrays: Any, a: tuple[str, str], b: tuple[str, str]) -> dict[str, float]:
    keys = ["|".join(side) for side in (a, b)]
    if missing := [key for key in keys if key not in arrays]:
        raise AblationError(f"{NAME}.npz has no {missing[0]!r}: run `minivl ablate univl-lessons`")
    task = next(cell.settings["task"] for cell in CELLS if cell.name == b[0])
    first, second = (arrays[key].astype(np.float64) for key in keys)
    return paired_bootstrap(first, second, clusters=arrays[f"{task}|videos"])


def read_results(folder: Path = BUNDLED / "results") -> tuple[pd.DataFrame, dict[str, NDArray], pd.DataFrame]:
    """All runs, one row each; their scores by example, see `univl_lessons.npz`; the verdicts."""
    folder = Path(folder)
    with np.load(folder / f"{NAME}.npz", allow_pickle=False) as arrays:
        by_example = dict(arrays)
    return pd.read_csv(folder / f"{NAME}.csv"), by_example, pd.read_csv(folder / f"{NAME}_verdicts.csv")


def agreement(
    settings: Scale, results: pd.DataFrame, cell: str, scores: dict[str, float], seed: int = 0
) -> pd.DataFrame:
    """The scores of a run beside those of the stored run of the same cell and seed, a row per score.

    Another machine, or another number of threads, adds up numbers in another order; such differences grow from step to
    step, but not beyond what another seed does. So "agrees" asks whether the two differ by at most as much as the two
    most different seeds of that cell. Stored runs are of the small scale: at another one nothing is compared.
    """
    here = pd.DataFrame({"here": scores})
    if settings.name != "small":
        return here
    stored = results[results["cell"] == cell].set_index("seed")[list(scores)]
    spread = stored.max() - stored.min()
    here["stored"] = stored.loc[seed]
    here["spread of seeds"] = spread
    here["agrees"] = (here["here"] - here["stored"]).abs() <= spread + 1e-3  # of scores with six digits
    return here.round(2)
