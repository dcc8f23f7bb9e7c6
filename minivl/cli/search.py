"""Search videos by text, and adapt CLIP to them with DiscoVLA."""

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.errors import printable, told
from minivl.cli.options import (
    HUB,
    DryRunOption,
    RecipeOption,
    ScaleOption,
    SetOption,
    TestDataOption,
    TrackOption,
    app,
    changed,
    chosen_settings,
    complete_card,
    is_first_process,
    length,
    print_dry_run,
    require_clip,
    require_corpus,
    require_folder_or_id,
    require_png,
    run_folder,
    sources,
)
from minivl.cli.predict import evaluate_task, is_task, require_split
from minivl.cli.results import JsonOption, OverwriteOption, ResultsOption, open_output
from minivl.cli.written import draw_answers, write_answers, write_clip_scores
from minivl.config import BUNDLED, ConfigError, names_of, scale
from minivl.train.tracking import use_tracker

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="'kitchen' (the bundled small CLIP), a folder (of 'minivl adapt', open_clip or transformers), or an "
        "open_clip name with a tag, file or folder of its weights (see 'minivl models'): "
        "ViT-B-32/openai, ViT-B-32/./weights.safetensors",
    ),
]


@app.command()
def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="what to look for, in words; with --interactive it may be left out")],
    folder: Annotated[
        Path | None,
        typer.Argument(help="a folder of videos (mp4, webm, avi, mov, mkv), or one file", show_default=False),
    ] = None,
    model: ModelOption = "kitchen",
    top: Annotated[int, typer.Option(min=1, help="how many answers")] = 5,
    picture: Annotated[Path | None, typer.Option(help="also draw the answers as film strips, as PNG")] = None,
    window: Annotated[
        float, typer.Option(min=1.0, help="seconds; longer videos are cut into windows, and an answer says where it is")
    ] = 30.0,
    index: Annotated[
        Path | None,
        typer.Option(
            help="where the index is kept, which lets the next search read "
            "new and changed files only [default: the cache]"
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="that decode new videos [default: one per core, at most 8]")
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="stay, and answer each line of the input; an empty one, or quit, ends")
    ] = False,
    as_json: JsonOption = False,
    out: ResultsOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Search a folder of videos by text. The bundled model knows only the small kitchen."""
    first: str | None = query
    if folder is None and interactive:
        first, folder = None, Path(query)
    elif folder is None:
        raise ConfigError(
            f"what is to be searched for {query!r}? Give a folder of videos, or one file, after the query"
        )
    if first is not None and not first.strip():
        raise ConfigError("the query is empty: say in words what to look for")
    if not math.isfinite(window):
        raise ConfigError(f"--window must be a number of seconds, not {window}")
    require_png(picture)
    require_clip(model)
    if interactive and (as_json or out is not None):
        raise ConfigError("--json and --out are for one query: leave out --interactive")
    output = open_output(context, as_json, out, overwrite)
    find = _videos_of(folder)
    find()  # a wrong name is told before anything is loaded
    from minivl.tasks.clip.search import open_searcher

    searcher = open_searcher(model, window, processes)
    place = folder.parent if folder.is_file() else folder
    queries = ([first] if first is not None else []) if not interactive else _typed(first)
    for text in queries:
        try:
            hits, skipped = _answer(text, find(), place, searcher, top, index, picture)
        except (ValueError, OSError) as error:
            if not interactive:
                raise
            print(f"minivl: {told(error)}", file=sys.stderr)
        else:
            if output.wanted:
                write_answers(output, text, model, hits, skipped, searcher)


def _videos_of(folder: Path) -> Callable[[], list[Path]]:
    """What lists the videos of a folder, or the one file."""
    from minivl.data.folder import find_videos

    return (lambda: [folder]) if folder.is_file() else (lambda: find_videos(folder))


def _typed(first: str | None) -> Iterator[str]:
    """Queries: the one of the command line, then the lines of the input up to an empty one, "quit" or its end."""
    if first is not None:
        yield first
    prompt = "search: " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if line in ("", "quit"):
            return
        yield line


def _answer(query, paths, folder, searcher, top, index, picture):
    """Print the answers to a query, and draw them."""
    from minivl.tasks.clip.search import search as search_videos
    from minivl.tasks.clip.search import sureness

    hits, skipped = search_videos(query, paths, searcher, top, folder, index)
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank:3d}. {hit.score:+.3f}  {printable(str(hit.path))}{hit.place}", flush=True)
    if sure := sureness(hits):
        print(f"     {sure}", flush=True)
    if unread := searcher.never_read(query):
        print(
            f"minivl: the small CLIP of the kitchen was never taught {printable(', '.join(unread))}: "
            "--model names others, such as ViT-B-32/openai",
            file=sys.stderr,
        )
    if skipped:
        print(f"skipped {len(skipped)} of {len(paths)} videos:", file=sys.stderr)
        for path, reason in skipped:
            print(printable(f"  {path}: {reason}"), file=sys.stderr)
    if picture:
        print(f"drawn in {draw_answers(hits, query, searcher).save(picture)}")
    return hits, skipped


@app.command()
def adapt(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="name of the run: everything goes to runs/NAME")] = "adapt",
    recipe: RecipeOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="a folder with train/, or with a recipe that of its corpus "
            "[default: the scale's data, MINIVL_DATA/CORPUS]"
        ),
    ] = None,
    clip: Annotated[
        str | None, typer.Option(help="which CLIP, as for 'minivl search --model' [default: the scale's]")
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="a JSON file of pseudo captions, as released; else the column frame_captions of the clips",
        ),
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="weight of PImgAlign [default: the scale's]")] = None,
    beta: Annotated[float | None, typer.Option(help="weight of AlignDistill [default: the scale's]")] = None,
    distill: Annotated[str | None, typer.Option(help="AlignDistill as in the release or in the paper")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="what fusion layers do: image, video, average or adapter [default: adapter]")
    ] = None,
    fusion_layers: Annotated[
        int | None,
        typer.Option(
            min=0, help="how many of the last vision blocks fuse frames; 0 is LoRA alone [default: the scale's]"
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="over all processes [default: the scale's]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="training steps [default: the scale's]")] = None,
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many training clips")] = None,
    seed: Annotated[
        int | None, typer.Option(help="order of the data, first weights [default: the scale's or recipe's]")
    ] = None,
    changes: SetOption = None,
    track: TrackOption = None,
    as_json: JsonOption = False,
    out: ResultsOption = None,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """Adapt a CLIP to videos with DiscoVLA, then score it on the validation clips. Resumes by itself."""
    plan, settings = chosen_settings(recipe, "adapt", scale_name)
    options = {
        "discovla.alpha": alpha,
        "discovla.beta": beta,
        "discovla.distill": distill,
        "discovla.strategy": strategy,
        "discovla.vision_fusion_layers": fusion_layers,
        "adapt.batch_size": batch_size,
        "adapt.seed": seed,
        **length("adapt", steps),
        **clip_of(clip),
    }
    clips_from = () if data else ("world",) if settings.world is not None else ("data",)
    settings = changed(settings, changes, ("clip", "inputs", "discovla", "adapt", *clips_from), options)
    _check_frame_captions(settings.discovla, captions, changes)
    if clip is not None:
        require_clip(clip)
    if data is not None and plan is None:
        require_split(data, "train")
    if dry_run:
        return print_dry_run(plan, settings)
    use_tracker(track)
    split = plan.split if plan else "val"
    unseen = data is None or plan is not None or (data / split).is_dir()
    output = open_output(context, as_json, out, overwrite)
    if output.wanted and not unseen:
        raise ConfigError(
            f"--json and --out need scores, and {data} has no {split}/ with clips that training did not see"
        )
    _require_clips(plan, data, "train", settings)
    from minivl.clip import load_clip
    from minivl.discovla import DiscoVLA
    from minivl.discovla.pseudo_captions import read_pseudo_captions, with_pseudo_captions
    from minivl.tasks.clip import retrieval

    known = read_pseudo_captions(captions) if captions else None
    model = load_clip(settings.clip.name, settings.clip.pretrained)
    DiscoVLA(
        model.model, retrieval.without_idle_fusion(settings.discovla)
    )  # a CLIP that cannot be adapted like this is told before clips are read
    train = _clips(plan, data, "train", model, settings, subset)
    if known:
        train = with_pseudo_captions(train, known, allow_missing=True)
    folder = run_folder(name)
    adapted = retrieval.adapt_at_scale(settings, settings.adapt.seed, folder, train=train)
    if is_first_process():
        if unseen:
            clips = _clips(plan, data, split, model, settings)
            scores = retrieval.evaluate(adapted, clips)
            _print_scores(split, scores)
            complete_card(folder / "model", split, scores.row())
            write_clip_scores(output, scores, clips, str(folder / "model"), split)
        else:
            print(f"not scored: {data} has no {split}/ with clips that training did not see")
        print(f"saved: {folder / 'model'}")


def clip_of(name: str | None) -> dict[str, object]:
    """The fields that --clip is short for: a folder, or an architecture with "/" and a tag or file of its weights."""
    if name is None:
        return {}
    architecture, _, tag = (name, "", "") if name.startswith(HUB) or Path(name).exists() else name.partition("/")
    return {"clip.name": architecture, "clip.pretrained": tag or "none"}


def _check_frame_captions(config, captions, changes):
    """Raise ConfigError where something is said about frame captions that nothing learns from."""
    if config.alpha or config.beta:
        return
    if captions:
        raise ConfigError("--captions are what PImgAlign and AlignDistill learn from: give --alpha or --beta, too")
    if "discovla.text_fusion_layers" in names_of(changes or []) and config.text_fusion_layers:
        raise ConfigError(
            "discovla.text_fusion_layers fuse frame captions, which only PImgAlign and AlignDistill read: give "
            "--alpha or --beta, too"
        )


def _require_clips(recipe, data, split, settings):
    """Raise an error, before anything is loaded, if the clips that `_clips` reads are not there."""
    if recipe is not None:
        require_corpus(recipe.corpus.name, data or settings.data / recipe.corpus.name)
    elif data is not None or settings.world is None:
        require_split(data or settings.data, split)


def _clips(recipe, data, split, clip, settings, subset=None):
    """The clips of a split: those of a folder, or of the recipe's corpus."""
    from minivl.tasks.clip import retrieval

    if recipe is None:
        return retrieval.clips(data or retrieval.data_folder(settings), split, clip, settings, subset)
    from minivl.data import corpora
    from minivl.data.clips import ClipDataset

    corpus = recipe.corpus
    rows = corpora.load(
        corpus.name, data or settings.data / corpus.name, split, protocol=corpus.protocol, subset=subset, source="video"
    )
    return ClipDataset(rows, clip, settings.inputs)


@app.command("pseudo-captions")
def pseudo_captions(
    clips: Annotated[Path, typer.Argument(help="a folder with split folders, or with a recipe that of its corpus")],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="a .json file, for 'minivl adapt --captions'; what it has is kept")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="a LLaVA-NeXT: a folder or hub name [default: llava-hf/llava-v1.6-mistral-7b-hf]"),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="what it is asked about each frame; {caption} stands for the caption of the whole video"),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "train",
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many clips")] = None,
    recipe: RecipeOption = None,
    changes: SetOption = None,
    scale_name: ScaleOption = None,
) -> None:
    """Let LLaVA-NeXT caption the sampled frames of clips, for PImgAlign and AlignDistill. Resumes by itself."""
    plan, settings = chosen_settings(recipe, "adapt", scale_name)
    settings = changed(settings, changes, ("inputs",))
    _require_clips(plan, clips, split, settings)
    if model is not None:
        require_folder_or_id(model, "a LLaVA-NeXT")
    from minivl.clip import load_clip
    from minivl.discovla.llava import CONDITIONED_PROMPT, MODEL, LlavaCaptioner, caption_clips
    from minivl.train.engine import default_device

    reader = load_clip(settings.clip.name, settings.clip.pretrained, weights=False)  # its tokenizer is all that is used
    pairs = _clips(plan, clips, split, reader, settings, subset)
    captioner = LlavaCaptioner.from_pretrained(model or MODEL, prompt or CONDITIONED_PROMPT, device=default_device())
    print(f"captions of {len(caption_clips(pairs, captioner, out))} (video, caption) pairs: {out}")


@app.command()
def evaluate(
    context: typer.Context,
    model: ModelOption = "kitchen",
    data: TestDataOption = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    subset: Annotated[int | None, typer.Option(min=1, help="only the first so many clips, or videos")] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
    out: ResultsOption = None,
    overwrite: OverwriteOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """Scores of a model: retrieval with a CLIP on captioned clips, or the task that `minivl finetune` saved."""
    import dataclasses

    settings = scale(scale_name)
    if model.startswith(HUB) or not is_task(model):
        require_clip(model)
    if data is not None:
        require_split(data, split)
    task = is_task(model)
    reads = sources(settings) if task else ("inputs",)
    new = changed(settings, changes, reads)  # a mistake is told before anything is loaded
    output = open_output(context, as_json, out, overwrite)
    if task:
        return evaluate_task(model, data, split, subset, new, output)
    data = data or BUNDLED / "kitchen"
    require_split(data, split)
    from minivl.tasks.clip import retrieval

    clip, network, inputs = retrieval.load_model(model)
    settings = changed(dataclasses.replace(settings, inputs=inputs), changes, reads)
    clips = retrieval.clips(data, split, clip, settings, subset)
    scores = retrieval.evaluate(network, clips)
    _print_scores(split, scores)
    write_clip_scores(output, scores, clips, model, split)


def _print_scores(split, scores):
    print(f"{split}, {len(scores.similarity)} clips:")
    for name, value in scores.row().items():
        print(f"  {name:22s} {value:7.1f}")
