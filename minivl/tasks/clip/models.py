"""CLIPs by name, adapted or not: where their parts are, the whole model, and the half of it that a query needs."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minivl.clip.model import HUB, Clip, ModelError, folder_of, load_clip
from minivl.clip.text_tower import load_text_tower
from minivl.clip.transformers_folder import is_transformers_folder
from minivl.config import ClipConfig, DiscoVLAConfig, InputConfig, scale
from minivl.discovla import DiscoVLA
from minivl.discovla.backbone import unlike_openai_text, unlike_openai_vision
from minivl.discovla.text import AdaptedText
from minivl.discovla.zero_shot import PLAIN, ZeroShot
from minivl.hub.checkpoints import CheckpointError
from minivl.hub.folders import WEIGHTS, find, read_configs, read_settings

ZERO_SHOT = PLAIN


@dataclass(frozen=True)
class Source:
    """The parts that a model is made of, none of them loaded."""

    clip: ClipConfig
    adapted: Path | None  # the folder of a DiscoVLA; None: CLIP as it is
    config: DiscoVLAConfig
    inputs: InputConfig  # how it samples clips

    def identity(self) -> str:
        """A text that changes with whatever changes embeddings; of weights it has size and time of change."""
        folder = folder_of(self.clip.name)
        given = Path(self.clip.pretrained or "a tag")  # a file, a folder, or, mostly, a tag
        files = [given]
        for place in filter(None, (folder, given if given.is_dir() else None)):
            files += sorted({*place.glob("open_clip*"), *place.glob("*config.json"), *place.glob("model*.safetensors")})
        files += [] if self.adapted is None else [self.adapted / WEIGHTS]
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
        return repr((folder is None and self.clip, self.config, self.inputs, states))


def find_model(name: str) -> Source:
    """Where a model for search is, by its name.

    name: a folder saved by `adapt`; else a dual encoder as `load_clip` names it, used zero-shot, with "/tag" (or
    "/file", "/folder") for open_clip's weights ("ViT-B-32/openai"); or either of them on the hub ("hf-hub:owner/name").
    Raises ModelError or CheckpointError if there is no such model.
    """
    if name.startswith(HUB):
        name = str(find(name.removeprefix(HUB)))
    folder, config, adapted = Path(name), ZERO_SHOT, None
    if (folder / "config.json").is_file() and not is_transformers_folder(folder):
        adapted = folder
        config, clip = read_configs(folder, discovla=DiscoVLAConfig, clip=ClipConfig)
        if "inputs" in read_settings(folder, ()):
            return Source(clip, adapted, config, read_configs(folder, inputs=InputConfig)[0])
    else:
        architecture, _, tag = name.partition("/") if not folder.exists() else (name, "", "")
        if not tag and not folder.is_dir() and name != "kitchen":
            known = (
                "'kitchen', a folder on disk, hf-hub:owner/name, or an open_clip name with a weights tag such as "
                "ViT-B-32/openai"
            )
            raise ModelError(f"unknown model {name!r}: give {known}")
        clip = ClipConfig(architecture, tag or None)
    return Source(clip, adapted, config, scale("small" if clip.name == "kitchen" else "full").inputs)


def load_model(name: str) -> tuple[Clip, DiscoVLA | ZeroShot, InputConfig]:
    """A model for search by its name, see `find_model`, with its CLIP and how it samples clips."""
    source = find_model(name)
    return *load_whole(source), source.inputs


def load_whole(source: Source) -> tuple[Clip, DiscoVLA | ZeroShot]:
    """A CLIP and the model that it became."""
    from minivl.train.engine import default_device  # not above: its import takes as long as torch's

    backbone = load_clip(source.clip.name, source.clip.pretrained)
    if source.adapted is None:
        return backbone, zero_shot(backbone)
    return backbone, DiscoVLA.from_pretrained(source.adapted).eval().to(default_device())


def load_text(source: Source) -> tuple[Any, Any]:
    """The part of a model that encodes captions, and its tokenizer; without the vision tower where that is possible."""
    folder = folder_of(source.clip.name)
    try:
        found = load_text_tower(folder) if folder is not None else None
        if found is not None:
            text = AdaptedText(found[0], source.config)
            if source.adapted is not None:
                text.load_adapted(source.adapted / WEIGHTS)
            return text.eval(), found[1]
    except CheckpointError:
        pass  # the whole model's loader says more about what is wrong
    clip, model = load_whole(source)
    return model, clip.tokenizer


def zero_shot(backbone: Clip) -> DiscoVLA | ZeroShot:
    """A dual encoder used on videos: the mean of the normalised frame embeddings, nothing trained.

    For towers of OpenAI's design this is DiscoVLA without fusion layers before its first training step. Half of LoRA
    starts at random; here it is always the same.
    """
    from minivl.train.engine import default_device

    if unlike_openai_vision(backbone.model) or unlike_openai_text(backbone.model):
        return ZeroShot(copy.deepcopy(backbone.model)).eval().to(default_device())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DiscoVLA(backbone.model, ZERO_SHOT).eval().to(default_device())
