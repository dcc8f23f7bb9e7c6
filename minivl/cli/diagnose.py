"""Where data stands: what a dual encoder sees in it before anything is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import ScaleOption, app, require_clip
from minivl.cli.predict import require_split
from minivl.cli.results import JsonOption, OverwriteOption, ResultsOption, command_line, open_output
from minivl.config import BUNDLED, scale

MEANING = {
    "video level": "captions that find their video: the mean of its frames",
    "middle frame": "... when the video is its middle frame alone; as many: nothing here needs time",
    "best frame": "... when each caption may choose one frame; more: the mean waters moments down",
    "a caption like it in the batch": "captions that another one nearly repeats: wrong answers that are not wrong",
    "image level": "AlignDistill's teacher as in the paper, nearly a maximum; more than video level: it can teach",
    "image level, mean": "... with the matches averaged (pool_scale 0)",
    "image level, mean, where video level is wrong": "what the teacher knows and the student does not",
    "frame finds its caption": "among those of its clip: what fusion may cost, and PImgAlign is to keep",
    "words no frame shows": "of a caption, word by word (adds is not add): no image-level loss can teach them",
    "words no single frame shows": "of a caption: what has to be put together from several frames",
}


@app.command("diagnose")
def diagnose_command(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(help="a folder with split folders, as for 'minivl adapt' [default: the bundled kitchen]"),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="as for 'minivl search'")] = "kitchen",
    split: Annotated[str, typer.Option(help="train, val or test")] = "train",
    clips: Annotated[int, typer.Option("--clips", min=2, help="only the first so many clips")] = 100,
    batch: Annotated[int, typer.Option(min=2, help="how many clips compete, as in training")] = 32,
    captions: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="captions of frames, see 'minivl pseudo-captions' [default: the data's own]",
        ),
    ] = None,
    as_json: JsonOption = False,
    out: ResultsOption = None,
    overwrite: OverwriteOption = False,
    scale_name: ScaleOption = None,
) -> None:
    """Measure on clips with captions which discrepancies they have, and what each part of DiscoVLA could work on.

    What is known of each part, and under which condition, is in docs/evidence.md.
    """
    output = open_output(context, as_json, out, overwrite)
    settings = scale(scale_name)
    folder = data or BUNDLED / "kitchen"
    require_split(folder, split)
    require_clip(model)
    from minivl.discovla.pseudo_captions import read_pseudo_captions, rendered_captions, with_pseudo_captions
    from minivl.tasks.clip.diagnosis import diagnose
    from minivl.tasks.clip.models import load_model
    from minivl.tasks.clip.retrieval import clips as load_clips

    backbone, loaded, inputs = load_model(model)
    rows = load_clips(folder, split, backbone, replace(settings, inputs=inputs), clips)
    if captions is not None:
        rows = with_pseudo_captions(rows, read_pseudo_captions(captions), allow_missing=True)
    elif "frame_captions" in rows.rows.column_names:
        rows = with_pseudo_captions(rows, rendered_captions(rows))
    table = diagnose(loaded, rows, batch)
    told = len(set(rows.video_of_text.tolist()))
    print(f"{model} on {told} clips of {split}: percent [95% interval over clips], in batches of {min(batch, told)}")
    for row in table.to_dict("records"):
        guessing = "" if row["guessing"] != row["guessing"] else f", guessing {row['guessing']:.0f}"
        print(f"{row['probe']:46s} {row['percent']:5.1f} [{row['low']:.1f}, {row['high']:.1f}]{guessing}")
        print(f"    {MEANING[row['probe']]}")
    if rows.frame_captions is None:
        print("There are no captions of frames, so nothing is said of the image level: see 'minivl pseudo-captions'.")
    if output.wanted:
        from minivl.plots import probes
        from minivl.results.names import PROBES
        from minivl.results.record import record_of

        clips_read = {"folder": folder, "split": split, "examples": told, "batch": min(batch, told)}
        measured = {row.pop("probe"): row for row in table.to_dict("records")}
        record = record_of("diagnosis", command_line(), model=model, data=clips_read, probes=measured)
        output.write(record, {PROBES: table}, picture=probes(table, f"{model}, {told} clips"))
