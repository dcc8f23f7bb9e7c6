"""The parts of UniVL's pretraining: objectives left out, strategies on and off.

Every cell pretrains from nothing, then fine-tunes for retrieval (FT-Joint), for captions from video alone, and for
captions from video and transcript. Nothing is chosen by these scores: all settings were fixed on validation data.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from minivl.ablations.runner import Cell, Measured, at_most, run_cells, save_results
from minivl.config import Scale, UniVLPretrainConfig
from minivl.config.settings import OBJECTIVES
from minivl.data.wordpiece import load_tokenizer
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.data import task_rows
from minivl.tasks.univl.pretraining import make_tokenizer, pretrain_at_scale
from minivl.tasks.univl.retrieval import Retrieval

STEPS = {"stage_one": 100, "stage_two": 200}
VIDEOS = 8  # per step of stage two
# A step of stage one (32 videos, Joint) takes about as long as one of stage two (8 videos, everything), so this is
# equal time. The results have the processor time of each run (`cpu seconds`), so that it can be checked.
ONE_STAGE = {"stage_one": 0, "stage_two": 300}
CAPTION_STEPS = 120  # of fine-tuning
REFERENCE = "StagedP"

CELLS = [
    Cell("StagedP + EnhancedV", {**STEPS, "hide_text": 0.15}),
    Cell("StagedP + EnhancedV apart", {**STEPS, "hide_text": 0.15, "contrast_hidden_texts": False}),
    Cell(REFERENCE, STEPS),
    Cell("one stage", ONE_STAGE),
    Cell("without Joint", {**ONE_STAGE, "joint": 0.0}),
    Cell("without CMLM", {**STEPS, "cmlm": 0.0}),
    Cell("without CMFM", {**STEPS, "cmfm": 0.0}),
    Cell("without Align", {**STEPS, "align": 0.0}),
    Cell("without Decoder", {**STEPS, "decoder": 0.0}),
    Cell("Joint x 10", {**STEPS, "joint": 10.0}),
    Cell("local negatives", {**STEPS, "shares": 4}),
    Cell("no pretraining", {"stage_one": 0, "stage_two": 0}),
]
CHANGED = (*OBJECTIVES, "contrast_hidden_texts")  # what a cell may change of ObjectiveConfig
SCORES = (
    "R@1",
    "R@1 before fine-tuning",
    "BLEU-4, video",
    "CIDEr, video",
    "exact, video",
    "BLEU-4, video + transcript",
    "CIDEr, video + transcript",
    "exact, video + transcript",
)


def run_ablation(settings: Scale, seeds: Sequence[int], out: Path, workers: int = 1) -> pd.DataFrame:
    """Run all cells with all seeds, one row each; results that are there are kept. Curves are in `out/curves`."""
    make_tokenizer(settings.univl_pretrain, settings, out / "tokenizer")
    table = run_cells(CELLS, seeds, partial(run_cell, settings, Path(out).resolve()), out, workers=workers)
    save_results(table, out / "univl_ablation.csv")
    save_results(gather_curves(out / "curves", CELLS, seeds), out / "univl_ablation_curves.csv", digits=4)
    return table


def run_cell(settings: Scale, out: Path, cell: Cell, seed: int) -> Measured:
    """Pretrain as the cell says, fine-tune, and score on the test split."""
    folder = out / "runs" / f"{cell.name}-seed{seed}"
    config = pretraining_of(cell, settings.univl_pretrain, seed, out / "tokenizer")
    began = time.process_time()
    pretrain_at_scale(config, settings, folder / "model", folder / "pretraining", progress=False)
    scores = {"cpu seconds": time.process_time() - began}
    if not cell.settings["stage_two"]:
        scores["cpu seconds"] = 0.0
    save_curves(folder / "pretraining", out / "curves" / f"{cell.name}-seed{seed}.csv")
    scores |= downstream(folder, settings, seed)
    shutil.rmtree(folder)
    return Measured(scores)


def pretraining_of(cell: Cell, config: UniVLPretrainConfig, seed: int, tokenizer: Path) -> UniVLPretrainConfig:
    """The scale's pretraining with a cell's changes; its steps are never more than the scale's, so `tiny` stays short.

    `shares`: a step's videos are contrasted in so many parts, each among itself. Their gradients are averaged, which is
    what as many processes compute that keep their negatives to themselves (`global_negatives=False`, the release).
    """
    changes, shares = cell.settings, cell.settings.get("shares", 1)
    objectives = {name: changes[name] for name in CHANGED if name in changes}
    train = {"log_every": 10, "checkpoint_every": 10_000, "seed": seed, "gradient_accumulation": shares}
    if not changes["stage_two"]:
        train["learning_rate"] = 0.0  # the loop takes at least one step, which moves nothing then
    return replace(
        config,
        tokenizer=str(tokenizer),
        narration=replace(config.narration, hide_text=changes.get("hide_text", 0.0)),
        staged=changes["stage_one"] > 0,
        objectives=replace(config.objectives, **objectives),
        stage_one=replace(
            config.stage_one,
            steps=at_most(changes["stage_one"], config.stage_one),
            batch_size=config.stage_one.batch_size // shares,
            **train,
        ),
        stage_two=replace(
            config.stage_two,
            steps=at_most(changes["stage_two"], config.stage_two),
            batch_size=VIDEOS // shares,
            **train,
        ),
    )


def downstream(folder: Path, settings: Scale, seed: int) -> dict[str, float]:
    """Scores on the test split after fine-tuning the model in `folder/model`, and of retrieval before."""
    scores = _retrieval(folder, settings, seed)
    for reads, text in (("video", None), ("video + transcript", "transcript")):
        found = _captioning(folder / f"captioning, {reads}", folder / "model", settings, seed, text)
        scores |= {f"{name}, {reads}": found[name] for name in ("BLEU-4", "CIDEr", "exact")}
    return scores


def _retrieval(folder: Path, settings: Scale, seed: int) -> dict[str, float]:
    config = settings.univl_tasks["joint"]
    config = replace(config, train=replace(config.train, seed=seed, checkpoint_every=10_000))
    train, test = (task_rows("retrieval", split, settings) for split in ("train", "test"))
    task = Retrieval.start(folder / "model", load_tokenizer(folder / "model"), config)
    before = task.evaluate(test, progress=False)
    task.fit(train, folder / "retrieval", progress=False)
    after = task.evaluate(test, progress=False)
    return {"R@1 before fine-tuning": before["t2v R@1"], "R@1": after["t2v R@1"]}


def _captioning(run_dir: Path, model: Path, settings: Scale, seed: int, text: str | None) -> dict[str, float]:
    config = settings.univl_tasks["captioning"]
    steps = min(CAPTION_STEPS, config.train.steps or CAPTION_STEPS)
    config = replace(config, train=replace(config.train, steps=steps, seed=seed, checkpoint_every=10_000))
    train, test = (task_rows("captioning", split, settings) for split in ("train", "test"))
    task = Captioning.start(model, load_tokenizer(model), config, text=text)
    task.fit(train, run_dir, progress=False)
    return task.evaluate(test, progress=False, meteor=False)


def save_curves(run_dir: Path, path: Path) -> None:
    """The logged losses of all stages of a run as one CSV, with the seconds since its beginning."""
    rows, clock = [], 0.0
    for stage in ("stage-one", "stage-two"):
        lines = run_dir / stage / "metrics.jsonl"
        before = 0
        for line in lines.read_text().splitlines() if lines.exists() else []:
            row = json.loads(line)
            clock += row["seconds"] * (row["step"] - before)  # steps between two lines took about as long
            before = row["step"]
            rows.append({"stage": stage, **row, "clock": clock})
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")


def gather_curves(folder: Path, cells: Sequence[Cell], seeds: Sequence[int]) -> pd.DataFrame:
    """The curves of all runs in one table, with columns cell and seed in front."""
    parts = []
    for cell in cells:
        for seed in seeds:
            curve = pd.read_csv(folder / f"{cell.name}-seed{seed}.csv")
            curve.insert(0, "cell", cell.name)
            curve.insert(1, "seed", seed)
            parts.append(curve.drop(columns=["epoch", "lr", "grad_norm", "seconds"]))
    return pd.concat(parts)
