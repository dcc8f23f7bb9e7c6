"""Folders that hold a model: `config.json`, `model.safetensors` and a card, here or on the Hugging Face hub."""

import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from safetensors.torch import save_file

from minivl.data.atomic import replacing, write_text
from minivl.hub.checkpoints import CheckpointError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
DOWNLOADED = ["*.json", "*.safetensors", "*.txt", CARD]  # nothing that is pickled or run
HEADINGS = {"data": "Training data", "command": "Command", "scores": "Scores", "limits": "Limits"}


class ShareError(RuntimeError):
    """A folder that could not be uploaded; the message says what to do."""


class Shared:
    """What gives a model that has `save_pretrained` its `push_to_hub`."""

    def push_to_hub(self, name: str, private: bool = True, **options) -> str:
        """Save the model, with the `options` of `save_pretrained`, and upload it as "owner/model"; its address."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, **options)
            return push_folder(Path(folder), name, private)


def write_folder(
    folder: Path, settings: dict, tensors: Mapping, card: str, config: str = CONFIG, weights: str = WEIGHTS
) -> None:
    """Write a model's settings, weights and card. Each file is written whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    texts = {config: json.dumps(settings, indent=2) + "\n", CARD: card}
    with ExitStack() as renamed_at_the_end:
        for name, text in texts.items():
            renamed_at_the_end.enter_context(replacing(folder / name)).write_text(text, encoding="utf-8")
        save_file(tensors, renamed_at_the_end.enter_context(replacing(folder / weights)))


def sections(data: str = "", command: str = "", scores: Mapping | None = None, limits: str = "") -> str:
    """What a card says about how a model was made, as Markdown with a section for each; what is not given is left out.

    scores   name -> number, or (mean, standard deviation over seeds)
    """
    texts = {
        "data": data,
        "command": command and f"    {command}",
        "scores": scores and _table(scores),
        "limits": limits,
    }
    return "\n".join(f"## {HEADINGS[name]}\n\n{text.rstrip()}\n" for name, text in texts.items() if text)


def describe(folder: Path, **about) -> list[str]:
    """Put `sections(**about)` into the card of a folder, in place of those that it has; the headings that it lacks.

    Raises CheckpointError if the folder has no card.
    """
    file = Path(folder) / CARD
    if not file.is_file():
        raise CheckpointError(f"{folder} has no card ({CARD}): was it written by save_pretrained?")
    parts = re.split(r"(?m)^(?=## )", file.read_text(encoding="utf-8"))
    for new in re.split(r"(?m)^(?=## )", sections(**about)):
        heading = new.split("\n", 1)[0]
        places = [number for number, part in enumerate(parts) if heading and part.split("\n", 1)[0] == heading]
        if places:
            parts[places[0]] = new + ("\n" if places[0] < len(parts) - 1 else "")
        elif new:
            parts = [*parts[:-1], parts[-1].rstrip("\n") + "\n\n", new]
    text = "".join(parts)
    write_text(file, text)
    return [heading for heading in HEADINGS.values() if f"\n## {heading}\n" not in text]


def _table(scores: Mapping) -> str:
    """Scores as a table; a pair is a mean and its spread."""

    def written(value):
        return f"{value[0]:.4g} ± {value[1]:.2g}" if isinstance(value, (list, tuple)) else f"{value:.4g}"

    spread = any(isinstance(value, (list, tuple)) for value in scores.values())
    note = "Mean ± standard deviation over seeds." if spread else "One run, so there is no spread."
    return "\n".join(
        [
            "| score | value |",
            "|---|---|",
            *(f"| {name} | {written(value)} |" for name, value in scores.items()),
            "",
            note,
        ]
    )


def read_settings(folder: Path, needed: tuple[str, ...]) -> dict:
    """`config.json` of a model folder. Raises CheckpointError if it lacks one of the `needed` entries."""
    file = folder / "config.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        return {name: settings[name] for name in needed} | settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is not the config of a saved model of this kind: {error!r}") from error


def find(name) -> Path:
    """The folder of a model: a folder on disk, or a hub id such as "org/model", which is downloaded and cached.

    Raises CheckpointError if it is neither, or cannot be had.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if str(name).count("/") != 1 or folder.exists():
        raise CheckpointError(f"no model {name}: not a folder on disk, and the hub's are named owner/name")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(name), allow_patterns=DOWNLOADED))
    except Exception as error:  # the hub client has dozens of kinds; most mean: no network, or no such model
        raise CheckpointError(f"{name} is neither a folder here nor could it be downloaded: {error}") from error


def push_folder(
    folder: Path, name: str, private: bool = True, kind: str = "model", patterns: list[str] | None = None
) -> str:
    """Upload a folder to the hub as `name` ("owner/name"); its address. Needs a login (`hf auth login`).

    kind       "model" or "dataset"
    patterns   which files go along; for a model those that `find` would download again

    Raises ShareError if the name is no name of the hub, or the upload fails: no network, no login, no permission.
    """
    from huggingface_hub import HfApi

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ShareError(f"{name!r} is no name for the hub: expected owner/name")
    api = HfApi()
    try:
        api.create_repo(name, private=private, repo_type=kind, exist_ok=True)
        return str(
            api.upload_folder(folder_path=folder, repo_id=name, repo_type=kind, allow_patterns=patterns or DOWNLOADED)
        )
    except Exception as error:  # the hub client has dozens of kinds; most mean: no network, no login, no permission
        raise ShareError(
            f"{folder} could not be uploaded as {name}: {error}\nIt is complete on this disk and can be "
            "uploaded later. Needed are a network and a login that may write: hf auth login"
        ) from error
