"""The architectures of open_clip and what works with each, from their configurations alone: nothing is built.

`minivl.discovla.backbone.abilities` says the same of a model that is built; `benchmarks/architectures.py` builds all of
them and compares.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

# Kinds of vision towers of timm, by how their names begin: (family, why LoRA is not possible, why fusion is not).
NO_TOKEN = "pictures are not read at a class token"
ATTENTION = "its attention is not the plain one"
TIMM = {
    "convnext": ("ConvNeXt", "its vision tower has no attention blocks", ""),
    "swin": ("Swin", "", NO_TOKEN),
    "fastvit": ("MobileCLIP", "", NO_TOKEN),
    "vitamin": ("ViTamin", "", NO_TOKEN),
    "eva": ("EVA", "", ATTENTION),
    "vit_pe": ("PE", "", ATTENTION),
    "vit_relpos": ("ViT of timm", "", ATTENTION),
    "vit": ("ViT of timm", "", NO_TOKEN),
}

# Families of which the tests train a small random model; of the others the list goes by the configuration.
TRIED = ("ResNet", "ViT", "CLIPA", "CoCa", "SigLIP", "PE", "EVA", "MobileCLIP", "ConvNeXt")


@dataclass(frozen=True)
class Architecture:
    """One architecture; `lora`, `fusion` and `text_fusion` say why it is not possible, or nothing."""

    name: str
    family: str
    image_size: int  # pixels
    text: str  # the text tower: "causal", "bidirectional", or the name of a model of transformers
    tokenizer: str | None  # of transformers, on the hub; None: open_clip's own, which needs nothing
    lora: str
    fusion: str
    text_fusion: str

    @property
    def yes(self) -> str:
        """What is said of a use that is possible: text towers of transformers are not tried either."""
        tried = self.family in TRIED and self.text in ("causal", "bidirectional")
        return "yes" if tried else "by its configuration, not tried"


@lru_cache
def architectures() -> tuple[Architecture, ...]:
    """All architectures of the installed open_clip, by name."""
    library = find_spec("open_clip")  # not imported, which takes seconds
    assert library is not None and library.origin is not None
    files = sorted((Path(library.origin).parent / "model_configs").glob("*.json"), key=lambda file: file.stem.lower())
    return tuple(_architecture(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files)


def _architecture(name: str, config: dict) -> Architecture:
    vision, text = config["vision_cfg"], config["text_cfg"]
    family, lora, fusion = _vision(name, vision)
    kind, text_fusion = _text(text)
    size = vision.get("image_size", 224)
    return Architecture(
        name,
        "CoCa" if "multimodal_cfg" in config else family,
        size if isinstance(size, int) else size[0],
        kind,
        text.get("hf_tokenizer_name"),
        lora,
        lora or fusion,
        lora or text_fusion,
    )


def _vision(name: str, vision: dict) -> tuple[str, str, str]:
    """(family, why no LoRA, why no fusion) of a vision tower."""
    if timm := vision.get("timm_model_name"):
        family, lora, fusion = next(found for start, found in TIMM.items() if timm.startswith(start))
        if "SigLIP" in name or "siglip" in name:
            family = "SigLIP"
        elif "MobileCLIP" in name:
            family = "MobileCLIP"
        token = family in ("MobileCLIP", "ViT of timm") and vision.get("timm_pool") == "token"
        return family, lora, "" if token and fusion == NO_TOKEN else fusion
    if isinstance(vision.get("layers"), list):
        return "ResNet", "its vision tower has no attention blocks", ""
    token = vision.get("pool_type", "tok") == "tok" and not vision.get("attentional_pool")
    return "CLIPA" if "CLIPA" in name else "ViT", "", "" if token else NO_TOKEN


def _text(text: dict) -> tuple[str, str]:
    """(kind, why frame captions cannot be fused) of a text tower."""
    if model := text.get("hf_model_name"):
        return model, "its text tower is of transformers"
    if text.get("no_causal_mask"):
        return "bidirectional", "its text tower is not causal"
    if text.get("embed_cls") or text.get("pool_type", "argmax") != "argmax":
        return "causal", "texts are not read at the largest id"
    return "causal", ""
