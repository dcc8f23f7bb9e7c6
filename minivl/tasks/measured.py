"""What an evaluation found, ready to be written as results: scores with intervals, queries, figure, run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from minivl.data.clips import ClipDataset
from minivl.data.fingerprint import rows_hash
from minivl.data.schema import captions_of
from minivl.metrics.retrieval import group_metrics, retrieval_metrics
from minivl.plots.picture import Picture
from minivl.plots.results import recall_curves, score_intervals
from minivl.results.names import QRELS, QUERIES, RUN
from minivl.results.queries import place_name, retrieval_table
from minivl.results.record import record_of, scores_record
from minivl.results.scores import Score, scored
from minivl.results.trec import qrels_text, run_text
from minivl.tasks.clip.retrieval import Scores
from minivl.tasks.univl.base import Task, place_of

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class Findings:
    """What `write_results` takes, and the scores themselves."""

    record: dict[str, Any]
    scores: dict[str, Score]
    queries: pd.DataFrame
    picture: Picture
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        return {QUERIES: self.queries}


@dataclass(frozen=True)
class Measurement:
    """Which command measured which model on what."""

    command: str
    model: str
    folder: Path | str
    split: str

    def record(self, task: str, rows: "Dataset", scores: Mapping[str, Score]) -> dict[str, Any]:
        data = {"folder": str(self.folder), "split": self.split, "examples": len(rows), "sha256": rows_hash(rows)}
        return record_of("scores", self.command, model=self.model, task=task, data=data, scores=scores_record(scores))


def clip_findings(found: Scores, data: ClipDataset, of: Measurement) -> Findings:
    """Text-video retrieval by a dual encoder; guessing is a matrix of equal similarities."""
    same = np.zeros_like(found.similarity)
    groups = None if found.groups is None else list(data.rows["group"])
    chance = Scores(
        same,
        retrieval_metrics(same, data.video_of_text),
        None if groups is None else group_metrics(same, groups, data.video_of_text),
    ).row()
    shown = {name: value for name, value in found.row().items() if name != "within-group chance"}
    clips = [place_name(place_of(row)) for row in data.rows]
    queries = retrieval_table(found.similarity, data.video_of_text, data.captions, clips, groups)
    return _retrieval(found.similarity, data.video_of_text, clips, queries, shown, {"chance": chance}, data.rows, of)


def task_findings(
    task: Task,
    rows: "Dataset",
    predicted: Any,
    scores: Mapping[str, float],
    guesses: Mapping[str, Mapping[str, float]],
    of: Measurement,
) -> Findings:
    """A fine-tuned task of UniVL.

    predicted   what `Task.predict` returned for the rows; scores: what `Task.scores_of` makes of it
    guesses     way of guessing -> its scores, as `Task.baselines` has them
    """
    queries = task.examples_of(predicted, rows)
    if task.kind == "retrieval":
        clips = [place_name(place_of(row)) for row in rows]
        return _retrieval(predicted, captions_of(rows)[1], clips, queries, scores, guesses, rows, of)
    more = {name: float(queries[name].mean()) for name in ("recall per video",) if name in queries}
    measured = scored({**scores, **more}, guesses, queries)
    return Findings(of.record(task.kind, rows, measured), measured, queries, score_intervals(measured))


def _retrieval(similarity, video_of_text, clips, queries, scores, guesses, rows, of):
    measured = scored(scores, guesses, queries)
    record = of.record("retrieval", rows, measured)
    texts = {
        RUN: run_text(similarity, video_of_text, clips, tag=Path(of.model).name or "minivl"),
        QRELS: qrels_text(video_of_text, clips),
    }
    return Findings(record, measured, queries, recall_curves(queries), texts)
