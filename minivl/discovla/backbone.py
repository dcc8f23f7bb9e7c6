"""What can be done with a dual encoder: LoRA and IVFusion need attention that they can reach, and a token to read.

Towers as OpenAI designed CLIP are run here part by part, as the released code does. Those of other designs stay as
their library built them, and are changed from outside where that is possible, see `minivl.discovla.other_towers`.
"""

from dataclasses import dataclass
from typing import Any

from torch.nn import Parameter

from minivl.clip.dual import dual_encoder, reads_until_the_end, text_part
from minivl.config import DiscoVLAConfig
from minivl.discovla.other_towers import class_token_attentions, self_attentions


class UnsupportedBackbone(ValueError):
    """A dual encoder whose towers do not allow what was asked for."""


@dataclass(frozen=True)
class Abilities:
    """What a dual encoder does not allow and why; an empty text: it does."""

    lora: str = ""
    fusion: str = ""  # of frames, in the vision tower
    text_fusion: str = ""  # of frame captions, in the text tower


def abilities(model: Any) -> Abilities:
    """What DiscoVLA can do with a model of open_clip or transformers."""
    encoder = dual_encoder(model)
    vision, text = unlike_openai_vision(model), unlike_openai_text(model)
    lora = [
        f"the {name} tower {type(tower).__name__} has no attention blocks"
        for name, tower in (("vision", encoder.vision), ("text", encoder.text))
        if not self_attentions(tower)
    ]
    fusion = [] if not vision or class_token_attentions(encoder.vision) else vision
    return Abilities("; ".join(lora), "; ".join(lora or fusion), "; ".join(lora or text))


def require_possible(model: Any, config: DiscoVLAConfig) -> None:
    """Raise UnsupportedBackbone, naming every reason, unless a model allows what a configuration asks for."""
    found = abilities(model)
    if found.lora:
        raise UnsupportedBackbone(
            f"DiscoVLA cannot adapt this model: {found.lora}. It can be used as it is, without training"
        )
    reasons = []
    if config.vision_fusion_layers and found.fusion:
        reasons.append(f"frames cannot be fused ({found.fusion}): set vision_fusion_layers to 0, which is LoRA alone")
    if config.text_fusion_layers and found.text_fusion:
        reasons.append(f"frame captions cannot be fused ({found.text_fusion}): set text_fusion_layers to 0")
    if config.mask_padding and config.vision_fusion_layers == 0 and unlike_openai_vision(model):
        reasons.append("mask_padding hides frames from fusion, and there is none")
    if reasons:
        raise UnsupportedBackbone(f"{type(model).__name__} does not allow this: " + "; ".join(reasons))


def unlike_openai_vision(model: Any) -> list[str]:
    """In what a vision tower differs from OpenAI's: attention blocks, read at a class token."""
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    visual = getattr(model, "visual", None)
    if not isinstance(visual, VisionTransformer):
        return [_kind("vision", dual_encoder(model).vision)]
    requirements = {
        "pictures are not read at a class token (pool_type 'tok', no attentional pooling)": visual.pool_type == "tok"
        and visual.attn_pool is None,
        "its vision tower does not end in a projection without bias": isinstance(visual.proj, Parameter),
        "a block of its vision tower is no plain ResidualAttentionBlock": all(
            type(block) is ResidualAttentionBlock for block in visual.transformer.resblocks
        ),
    }
    return [reason for reason, met in requirements.items() if not met]


def unlike_openai_text(model: Any) -> list[str]:
    """In what a text tower differs from OpenAI's: causal attention blocks, read at the largest id."""
    from open_clip.transformer import ResidualAttentionBlock

    text = text_part(model)
    if not hasattr(model, "visual") or not hasattr(text, "token_embedding"):
        return [_kind("text", dual_encoder(model).text)]
    requirements = {
        "texts are not read at the largest id (pool_type 'argmax') of a causal tower without a class embedding": (
            reads_until_the_end(text) and len(text.positional_embedding) == text.context_length
        ),
        "its text tower does not end in a projection without bias": isinstance(text.text_projection, Parameter),
        "a block of its text tower is no plain ResidualAttentionBlock": all(
            type(block) is ResidualAttentionBlock for block in text.transformer.resblocks
        ),
    }
    return [reason for reason, met in requirements.items() if not met]


def _kind(name: str, tower: Any) -> str:
    """What a tower is called in its library, and what reads it."""
    trunk = getattr(tower, "trunk", None)
    inner = f" of timm's {type(trunk).__name__}" if trunk is not None else ""
    pool = getattr(trunk, "global_pool", None)
    read = f", read by {pool!r} pooling" if isinstance(pool, str) and pool else ""
    return f"the {name} tower is a {type(tower).__name__}{inner}{read}"
