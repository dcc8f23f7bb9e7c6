"""Folders that hold a model: `config.json`, `model.safetensors` and a card, here or on the Hugging Face hub."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from minivl.checkpoints import CheckpointError


def write_folder(folder: Path, settings: dict, tensors: Mapping, card: str) -> None:
    """Write a model's settings, weights and card. Each file is written whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    texts = {"config.json": json.dumps(settings, indent=2) + "\n", "README.md": card}
    save_file(tensors, folder / "model.safetensors.partial")
    for name, text in texts.items():
        (folder / f"{name}.partial").write_text(text, encoding="utf-8")
    for name in ("model.safetensors", *texts):
        os.replace(folder / f"{name}.partial", folder / name)


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
        return Path(snapshot_download(str(name), allow_patterns=["*.json", "*.safetensors", "*.txt", "README.md"]))
    except Exception as error:  # the hub client has dozens of kinds; most mean: no network, or no such model
        raise CheckpointError(f"{name} is neither a folder here nor could it be downloaded: {error}") from error


def push_folder(folder: Path, name: str, private: bool = True) -> str:
    """Upload a model folder to the hub as `name` ("owner/model"); its address. Needs a login (`hf auth login`)."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(name, private=private, exist_ok=True)
    return str(api.upload_folder(folder_path=folder, repo_id=name))
