"""Real corpora: what is on disk, and what is missing."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app, require_png

data = typer.Typer(no_args_is_help=True, help="Real corpora: what they are, and what of them is on disk.")
app.add_typer(data, name="data")

NameArgument = Annotated[
    str, typer.Argument(help="howto100m, youcook2, msrvtt, lsmdc, activitynet, didemo, coin, crosstask or mosi")
]


@data.command("card")
def data_card(name: NameArgument) -> None:
    """A corpus' origin, its splits and protocols, and the layout that is expected."""
    from minivl.data import corpora

    print(corpora.card(name))


@data.command("check")
def data_check(name: NameArgument, folder: Annotated[Path, typer.Argument(help="the corpus' folder")]) -> None:
    """List what of a corpus is there, missing or broken; loads little. Ends with 1 if it cannot be used."""
    from minivl.data import corpora

    report = corpora.check(name, folder)
    print(report)
    if not report.ok:
        raise typer.Exit(1)


@data.command("audit")
def data_audit(
    folder: Annotated[
        Path, typer.Argument(help="a folder with train/, val/ or test/, or with --corpus that of a real corpus")
    ],
    corpus: Annotated[str | None, typer.Option(help="howto100m, youcook2, ...: as for 'card'")] = None,
    split: Annotated[str, typer.Option(help="which part to read")] = "train",
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many videos")] = None,
    picture: Annotated[Path | None, typer.Option(help="also draw the shares: a .png file")] = None,
) -> None:
    """Who and what appears in a corpus' texts: counts of words, shares of clips, who is named with which activity."""
    require_png(picture)
    from minivl.data import corpora
    from minivl.data.schema import first_rows, load_split

    if corpus:
        rows = corpora.load(corpus, folder, split, subset=subset)
    else:
        rows = first_rows(load_split(folder, split), subset)
    from minivl.data.audit import audit

    found = audit(rows)
    print(found)
    print(
        "\nCounted are the words of minivl/data/audit_words.toml, in texts only. Who is shown but not named, and what "
        "a word means, is not seen."
    )
    if picture:
        from minivl.plots import mention_shares

        print(f"figure: {mention_shares({corpus or folder.name: found.mentions}).save(picture)}")
