"""A world of one's own videos, for UniVL's pretraining and tasks."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app, require_folder_or_id
from minivl.cli.univl import S3D, S3DOption
from minivl.config import ConfigError


@app.command()
def prepare(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="of videos, with .srt or .vtt beside them or without")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="the world: features, metadata and a card")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="a .csv or .jsonl of captions, steps or sentiments, see docs/own-videos.md; can be repeated"),
    ] = None,
    language: Annotated[str | None, typer.Option(help="of subtitles such as talk.en.srt: en")] = None,
    clip_seconds: Annotated[
        float, typer.Option(min=1.0, max=3600.0, help="least length of a clip of speech; length of windows without it")
    ] = 10.0,
    speech_captions: Annotated[
        bool, typer.Option("--speech-captions", help="what is said in a clip is its caption, where labels give none")
    ] = False,
    with_files: Annotated[
        bool, typer.Option("--with-files", help="clips name their video file, too: adapt, evaluate and explore read it")
    ] = False,
    shares: Annotated[
        tuple[float, float, float], typer.Option(help="of videos in train, val and test; they make 1")
    ] = (0.8, 0.1, 0.1),
    seed: Annotated[int, typer.Option(help="of the split")] = 0,
    s3d: S3DOption = S3D,
) -> None:
    """Make a world of a folder of videos: features, speech, clips, labels, splits by video, a card. Resumes by itself.

    Then `pretrain`, `finetune`, `evaluate` and `predict` take it as --data.
    """
    from minivl.data.folder import named_videos
    from minivl.data.own_source import check_shares, read_source

    check_shares(shares)
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out} is the folder of the videos: choose another one for the world")
    require_folder_or_id(s3d, "S3D weights")
    videos = named_videos([folder])
    source = read_source(videos, folder, labels or [], language)
    print(f"{len(videos)} videos, {len(source.transcripts)} with subtitles, {len(source.labels)} labels")
    from minivl.s3d import S3D as Network
    from minivl.tasks.univl.prepare import prepare as prepare_world
    from minivl.train.engine import default_device

    command = shlex.join(["minivl", *sys.argv[1:]])
    network = Network.from_pretrained(s3d).to(default_device())
    report = prepare_world(source, out, network, clip_seconds, speech_captions, with_files, shares, seed, command)
    print(report)
