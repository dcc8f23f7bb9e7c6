"""`--json` and `--out`, which several commands share, and `minivl compare`."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from minivl.cli.options import app
from minivl.config import ConfigError
from minivl.results.names import CHANGES, require_free, require_results

if TYPE_CHECKING:
    from pandas import DataFrame

    from minivl.results.files import Drawn

JsonOption = Annotated[
    bool, typer.Option("--json", help="print one JSON object and nothing else; all other lines go to standard error")
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--out", file_okay=False, help="a folder for results.json, tables and the figure (docs/results-files.md)"
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="replace results that are in --out")]


@dataclass(frozen=True)
class Output:
    """Where a command's results go, beside the lines that it prints."""

    stdout: TextIO | None  # with --json
    folder: Path | None  # with --out

    @property
    def wanted(self) -> bool:
        return self.stdout is not None or self.folder is not None

    def write(
        self,
        record: Mapping[str, Any],
        tables: Mapping[str, "DataFrame"] | None = None,
        texts: Mapping[str, str] | None = None,
        picture: "Drawn | None" = None,
    ) -> None:
        """Write the folder, then print the object: whoever reads it finds the files."""
        from minivl.results.files import write_results
        from minivl.results.record import json_text

        if self.folder is not None:
            print(f"results: {write_results(self.folder, record, tables or {}, texts or {}, picture)}")
        if self.stdout is not None:
            self.stdout.write(json_text(record))


def open_output(context: typer.Context, as_json: bool, out: Path | None, overwrite: bool = False) -> Output:
    """Check --out before anything is loaded; with --json what is printed goes to standard error until the command ends.

    Raises ConfigError for a folder that has results already, unless they are to be replaced.
    """
    if overwrite and out is None:
        raise ConfigError("--overwrite replaces what is in --out: give --out, too")
    if out is not None:
        require_free(out, overwrite)
    stdout = sys.stdout if as_json else None
    if as_json:
        context.with_resource(redirect_stdout(sys.stderr))
    return Output(stdout, out)


def command_line() -> str:
    """The command that is running."""
    import shlex

    return shlex.join(["minivl", *sys.argv[1:]])


@app.command()
def compare(
    context: typer.Context,
    a: Annotated[Path, typer.Argument(help="a folder that --out of evaluate, adapt or finetune wrote")],
    b: Annotated[Path, typer.Argument(help="another one, on the same test data")],
    top: Annotated[int, typer.Option(min=0, help="how many of the queries that changed most are shown")] = 10,
    as_json: JsonOption = False,
    out: ResultsOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Two results on the same data: B minus A with paired intervals, and which queries changed most."""
    output = open_output(context, as_json, out, overwrite)
    require_results(a)
    require_results(b)
    from minivl.results.comparison import compare_results
    from minivl.results.files import load_results
    from minivl.results.record import record_of

    first, second = load_results(a), load_results(b)
    found = compare_results(first, second)
    task, examples = first.record["task"], first.record["data"].get("examples", "the same")
    print(f"{task}, {examples} examples. A: {a}, B: {b}. B minus A, paired 95 % intervals over examples:\n")
    print(found.differences.to_string(index=False, float_format="{:.3g}".format))
    shown = found.changes.head(top)
    if top:
        print(f"\nchanged most, {len(shown)} of {len(found.changes)}:\n{shown.to_string(index=False, max_colwidth=60)}")
    if output.wanted:
        from minivl.plots import score_changes

        record = record_of(
            "comparison",
            command_line(),
            a={"folder": str(a), "model": first.record.get("model")},
            b={"folder": str(b), "model": second.record.get("model")},
            task=task,
            data=first.record["data"],
            differences=found.differences.set_index("score").to_dict(orient="index"),
            changed=shown.to_dict(orient="records"),
        )
        output.write(record, {CHANGES: found.changes}, picture=score_changes(found.differences, found.changes))
