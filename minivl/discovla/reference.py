"""Weights of the paper's released code, under its own names."""

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from minivl.config import DiscoVLAConfig
from minivl.hub.checkpoints import CheckpointError, build, count_layers, load_weights, weights_of

M = TypeVar("M", bound=nn.Module)

OUR_NAMES = {
    "TVPt_LoRA_a": "lora.A",
    "TVPt_LoRA_b": "lora.B",
    "TVPt_down_weight": "adapter.down.weight",
    "TVPt_down_bias": "adapter.down.bias",
    "TVPt_up_weight": "adapter.up.weight",
    "TVPt_up_bias": "adapter.up.bias",
}
HEAD_WIDTH = 64  # in every CLIP that OpenAI released


def build_from_reference(
    cls: Callable[..., M],
    path_or_state_dict: Path | str | Mapping[str, Tensor],
    vision_fusion_layers: int,
    text_fusion_layers: int,
) -> M:
    """A DiscoVLA (`cls`) with the weights of the released code's `VTRModel`; all sizes are read off their shapes.

    Asking for fewer fusion layers than the weights have adapters for leaves the surplus adapters
    out, with a warning; 0 and 0 give CLIP with LoRA alone.

    Raises CheckpointError for weights that do not fit or are not a DiscoVLA, ConfigError for more
    fusion layers than blocks.
    """
    from open_clip.model import CLIP

    state, origin = weights_of(path_or_state_dict)
    try:
        sizes = _architecture(state)
        rank = len(state["clip.visual.transformer.resblocks.0.attn.TVPt_LoRA_a"])
    except KeyError as error:
        raise CheckpointError(f"{origin} are not the weights of a released DiscoVLA: there is no {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{origin} are not the weights of a released DiscoVLA: {error}") from error
    config = DiscoVLAConfig(rank, vision_fusion_layers, text_fusion_layers)
    model = build(lambda: cls(CLIP(**sizes, quick_gelu=True), config), origin)

    state = {our_name(name): tensor for name, tensor in state.items()}
    surplus = [name for name in state if ".adapter." in name and name not in model.state_dict()]
    if surplus:
        warnings.warn("left out the adapters of blocks that are not to fuse: " + ", ".join(surplus), stacklevel=3)
    load_weights(model, {name: tensor for name, tensor in state.items() if name not in surplus}, origin=origin)
    return model


def our_name(name: str) -> str:
    """The name here of a parameter of the released code."""
    *path, last = name.split(".")
    return ".".join([*path, OUR_NAMES.get(last, last)])


def _architecture(state):
    """The sizes of both towers, as arguments of open_clip's CLIP."""
    width, _, patch, _ = state["clip.visual.conv1.weight"].shape
    positions = len(state["clip.visual.positional_embedding"])
    vocabulary, text_width = state["clip.token_embedding.weight"].shape
    return {
        "embed_dim": state["clip.text_projection"].shape[1],
        "vision_cfg": {
            "width": width,
            "head_width": HEAD_WIDTH,
            "layers": count_layers(state, "clip.visual.transformer.resblocks"),
            "patch_size": patch,
            "image_size": patch * math.isqrt(positions - 1),
        },
        "text_cfg": {
            "width": text_width,
            "heads": text_width // HEAD_WIDTH,
            "layers": count_layers(state, "clip.transformer.resblocks"),
            "vocab_size": vocabulary,
            "context_length": len(state["clip.positional_embedding"]),
        },
    }
