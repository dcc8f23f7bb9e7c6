"""Render worlds, and pretrain the small networks that are bundled."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, app
from minivl.config import ConfigError, override, runs_dir, scale


@app.command("world")
def render_world(
    folder: Annotated[Path, typer.Argument(help="where to write it")],
    knob: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, any setting of WorldConfig, such as dial=0.5 or videos_train=200"),
    ] = None,
    opinions: Annotated[bool, typer.Option("--opinions", help="clips with a sentiment instead")] = False,
    scale_name: ScaleOption = None,
):
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
def pretrain_clip_command(
    out: Annotated[Path, typer.Argument(help="folder for the model")], scale_name: ScaleOption = None
):
    """Pretrain the small CLIP on frames and short captions of the kitchen world, and score it. Resumes by itself."""
    settings = scale(scale_name)
    if settings.world is None:
        raise ConfigError("at full scale CLIP is not pretrained but loaded (ViT-B-32/openai): use tiny or small")
    from minivl.assets.clip_pretraining import pretrain_clip

    scores = pretrain_clip(out, runs_dir() / f"pretrain-clip-{out.name}", settings.clip_pretrain, settings.world)
    for direction in ("t2v", "v2t"):
        print(direction.replace("v", "i"), {name: round(value, 1) for name, value in scores[direction].items()})


@app.command("pretrain-s3d")
def pretrain_s3d_command(
    out: Annotated[Path, typer.Argument(help="folder for the network")], scale_name: ScaleOption = None
):
    """Pretrain the small S3D on narrated videos with MIL-NCE, and probe its features. Resumes by itself."""
    settings = scale(scale_name)
    if settings.world is None:
        raise ConfigError("at full scale S3D is not pretrained but read (S3D.from_reference): use tiny or small")
    from minivl.assets.s3d_pretraining import pretrain_s3d

    print(pretrain_s3d(out, runs_dir() / f"pretrain-s3d-{out.name}", settings.s3d_pretrain))
