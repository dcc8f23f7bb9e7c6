"""CLIP through open_clip: the same three lines for the bundled small CLIP and for ViT-B-32 with OpenAI's weights."""

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minivl.clip.folder_config import CONFIG, ModelConfig, read_folder_config
from minivl.config import BUNDLED
from minivl.data.online import HELP, hub_answers
from minivl.data.trust import UntrustedFile, refuse_code
from minivl.hub.checkpoints import build, load_weights
from minivl.hub.folders import PushToHubMixin, find, model_card, write_folder

KITCHEN = BUNDLED / "clip_kitchen"
HUB = "hf-hub:"  # as open_clip marks names of the hub
WEIGHTS, TOKENIZER = "open_clip_model.safetensors", "tokenizer.json"


class ModelError(ValueError):
    """A model that does not exist, or whose weights are not here."""


@dataclass
class Clip(PushToHubMixin):
    """An open_clip model with what is needed to feed it."""

    name: str
    pretrained: str | None
    model: Any  # open_clip.CLIP
    tokenizer: Any
    image_size: int  # pixels
    mean: tuple[float, float, float]  # of the pixel values in [0, 1]
    std: tuple[float, float, float]

    def save_pretrained(self, folder: Path | str, card: str = "") -> None:  # type: ignore[override]  # `options` by name
        """Write an open_clip folder, which `load_clip` reads, and open_clip itself as "local-dir:folder".

        card   Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`
        """
        folder, source = Path(folder), folder_of(self.name)
        if source is None:
            settings = _architecture(self.name, self.pretrained, self.mean, self.std)
        else:
            settings = json.loads((source / CONFIG).read_text(encoding="utf-8"))
        parameters = sum(p.numel() for p in self.model.parameters())
        text = _CARD.format(name=Path(self.name).name, parameters=parameters, size=self.image_size, card=card)
        card = model_card(text, library_name="open_clip", pipeline_tag="zero-shot-image-classification")
        own = "hf_tokenizer_name" in settings["model_cfg"]["text_cfg"]  # the others have open_clip's
        write_folder(
            folder, settings, {WEIGHTS: self.model.state_dict()}, card, CONFIG, self.tokenizer if own else None
        )


def load_clip(name: str = "kitchen", pretrained: str | None = None, weights: bool = True) -> Clip:
    """Load a CLIP in evaluation mode.

    name: "kitchen" for the bundled small CLIP; a folder with `open_clip_config.json`,
        `open_clip_model.safetensors` and a tokenizer, or the name of such a one on the hub ("hf-hub:owner/name"); or an
        architecture of open_clip ("ViT-B-32").
    pretrained: for an architecture, open_clip's tag of its weights ("openai") or a weights file;
        None gives random weights. Folders bring their own. OpenAI's weights as a file need an
        architecture with their activation ("ViT-B-32-quickgelu"); the tag brings it along.
    Raises ModelError for a name that open_clip does not know or for weights that can't be had, and
    CheckpointError for a weights file that does not fit.
    """
    import open_clip

    folder = folder_of(name)
    if folder is not None:
        return _load_folder(name, folder, weights)
    if name not in open_clip.list_models():
        raise ModelError(
            f"unknown model {name!r}: not 'kitchen', not a folder on disk, and not an architecture of "
            f"open_clip (such as ViT-B-32, ViT-B-16; open_clip.list_models() names all)"
        )
    file = pretrained if weights and pretrained is not None and Path(pretrained).is_file() else None
    tag = pretrained if weights and file is None else None
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag and tag not in tags:
        raise ModelError(
            f"{name} has no weights {tag!r}: it is neither a file nor one of open_clip's tags {', '.join(tags)}"
        )
    online = tag is None or hub_answers()
    try:
        with _quiet():
            model = open_clip.create_model(name, pretrained=tag, force_quick_gelu=pretrained == "openai")
    except Exception as error:  # open_clip passes on whatever the hub client raised
        raise ModelError(
            f"the weights {tag!r} of {name} could not be had: {error if online else HELP}\nWithout a network, give the "
            "path of a weights file in place of the tag."
        ) from error
    if file is not None:
        load_weights(model, file)
    return _clip(name, pretrained, model, open_clip.get_tokenizer(name))


def folder_of(name: str) -> Path | None:
    """The folder of a CLIP that is one, or is on the hub; None for an architecture."""
    if name == "kitchen":
        return KITCHEN
    if name.startswith(HUB):
        return find(name.removeprefix(HUB))
    return Path(name) if Path(name).is_dir() else None


def _architecture(name, pretrained, mean, std) -> dict:
    """`open_clip_config.json` of an architecture."""
    import open_clip

    config = open_clip.get_model_config(name)
    if pretrained == "openai":
        config["quick_gelu"] = True
    return {
        "model_cfg": config,
        "preprocess_cfg": {"mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "shortest"},
    }


def _load_folder(name: str, folder: Path, weights: bool) -> Clip:
    config = checked_config(folder, weights)
    import open_clip

    options = {"trust_remote_code": False} if config.text_cfg.hf_tokenizer_name else {}  # open_clip's own words

    def make() -> Any:
        with _quiet():
            return open_clip.create_model(f"local-dir:{folder}", load_weights=False, device=torch.get_default_device())

    model = build(make, folder / CONFIG)
    if weights:
        load_weights(model, folder / WEIGHTS)
    try:
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", **options)
    except Exception as error:  # tokenizers has no kinds of errors
        raise ModelError(f"{folder} has no tokenizer that can be read: {str(error)[:500]}") from error
    return _clip(name, None, model, tokenizer)


def checked_config(folder: Path, weights: bool = True) -> ModelConfig:
    """The configuration of an open_clip folder that has all files it needs and names no code; else ModelError."""
    _require(folder, CONFIG, *([WEIGHTS] if weights else []))
    try:
        refuse_code(folder)
        config = read_folder_config(folder).model_cfg
    except UntrustedFile as error:
        raise ModelError(str(error)) from error
    if config.text_cfg.hf_tokenizer_name:
        _require(folder, TOKENIZER)
    return config


def _require(folder: Path, *files: str) -> None:
    for needed in files:
        if not (folder / needed).is_file():
            raise ModelError(f"{folder} is not an open_clip folder: {needed} is missing")


@contextmanager
def _quiet():
    """open_clip logs that a model without weights is random, and logs the errors that it raises."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _clip(name, pretrained, model, tokenizer) -> Clip:
    import open_clip

    settings = open_clip.get_model_preprocess_cfg(model)
    size = settings["size"]
    return Clip(
        name,
        pretrained,
        model.eval(),
        tokenizer,
        size if isinstance(size, int) else size[0],
        tuple(settings["mean"]),
        tuple(settings["std"]),
    )


_CARD = """\
# CLIP {name}

An `open_clip.CLIP` with {parameters:,} parameters that reads {size} x {size} pixels. Saved by minivl.

    from minivl.clip import load_clip
    clip = load_clip("this folder")

{card}"""
