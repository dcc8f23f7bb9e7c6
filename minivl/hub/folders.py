"""Folders that hold a model: `config.json`, `model.safetensors` and a card, here or on the Hugging Face hub.

`huggingface_hub` transfers files, checks names and writes the metadata of cards. Its `ModelHubMixin` is not used: it
loads pickled weights where there are no safetensors, passes whatever a `config.json` holds to a model's constructor,
ignores settings that it does not know and weights that are missing, keeps an old card when a model is saved again, and
uploads every file, for everyone to see, unless it is told otherwise.
"""

import dataclasses
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from minivl.config import ConfigError
from minivl.data.atomic import replacing_files, write_text
from minivl.data.online import HELP, hub_answers
from minivl.data.trust import UntrustedFile, read_json
from minivl.hub.checkpoints import CheckpointError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
DOWNLOADED = ["*.json", "*.safetensors", "*.txt", CARD]  # nothing that is pickled or run
HEADINGS = {"data": "Training data", "command": "Command", "scores": "Scores", "limits": "Limits"}


class ShareError(RuntimeError):
    """A folder that could not be uploaded; the message says what to do."""


class PushToHubMixin:
    """Adds `push_to_hub` to a model that has `save_pretrained`."""

    def save_pretrained(self, folder: Path | str, **options: Any) -> None:
        """Write the model into `folder`."""
        raise NotImplementedError

    def push_to_hub(self, name: str, private: bool = True, **options: Any) -> str:
        """Save the model, with the `options` of `save_pretrained`, and upload it as "owner/model"; its address."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, **options)
            return push_folder(Path(folder), name, private)


def model_card(text: str, **metadata: Any) -> str:
    """A card: `metadata` as the hub reads it (library_name, license, pipeline_tag), and below it Markdown."""
    from huggingface_hub import ModelCardData

    return f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n{text}"


def write_folder(
    folder: Path,
    settings: dict,
    weights: Mapping[str, Mapping[str, Tensor]],
    card: str,
    config: str = CONFIG,
    tokenizer: Any = None,
) -> None:
    """Write a model's settings, weights (file -> name -> tensor), card, and the tokenizer's files if there is one.

    All of them are written whole, or none is replaced. Raises OSError, which says so, if they cannot be written.
    """
    texts = {config: json.dumps(settings, indent=2) + "\n", CARD: card}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".partial") as beside:
            if tokenizer is not None:
                tokenizer.save_pretrained(Path(beside))
            copied = sorted(Path(beside).iterdir())
            names = [*texts, *weights, *(file.name for file in copied)]
            with replacing_files(*(folder / name for name in names)) as unfinished:
                files = iter(unfinished)
                for text in texts.values():
                    next(files).write_text(text, encoding="utf-8")
                for tensors in weights.values():
                    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, next(files))
                for file in copied:
                    shutil.copyfile(file, next(files))
    except Exception as error:
        if not isinstance(error, OSError) and "os error" not in str(error):  # as libraries in Rust pass on the system's
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OSError(
            f"cannot write {folder}: {reason}. What was there is unchanged: free some space, or choose another folder"
        ) from error


def sections(data: str = "", command: str = "", scores: Mapping | None = None, limits: str = "") -> str:
    """Markdown for a card about how a model was made, with a section for each; what is not given is left out.

    scores   name -> number, or (mean, standard deviation over seeds)
    """
    texts = {
        "data": data,
        "command": command and f"    {command}",
        "scores": scores and _table(scores),
        "limits": limits,
    }
    return "\n".join(f"## {HEADINGS[name]}\n\n{text.rstrip()}\n" for name, text in texts.items() if text)


def describe(folder: Path | str, **about: Any) -> list[str]:
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

    def written(value: float | Sequence[float]) -> str:
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
    file = folder / CONFIG
    try:
        settings = read_json(file)
    except UntrustedFile as error:
        raise CheckpointError(f"{file} is not the config of a saved model of this kind: {error}") from error
    lacking = [name for name in needed if name not in settings] if isinstance(settings, dict) else needed
    if lacking or not isinstance(settings, dict):
        raise CheckpointError(
            f"{file} is not the config of a saved model of this kind: it has no {', '.join(map(repr, lacking))}"
        )
    return settings


def read_configs(folder: Path, **kinds: type) -> list[Any]:
    """Entries of a folder's `config.json` as config dataclasses: for `univl=UniVLConfig` the entry "univl".

    Raises CheckpointError if an entry is missing or empty, has settings that its dataclass lacks, or values that it
    refuses or that are of another type.
    """
    settings = read_settings(folder, tuple(kinds))
    try:
        return [_config(kind, settings[name]) for name, kind in kinds.items()]
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG} is not of a model of this version of minivl: {error}") from error


def _config(kind: type, settings: Any) -> Any:
    """A config dataclass with settings that somebody else may have written."""
    from pydantic import TypeAdapter, ValidationError

    if not isinstance(settings, dict) or not settings:
        raise ConfigError(f"{kind.__name__} needs settings by name, not {settings!r:.80}")
    if unknown := settings.keys() - {field.name for field in dataclasses.fields(kind)}:
        raise ConfigError(f"{kind.__name__} has no setting {', '.join(sorted(unknown)):.200}")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(settings), strict=True)  # JSON has lists for tuples
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(refusal := first.get("ctx", {}).get("error"), ConfigError):
            raise refusal from error
        place = ".".join([kind.__name__, *map(str, first["loc"])])
        raise ConfigError(f"{place}: {first['msg']}, not {first['input']!r:.80}") from error


def find(name: Path | str) -> Path:
    """The folder of a model: a folder on disk, or a hub id such as "org/model", which is downloaded and cached.

    Raises CheckpointError if it is neither, or cannot be had.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if str(name).count("/") != 1 or folder.exists():
        raise CheckpointError(f"no model {name}: not a folder on disk, and the hub's are named owner/name")
    from huggingface_hub import snapshot_download

    online = hub_answers()
    try:
        return Path(snapshot_download(str(name), allow_patterns=DOWNLOADED))
    except Exception as error:  # the hub client has dozens of kinds; most mean: no network, or no such model
        if not online:
            raise CheckpointError(f"{name} is no folder here, and on the hub it cannot be looked up: {HELP}") from error
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
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ShareError(f"{name!r} is no name for the hub, expected owner/name: {error}") from error
    if "/" not in name:
        raise ShareError(f"{name!r} is no name for the hub, expected owner/name")
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
