"""Render worlds, and pretrain the small networks that are bundled."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, SetOption, app, changed, run_folder, world_of
from minivl.config import scale


@app.command("world")
def render_world(
    folder: Annotated[Path, typer.Argument(help="where to write it", file_okay=False)],
    opinions: Annotated[bool, typer.Option("--opinions", help="clips with a sentiment instead")] = False,
    changes: SetOption = None,
    scale_name: ScaleOption = None,
) -> None:
    """Render a kitchen world as mp4 files with metadata."""
    settings = changed(scale(scale_name), changes, ("world",))
    world = world_of(settings, "is there to render")
    from minivl.data.world import build

    build.write_world(folder, world, build.opinion_clips if opinions else build.kitchen_clips)
    print(f"written to {folder}")


@app.command("pretrain-clip")
def pretrain_clip_command(
    out: Annotated[Path, typer.Argument(help="folder for the model", file_okay=False)],
    changes: SetOption = None,
    scale_name: ScaleOption = None,
) -> None:
    """Pretrain the small CLIP on frames and short captions of the kitchen world, and score it. Resumes by itself."""
    settings = changed(scale(scale_name), changes, ("clip_pretrain", "world"))
    world = world_of(settings, "CLIP is pretrained on: it is loaded there (ViT-B-32/openai)")
    from minivl.assets.clip_pretraining import pretrain_clip

    scores = pretrain_clip(out, run_folder(f"pretrain-clip-{out.name}"), settings.clip_pretrain, world)
    if not scores:
        return  # the first of several processes tells
    for direction in ("t2v", "v2t"):
        print(direction.replace("v", "i"), {name: round(value, 1) for name, value in scores[direction].items()})
    print(f"saved: {out}")


@app.command("pretrain-s3d")
def pretrain_s3d_command(
    out: Annotated[Path, typer.Argument(help="folder for the network", file_okay=False)],
    changes: SetOption = None,
    scale_name: ScaleOption = None,
) -> None:
    """Pretrain the small S3D on narrated videos with MIL-NCE, and probe its features. Resumes by itself."""
    settings = changed(scale(scale_name), changes, ("s3d_pretrain",))
    world_of(settings, "S3D is pretrained on: it is read there (S3D.from_reference)")
    from minivl.assets.s3d_pretraining import pretrain_s3d
    from minivl.assets.s3d_probing import report

    scores = pretrain_s3d(out, run_folder(f"pretrain-s3d-{out.name}"), settings.s3d_pretrain)
    if scores:  # the first of several processes tells
        print(report(scores))
        print(f"saved: {out}")
