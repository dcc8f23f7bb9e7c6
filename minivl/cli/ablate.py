"""Ablations: every variant with every seed, in one command that can be interrupted."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, app
from minivl.config import runs_dir, scale

ablate = typer.Typer(no_args_is_help=True, help="Leave parts of a method out, and measure what they do.")
app.add_typer(ablate, name="ablate")

SeedsOption = Annotated[int, typer.Option("--seeds", min=2, help="how many")]
FirstOption = Annotated[
    int, typer.Option("--first-seed", min=0, help="the lowest of them; the committed results begin at 0")
]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="processes that share the runs")]
OutOption = Annotated[Path | None, typer.Option("--out", help="folder of the results [default: runs/ablate-NAME]")]


@ablate.command("univl")
def ablate_univl(
    seeds: SeedsOption = 5,
    first_seed: FirstOption = 0,
    workers: WorkersOption = 1,
    out: OutOption = None,
    scale_name: ScaleOption = None,
):
    """UniVL's objectives and strategies, scored on retrieval and captioning. Finished runs are kept."""
    from minivl.ablations.univl import SCORES, run_ablation

    out = out or runs_dir() / "ablate-univl"
    table = run_ablation(scale(scale_name), _numbers(first_seed, seeds), out, workers)
    _print(table, SCORES, out / "univl_ablation.csv")


@ablate.command("univl-regimes")
def ablate_univl_regimes(
    seeds: SeedsOption = 5,
    first_seed: FirstOption = 0,
    workers: WorkersOption = 1,
    out: OutOption = None,
    scale_name: ScaleOption = None,
):
    """The same where speech fits the picture, and with three times the steps. Finished runs are kept."""
    from minivl.ablations.univl import SCORES
    from minivl.ablations.univl_regimes import run_regimes

    out = out or runs_dir() / "ablate-univl-regimes"
    table = run_regimes(scale(scale_name), _numbers(first_seed, seeds), out, workers)
    _print(table, SCORES, out / "univl_regimes.csv")


@ablate.command("univl-tasks")
def ablate_univl_tasks(
    seeds: SeedsOption = 3,
    first_seed: FirstOption = 0,
    workers: WorkersOption = 1,
    out: OutOption = None,
    scale_name: ScaleOption = None,
):
    """The five tasks, fine-tuned from the bundled UniVL and from scratch, beside guessing. Finished runs are kept."""
    from minivl.ablations.univl_tasks import MAIN_SCORES, run_tasks

    out = out or runs_dir() / "ablate-univl-tasks"
    table = run_tasks(scale(scale_name), _numbers(first_seed, seeds), out, workers)
    _print(table, MAIN_SCORES, out / "univl_tasks.csv")


@ablate.command("discovla")
def ablate_discovla(
    study: Annotated[
        list[str] | None,
        typer.Argument(
            help="components, strategies, settings, pooling, noise, distillation, converged, dial, "
            "regimes, order [default: all]"
        ),
    ] = None,
    seeds: SeedsOption = 5,
    first_seed: FirstOption = 0,
    workers: WorkersOption = 1,
    out: OutOption = None,
    scale_name: ScaleOption = None,
):
    """DiscoVLA's parts and settings, and in which worlds they help or hurt. Finished runs are kept."""
    from minivl.ablations.discovla import SCORES, STUDIES, run_study

    out = out or runs_dir() / "ablate-discovla"
    for name in study or STUDIES:
        table = run_study(name, scale(scale_name), _numbers(first_seed, seeds), out, workers)
        _print(table, SCORES, out / f"discovla_{name}.csv")


@ablate.command("discovla-cost")
def ablate_discovla_cost(out: OutOption = None, scale_name: ScaleOption = None):
    """What the attention strategies cost against the number of frames: operations, time, memory."""
    from minivl.ablations.discovla_cost import strategy_costs
    from minivl.ablations.runner import save_results

    table = strategy_costs(scale(scale_name).discovla)
    print(table.to_string(index=False))
    print(f"results: {save_results(table, (out or runs_dir() / 'ablate-discovla') / 'discovla_cost.csv')}")


def _numbers(first_seed, seeds):
    return range(first_seed, first_seed + seeds)


def _print(table, scores, path):
    """Mean and standard deviation of every cell, and where all rows are."""
    print(table.groupby("cell", sort=False)[list(scores)].agg(["mean", "std"]).round(1).to_string(na_rep=""))
    print(f"results: {path}")
