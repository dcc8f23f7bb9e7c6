"""Dual encoders by name: the same three lines for the bundled small CLIP, ViT-B-32 with OpenAI's weights, or SigLIP."""

import json
import logging
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from minivl.clip.dual import DualEncoder, dual_encoder, reads_until_the_end, text_part
from minivl.clip.errors import ModelError
from minivl.clip.folder_config import CONFIG, ModelConfig, read_folder_config
from minivl.clip.transformers_folder import is_transformers_folder, load_transformers_model
from minivl.config import BUNDLED
from minivl.data.images import preprocess
from minivl.data.online import HELP, hub_answers
from minivl.data.text import PaddedTokenizer, tokenize
from minivl.data.trust import UntrustedFile, read_json, refuse_code
from minivl.hub.checkpoints import CheckpointError, build, load_weights, read_weights
from minivl.hub.folders import PushToHubMixin, find, model_card, write_folder

KITCHEN = BUNDLED / "clip_kitchen"
HUB = "hf-hub:"  # as open_clip marks names of the hub
WEIGHTS, TOKENIZER = "open_clip_model.safetensors", "tokenizer.json"
TEXT_TOWERS = ("roberta", "xlm-roberta", "mt5", "m2m_100", "bert")  # of transformers, that open_clip knows


@dataclass
class Clip(PushToHubMixin):
    """A dual encoder of open_clip or transformers with what is needed to feed it, see `minivl.clip.dual`."""

    name: str
    pretrained: str | None
    model: Any  # of open_clip: CLIP, CustomTextCLIP, CoCa; of transformers: CLIPModel, SiglipModel, ...
    tokenizer: Any  # for `minivl.data.text.tokenize`
    image_size: int  # pixels
    mean: tuple[float, float, float]  # of the pixel values in [0, 1]
    std: tuple[float, float, float]
    resizing: str = "shortest"  # see `minivl.data.images.crop_square`
    interpolation: str = "bicubic"

    @property
    def encoder(self) -> DualEncoder:
        """What encodes frames and texts, and the logit scale."""
        return dual_encoder(self.model)

    def preprocess(self, frames: np.ndarray | Sequence[Image.Image]) -> torch.Tensor:
        """Frames, uint8 (F, H, W, 3) or F PIL images, as this model reads them: (F, 3, image_size, image_size)."""
        return preprocess(frames, self.image_size, self.mean, self.std, self.resizing, self.interpolation)

    def tokenize(self, texts: Sequence[str], max_words: int = 77) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (N, L) of texts, see `minivl.data.text.tokenize`."""
        return tokenize(self.tokenizer, texts, max_words)

    def save_pretrained(self, folder: Path | str, card: str = "") -> None:  # type: ignore[override]  # `options` by name
        """Write an open_clip folder, which `load_clip` reads, and open_clip itself as "local-dir:folder".

        card   Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`

        Raises ModelError for a model of transformers: its own folder is what others load.
        """
        if not hasattr(self.model, "visual"):
            raise ModelError(f"{self.name} is a model of transformers: share its folder as it is")
        folder, source = Path(folder), folder_of(self.name)
        if source is None:
            settings = _architecture(self)
        else:
            settings = json.loads((source / CONFIG).read_text(encoding="utf-8"))
        parameters = sum(p.numel() for p in self.model.parameters())
        text = _CARD.format(
            name=Path(self.name).name,
            kind=type(self.model).__name__,
            parameters=parameters,
            size=self.image_size,
            card=card,
        )
        card = model_card(text, library_name="open_clip", pipeline_tag="zero-shot-image-classification")
        own = "hf_tokenizer_name" in settings["model_cfg"]["text_cfg"]  # the others have open_clip's
        write_folder(
            folder, settings, {WEIGHTS: self.model.state_dict()}, card, CONFIG, self.tokenizer if own else None
        )


def load_clip(name: str = "kitchen", pretrained: str | None = None, weights: bool = True) -> Clip:
    """Load a dual encoder in evaluation mode.

    name: "kitchen" for the bundled small CLIP; a folder of open_clip (`open_clip_config.json`,
        `open_clip_model.safetensors` and a tokenizer) or of transformers (see `minivl.clip.transformers_folder`), or
        the name of such a one on the hub ("hf-hub:owner/name"); or an architecture of open_clip ("ViT-B-32";
        `minivl models` lists all).
    pretrained: for an architecture, open_clip's tag of its weights ("openai"), a weights file, or a folder with the
        weights (`open_clip_model.safetensors`) and the tokenizer, which needs no network; None gives random weights.
        Folders bring their own. OpenAI's weights as a file need an architecture with their activation
        ("ViT-B-32-quickgelu"); the tag brings it along.
    Raises ModelError for a name that open_clip does not know or for weights that can't be had, and
    CheckpointError for a weights file that does not fit.
    """
    folder = folder_of(name)
    if folder is not None and not (folder / CONFIG).is_file() and is_transformers_folder(folder):
        model, tokenizer, look = load_transformers_model(folder, weights)
        return Clip(name, None, model, tokenizer, look.pop("size"), **look)
    import open_clip

    if folder is not None:
        return _load_folder(name, folder, weights)
    if name not in open_clip.list_models():
        raise ModelError(
            f"unknown model {name!r}: not 'kitchen', not a folder on disk, and not an architecture of "
            f"open_clip (such as ViT-B-32, ViT-B-16; `minivl models` names all)"
        )
    here = Path(pretrained) if pretrained is not None and Path(pretrained).exists() else None
    return _load_architecture(name, here, None if here else pretrained, weights)


def _load_architecture(name: str, here: Path | None, tag: str | None, weights: bool) -> Clip:
    """An architecture of open_clip with the weights of a file or folder that is here, or of a tag, or random ones."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights and tag and tag not in tags:
        raise ModelError(
            f"{name} has no weights {tag!r}: it is neither a file nor one of open_clip's tags {', '.join(tags)}"
        )
    folder = here if here is not None and here.is_dir() else None
    text = open_clip.get_model_config(name)["text_cfg"]
    own = {} if folder is None else _of_folder(folder, text)
    model = _built(name, tag, weights, folder, own)
    if here is not None and weights:
        _load_file(model, here if folder is None else folder / WEIGHTS)
    clip = _clip(name, str(here) if here else tag, model, _tokenizer(name, text, folder))
    return clip if weights and tag else replace(clip, **_usual_look(name, tags))


def _of_folder(folder: Path, text: dict) -> dict[str, Any]:
    """What a folder with the weights of an architecture changes in it: where a text tower of transformers is."""
    try:
        refuse_code(folder)
        if "hf_model_name" not in text:
            return {}
        _require(folder, "config.json")
        content = read_json(folder / "config.json")
    except UntrustedFile as error:
        raise ModelError(str(error)) from error
    kind = content.get("model_type") if isinstance(content, dict) else None
    kernels = [key for key in content if "implementation" in key and "/" in str(content[key])] if kind else []
    if kind not in TEXT_TOWERS or kernels:
        raise ModelError(
            f"{folder / 'config.json'} must be of a text tower ({', '.join(TEXT_TOWERS)}) that names no kernels of "
            f"others; it is of {kind!r}{', and names ' if kernels else ''}{', '.join(kernels)}"
        )
    return {"text_cfg": text | {"hf_model_name": str(folder)}}


def _built(name: str, tag: str | None, weights: bool, folder: Path | None, own: dict[str, Any]) -> Any:
    """The model of an architecture, with the weights of a tag or random ones. Raises ModelError if it can't be had."""
    import open_clip

    from_hub = weights and tag or folder is None and "hf_model_name" in open_clip.get_model_config(name)["text_cfg"]
    online = hub_answers() if from_hub else True

    def make() -> Any:
        with _quiet():
            return open_clip.create_model(
                name,
                pretrained=tag if weights else None,
                pretrained_text=False,
                force_quick_gelu=tag == "openai",
                device=torch.get_default_device(),
                **own,
            )

    try:
        return build(make, folder / "config.json") if own and folder else make()
    except CheckpointError:
        raise
    except Exception as error:  # open_clip passes on whatever the hub client raised
        what = f"the weights {tag!r} of {name}" if weights and tag else f"the text tower of {name}"
        raise ModelError(
            f"{what} could not be had: {error if online else HELP}\nWithout a network, give the path of a weights file "
            "in place of the tag, or of a folder that also has tokenizer and text tower (see `minivl models NAME`)."
        ) from error


def _load_file(model: torch.nn.Module, file: Path) -> None:
    """Weights of a file. Counters of positions, which older versions of transformers saved, are left out."""
    state, known = read_weights(file), model.state_dict()
    kept = {name: tensor for name, tensor in state.items() if name in known or not name.endswith(".position_ids")}
    load_weights(model, kept, origin=str(file))


def _tokenizer(name: str, text: dict, folder: Path | None) -> Any:
    """The tokenizer of an architecture: open_clip's own, or one of transformers' in a folder or on the hub."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    length, options = text.get("context_length", 77), text.get("tokenizer_kwargs") or {}
    source = text.get("hf_tokenizer_name")
    if source is None:
        return SimpleTokenizer(context_length=length, **options)
    if folder is not None:
        _require(folder, TOKENIZER)
    online = folder is not None or hub_answers()
    mode = text.get("tokenizer_mode")
    try:
        return HFTokenizer(
            str(folder or source), context_length=length, tokenizer_mode=mode, trust_remote_code=False, **options
        )
    except Exception as error:  # tokenizers has no kinds of errors
        why = str(error)[:500] if online else HELP
        raise ModelError(
            f"the tokenizer {str(folder or source)!r} of {name} could not be had: {why}\n"
            f"Without a network, give a folder that has {WEIGHTS} and {TOKENIZER} in place of the weights"
        ) from error


def _usual_look(name: str, tags: list[str]) -> dict[str, Any]:
    """How pictures become pixels, where all published weights of an architecture agree; else open_clip's default."""
    from open_clip.pretrained import get_pretrained_cfg

    keys = ("mean", "std", "resize_mode", "interpolation")
    looks = {tuple(get_pretrained_cfg(name, tag)[key] for key in keys) for tag in tags}
    if len(looks) != 1:
        return {}
    return dict(zip(("mean", "std", "resizing", "interpolation"), looks.pop(), strict=True))


def folder_of(name: str) -> Path | None:
    """The folder of a CLIP that is one, or is on the hub; None for an architecture."""
    if name == "kitchen":
        return KITCHEN
    if name.startswith(HUB):
        return find(name.removeprefix(HUB))
    return Path(name) if Path(name).is_dir() else None


def _architecture(clip: Clip) -> dict:
    """`open_clip_config.json` of an architecture."""
    import open_clip

    config = open_clip.get_model_config(clip.name)
    if "hf_model_name" in config["text_cfg"]:
        raise ModelError(f"{clip.name} cannot be saved as a folder: the sizes of its text tower are in another place")
    if clip.pretrained == "openai":
        config["quick_gelu"] = True
    look = {"interpolation": clip.interpolation, "resize_mode": clip.resizing}
    return {"model_cfg": config, "preprocess_cfg": {"mean": clip.mean, "std": clip.std, **look}}


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
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ModelError(f"{name} reads pictures of {width} x {height} pixels; only squares are made here")
    if not reads_until_the_end(text_part(model)):
        tokenizer = PaddedTokenizer(tokenizer, tokenizer.context_length)
    return Clip(
        name,
        pretrained,
        model.eval(),
        tokenizer,
        height,
        tuple(settings["mean"]),
        tuple(settings["std"]),
        settings["resize_mode"],
        "bilinear" if settings["interpolation"] == "bilinear" else "bicubic",  # "random" is for training
    )


_CARD = """\
# CLIP {name}

An `open_clip.{kind}` with {parameters:,} parameters that reads {size} x {size} pixels. Saved by minivl.

    from minivl.clip import load_clip
    clip = load_clip("this folder")

{card}"""
