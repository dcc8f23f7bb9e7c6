"""Ablations: every variant with every seed, in one command that can be interrupted."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minivl.cli.options import ScaleOption, SetOption, among, app, changed, require_html, sources, world_of
from minivl.cli.results import JsonOption, Output, command_line, open_output
from minivl.config import BUNDLED, ConfigError, Scale, runs_dir, scale
from minivl.results.names import RECORD

if TYPE_CHECKING:
    from pandas import DataFrame

ablate = typer.Typer(no_args_is_help=True, help="Leave parts of a method out, and measure what they do.")
app.add_typer(ablate, name="ablate")

SeedsOption = Annotated[int, typer.Option("--seeds", min=2, help="how many")]
FirstOption = Annotated[
    int, typer.Option("--first-seed", min=0, help="the lowest of them; the committed results begin at 0")
]
WorkersOption = Annotated[int, typer.Option("--processes", "--workers", min=1, help="processes that share the runs")]
OutOption = Annotated[
    Path | None, typer.Option("--out", file_okay=False, help="folder of the results [default: runs/ablate-NAME]")
]

# Names that are known before the studies, which import torch, are.
DISCOVLA = (
    "components",
    "strategies",
    "settings",
    "pooling",
    "noise",
    "distillation",
    "converged",
    "dial",
    "regimes",
    "order",
)
STUDIES = (
    "fusion-and-alignment",
    "soft-teacher",
    "longer-fusion",
    "fusion-at-length",
    "room",
    "all-weights",
    "more-videos",
    "more-captions",
    "fusion-on-more",
    "fusion-and-dilution",
    "fusion-where-empty",
    "new-words",
    "one-step-captions",
    "rooms-known",
    "oracle-teacher",
    "frames-say-more",
    "links-learned",
    "links-in-fusion",
    "joint-and-shift",
    "parts-by-use",
    "every-task",
    "staged-at-equal-time",
    "hidden-texts",
    "align-and-steps",
    "long-pretraining",
    "long-align",
    "masked-apart",
    "cmfm-apart",
)

# Settings that the studies choose themselves, beside those that their cells list.
LOOP = ("steps", "epochs", "seed", "log_every", "checkpoint_every", "gradient_accumulation")
PRETRAINING = (
    *(f"univl_pretrain.{name}" for name in ("staged", "tokenizer", "narration.hide_text", "stage_two.batch_size")),
    *(f"univl_pretrain.{stage}.{name}" for stage in ("stage_one", "stage_two") for name in LOOP),
    *(f"univl_tasks.{task}.train.{name}" for task in ("joint", "captioning") for name in ("seed", "checkpoint_every")),
    "univl_tasks.captioning.train.steps",
)
ADAPTATION = ("batch_size", "learning_rate", "lr_multipliers", "epochs", "seed", "checkpoint_every")


# (settings, seeds, folder of the results, workers) -> name of the table in it, the table, its main scores
Study = Callable[[Scale, range, Path, int], tuple[str, "DataFrame", Sequence[str]]]


def add_study(
    name: str, help: str, settings_of: Callable[[Scale, list[str] | None], Scale], seeds: int = 5
) -> Callable:
    """A decorator that makes the command `minivl ablate NAME` of a function that runs a study.

    settings_of   (settings of the scale, what --set says) -> settings of the study
    """

    def add(run: Study) -> None:
        @ablate.command(name, help=f"{help} Finished runs are kept.")
        def command(
            context: typer.Context,
            seeds: SeedsOption = seeds,
            first_seed: FirstOption = 0,
            workers: WorkersOption = 1,
            out: OutOption = None,
            changes: SetOption = None,
            as_json: JsonOption = False,
            scale_name: ScaleOption = None,
        ) -> None:
            settings = settings_of(scale(scale_name), changes)
            out, output = _results_folder(name, out, settings), open_output(context, as_json, None)
            _report(output, out, [run(settings, range(first_seed, first_seed + seeds), out, workers)])

    return add


def _pretraining(settings, changes):
    """Settings of the studies that pretrain UniVL and fine-tune it for retrieval and captions."""
    reads = ("univl_pretrain", "univl_tasks.joint", "univl_tasks.captioning", *sources(settings))
    return changed(settings, changes, reads, own=PRETRAINING)


def _fine_tuning(settings, changes):
    own = tuple(f"univl_tasks.{task}.train.seed" for task in settings.univl_tasks)
    return changed(settings, changes, ("univl_tasks", *sources(settings)), own=own)


@add_study("univl", "UniVL's objectives and strategies, scored on retrieval and captioning.", _pretraining)
def _univl(settings, seeds, out, workers):
    from minivl.ablations.univl import SCORES, run_ablation

    return "univl_ablation.csv", run_ablation(settings, seeds, out, workers), SCORES


@add_study("univl-regimes", "The same where speech fits the picture, and with three times the steps.", _pretraining)
def _univl_regimes(settings, seeds, out, workers):
    from minivl.ablations.univl import SCORES
    from minivl.ablations.univl_regimes import run_regimes

    return "univl_regimes.csv", run_regimes(settings, seeds, out, workers), SCORES


@ablate.command("univl-verdicts")
def univl_verdicts(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="with univl_ablation.csv and univl_regimes.csv")
    ] = BUNDLED / "results",
    as_json: JsonOption = False,
) -> None:
    """What the results of `univl` and `univl-regimes` show, by one rule; writes univl_verdicts.csv beside them."""
    missing = [name for name in ("univl_ablation.csv", "univl_regimes.csv") if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"{folder} has no {' and no '.join(missing)}: run `minivl ablate univl` and `univl-regimes`")
    output = open_output(context, as_json, None)
    from minivl.ablations.runner import save_results
    from minivl.ablations.univl_verdicts import judge, read_results, summary

    judged = judge(read_results(folder))
    print(summary(judged).to_string())
    print(f"written: {save_results(judged, folder / 'univl_verdicts.csv')}")
    _write(output, None, verdicts=judged.to_dict(orient="records"))


@add_study(
    "univl-tasks",
    "The five tasks, fine-tuned from the bundled UniVL and from scratch, beside guessing.",
    _fine_tuning,
    seeds=3,
)
def _univl_tasks(settings, seeds, out, workers):
    from minivl.ablations.univl_tasks import MAIN_SCORES, run_tasks

    return "univl_tasks.csv", run_tasks(settings, seeds, out, workers), MAIN_SCORES


@add_study(
    "univl-lessons",
    "The runs of lessons 07 and 08: every task, start and budget, scored on each test example.",
    _fine_tuning,
    seeds=3,
)
def _univl_lessons(settings, seeds, out, workers):
    from minivl.ablations.univl_lessons import MAIN_SCORES, NAME, run_lessons

    table = run_lessons(settings, seeds, out, workers)
    print(f"{table['cpu hours'].sum():.2f} CPU hours")
    return f"{NAME}.csv", table, MAIN_SCORES


@ablate.command("discovla")
def ablate_discovla(
    context: typer.Context,
    study: Annotated[
        list[str] | None,
        typer.Argument(autocompletion=among(lambda: DISCOVLA), help=f"{', '.join(DISCOVLA)} [default: all]"),
    ] = None,
    seeds: SeedsOption = 5,
    first_seed: FirstOption = 0,
    workers: WorkersOption = 1,
    out: OutOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """DiscoVLA's parts and settings, and in which worlds they help or hurt. Finished runs are kept.

    What a cell of a study is about is changed on top of the settings of --set.
    """
    _require_names(study or [], DISCOVLA)
    own = tuple(f"adapt.{name}" for name in ADAPTATION)
    settings = changed(scale(scale_name), changes, ("world", "inputs", "discovla", "adapt"), own=own)
    world_of(settings, "is there whose knobs could be turned")
    out, output = _results_folder("discovla", out, settings), open_output(context, as_json, None)
    from minivl.ablations.discovla import SCORES, run_study

    chosen = range(first_seed, first_seed + seeds)
    names = study or DISCOVLA
    _report(
        output,
        out,
        ((f"discovla_{name}.csv", run_study(name, settings, chosen, out, workers), SCORES) for name in names),
    )


@ablate.command("study")
def ablate_study(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            autocompletion=among(lambda: STUDIES), help=f"{' or '.join(STUDIES)}: see minivl/ablations/*_studies.py"
        ),
    ],
    worlds: Annotated[int, typer.Option("--worlds", min=2, help="how many")] = 5,
    first_world: Annotated[int, typer.Option(min=0, help="the lowest; settings were chosen in world 0")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="how many in each world")] = 3,
    workers: WorkersOption = 1,
    out: OutOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """A study over several worlds, with verdicts; its prediction must be committed first. Finished runs are kept."""
    _require_names([name], STUDIES)
    own = (*(f"adapt.{name}" for name in ADAPTATION), "world.seed")
    reads = ("world", "inputs", "discovla", "adapt", "univl_pretrain")
    settings = changed(scale(scale_name), changes, reads, own=own)
    world_of(settings, "is there whose seed could change")
    out, output = _results_folder(name, out, settings), open_output(context, as_json, None)
    import pandas as pd

    from minivl.ablations import studies
    from minivl.ablations.study import run_study

    print(studies.STUDIES[name].question)
    chosen = range(first_world, first_world + worlds)
    judged = run_study(studies.STUDIES[name], settings, chosen, range(seeds), out, workers)
    print(judged.round(2).to_string(index=False))
    runs = pd.read_csv(out / "runs.csv")
    print(f"{runs['cpu hours'].sum():.2f} CPU hours, rendering aside; results: {out}")
    from minivl.plots import across_worlds

    sides = {contrast.name: (contrast.a, contrast.b) for contrast in studies.STUDIES[name].contrasts}
    across_worlds(runs, judged, sides).save(out / "verdicts.png")
    _write(output, out, study=name, verdicts=judged.to_dict(orient="records"))


@ablate.command("explore")
def ablate_explore(
    results: Annotated[
        list[Path], typer.Argument(help="CSV files of runs, or folders of 'minivl ablate', finished or not")
    ],
    out: Annotated[Path, typer.Option(help="the .html file to write; it needs no server and no network")],
) -> None:
    """See what variants do: differences to any baseline in any score, with intervals and every run, on one page."""
    require_html(out)
    for path in results:
        if not path.exists():
            raise ConfigError(f"{path} does not exist: give a CSV file of runs, or a folder of 'minivl ablate'")
    from minivl.ablations.comparing import read_results
    from minivl.ablations.explorer import write_ablation_page

    studies: dict = {}
    for path in results:
        for name, table in read_results(path).items():
            if name in studies:
                raise ConfigError(f"there are two studies {name!r}, one of them from {path}: rename a file or folder")
            studies[name] = table
    page = write_ablation_page(studies, out)
    print(f"{page}: {', '.join(studies)}; {page.stat().st_size / 2**20:.1f} MB, open it in a browser")


@ablate.command("discovla-cost")
def ablate_discovla_cost(
    context: typer.Context,
    out: OutOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """Cost of the attention strategies against the number of frames: operations, time, memory."""
    own = tuple(f"discovla.{name}" for name in ("strategy", "alpha", "beta"))
    settings = changed(scale(scale_name), changes, ("discovla",), own=own)
    output = open_output(context, as_json, None)
    from minivl.ablations.discovla_cost import strategy_costs
    from minivl.ablations.runner import save_results

    table = strategy_costs(settings.discovla)
    print(table.to_string(index=False))
    folder = out or runs_dir() / "ablate-discovla"
    print(f"results: {save_results(table, folder / 'discovla_cost.csv')}")
    _write(output, None, costs=table.to_dict(orient="records"))


def _require_names(names: list[str], known: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"unknown study {unknown[0]!r}: choose one of {', '.join(known)}")


def _results_folder(name: str, out: Path | None, settings: Scale) -> Path:
    """The folder of a study's results, all of which are of the settings that `settings.json` in it has.

    Raises ConfigError if those are others.
    """
    out = out or runs_dir() / f"ablate-{name}"
    file, anywhere = out / "settings.json", dataclasses.replace(settings, data=Path(), narrated=Path())
    text = json.dumps(dataclasses.asdict(anywhere), indent=1, default=str)
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{out} holds results of other settings, see {file}: choose another folder with --out")
    return out


def _report(output: Output, out: Path, tables: Iterable[tuple[str, "DataFrame", Sequence[str]]]) -> None:
    """Print mean and standard deviation of every cell, draw them, and write both into the folder of the results."""
    from minivl.ablations.runner import summary
    from minivl.plots import ablation_bars

    found = {}
    for name, table, scores in tables:
        shown = [score for score in scores if score in table]
        print(table.groupby("cell", sort=False)[shown].agg(["mean", "std"]).round(1).to_string(na_rep=""))
        print(f"results: {out / name}")
        ablation_bars(table, shown).save((out / name).with_suffix(".png"))
        found[name] = summary(table, shown)
    _write(output, out, tables=found)


def _write(output: Output, out: Path | None, **entries) -> None:
    """Write results.json into the folder of the results, if there is one for it, and print it with --json."""
    from minivl.data.atomic import write_text
    from minivl.results.record import json_text, record_of

    record = record_of("ablation", command_line(), folder=out, **entries)
    if out is not None:
        write_text(out / RECORD, json_text(record))
    output.write(record)
