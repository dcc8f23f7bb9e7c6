"""IVFusion: one attention that sees each frame on its own and, for class tokens, the whole video.

The vision tower calls them frames, patches and class tokens. The text tower uses the same code on
the frame captions of a video: captions, words and end-of-text tokens. Below, "frame" and "class
token" stand for both. Sizes: B videos of F frames, S = B*F frames in all, N tokens per frame, width
W = h heads of size d.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn
from torch.nn.functional import linear, scaled_dot_product_attention

from minivl.config import ConfigError
from minivl.discovla.lora import LoRA
from minivl.discovla.quick_gelu import QuickGELU


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

    def forward(self, c):
        """c (..., W) -> (..., W)."""
        return self.up(self.quick_gelu(self.down(c)))


def token_index(positions):
    """Index of one token per row: positions (S,) -> idx with x[idx] (S, 1, ...) for x (S, N, ...)."""
    rows = torch.arange(len(positions), device=positions.device)
    return rows[:, None], positions[:, None]


@dataclass
class Layout:
    """How the tokens of a batch belong together, the same in all blocks of a tower."""

    class_token: tuple  # `token_index` of the class tokens: x[class_token] is (S, 1, W)
    frames: int | None = None  # F; None: captions of videos, which are images to every block
    own: torch.Tensor | None = None  # (S, N, N), True where a row's token may see a column's in its frame; None: all
    shared: torch.Tensor | None = None  # (S, N), True for tokens that the whole video may see; None: all

    @property
    def for_class_tokens(self):
        """(B, 1, F*N) or None: what the class tokens of a video may see of it."""
        return None if self.shared is None else self.shared.reshape(len(self.shared) // self.frames, 1, -1)

    @cached_property
    def for_all_tokens(self):
        """(B, F*N, F*N) or None: the same for every token; in its own frame it is still bound by `own`."""
        if self.own is None:
            return self.for_class_tokens
        S, N, _ = self.own.shape
        B, F = S // self.frames, self.frames
        same_frame = torch.eye(F, dtype=torch.bool, device=self.own.device)[:, None, :, None]  # (F, 1, F, 1)
        own = self.own.view(B, F, N, 1, N) | ~same_frame  # (B, F, N, F, N)
        return own.view(B, F * N, F * N) & self.for_class_tokens


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

    def forward(self, x, layout, class_only=False):
        """x (S, N, W) -> (S, N, W), or (S, 1, W) for the class tokens alone with `class_only`."""
        q, k, v = self.project(x)  # (S, N, h, d) each
        if self.strategy == "image" or layout.frames is None:
            return self.image_level(q, k, v, layout, class_only)
        if self.strategy == "video":
            return self.video_level(q, k, v, layout, class_only)

        image = self.image_level(q, k, v, layout, class_only)  # (S, N, W) or (S, 1, W)
        video = self.video_level(q, k, v, layout, class_only=True)  # (S, 1, W)
        if class_only:
            return self.fuse(image, video)
        image[layout.class_token] = self.fuse(image[layout.class_token], video)
        return image

    def project(self, x):
        """x (S, N, W) -> q, k, v, each (S, N, h, d)."""
        S, N, W = x.shape
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias).add_(self.lora(x))  # (S, N, 3*W)
        return qkv.view(S, N, 3, self.num_heads, W // self.num_heads).unbind(dim=2)

    def image_level(self, q, k, v, layout, class_only):
        """q, k, v (S, N, h, d) -> (S, N, W) or (S, 1, W): each frame on its own."""
        mask = layout.own
        if class_only:
            q, mask = q[layout.class_token], None if mask is None else mask[layout.class_token]
        return self.out_proj(attend(q, k, v, mask))

    def video_level(self, q, k, v, layout, class_only):
        """q, k, v (S, N, h, d) -> (S, N, W) or (S, 1, W): all frames of a video together."""
        mask = layout.for_class_tokens if class_only else layout.for_all_tokens
        q = q[layout.class_token] if class_only else q
        (S, n, h, d), B = q.shape, len(q) // layout.frames
        q, k, v = (x.reshape(B, -1, h, d) for x in (q, k, v))  # (B, F*n, h, d), (B, F*N, h, d) twice
        return self.out_proj(attend(q, k, v, mask)).reshape(S, n, h * d)

    def fuse(self, image, video):
        """The image- and video-level features of the class tokens, (S, 1, W) each -> (S, 1, W)."""
        return (image + video) / 2 if self.strategy == "average" else video + self.adapter(image)


def attend(q, k, v, mask=None):
    """softmax(q kᵀ / √d) v: q (B, Q, h, d), k and v (B, K, h, d), mask (B, Q or 1, K) -> (B, Q, h*d)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, h, Q, d), (B, h, K, d) twice
    mask = None if mask is None else mask[:, None]  # the same for every head
    return scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)


class IVFusionBlock(nn.Module):
    """A transformer block of CLIP with the attention above; everything else is open_clip's, frozen."""

    def __init__(self, block, rank: int, strategy: str = "image"):
        import open_clip.transformer

        super().__init__()
        self.ln_1, self.ls_1 = block.ln_1, block.ls_1
        self.ln_2, self.ls_2, self.mlp = block.ln_2, block.ls_2, block.mlp
        if isinstance(self.mlp.gelu, open_clip.transformer.QuickGELU):
            self.mlp.gelu = QuickGELU()
        self.attn = IVFusionAttention(block.attn, rank, strategy)

    def forward(self, x, layout, class_only=False):
        """x (S, N, W) -> (S, N, W), or (S, 1, W) for the class tokens alone with `class_only`."""
        attended = self.attn(self.ln_1(x), layout, class_only)
        x = (x[layout.class_token] if class_only else x) + self.ls_1(attended)
        return x + self.ls_2(self.mlp(self.ln_2(x)))


def adapt_tower(transformer, rank: int, fusion_layers: int, strategy: str) -> None:
    """Replace the blocks of one of CLIP's towers, in place; the last `fusion_layers` of them follow `strategy`.

    Raises ConfigError if the tower has fewer blocks than that, and for a rank below 1.
    """
    if rank < 1:
        raise ConfigError(f"LoRA rank must be at least 1, not {rank}")
    blocks = len(transformer.resblocks)
    if not 0 <= fusion_layers <= blocks:
        raise ConfigError(f"cannot fuse in the last {fusion_layers} blocks of a tower that has {blocks}")
    first = blocks - fusion_layers
    transformer.resblocks = nn.ModuleList(
        IVFusionBlock(block, rank, strategy if i >= first else "image") for i, block in enumerate(transformer.resblocks)
    )


def class_features(transformer, x, layout):
    """Run an adapted tower and read out its class tokens: x (S, N, W) -> (S, W).

    The last block computes the class tokens only, since nobody reads the other tokens after it.
    """
    *earlier, last = transformer.resblocks
    for block in earlier:
        x = block(x, layout)
    return last(x, layout, class_only=True).squeeze(1)
