"""The main job, and the lessons."""

import json
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, SetOption, among, app, changed
from minivl.cli.predict import require_split
from minivl.config import BUNDLED, CHECKOUT, NOTEBOOKS, ConfigError, Scale, runs_dir, scale


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="where the executed notebook and figures go [default: runs/quickstart, or with another scale than "
            "small runs/quickstart-SCALE]",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="search these clips instead of the bundled ones: a folder "
            "with train/, val/, test/, each with metadata.jsonl",
        ),
    ] = None,
    changes: SetOption = None,
    scale_name: ScaleOption = None,
) -> None:
    """The main job: search videos by text, adapt CLIP with DiscoVLA's first part, search again."""
    settings = scale(scale_name)
    clips_from = "world" if settings.world is not None else "data"
    reads = ("seeds", "clip", "inputs", "discovla", "adapt", clips_from)
    changed(settings, changes, reads, own=("adapt.seed",))  # a mistake is told before the notebook begins
    if videos is not None:
        for split in ("train", "val", "test"):
            require_split(videos, split)
    from minivl.lessons import run_lesson

    out = out or _folder("quickstart", settings)
    environment = {"MINIVL_SET": json.dumps(changes or [])}
    if videos:
        environment["MINIVL_VIDEOS"] = str(videos.resolve())
    notebook = run_lesson("00_quickstart", out, scale_name, environment)
    print(f"\nThe executed notebook: {notebook}\nFigures: {out / 'figures'}")


def _lessons() -> list[str]:
    return sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


@app.command()
def lesson(
    name: Annotated[str, typer.Argument(autocompletion=among(_lessons), help="for example 01_data_and_world")],
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="folder for the executed notebook and what it writes [default: runs/lessons, or with another scale "
            "than small runs/lessons-SCALE]",
        ),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="also put the result into notebooks/ (of a clone)")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="put what the run took into notebooks/ (of a clone), and nothing else")
    ] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="execute nothing: put the package's present source into notebooks/")
    ] = False,
    changes: SetOption = None,
    scale_name: ScaleOption = None,
) -> None:
    """Execute a lesson from a clean kernel."""
    import shutil
    from tempfile import TemporaryDirectory

    if cost and out is not None:
        raise ConfigError("--cost measures a run of its own, of which nothing is kept: leave --out away")
    if (update or cost or sources) and CHECKOUT is None:
        raise ConfigError(
            "--update, --cost and --sources write into the notebooks/ of a clone, and this minivl was installed "
            "without one"
        )
    settings = scale(scale_name)
    changed(settings, changes, tuple(vars(settings)))
    if not (NOTEBOOKS / f"{name}.ipynb").is_file():
        raise ConfigError(f"there is no lesson {name!r}; there are {', '.join(_lessons())}")
    from minivl.lessons import refresh_sources, run_lesson, update_cost

    if sources:
        print(f"{name}: {refresh_sources(name)} of the shown pieces of source had changed")
        return
    environment = {"MINIVL_SET": json.dumps(changes or [])}
    if cost:
        with TemporaryDirectory() as fresh:  # models that an earlier run left would be read back, and cost nothing
            notebook = run_lesson(name, Path(fresh), scale_name, environment)
            print(f"{name}, {settings.name}: {update_cost(name, notebook, settings.name)}")
        return
    notebook = run_lesson(name, out or _folder("lessons", settings), scale_name, environment)
    if update:
        shutil.copy(notebook, NOTEBOOKS)
    print(f"\nThe executed notebook: {notebook}")


def _folder(name: str, settings: Scale) -> Path:
    """A folder of a scale's own: runs of one scale are not continued at another."""
    return runs_dir() / (name if settings.name == "small" else f"{name}-{settings.name}")


@app.command()
def numbers(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Markdown files and notebooks [default: README, lessons, slides and results]"),
    ] = None,
) -> None:
    """Write the numbers of texts anew that refer to results (minivl/prose.py says how)."""
    missing = [str(file) for file in files or [] if not file.is_file()]
    if missing:
        raise ConfigError(f"no file {', '.join(missing)}: name Markdown files or notebooks")
    from minivl.prose import update

    own = [*(CHECKOUT or BUNDLED).glob("*.md"), *BUNDLED.glob("results/**/*.md"), *NOTEBOOKS.glob("slides/*.md")]
    own += [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.parent.glob("docs/*.md")]
    texts = files or own
    written = [file for file in texts if update(file)]
    print("\n".join(f"written anew: {file}" for file in written) or f"{len(texts)} texts are as the results say")


@app.command()
def samples() -> None:
    """Print the folder of the bundled clips, models and results: "$(minivl samples)/kitchen/test" are clips."""
    print(BUNDLED)
