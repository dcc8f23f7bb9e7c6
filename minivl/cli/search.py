"""Search videos by text, and adapt CLIP to them with DiscoVLA."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, app
from minivl.config import BUNDLED, override, runs_dir, scale

ModelOption = Annotated[str, typer.Option("--model", help="'kitchen' (the bundled small CLIP), a folder saved by "
                                          "'minivl adapt', or an open_clip name with a tag or file of its weights: "
                                          "ViT-B-32/openai, ViT-B-32/./weights.safetensors")]


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
