"""The program itself, and the options that several commands share."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from minivl.config import ConfigError, TrainConfig, override

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn, teach and reproduce video-language pretraining: UniVL and DiscoVLA.",
    rich_markup_mode=None,
)

ScaleOption = Annotated[
    str | None, typer.Option("--scale", help="tiny, small or full [default: MINIVL_SCALE or small]")
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", help="a full-scale recipe, see 'minivl recipe list'; other options change it")
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="one step of the full-size model on made-up data, and "
        "what the run would take; needs no data and no weights",
    ),
]

# Settings of TrainConfig that say how a run is done; what is learned stays the same, but for rounding.
ENGINE = ("mixed_precision", "chunk_size", "activation_checkpointing", "compile", "num_workers", "checkpoint_every")
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine", help=f"NAME=VALUE, how the run is done, such as mixed_precision=bf16; one of {', '.join(ENGINE)}"
    ),
]


def with_engine(config: TrainConfig, given: list[str] | None, without: tuple[str, ...] = ()) -> TrainConfig:
    """`config` with the settings of --engine, but for those in `without`. Raises ConfigError for others."""
    changes = {}
    for text in given or []:
        name, _, value = text.partition("=")
        if name not in ENGINE or not value:
            raise ConfigError(f"--engine {text}: write NAME=VALUE with one of {', '.join(ENGINE)}")
        try:
            changes[name] = value if name == "mixed_precision" else json.loads(value)
        except ValueError:
            raise ConfigError(f"--engine {text}: {value!r} must be a number, true or false") from None
    return override(config, **{name: value for name, value in changes.items() if name not in without})


def chosen_recipe(name: str | None, kind: str, scale_name: str | None):
    """The recipe that was asked for, or None. Raises ConfigError for another scale than its own."""
    if name is None:
        return None
    if scale_name not in (None, "full"):
        raise ConfigError(f"--recipe {name} is a recipe of the full scale: leave out --scale {scale_name}")
    from minivl.fullscale.recipes import find_recipe

    return find_recipe(name, kind)


def print_dry_run(recipe, settings):
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
