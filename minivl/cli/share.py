"""Share models and data on the Hugging Face hub, with their cards."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from minivl.cli.options import app
from minivl.config import ConfigError


@app.command()
def push(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="a saved model, or data with */metadata.jsonl")
    ],
    name: Annotated[str, typer.Argument(help="owner/name on the hub")],
    data: Annotated[str, typer.Option(help="for the card: what the model was trained on")] = "",
    command: Annotated[str, typer.Option(help="for the card: the command that made it")] = "",
    scores: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="for the card: a JSON file, {name: number or [mean, standard deviation]}"
        ),
    ] = None,
    limits: Annotated[str, typer.Option(help="for the card: what it is not good for")] = "",
    public: Annotated[bool, typer.Option("--public", help="for everyone to see; else only for its owner")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="complete the card and stop")] = False,
) -> None:
    """Upload a model or data to the Hugging Face hub, once the card is complete. Needs `hf auth login`."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(f"{name!r} is no name for the hub, expected owner/name")
    if any(folder.glob("*/metadata.jsonl")):
        kind, patterns = "dataset", _prepare_data(folder, command, limits)
    else:
        kind, patterns = (
            "model",
            _prepare_model(
                folder, {"data": data, "command": command, "limits": limits, "scores": _read_scores(scores)}
            ),
        )
    if dry_run:
        print(f"{folder / 'README.md'} is what would be seen of this {kind}; nothing was uploaded")
    else:
        from minivl.hub.folders import push_folder

        print(f"uploaded: {push_folder(folder, name, not public, kind, patterns)}")


def _prepare_model(folder, about):
    if not any((folder / file).is_file() for file in ("model.safetensors", "open_clip_model.safetensors")):
        raise ConfigError(f"{folder} holds neither a model (model.safetensors) nor data (*/metadata.jsonl)")
    from minivl.hub.folders import describe

    missing = describe(folder, **about)
    if missing:
        print(f"the card says nothing under {', '.join(missing)}: see the options of `minivl push`", file=sys.stderr)
    config = folder / "config.json"
    below = json.loads(config.read_text(encoding="utf-8")).get("clip", {}).get("name", "") if config.is_file() else ""
    if below and Path(below).is_dir():
        raise ConfigError(
            f"this model belongs to the CLIP in {below}, a folder that others do not have: push that one "
            f"first, and write its name on the hub, hf-hub:owner/name, into {config} (clip, name)"
        )
    return None


def _prepare_data(folder, command, limits):
    from minivl.data.card import FILES, data_card

    if not (folder / "README.md").is_file():
        (folder / "README.md").write_text(data_card(folder, command, limits), encoding="utf-8")
    return FILES


def _read_scores(file):
    if file is None:
        return None
    try:
        scores = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is not valid JSON: {error}") from error
    pairs = scores.items() if isinstance(scores, dict) else [("", None)]
    numbers = [number for _, value in pairs for number in (value if isinstance(value, list) else [value])]
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise ConfigError(f"{file} must hold {{name: number or [mean, standard deviation]}}")
    return scores
