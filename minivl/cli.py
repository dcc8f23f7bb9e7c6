"""The command line. Heavy libraries are imported by the commands that need them, so that --help is quick."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from minivl.config import BUNDLED, ConfigError, override, runs_dir, scale

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Learn, teach and reproduce video-language pretraining: UniVL and DiscoVLA.",
                  rich_markup_mode=None)

ScaleOption = Annotated[str | None, typer.Option("--scale", help="tiny, small or full [default: "
                                                                      "MINIVL_SCALE or small]")]
ModelOption = Annotated[str, typer.Option("--model", help="'kitchen' (the bundled small CLIP), a folder saved by "
                                          "'minivl adapt', or an open_clip name with a tag or file of its weights: "
                                          "ViT-B-32/openai, ViT-B-32/./weights.safetensors")]


@app.command()
def demo(out: Annotated[Path | None, typer.Option(help="where the executed notebook and figures go "
                                                  "[default: runs/quickstart]")] = None,
         videos: Annotated[Path | None, typer.Option(help="search these clips instead of the bundled ones: a folder "
                                                     "with train/, val/, test/, each with metadata.jsonl")] = None,
         scale_name: ScaleOption = None):
    """The main job: search videos by text, adapt CLIP with DiscoVLA's first part, search again."""
    scale(scale_name)
    from minivl.lessons import run_lesson

    out = out or runs_dir() / "quickstart"
    environment = {"MINIVL_VIDEOS": str(videos.resolve())} if videos else {}
    notebook = run_lesson("00_quickstart", out, scale_name, environment)
    print(f"\nThe executed notebook: {notebook}\nFigures: {out / 'figures'}")


@app.command()
def search(query: Annotated[str, typer.Argument(help="what to look for, in words")],
           folder: Annotated[Path, typer.Argument(help="a folder of videos (mp4, webm, avi, mov, mkv), or one file")],
           model: ModelOption = "kitchen",
           top: Annotated[int, typer.Option(min=1, help="how many answers")] = 5,
           picture: Annotated[Path | None, typer.Option(help="also draw the answers as film strips, as PNG")] = None):
    """Search a folder of videos by text. The bundled model knows only the small kitchen."""
    from minivl.data.folder import find_videos
    from minivl.tasks.retrieval import load_model
    from minivl.tasks.retrieval import search as search_videos

    paths = [folder] if folder.is_file() else find_videos(folder)
    clip, network, inputs = load_model(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # skipped files are listed below
        hits, skipped = search_videos(query, paths, network, clip, inputs)
    for rank, hit in enumerate(hits[:top], start=1):
        print(f"{rank:3d}. {hit.score:+.3f}  {hit.path}")
    if skipped:
        print(f"skipped {len(skipped)} of {len(paths)} videos:", file=sys.stderr)
        for path, reason in skipped:
            print(f"  {path}: {reason}", file=sys.stderr)
    if picture:
        from minivl.plots import film_strips

        titles = [f"{i}. {hit.path.name}, cosine {hit.score:.3f}" for i, hit in enumerate(hits[:top], start=1)]
        print(f"drawn in {film_strips([h.frames for h in hits[:top]], titles, f'“{query}”').save(picture)}")


@app.command()
def adapt(name: Annotated[str, typer.Option(help="name of the run: everything goes to runs/NAME")] = "adapt",
          data: Annotated[Path | None, typer.Option(help="a folder with train/ [default: the scale's data]")] = None,
          seed: Annotated[int, typer.Option(help="order of the data, first weights")] = 0,
          steps: Annotated[int | None, typer.Option(min=1, help="training steps [default: the scale's]")] = None,
          subset: Annotated[int | None, typer.Option(min=1, help="only the first so many training clips")] = None,
          fusion_layers: Annotated[int | None, typer.Option(min=0, help="how many of the last vision blocks fuse "
                                                            "frames; 0 is LoRA alone [default: the scale's]")] = None,
          scale_name: ScaleOption = None):
    """Adapt a CLIP to videos (LoRA and IVFusion), then score it on the validation clips. Resumes by itself."""
    import dataclasses

    settings = scale(scale_name)
    if steps:
        settings = override(settings, adapt=dataclasses.replace(settings.adapt, steps=steps, epochs=None))
    if fusion_layers is not None:
        settings = override(settings, discovla=override(settings.discovla, vision_fusion_layers=fusion_layers))
    from minivl.clip import load_clip
    from minivl.tasks import retrieval

    clip = load_clip(settings.clip.name, settings.clip.pretrained)
    folder = data or retrieval.data_folder(settings)
    train = retrieval.clips(folder, "train", clip, settings, subset)
    model = retrieval.adapt_at_scale(settings, seed, runs_dir() / name, train=train)
    if os.environ.get("RANK", "0") == "0":  # one of several processes is enough
        _print_scores("validation", retrieval.evaluate(model, retrieval.clips(folder, "val", clip, settings)))
        print(f"saved: {runs_dir() / name / 'model'}")


@app.command()
def evaluate(model: ModelOption = "kitchen",
             data: Annotated[Path, typer.Option(help="a folder with split folders")] = BUNDLED / "kitchen",
             split: Annotated[str, typer.Option(help="train, val or test")] = "test",
             subset: Annotated[int | None, typer.Option(min=1, help="only the first so many clips")] = None,
             scale_name: ScaleOption = None):
    """Text-to-video and video-to-text retrieval scores of a model on captioned clips."""
    import dataclasses

    from minivl.tasks import retrieval

    clip, network, inputs = retrieval.load_model(model)
    settings = dataclasses.replace(scale(scale_name), inputs=inputs)
    _print_scores(split, retrieval.evaluate(network, retrieval.clips(data, split, clip, settings, subset)))


def _print_scores(split, scores):
    print(f"{split}, {len(scores.similarity)} clips:")
    for name, value in scores.row().items():
        print(f"  {name:22s} {value:7.1f}")


@app.command()
def lesson(name: Annotated[str, typer.Argument(help="for example 01_data_and_world")],
           out: Annotated[Path | None, typer.Option(help="folder for the executed notebook and what it writes "
                                                    "[default: runs/lessons]")] = None,
           update: Annotated[bool, typer.Option("--update", help="also put the result into notebooks/")] = False,
           scale_name: ScaleOption = None):
    """Execute a lesson from a clean kernel."""
    import shutil

    from minivl.lessons import NOTEBOOKS, run_lesson

    scale(scale_name)
    notebook = run_lesson(name, out or runs_dir() / "lessons", scale_name)
    if update:
        shutil.copy(notebook, NOTEBOOKS)
    print(f"\nThe executed notebook: {notebook}")


@app.command("world")
def render_world(folder: Annotated[Path, typer.Argument(help="where to write it")],
                 knob: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, any setting of WorldConfig, such as "
                                                                "dial=0.5 or videos_train=200")] = None,
                 opinions: Annotated[bool, typer.Option("--opinions", help="clips with a sentiment instead")] = False,
                 scale_name: ScaleOption = None):
    """Render a kitchen world as mp4 files with metadata."""
    import dataclasses

    from minivl.data.world import build

    config = scale(scale_name).world or scale("small").world
    types = {field.name: field.type for field in dataclasses.fields(config)}
    changes = {}
    for text in knob or []:
        name, _, value = text.partition("=")
        try:
            changes[name] = int(value) if types.get(name) in (int, int | None) else float(value)
        except ValueError:
            raise ConfigError(f"--knob {text}: write NAME=VALUE with a number") from None
    make = build.opinion_clips if opinions else build.kitchen_clips
    build.write_world(folder, override(config, **changes), make)
    print(f"written to {folder}")


@app.command("pretrain-clip")
def pretrain_clip_command(out: Annotated[Path, typer.Argument(help="folder for the model")],
                          scale_name: ScaleOption = None):
    """Pretrain the small CLIP on frames and short captions of the kitchen world, and score it. Resumes by itself."""
    settings = scale(scale_name)
    if settings.world is None:
        raise ConfigError("at full scale CLIP is not pretrained but loaded (ViT-B-32/openai): use tiny or small")
    from minivl.clip_pretraining import pretrain_clip

    scores = pretrain_clip(out, runs_dir() / f"pretrain-clip-{out.name}", settings.clip_pretrain, settings.world)
    for direction in ("t2v", "v2t"):
        print(direction.replace("v", "i"), {name: round(value, 1) for name, value in scores[direction].items()})


def main():
    """Run the program; errors that a user can mend are told in one message, without a traceback."""
    try:
        app()
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("MINIVL_DEBUG"):
            raise
        print(f"minivl: {_message(error)}", file=sys.stderr)
        sys.exit(1)


def _message(error: Exception) -> str:
    """What went wrong and where; the system's own errors lack what to do."""
    if not (isinstance(error, OSError) and error.filename):
        return str(error)
    return f"{error.strerror}: {error.filename} (is the place right, writable, and on a disk with free space?)"
