"""What commands write with `--json` and `--out`: answers of a search, scores of a dual encoder or of a UniVL task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.cli.results import Output, command_line
from minivl.config import Scale
from minivl.results.names import ANSWERS, RUN

if TYPE_CHECKING:
    from datasets import Dataset

    from minivl.data.clips import ClipDataset
    from minivl.plots import Picture
    from minivl.tasks.clip.retrieval import Scores
    from minivl.tasks.clip.search import Hit, Searcher
    from minivl.tasks.univl.base import Task


def write_answers(
    output: Output,
    query: str,
    model: str,
    hits: Sequence["Hit"],
    skipped: Sequence[tuple[Path, Exception]],
    searcher: "Searcher",
) -> None:
    """Answers as one object, a table, a figure and a run in TREC's format, whose one query is q1."""
    from minivl.results.record import record_of

    answers = [
        {"rank": rank, "cosine": hit.score, "path": str(hit.path), "start": hit.start, "end": hit.end, "part": hit.part}
        for rank, hit in enumerate(hits, start=1)
    ]
    left_out = [{"path": str(path), "reason": str(reason)} for path, reason in skipped]
    record = record_of("answers", command_line(), model=model, query=query, answers=answers, skipped=left_out)
    if output.folder is None:
        return output.write(record)
    import pandas as pd

    from minivl.results.queries import place_name
    from minivl.results.trec import answers_text

    places = [{"video_id": str(hit.path)} | ({"start": hit.start, "end": hit.end} if hit.part else {}) for hit in hits]
    run = answers_text([place_name(place) for place in places], [hit.score for hit in hits])
    output.write(record, {ANSWERS: pd.DataFrame(answers)}, {RUN: run}, draw_answers(hits, query, searcher))


def draw_answers(hits: Sequence["Hit"], query: str, searcher: "Searcher") -> "Picture":
    """The answers as film strips."""
    from minivl.plots import film_strips
    from minivl.tasks.clip.search import frames_of

    titles = [f"{i}. {hit.path.name}{hit.place}, cosine {hit.score:.3f}" for i, hit in enumerate(hits, start=1)]
    return film_strips([frames_of(hit, searcher) for hit in hits], titles, f"“{query}”")


def write_clip_scores(output: Output, scores: "Scores", clips: "ClipDataset", model: str, split: str) -> None:
    """Scores with intervals and chance, if they are wanted."""
    if not output.wanted:
        return
    from minivl.tasks.measured import Measurement, clip_findings

    folder = Path(clips.paths[0]).parent.parent
    found = clip_findings(scores, clips, Measurement(command_line(), model, folder, split))
    output.write(found.record, found.tables, found.texts, found.picture)


def write_task(
    output: Output,
    task: "Task",
    model: str,
    rows: "Dataset",
    predicted: Any,
    scores: Mapping[str, float],
    guesses: Mapping[str, Mapping[str, float]],
    split: str,
    settings: Scale,
) -> None:
    """Write the scores of a task with intervals and guessing; the arguments are those of `task_findings`."""
    from minivl.tasks.measured import Measurement, task_findings
    from minivl.tasks.univl.data import data_of

    of = Measurement(command_line(), model, data_of(task.kind, settings), split)
    found = task_findings(task, rows, predicted, scores, guesses, of)
    output.write(found.record, found.tables, found.texts, found.picture)
