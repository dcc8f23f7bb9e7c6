"""IVFusion: one attention that sees each frame on its own and, for class tokens, the whole video.

The vision tower calls them frames, patches and class tokens. The text tower uses the same code on
the frame captions of a video: captions, words and end-of-text tokens. Below, "frame" and "class
token" stand for both. Sizes: B videos of F frames, S = B*F frames in all, N tokens per frame, width
W = h heads of size d.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from minivl.clip.quick_gelu import QuickGELU
from minivl.config import ConfigError
from minivl.discovla.lora import LoRA


class FusionAdapter(nn.Module):
    """The bottleneck through which a class token's image-level feature enters its video-level one.

        adapter(c) = Up( QuickGELU( Down(c) ) )        QuickGELU(x) = x * sigmoid(1.702 x)

    Up starts at zero: a fresh adapter lets nothing through.
    """

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.down = nn.Linear(width, rank)
        self.up = nn.Linear(rank, width)
        self.quick_gelu = QuickGELU()
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.normal_(self.down.bias, std=1e-6)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, c: Tensor) -> Tensor:
        """Class tokens c (..., W) -> (..., W)."""
        c = self.down(c)  # (..., rank)
        c = self.quick_gelu(c)
        return self.up(c)  # (..., W)


def token_index(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Index of one token per row: positions (S,) -> idx with x[idx] (S, 1, ...) for x (S, N, ...)."""
    rows = torch.arange(len(positions), device=positions.device)
    return rows[:, None], positions[:, None]


def first_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """`token_index` of the first token of every row of x (S, ...): in a vision tower that is the class token."""
    return token_index(torch.zeros(len(x), dtype=torch.long, device=x.device))


@dataclass
class Layout:
    """Masks and class tokens of a batch, the same in all blocks of a tower.

    class_token   `token_index` of the class tokens: x[class_token] is (S, 1, W)
    frames        F; None: captions of videos, which are images to every block
    image_mask    (S, N, N), True where a row's token may attend to a column's in its own frame; None: everywhere
    video_tokens  (S, N), True for tokens that the whole video may attend to; None: all of them
    """

    class_token: tuple[Tensor, Tensor]
    frames: int | None = None
    image_mask: Tensor | None = None
    video_tokens: Tensor | None = None

    @property
    def class_token_mask(self) -> Tensor | None:
        """(B, 1, F*N) or None: the tokens of its video that a class token may attend to."""
        if self.video_tokens is None:
            return None
        assert self.frames is not None  # a video level exists in videos only
        S, N = self.video_tokens.shape
        return self.video_tokens.reshape(S // self.frames, 1, self.frames * N)

    @cached_property
    def video_mask(self) -> Tensor | None:
        """(B, F*N, F*N) or None: the same for every token; in its own frame it is still bound by `image_mask`."""
        if self.image_mask is None:
            return self.class_token_mask
        assert self.frames is not None and self.class_token_mask is not None
        S, N, _ = self.image_mask.shape
        B, F = S // self.frames, self.frames
        same_frame = torch.eye(F, dtype=torch.bool, device=self.image_mask.device)[:, None, :, None]  # (F, 1, F, 1)
        mask = self.image_mask.view(B, F, N, 1, N) | ~same_frame  # (B, F, N, F, N)
        return mask.view(B, F * N, F * N) & self.class_token_mask


class IVFusionAttention(nn.Module):
    """CLIP's attention with LoRA and, in a fusion layer, one of four strategies (figure 3 of arXiv 2506.08887).

        image-level:  every token attends to the tokens of its own frame
        video-level:  a token of frame f attends to all tokens of all frames

        strategy    out[f, token]     out[f, class]
        "image"     image[f, token]   image[f, class]
        "video"     video[f, token]   video[f, class]
        "average"   image[f, token]   (image[f, class] + video[f, class]) / 2
        "adapter"   image[f, token]   video[f, class] + adapter(image[f, class])

    The last is Image-Video Features Fusion (IVFusion). It costs hardly more than "image", since only one token per
    frame looks at the whole video. Both levels use the same q, k, v and the same output projection. Nothing tells
    the model where in the video a frame stands, so the order of frames does not matter.

    `attention` is open_clip's `nn.MultiheadAttention`, whose frozen weights are taken over.
    """

    def __init__(self, attention: nn.MultiheadAttention, rank: int, strategy: str = "image"):
        super().__init__()
        self.num_heads = attention.num_heads
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj
        self.lora = LoRA(attention.embed_dim, rank)
        self.strategy = strategy
        self.adapter = FusionAdapter(attention.embed_dim, rank) if strategy == "adapter" else None

    def forward(self, x: Tensor, layout: Layout, class_only: bool = False) -> Tensor:
        """x (S, N, W) -> (S, N, W), or (S, 1, W) for the class tokens alone with `class_only`."""
        q, k, v = self.project(x)  # (S, N, h, d) each
        if self.strategy == "image" or layout.frames is None:
            return self.image_level(q, k, v, layout, class_only)
        if self.strategy == "video":
            return self.video_level(q, k, v, layout, class_only)

        image = self.image_level(q, k, v, layout, class_only)  # (S, N, W) or (S, 1, W)
        video = self.video_level(q, k, v, layout, class_only=True)  # (S, 1, W)
        if class_only:
            return self.fuse(image, video)  # (S, 1, W)
        image[layout.class_token] = self.fuse(image[layout.class_token], video)
        return image  # (S, N, W)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """CLIP's projections with LoRA: x (S, N, W) -> q, k, v, each (S, N, h, d)."""
        S, N, W = x.shape
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias)  # (S, N, 3*W), frozen
        qkv = qkv.add_(self.lora(x))  # (S, N, 3*W)
        qkv = qkv.view(S, N, 3, self.num_heads, W // self.num_heads)  # (S, N, 3, h, d)
        return qkv.unbind(dim=2)

    def image_level(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, class_only: bool) -> Tensor:
        """q, k, v (S, N, h, d) -> (S, N, W) or (S, 1, W): each frame on its own."""
        mask = layout.image_mask  # (S, N, N) or None
        if class_only:
            q = q[layout.class_token]  # (S, 1, h, d)
            mask = None if mask is None else mask[layout.class_token]  # (S, 1, N) or None
        x = attend(q, k, v, mask)  # (S, N, W) or (S, 1, W)
        return self.out_proj(x)

    def video_level(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, class_only: bool) -> Tensor:
        """q, k, v (S, N, h, d) -> (S, N, W) or (S, 1, W): all frames of a video together."""
        assert layout.frames is not None
        (S, N, h, d), F = k.shape, layout.frames
        B, n = S // F, 1 if class_only else N  # n tokens of each frame ask
        q = q[layout.class_token] if class_only else q  # (S, n, h, d)
        q = q.reshape(B, F * n, h, d)
        k = k.reshape(B, F * N, h, d)
        v = v.reshape(B, F * N, h, d)
        x = attend(q, k, v, layout.class_token_mask if class_only else layout.video_mask)  # (B, F*n, W)
        return self.out_proj(x).reshape(S, n, h * d)  # (S, n, W)

    def fuse(self, image: Tensor, video: Tensor) -> Tensor:
        """Fuse the image- and video-level features of the class tokens: (S, 1, W) each -> (S, 1, W)."""
        if self.adapter is None:
            return (image + video) / 2
        return video + self.adapter(image)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √d) v: q (B, Q, h, d), k and v (B, K, h, d), mask (B, Q or 1, K) -> (B, Q, h*d)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, h, Q, d), (B, h, K, d) twice
    mask = None if mask is None else mask[:, None]  # (B, 1, Q or 1, K), the same for every head
    x = scaled_dot_product_attention(q, k, v, mask)  # (B, h, Q, d)
    return x.transpose(1, 2).flatten(2)  # (B, Q, h*d)


class IVFusionBlock(nn.Module):
    """A transformer block of CLIP with the attention above; everything else is open_clip's, frozen."""

    def __init__(self, block: Any, rank: int, strategy: str = "image"):
        super().__init__()
        self.ln_1, self.ls_1 = block.ln_1, block.ls_1
        self.ln_2, self.ls_2, self.mlp = block.ln_2, block.ls_2, block.mlp
        if type(self.mlp.gelu).__name__ == "QuickGELU":  # open_clip's; a query does without importing it
            self.mlp.gelu = QuickGELU()
        self.attn = IVFusionAttention(block.attn, rank, strategy)

    def forward(self, x: Tensor, layout: Layout, class_only: bool = False) -> Tensor:
        """x (S, N, W) -> (S, N, W), or (S, 1, W) for the class tokens alone with `class_only`."""
        attended = self.attn(self.ln_1(x), layout, class_only)  # (S, N, W) or (S, 1, W)
        x = x[layout.class_token] if class_only else x
        x = x + self.ls_1(attended)
        return x + self.ls_2(self.mlp(self.ln_2(x)))


def adapt_tower(transformer: Any, rank: int, fusion_layers: int, strategy: str) -> None:
    """Replace the blocks of one of CLIP's towers, in place; the last `fusion_layers` of them follow `strategy`.

    Raises ConfigError if the tower has fewer blocks than that, and for a rank below 1 or above the tower's width.
    """
    if not 1 <= rank <= transformer.width:
        raise ConfigError(f"LoRA rank must be from 1 to {transformer.width}, the tower's width, not {rank}")
    blocks = len(transformer.resblocks)
    if not 0 <= fusion_layers <= blocks:
        raise ConfigError(f"cannot fuse in the last {fusion_layers} blocks of a tower that has {blocks}")
    first = blocks - fusion_layers
    transformer.resblocks = nn.ModuleList(
        IVFusionBlock(block, rank, strategy if i >= first else "image") for i, block in enumerate(transformer.resblocks)
    )


def class_features(transformer: Any, x: Tensor, layout: Layout) -> Tensor:
    """Run an adapted tower and read out its class tokens: x (S, N, W) -> (S, W).

    The last block computes the class tokens only, since nobody reads the other tokens after it.
    """
    *earlier, last = transformer.resblocks
    for block in earlier:
        x = block(x, layout)  # (S, N, W)
    return last(x, layout, class_only=True).squeeze(1)
