"""The explorer of alignment: models and their checkpoints as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import HUB, ScaleOption, TestDataOption, app, require_clip, require_html
from minivl.cli.predict import is_task, require_split
from minivl.config import BUNDLED, ConfigError, Scale, scale

Many = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN_OR_MODEL...",
        help="runs of 'minivl adapt' or 'finetune joint' (runs/NAME), models as for 'minivl evaluate', or folders with "
        "an alignment.json, see docs/alignment-files.md",
    ),
]


@app.command()
def explore(
    models: Many,
    out: Annotated[Path, typer.Option(help="the .html file to write; it needs no server and no network")],
    data: TestDataOption = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    subset: Annotated[int | None, typer.Option(min=2, help="only the first so many clips, or videos")] = None,
    save: Annotated[
        Path | None, typer.Option(help="also write what the page shows into this folder, for programs to read")
    ] = None,
    scale_name: ScaleOption = None,
) -> None:
    """See how captions and clips are aligned: distributions, matrix, rankings, embeddings, frames; models side by side.

    The page goes through the checkpoints of a run, of which two are kept, or MINIVL_CHECKPOINTS.
    """
    settings = scale(scale_name)
    require_html(out)
    if save is not None and save.is_file():
        raise ConfigError(f"--save {save} is a file: name a folder")
    kinds = [_kind(name) for name in models]
    for kind in set(kinds) - {"file"}:
        _require_data(kind, data, split, settings)
    from minivl.explorer import save_exploration, together, write_page

    explored = together([_explored(*pair, data, split, subset, settings) for pair in zip(models, kinds, strict=True)])
    if save is not None:
        print(f"saved: {save_exploration(explored, save)}")
    page = write_page(explored, out)
    print(f"{page}: {page.stat().st_size / 2**20:.1f} MB, open it in a browser")


def _kind(name: str) -> str:
    """What a name stands for: "file", "task" or "clip". Raises ConfigError if it can be none of them."""
    if (Path(name) / "alignment.json").is_file():
        return "file"
    model = name
    if (Path(name) / "metrics.jsonl").is_file():
        model = str(Path(name) / "model")
        if not Path(model, "config.json").is_file():
            raise ConfigError(f"{name} is a run without a model: let it end, with the command that began it")
    if model.startswith(HUB) or not is_task(model):
        require_clip(model)
    return "task" if is_task(model) else "clip"


def _require_data(kind: str, data: Path | None, split: str, settings: Scale) -> None:
    """Raise FileNotFoundError if the data that a kind of model is shown on has no such split."""
    if kind == "clip" or data is not None:
        require_split(data or BUNDLED / "kitchen", split)
    elif settings.world is not None:
        require_split(settings.narrated, split)


def _explored(name: str, kind: str, data: Path | None, split: str, subset: int | None, settings: Scale):
    """The exploration of one model."""
    if kind == "file":
        from minivl.explorer import load_exploration

        return load_exploration(name)
    from minivl.tasks.alignments import explore_clip, explore_univl
    from minivl.tasks.univl.data import load_rows, task_rows

    if kind == "task":
        rows = load_rows("retrieval", data, split, subset) if data else task_rows("retrieval", split, settings, subset)
        return explore_univl(name, rows)
    return explore_clip(name, data or BUNDLED / "kitchen", split, settings, subset)
