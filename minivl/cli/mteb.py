"""mteb, the benchmark of embeddings: its text-video retrieval with the models of this package."""

import re
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app, require_clip
from minivl.config import ConfigError

mteb = typer.Typer(
    no_args_is_help=True, help="Text-video retrieval as mteb measures it: run it, read its data and results."
)
app.add_typer(mteb, name="mteb")


@mteb.command("run")
def mteb_run(
    tasks: Annotated[list[str], typer.Argument(help="of mteb, such as MSRVTTT2V, MSVDT2VRetrieval, VATEXT2VRetrieval")],
    out: Annotated[Path, typer.Option(file_okay=False, help="below it mteb writes results/MODEL/REVISION/TASK.json")],
    model: Annotated[str, typer.Option("--model", help="as for 'minivl search --model'")] = "kitchen",
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="a copy of the task's data set [default: the hub]")
    ] = None,
) -> None:
    """Evaluate a dual encoder, adapted or not, by mteb's own code. Needs pip install minivl[mteb]."""
    from importlib.util import find_spec

    if find_spec("mteb") is None:
        raise ConfigError("mteb is not installed: pip install minivl[mteb]")
    require_clip(model)
    from minivl.results.published import mteb_scores
    from minivl.tasks.clip.mteb_encoder import run_tasks

    print(mteb_scores(run_tasks(model, tasks, out, data)).round(2).to_string(index=False))


@mteb.command("import")
def mteb_import(
    source: Annotated[str, typer.Argument(help="a folder with a copy of a data set of mteb, or its name on the hub")],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="gets SPLIT/metadata.jsonl and the videos")],
    split: Annotated[str, typer.Option(help="which one")] = "test",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the split that is there")] = False,
) -> None:
    """Write a data set of mteb as a folder that search, adapt, evaluate and explore read."""
    if (folder / split).exists() and not overwrite:
        raise ConfigError(f"{folder / split} exists: give another folder, or --overwrite")
    if not Path(source).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise ConfigError(f"no folder {source}: give one with a data set of mteb, or its name on the hub, owner/name")
    from minivl.data.corpora.mteb import import_mteb

    print(f"{len(import_mteb(source, folder, split))} clips: {folder / split}")


@mteb.command("show")
def mteb_show(
    results: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="a folder with mteb's result files")],
    csv: Annotated[
        Path | None, typer.Option("--csv", dir_okay=False, help="also write a table that the ledger's sources can name")
    ] = None,
) -> None:
    """What result files of mteb hold, beside what others published for the same corpora."""
    from minivl.data.atomic import write_text
    from minivl.results.published import beside_published, ledger_rows, mteb_scores

    found = mteb_scores(results)
    print(beside_published(found).to_string(index=False, na_rep="-"))
    if csv is not None:
        write_text(csv, ledger_rows(found).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
