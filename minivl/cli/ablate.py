"""Ablations: every variant with every seed, in one command that can be interrupted."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, app
from minivl.config import runs_dir, scale

ablate = typer.Typer(no_args_is_help=True, help="Leave parts of a method out, and measure what they do.")
app.add_typer(ablate, name="ablate")

SeedsOption = Annotated[int, typer.Option("--seeds", min=2, help="how many: 0, 1, ...")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="processes that share the runs")]
OutOption = Annotated[Path | None, typer.Option("--out", help="folder of the results [default: runs/ablate-NAME]")]


@ablate.command("univl")
def ablate_univl(seeds: SeedsOption = 5, workers: WorkersOption = 1, out: OutOption = None,
                 scale_name: ScaleOption = None):
    """UniVL's objectives and strategies, scored on retrieval and captioning. Finished runs are kept."""
    from minivl.ablations.univl import SCORES, run_ablation

    out = out or runs_dir() / "ablate-univl"
    table = run_ablation(scale(scale_name), range(seeds), out, workers)
    print(table.groupby("cell", sort=False)[list(SCORES)].agg(["mean", "std"]).round(1).to_string())
    print(f"results: {out / 'univl_ablation.csv'}")
