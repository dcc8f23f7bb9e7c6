"""LoRA and IVFusion in towers of other designs: they stay as their library built them, and are changed from outside.

LoRA is a change of the weights that make queries, keys and values, whatever module holds them:

    W' = W + B A        A (rank, width), B (rows of W, rank), zero at first

Where one matrix W holds q, k and v, this is the `LoRA` of CLIP's own towers; where there are three, each has its own A.
IVFusion takes the place of an attention whose class token is read at the end.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from minivl.config import ConfigError
from minivl.discovla.ivfusion import FusionAdapter, IVFusionAttention, Layout, first_tokens

# Names of the parameters that make queries, keys and values, as libraries have them.
PROJECTIONS = (
    ("in_proj_weight",),  # torch.nn.MultiheadAttention, open_clip
    ("qkv.weight",),  # timm
    ("q_proj.weight", "k_proj.weight", "v_proj.weight"),  # transformers: CLIP, SigLIP, NLLB; timm: EVA
    ("query.weight", "key.weight", "value.weight"),  # transformers: BERT and its kin
    ("q.weight", "k.weight", "v.weight"),  # transformers: T5
)


class LowRank(nn.Module):
    """LoRA as a change of one weight (out, in): what a module reads as its weight is W + B A."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        rows, width = weight.shape
        if not 1 <= rank <= width:
            raise ConfigError(f"LoRA rank must be from 1 to {width}, the tower's width, not {rank}")
        start = torch.empty(rank, width, device=weight.device).uniform_(-1, 1)
        self.A = nn.Parameter(start / math.sqrt(width))
        self.B = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, W: Tensor) -> Tensor:
        return W + self.B @ self.A


def self_attentions(tower: nn.Module) -> list[tuple[nn.Module, tuple[str, ...]]]:
    """The attentions of a tower's blocks, first to last, with the names of their projections. Poolers are none."""
    found: list[tuple[nn.Module, tuple[str, ...]]] = []
    for child in tower.children():
        if "Pool" in type(child).__name__:
            continue
        names = next((names for names in PROJECTIONS if all(_is_weight(child, name) for name in names)), None)
        found += [(child, names)] if names else self_attentions(child)
    return found


def _is_weight(module: nn.Module, name: str) -> bool:
    for part in name.split("."):
        module = getattr(module, part, None)  # type: ignore[assignment]
    return isinstance(module, Tensor) and module.ndim == 2


@dataclass
class Seen:
    """What the attentions of an adapted tower have to know of the batch that it encodes.

    frames       F: so many pictures in a row are one video
    frame_mask   (S,), True for frames that the whole video may attend to; None: all of them
    """

    frames: int = 1
    frame_mask: Tensor | None = None

    def layout(self, x: Tensor) -> Layout:
        """Class tokens and masks of tokens x (S, N, W)."""
        mask = None if self.frame_mask is None else self.frame_mask[:, None].expand(-1, x.shape[1])  # (S, N)
        return Layout(first_tokens(x), self.frames, video_tokens=mask)


def class_token_attentions(tower: nn.Module) -> list[tuple[nn.Module, str]]:
    """(block, name of its attention) of a vision tower whose class token is read and whose attention is the plain one.

    Those are timm's VisionTransformer with `global_pool` "token", and the towers of transformers' CLIP, AltCLIP,
    ChineseCLIP and MetaCLIP 2. None in other towers.
    """
    trunk, blocks = getattr(tower, "trunk", None), []
    if trunk is not None:
        read = getattr(trunk, "global_pool", None) == "token" and getattr(trunk, "num_prefix_tokens", 0) == 1
        blocks = [(block, "attn") for block in getattr(trunk, "blocks", ())] if read else []
    elif hasattr(getattr(tower, "embeddings", None), "class_embedding"):
        blocks = [(block, "self_attn") for block in tower.encoder.layers]  # type: ignore[union-attr]
    return blocks if all(_is_plain(getattr(block, name, None)) for block, name in blocks) else []


def _is_plain(attention: Any) -> bool:
    """Whether an attention is softmax(q kᵀ / √d) v of projections of its input, without more between them."""
    if attention is None or type(attention).__name__ not in ("Attention", "CLIPAttention", "AltCLIPAttention",
        "ChineseCLIPVisionAttention", "MetaClip2Attention"):  # fmt: skip
        return False
    between = ("q_norm", "k_norm", "norm", "gate")
    return all(isinstance(getattr(attention, name, None), nn.Identity | None) for name in between)


class ClassTokenAttention(IVFusionAttention):
    """`IVFusionAttention` in the place of an attention of timm or transformers, whose projections it uses.

    They have their LoRA already, see `LowRank`. `seen` is shared by the tower and says which frames belong together.
    """

    def __init__(self, attention: Any, rank: int, strategy: str, seen: Seen):
        nn.Module.__init__(self)
        self.base, self.seen, self.strategy = attention, seen, strategy
        self.num_heads = attention.num_heads
        self.fused = hasattr(attention, "qkv")  # timm; transformers has three matrices, and returns weights, too
        width = attention.qkv.in_features if self.fused else attention.embed_dim
        self.adapter = FusionAdapter(width, rank) if strategy == "adapter" else None

    @property
    def out_proj(self) -> nn.Module:  # type: ignore[override]  # it belongs to `base`
        """The projection of what the heads found."""
        return self.base.proj if self.fused else self.base.out_proj

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """x (S, N, W) -> q, k, v, each (S, N, h, d)."""
        S, N, W = x.shape
        parts = self.base.qkv(x).chunk(3, dim=-1) if self.fused else [
            self.base.q_proj(x), self.base.k_proj(x), self.base.v_proj(x)
        ]  # fmt: skip
        return tuple(part.reshape(S, N, self.num_heads, W // self.num_heads) for part in parts)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """hidden_states (S, N, W) -> (S, N, W), in transformers with None for its weights."""
        x = super().forward(hidden_states, self.seen.layout(hidden_states))
        return x if self.fused else (x, None)


def adapt_other_tower(tower: nn.Module, rank: int, fusion_layers: int, strategy: str) -> Seen:
    """Put LoRA into all attentions of a tower, and fusion into its last ones; `Seen` tells those about a batch.

    Raises ConfigError for more fusion layers than the tower has blocks, and for a rank that does not fit.
    """
    for attention, names in self_attentions(tower):
        for name in names:
            *path, last = name.split(".")
            module = attention.get_submodule(".".join(path))
            parametrize.register_parametrization(module, last, LowRank(getattr(module, last), rank))
    seen, blocks = Seen(), class_token_attentions(tower) if fusion_layers else []
    if fusion_layers > len(blocks):
        raise ConfigError(f"cannot fuse in the last {fusion_layers} blocks of a tower that has {len(blocks)}")
    for block, name in blocks[len(blocks) - fusion_layers :]:
        setattr(block, name, ClassTokenAttention(getattr(block, name), rank, strategy, seen))
    return seen
