"""UniVL: pretraining, its tasks, and captions of your own videos."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import (
    DryRunOption,
    RecipeOption,
    ScaleOption,
    SetOption,
    TrackOption,
    among,
    app,
    changed,
    chosen_settings,
    complete_card,
    is_first_process,
    length,
    print_dry_run,
    require_bert,
    require_corpus,
    require_folder_or_id,
    run_folder,
    sources,
    world_of,
)
from minivl.cli.predict import print_scores, require_split
from minivl.cli.results import JsonOption, OverwriteOption, ResultsOption, open_output
from minivl.cli.written import write_task
from minivl.config import BUNDLED, NARRATED_WORLD, ConfigError, scale
from minivl.train.tracking import use_tracker

TASKS = (
    "joint",
    "align",
    "captioning",
    "captioning-video",
    "captioning-both",
    "captioning-raw",
    "segmentation",
    "localization",
    "sentiment",
)
SUFFIXES = (".srt", ".vtt", ".json")  # of saved captions
WORLDS = ("narrated", "opinions")
UNIVL, S3D = str(BUNDLED / "univl_kitchen"), str(BUNDLED / "s3d_kitchen")
UniVLOption = Annotated[
    str,
    typer.Option(
        "--model",
        show_default=False,
        help="a folder or hub name of a pretrained UniVL [default: the bundled small one]",
    ),
]
S3DOption = Annotated[
    str,
    typer.Option(
        "--s3d", show_default=False, help="a folder or hub name of S3D weights [default: the bundled small ones]"
    ),
]
OwnDataOption = Annotated[
    Path | None,
    typer.Option("--data", help="a world that `minivl prepare` made of own videos [default: the scale's data]"),
]


@app.command("feature-world")
def feature_world(
    folder: Annotated[Path, typer.Argument(help="where to write it", file_okay=False)],
    kind: Annotated[str, typer.Option(help="narrated or opinions")] = "narrated",
    s3d: S3DOption = S3D,
    share: Annotated[float, typer.Option(min=0.0, help="of the usual number of clips")] = 1.0,
    changes: SetOption = None,
) -> None:
    """Render narrated kitchen videos (or opinions), and keep their S3D features and words. Resumes by itself."""
    import dataclasses

    settings = changed(dataclasses.replace(scale("small"), world=NARRATED_WORLD), changes, ("world",))
    world = world_of(settings, "is there to render")
    if kind not in WORLDS:
        raise ConfigError(f"--kind must be one of {', '.join(WORLDS)}, not {kind!r}")
    require_folder_or_id(s3d, "S3D weights")
    from minivl.assets.feature_world import write_feature_world
    from minivl.s3d import S3D as Network
    from minivl.train.engine import default_device

    network = Network.from_pretrained(s3d).to(default_device())
    print(f"written to {write_feature_world(folder, kind, network, world, share)}")


@app.command("pretrain")
def pretrain_command(
    out: Annotated[Path, typer.Argument(help="folder for the model", file_okay=False)],
    data: OwnDataOption = None,
    staged: Annotated[
        bool | None,
        typer.Option("--staged/--no-staged", help="StagedP: Joint alone first [default: the scale's, staged]"),
    ] = None,
    hide_text: Annotated[
        float | None, typer.Option(help="EnhancedV: share of videos whose text is hidden [default: the scale's]")
    ] = None,
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many videos")] = None,
    seed: Annotated[int | None, typer.Option(help="order of the data, first weights [default: the scale's]")] = None,
    bert: Annotated[
        str | None,
        typer.Option(help="a folder or hub name: where tokenizer and text encoder come from [default: the scale's]"),
    ] = None,
    changes: SetOption = None,
    track: TrackOption = None,
    dry_run: DryRunOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """Pretrain UniVL on narrated videos, and save it with its tokenizer. Resumes by itself."""
    options = {
        "univl_pretrain.staged": staged,
        "univl_pretrain.narration.hide_text": hide_text,
        "univl_pretrain.stage_one.seed": seed,
        "univl_pretrain.stage_two.seed": seed,
        "univl_pretrain.tokenizer": bert,
        "univl_pretrain.text_weights": bert,
    }
    settings = scale(scale_name)
    settings = changed(settings, changes, ("univl_pretrain", *_sources(settings, data)), options)
    if dry_run:
        return _print_stages(settings)
    use_tracker(track)
    settings = _with_own(settings, data)
    for name in {settings.univl_pretrain.tokenizer, settings.univl_pretrain.text_weights} - {"train", None}:
        require_bert(name)
    if data is not None:
        require_split(data, "pretrain" if (data / "pretrain").is_dir() else "train")
    elif settings.world is None:
        require_corpus("howto100m", settings.data / "howto100m")
    else:
        require_split(settings.narrated, "pretrain")
    from minivl.tasks.univl.pretraining import pretrain_at_scale

    pretrain_at_scale(settings.univl_pretrain, settings, out, run_folder(f"pretrain-{out.name}"), subset)
    if is_first_process():
        print(f"saved: {out}")


def _sources(settings, data):
    """Settings that say where the data is, of which none is read beside --data."""
    return () if data else sources(settings)


def _with_own(settings, data):
    """The settings with a world of own videos in place of the scale's data."""
    import dataclasses

    return dataclasses.replace(settings, own=data)


def _print_stages(settings):
    """Dry runs of the stages of pretraining."""
    if settings.world is not None:
        raise ConfigError("--dry-run is for the full scale: add --scale full")
    for stage in ("one", "two") if settings.univl_pretrain.staged else ("two",):
        print_dry_run(chosen_settings(f"univl-stage-{stage}", "pretrain", "full")[0], settings)


@app.command()
def finetune(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            autocompletion=among(lambda: TASKS),
            help=f"{', '.join(TASKS)} (joint and align are retrieval); or leave it to --recipe",
        ),
    ] = None,
    recipe: RecipeOption = None,
    data: OwnDataOption = None,
    name: Annotated[
        str | None, typer.Option(help="of the run, which goes to runs/NAME [default: the task, or the recipe]")
    ] = None,
    model: UniVLOption = UNIVL,
    scratch: Annotated[bool, typer.Option("--scratch", help="start from random weights")] = False,
    split: Annotated[str | None, typer.Option(help="that is scored [default: val, or the recipe's]")] = None,
    seed: Annotated[
        int | None, typer.Option(help="order of the data, new weights [default: the scale's or recipe's]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="training steps [default: the scale's]")] = None,
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many training videos")] = None,
    changes: SetOption = None,
    track: TrackOption = None,
    as_json: JsonOption = False,
    out: ResultsOption = None,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """Fine-tune UniVL on one of its five tasks, save it, and score it beside guessing. Resumes by itself."""
    plan, settings = chosen_settings(recipe, "finetune", scale_name)
    if plan is not None and task is None:
        task, split = plan.task, split or plan.split
    elif plan is not None or task is None:
        raise ConfigError("give a task or --recipe, which has one")
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")
    if not scratch:
        require_folder_or_id(model, "a pretrained UniVL")
    section = f"univl_tasks.{task.partition('-')[0]}"
    options = {f"{section}.train.seed": seed, **length(f"{section}.train", steps)}
    settings = changed(settings, changes, (section, *_sources(settings, data)), options)
    if dry_run:
        return print_dry_run(plan, settings)
    use_tracker(track)
    settings, split = _with_own(settings, data), split or "val"
    if data is not None:
        for needed in ("train", split):
            require_split(data, needed)
    elif settings.world is not None:  # a recipe's own split is known to be there
        require_split(BUNDLED / "opinion_features" if task == "sentiment" else settings.narrated, split)
    else:
        corpus = settings.univl_corpora["retrieval" if task in ("joint", "align") else task.partition("-")[0]].name
        require_corpus(corpus, settings.data / corpus)
    output = open_output(context, as_json, out, overwrite)
    from minivl.tasks.univl import finetuning

    if data is not None:  # own videos may have no labels to be scored by, which is told before training
        finetuning.task_rows(finetuning.KINDS[task][0].kind, split, settings)
    folder = run_folder(name or recipe or task)
    tuned = finetuning.fine_tune(task, settings, folder, model, scratch, subset=subset)
    if not is_first_process():  # one of several processes is enough for the rest
        return
    tuned.save_pretrained(folder / "model")
    rows = finetuning.task_rows(tuned.kind, split, settings)
    predicted = tuned.predict(rows)
    scores, guesses = tuned.scores_of(predicted, rows), finetuning.baseline_scores(task, split, settings)
    print_scores(f"{task}, {split}", {"fine-tuned": scores, **guesses})
    complete_card(folder / "model", split, scores)
    if output.wanted:
        write_task(output, tuned, str(folder / "model"), rows, predicted, scores, guesses, split, settings)
    print(f"saved: {folder / 'model'}")


@app.command()
def features(
    videos: Annotated[list[Path], typer.Argument(exists=True, help="video files, or folders of them")],
    out: Annotated[Path, typer.Option(file_okay=False, help="a folder for one .npy per video")] = Path("features"),
    s3d: S3DOption = S3D,
) -> None:
    """S3D features of videos of any length, one vector per second. Finished ones are kept, bad files skipped."""
    from minivl.data.folder import named_videos

    files = named_videos(videos)
    require_folder_or_id(s3d, "S3D weights")
    from minivl.s3d import S3D as Network
    from minivl.s3d.features import write_features
    from minivl.train.engine import default_device

    report = write_features(files, Network.from_pretrained(s3d).to(default_device()), out)
    print(f"{len(report.written)} written and {len(report.kept)} kept in {out}, {len(report.failed)} failed")


@app.command()
def caption(
    videos: Annotated[list[Path], typer.Argument(exists=True, help="video files, or folders of them")],
    transcript: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="what is said: .srt, .vtt or .txt; only for one video"),
    ] = None,
    subtitles: Annotated[
        bool, typer.Option("--subtitles", help="what is said stands beside each video: talk.srt or .vtt for talk.mp4")
    ] = False,
    language: Annotated[str | None, typer.Option(help="of subtitles such as talk.en.srt: en")] = None,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="also save the captions in this folder")] = None,
    suffix: Annotated[str, typer.Option(help=f"of saved captions: {', '.join(SUFFIXES)}")] = ".srt",
    window: Annotated[float, typer.Option(min=1.0, help="seconds per caption")] = 4.0,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="a UniVL fine-tuned for captions [default: the bundled small one, which knows only the kitchen]",
        ),
    ] = None,
    s3d: S3DOption = S3D,
) -> None:
    """Write captions for videos, a sentence per window. The bundled model knows only the small kitchen."""
    files = _video_files(videos)
    if transcript is not None and len(files) > 1:
        raise ConfigError(f"--transcript belongs to one video, but there are {len(files)}: --subtitles takes theirs")
    if transcript is not None and subtitles:
        raise ConfigError("--transcript and --subtitles both say what is said: leave one of them out")
    if language is not None and not subtitles:
        raise ConfigError("--language chooses between subtitles: give --subtitles, too")
    spoken = _spoken(files, transcript, subtitles, language)
    if suffix not in SUFFIXES:
        raise ConfigError(f"--suffix must be one of {', '.join(SUFFIXES)}, not {suffix!r}")
    for given, what in ((model, "a UniVL fine-tuned for captions"), (s3d, "S3D weights")):
        if given is not None:
            require_folder_or_id(given, what)
    from minivl.data.wordpiece import load_tokenizer
    from minivl.hub.folders import find
    from minivl.s3d import S3D as Network
    from minivl.tasks.univl.data import CAPTIONER
    from minivl.tasks.univl.own_videos import caption_videos
    from minivl.tasks.univl.saving import read_inputs
    from minivl.train.engine import default_device
    from minivl.univl import UniVL

    name = model or str(CAPTIONER)
    report = caption_videos(
        files,
        Network.from_pretrained(s3d).to(default_device()),
        UniVL.from_pretrained(name).to(default_device()),
        load_tokenizer(name),
        transcripts=spoken,
        out=out,
        suffix=suffix,
        window_seconds=window,
        **read_inputs(find(name)),
    )
    if not (report.captions or report.kept):  # a warning has named each file
        raise typer.Exit(1)
    print(report)
    if not report.captions and not report.kept:
        raise typer.Exit(1)


def _spoken(files, transcript, subtitles, language):
    """Video -> what is said; with subtitles an empty list, in which nobody speaks, for those that have none."""
    if not subtitles:
        return {files[0]: transcript} if transcript else {}
    from minivl.data.subtitles import find_subtitles

    found = find_subtitles(files, language)
    return {file: found.get(file, []) for file in files}


def _video_files(paths):
    from minivl.data.folder import find_videos

    return [file for path in paths for file in (find_videos(path) if path.is_dir() else [path])]
