"""Real corpora: what is on disk, and what is missing."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app

data = typer.Typer(no_args_is_help=True, help="Real corpora: what they are, and what of them is on disk.")
app.add_typer(data, name="data")

NameArgument = Annotated[str, typer.Argument(help="howto100m, youcook2, msrvtt, lsmdc, activitynet, didemo, coin, "
                                             "crosstask or mosi")]


@data.command("card")
def data_card(name: NameArgument):
    """Where a corpus comes from, its splits and protocols, and the layout that is expected."""
    from minivl.data import corpora

    print(corpora.card(name))


@data.command("check")
def data_check(name: NameArgument, folder: Annotated[Path, typer.Argument(help="the corpus' folder")]):
    """What of a corpus is there, missing or broken, without loading everything. Ends with 1 if it cannot be used."""
    from minivl.data import corpora

    report = corpora.check(name, folder)
    print(report)
    if not report.ok:
        raise typer.Exit(1)
