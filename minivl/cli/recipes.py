"""Full-scale recipes and weights: what there is, what it takes, and whether it is here."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import SetOption, among, app, changed, require_bert
from minivl.config import ConfigError, scale
from minivl.data.atomic import replacing
from minivl.fullscale.peaks import require_peak
from minivl.fullscale.recipes import find_recipe, hyperparameters, recipes

recipe = typer.Typer(no_args_is_help=True, help="Full-scale recipes: settings with sources, published results, cost.")
weights = typer.Typer(no_args_is_help=True, help="Pretrained weights: which are here, and reading the released ones.")
app.add_typer(recipe, name="recipe")
app.add_typer(weights, name="weights")


RecipeArgument = Annotated[str, typer.Argument(autocompletion=among(recipes), help="see 'minivl recipe list'")]


@recipe.command("list")
def recipe_list() -> None:
    """All recipes, with the corpus and the published result."""
    for entry in recipes().values():
        best = entry.results[0] if entry.results else None
        told = f"{best.measure} {best.value:g} ({best.source})" if best else "no published result at hand"
        print(f"{entry.name:32s} {entry.title:50s} {told}")


@recipe.command("show")
def recipe_show(name: RecipeArgument) -> None:
    """Every hyperparameter of a recipe with its source, the command, and the published results."""
    entry = find_recipe(name)
    protocol = f", protocol {entry.corpus.protocol}" if entry.corpus.protocol else ""
    print(f"{entry.name}: {entry.title}\n")
    scored = "" if entry.kind == "pretrain" else f", scored on {entry.split}"
    print(
        f"corpus     {entry.corpus.name}{protocol}: trained on train{scored}; "
        f"in {entry.settings.data / entry.corpus.name} (see 'minivl data card {entry.corpus.name}')"
    )
    print(
        f"command    {entry.command}\nprocesses  {entry.processes} GPUs in the release: accelerate launch "
        f"--num_processes {entry.processes} -m {entry.command}"
    )
    print(f"steps      {entry.steps:,} of {entry.train.batch_size * entry.train.gradient_accumulation} examples\n")
    for line in hyperparameters(entry):
        print(f"  {line.section + '.' + line.name:32s} {_told(line.value):42s} {line.source}")
    print("\npublished results")
    for result in entry.results:
        print(f"  {result.measure:32s} {result.value:<42g} {result.source}")
    if not entry.results:
        print("  none at hand")
    print("\nknown differences\n  " + "\n  ".join(entry.departures))


def _told(value) -> str:
    return (", ".join(map(_told, value)) or "none") if isinstance(value, tuple) else str(value)


@recipe.command("dry-run")
def recipe_dry_run(
    names: Annotated[
        list[str], typer.Argument(autocompletion=among(recipes), help="see 'minivl recipe list'; or: all")
    ],
    gpu: Annotated[str, typer.Option(help="whose hours are estimated: a100, h100, v100 or rtx4090")] = "a100",
    precision: Annotated[str, typer.Option(help="of that GPU's arithmetic: bf16, tf32 or fp32")] = "bf16",
    utilisation: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="share of its peak that a run reaches; a guess until it is measured"),
    ] = 0.3,
    micro_batch: Annotated[
        int | None,
        typer.Option(min=1, help="examples of the real step [default: 1 on a CPU, on a GPU the most that fits]"),
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="also write the numbers into this .csv")] = None,
    changes: SetOption = None,
) -> None:
    """One real training step at full size on made-up data: parameters, FLOPs, memory, and GPU hours in all."""
    require_peak(gpu, precision)
    entries = [find_recipe(name) for name in (recipes() if names == ["all"] else names)]
    entries = [replace(entry, settings=changed(entry.settings, changes, entry.reads)) for entry in entries]
    from pandas import DataFrame

    from minivl.fullscale.dry_run import dry_run

    reports = []
    for entry in entries:
        reports.append(dry_run(entry, gpu, precision, utilisation, micro_batch))
        print(reports[-1], end="\n\n", flush=True)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            with replacing(out) as unfinished:
                DataFrame([report.row() for report in reports]).to_csv(unfinished, index=False)


@weights.command("check")
def weights_check(
    folder: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="where they lie [default: MINIVL_DATA/weights]; then the hub's cache is looked into"
        ),
    ] = None,
) -> None:
    """Pretrained weights that are here, and whether they can be read. Ends with 1 if one cannot be."""
    from minivl.fullscale.weights import check_weights

    findings = check_weights(folder or scale("full").data / "weights")
    print("\n".join(map(str, findings)))
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


@weights.command("convert")
def weights_convert(
    kind: Annotated[str, typer.Argument(help="univl or s3d")],
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="univl.pretrained.bin or s3d_howto100m.pth")
    ],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="where the model goes, for --model or --s3d")],
    bert: Annotated[str, typer.Option(help="UniVL's tokenizer: a folder or hub name")] = "bert-base-uncased",
) -> None:
    """Make a model folder of released weights, which every command takes."""
    if kind not in ("univl", "s3d"):
        raise ConfigError(f"cannot convert {kind!r}: choose univl or s3d")
    require_bert(bert)
    from minivl.fullscale.weights import convert

    convert(kind, file, folder, bert)
    print(f"saved: {folder}")
