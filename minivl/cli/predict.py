"""A fine-tuned task of UniVL at work: what it says about data, and how well."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minivl.cli.options import HUB, app
from minivl.cli.results import Output
from minivl.cli.written import write_task
from minivl.config import ConfigError, Scale

if TYPE_CHECKING:
    pass


@app.command()
def predict(
    model: Annotated[
        str, typer.Option("--model", help="a folder, or a hub name, of a task that `minivl finetune` saved")
    ],
    data: Annotated[Path, typer.Option(help="a folder with SPLIT/metadata.jsonl, which names features of videos")],
    split: Annotated[str, typer.Option(help="which folder in it")] = "test",
    out: Annotated[Path | None, typer.Option(help="a .jsonl file to write [default: the terminal]")] = None,
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many videos")] = None,
) -> None:
    """Let a fine-tuned UniVL say what it finds in videos, one JSON object per line; no truth is needed.

    A caption per clip, the best clips per caption (retrieval), a label per frame and the segments they make, the time
    of each step (localization), or a sentiment from -3 to 3.
    """
    require_split(data, split)
    local = Path(model).is_dir()
    if (local and not is_task(model)) or (not local and model.count("/") != 1):
        raise ConfigError(
            f"{model} is no fine-tuned task of UniVL: name a folder that `minivl finetune` saved (its config.json has "
            "an entry 'task'), or owner/name on the hub"
        )
    if out is not None:
        if out.is_dir():
            raise ConfigError(f"--out {out} is a folder: name a file in it, such as {out / 'predictions.jsonl'}")
        out.parent.mkdir(parents=True, exist_ok=True)
    from minivl.data.atomic import write_text
    from minivl.tasks.univl import load_rows, load_task

    task = load_task(model.removeprefix(HUB))
    with _errors_of(data, split):
        lines = task.predictions(load_rows(task.kind, data, split, subset))
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(f"{len(lines)} lines: {out}")


def evaluate_task(
    model: str, data: Path | None, split: str, subset: int | None, settings: Scale, output: Output
) -> None:
    """Print the scores of a saved task on a folder of the one schema, or without one on the data of a scale."""
    if data is not None:
        require_split(data, split)
    from minivl.tasks.univl import load_task
    from minivl.tasks.univl.data import labelled_rows, task_rows

    task = load_task(model.removeprefix(HUB))
    with _errors_of(data, split) if data is not None else nullcontext():
        if data is None:
            rows = task_rows(task.kind, split, settings, subset)
        else:
            rows = labelled_rows(task.kind, data, split, subset)
        task.check_truth(rows)
        predicted = task.predict(rows)
        scores = task.scores_of(predicted, rows)
    print_scores(f"{task.kind}, {split}", {"fine-tuned": scores})
    if output.wanted:
        settings = dataclasses.replace(settings, own=data)
        write_task(output, task, model, rows, predicted, scores, _guesses(task, rows, settings), split, settings)


def _guesses(task, rows, settings):
    """Scores of guessing; what is guessed from training data is left out where there are none."""
    from minivl.tasks.univl.data import task_rows

    if task.kind == "retrieval":
        return task.baselines(None, rows)
    try:
        train = task_rows(task.kind, "train", settings)
    except (FileNotFoundError, ValueError) as error:
        print(f"guessing is left out, it needs training data: {error}")
        return {}
    return task.baselines(train, rows)


def print_scores(title: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table with a line for each score of the first column; what other columns lack is nan."""
    print(f"{title + ':':32s}" + "".join(f"{column:>18s}" for column in columns))
    for score in next(iter(columns.values())):
        numbers = (column.get(score, float("nan")) for column in columns.values())
        print(f"  {score:30s}" + "".join(f"{number:18.2f}" for number in numbers))


def is_task(model: str) -> bool:
    """Check if a folder, or "hf-hub:owner/name", holds a fine-tuned task of UniVL: its config.json has a "task"."""
    if model.startswith(HUB):
        from minivl.hub.folders import find

        model = str(find(model.removeprefix(HUB)))
    from minivl.data.trust import UntrustedFile, read_json

    try:
        settings = read_json(Path(model) / "config.json")
    except UntrustedFile:  # another kind of model, or a damaged one: whoever opens it says so
        return False
    return isinstance(settings, dict) and "task" in settings


def require_split(data: Path, split: str) -> None:
    """Raise FileNotFoundError, which says what was expected, if there is no SPLIT/metadata.jsonl in a folder."""
    if not (data / split / "metadata.jsonl").is_file():
        from minivl.data.schema import load_split

        load_split(data, split)


@contextmanager
def _errors_of(data: Path, split: str) -> Iterator[None]:
    """Errors about rows, which know their columns alone, get the name of the file that they come from."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{data / split / 'metadata.jsonl'}: {error}") from error
