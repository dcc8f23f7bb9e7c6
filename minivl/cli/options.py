"""The program itself, and the options that several commands share."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

import minivl
from minivl.cli import clip_names
from minivl.config import SCALES, ConfigError, Scale, WorldConfig, names_of, runs_dir, scale, with_changes
from minivl.fullscale.recipes import Recipe, find_recipe, recipes

HUB = "hf-hub:"  # how names on the hub begin where a name could mean something else

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Learn, teach and reproduce video-language pretraining: UniVL and DiscoVLA.",
    epilog="Runs are kept in runs/: that of the clone you are in, else of the current folder (or MINIVL_RUNS).",
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"minivl {minivl.__version__}")
        raise typer.Exit()


@app.callback()
def program(
    debug: Annotated[bool, typer.Option("--debug", help="show where in the code an error comes from")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and stop")
    ] = False,
) -> None:
    """Learn, teach and reproduce video-language pretraining: UniVL and DiscoVLA."""
    if debug:
        os.environ["MINIVL_DEBUG"] = "1"


def among(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell completes a word to: those names that begin with what was typed of it."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--scale", autocompletion=among(lambda: SCALES), help="tiny, small or full [default: MINIVL_SCALE or small]"
    ),
]
TestDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="a folder with split folders [default: the bundled kitchen; for a UniVL task the scale's data]"
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        autocompletion=among(recipes),
        help="a full-scale recipe, see 'minivl recipe list'; other options change it",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="one step of the full-size model on made-up data, and "
        "what the run would take; needs no data and no weights",
    ),
]

TrackOption = Annotated[
    str | None, typer.Option("--track", help="also log to tensorboard, wandb or trackio [default: MINIVL_TRACK]")
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.FIELD=VALUE",
        help="any setting of minivl/config that the command reads, such as adapt.learning_rate=1e-3; can be repeated",
    ),
]


def changed(
    settings: Scale,
    given: list[str] | None,
    reads: tuple[str, ...],
    options: Mapping[str, object] | None = None,
    own: tuple[str, ...] = (),
) -> Scale:
    """The settings as --set and the command's own options change them.

    reads    sections or fields that the command reads; own: those in them that it chooses itself
    options  {name of a field: value}, for options that are short for --set; None if one is not given

    Raises ConfigError for what `with_changes` refuses, a field that both give with different values included, and for
    a field that would change nothing.
    """
    given = given or []
    short = [f"{name}={value}" for name, value in (options or {}).items() if value is not None]
    new = with_changes(settings, [*short, *given])
    for name in names_of(given):
        if _within(name, own):
            raise ConfigError(f"--set {name}: this command chooses {', '.join(own)} itself")
        if not _within(name, reads):
            raise ConfigError(f"--set {name}: this command, called like this, reads nothing but {', '.join(reads)}")
    return new


def _within(name, sections):
    return any(name == section or name.startswith(f"{section}.") for section in sections)


def require_clip(name: str) -> None:
    """Raise ConfigError unless a CLIP can have this name, see `minivl.tasks.clip.models.find_model`; loads nothing."""
    if name == "kitchen":
        return
    if name.startswith(HUB) or Path(name).is_dir():
        return require_folder_or_id(name.removeprefix(HUB), "a CLIP")
    architecture, _, tag = name.partition("/")
    if not tag or architecture not in clip_names.architectures():
        raise ConfigError(
            f"unknown model {name!r}: give 'kitchen', a folder on disk, hf-hub:owner/name, or an architecture of "
            "open_clip with a tag or file of its weights, such as ViT-B-32/openai"
        )
    known = clip_names.tags_of(architecture)
    if known and tag not in known and not Path(tag).exists():
        raise ConfigError(
            f"{architecture} has no weights {tag!r}: it is neither a file nor one of open_clip's tags "
            f"{', '.join(known)}"
        )


def require_png(picture: Path | None) -> None:
    """Raise ConfigError for a name that no picture can be saved under."""
    if picture and (picture.suffix.lower() != ".png" or picture.is_dir()):
        raise ConfigError(f"--picture {picture}: name a file that ends in .png")


def require_html(page: Path) -> None:
    """Raise ConfigError for a name that no page can be saved under."""
    if page.suffix.lower() not in (".html", ".htm") or page.is_dir():
        raise ConfigError(f"--out {page}: name a file that ends in .html")


def require_folder_or_id(name: str, what: str) -> None:
    """Raise ConfigError unless this is a folder with settings of a model, or has the form of a name on the hub."""
    folder = Path(name)
    if folder.is_dir():
        if not any(folder.glob("*config.json")):
            raise ConfigError(f"no model in {name}: a folder with {what} has a config.json")
    elif folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(f"no model {name}: give a folder with {what}, or its name on the hub, owner/name")


def require_bert(name: str) -> None:
    """Raise ConfigError unless this is a folder, or has the form of a name on the hub; BERT's own have no owner."""
    if not Path(name).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+|bert-[\w.-]+", name):
        raise ConfigError(f"no BERT {name}: give a folder, or a name on the hub, such as bert-base-uncased, owner/name")


def require_corpus(name: str, folder: Path) -> None:
    """Raise ConfigError if the folder of a corpus is not there; what is in it, its reader tells."""
    if not folder.is_dir():
        raise ConfigError(
            f"no folder {folder}: {name} is looked for there (MINIVL_DATA says where corpora are), and "
            f"`minivl data card {name}` says what files it has"
        )


def require_new(paths: Iterable[Path], overwrite: bool, holds: str = "") -> None:
    """Raise ConfigError if one of these files is there, and may not be overwritten; `holds` says what may be in it."""
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise ConfigError(f"{there[0]} exists{holds}: move it, give another --out, or --overwrite")


def length(section: str, steps: int | None) -> dict[str, object]:
    """The fields that --steps is short for, as `changed` takes them."""
    return {} if steps is None else {f"{section}.steps": steps, f"{section}.epochs": "none"}


def sources(settings: Scale) -> tuple[str, ...]:
    """Names of the settings that say where UniVL's data is."""
    return ("narrated",) if settings.world is not None else ("data", "univl_corpora")


def world_of(settings: Scale, purpose: str) -> WorldConfig:
    """The world of a scale, for a command that needs one. Raises ConfigError if there is none."""
    if settings.world is None:
        raise ConfigError(f"the scale {settings.name} has no world that {purpose}. Use --scale tiny or small")
    return settings.world


def is_first_process() -> bool:
    """True if this process is the first of those that were launched together: one is enough to print and save."""
    return os.environ.get("RANK", "0") == "0"


def run_folder(name: str) -> Path:
    """The folder of a run, which is told before the run begins."""
    folder = runs_dir() / name
    if is_first_process():
        print(f"run: {folder}", flush=True)
    return folder


def chosen_settings(name: str | None, kind: str, scale_name: str | None) -> tuple[Recipe | None, Scale]:
    """(the recipe that was asked for, or None; its settings, or those of the scale).

    Raises ConfigError for another scale than the recipe's own.
    """
    if name is None:
        return None, scale(scale_name)
    if scale_name not in (None, "full"):
        raise ConfigError(f"--recipe {name} is a recipe of the full scale: leave out --scale {scale_name}")
    recipe = find_recipe(name, kind)
    return recipe, recipe.settings


def print_dry_run(recipe: Recipe | None, settings: Scale) -> None:
    """Dry run of a recipe whose settings were changed by options."""
    import dataclasses

    if recipe is None:
        raise ConfigError("--dry-run needs --recipe NAME, see 'minivl recipe list'")
    from minivl.fullscale.dry_run import dry_run

    print(dry_run(dataclasses.replace(recipe, settings=settings)))


def complete_card(folder: Path, split: str, scores: dict[str, float]) -> None:
    """Put the command that is running and the scores that it found into the card of the model that it saved."""
    from minivl.hub.folders import describe

    describe(
        folder,
        command=shlex.join(["minivl", *sys.argv[1:]]),
        scores={f"{split}, {name}": value for name, value in scores.items()},
    )
