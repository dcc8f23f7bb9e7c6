"""One small run with real weights and real videos, where there is a network."""

from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import SetOption, app, changed, length, require_clip, run_folder
from minivl.config import override, scale
from minivl.data.online import require_hub


@app.command("reality-check")
def reality_check_command(
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="folder for everything [default: runs/reality-check]")
    ] = None,
    clip: Annotated[str, typer.Option(help="as for 'minivl search --model'")] = "ViT-B-32/openai",
    train: Annotated[int, typer.Option(min=2, help="videos to adapt with")] = 64,
    test: Annotated[int, typer.Option(min=2, help="videos to score with")] = 50,
    steps: Annotated[int | None, typer.Option(min=1, help="training steps [default: 20]")] = None,
    changes: SetOption = None,
) -> None:
    """The whole way for real, with a network: download ViT-B/32 and videos of MSR-VTT, score, adapt, score, explore.

    The weights, 600 MB, stay in the hub's cache. What is there already is kept, so an interrupted call can be repeated.
    So few videos show that everything works, and no number of a paper.
    """
    import dataclasses

    full = scale("full")
    short = override(full.adapt, batch_size=16, steps=20, epochs=None, checkpoint_every=10, log_every=1, num_workers=0)
    settings = dataclasses.replace(full, adapt=short, discovla=override(full.discovla, alpha=0.0, beta=0.0))
    own = ("discovla.alpha", "discovla.beta")
    settings = changed(settings, changes, ("inputs", "discovla", "adapt"), length("adapt", steps), own)
    require_clip(clip)
    require_hub()
    out = out or run_folder("reality-check")
    from minivl.fullscale.hub_videos import MSRVTT
    from minivl.fullscale.reality_check import reality_check

    table = reality_check(clip, MSRVTT, {"train": train, "test": test}, settings, out)
    print(table.round(1).to_string(index=False))
    print(f"data, model, scores.csv, ledger.csv and page.html: {out}")
