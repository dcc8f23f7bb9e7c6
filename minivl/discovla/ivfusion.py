"""IVFusion: one attention that sees each frame on its own and, for class tokens, the whole video.

The vision tower calls them frames, patches and class tokens. The text tower uses the same code on
the frame captions of a video: captions, words and end-of-text tokens. Below, "frame" and "class
token" stand for both. Sizes: B videos of F frames, S = B*F frames in all, N tokens per frame, width
W = h heads of size d.
"""

import torch
from torch import nn
from torch.nn.functional import linear, scaled_dot_product_attention

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
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.normal_(self.down.bias, std=1e-6)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, c):
        """c (..., W) -> (..., W)."""
        c = self.down(c)
        return self.up(c * (1.702 * c).sigmoid())


class IVFusionAttention(nn.Module):
    """CLIP's attention with LoRA and, in a fusion block, with Image-Video Features Fusion (arXiv 2506.08887).

        image-level:  every token attends to the tokens of its own frame
        video-level:  the class token of frame f attends to all tokens of all frames

        out[f, token] = image[f, token]                            for every other token
        out[f, class] = video[f] + adapter(image[f, class])

    Both levels use the same q, k, v and the same output projection. Nothing tells the model where in
    the video a frame stands, so the order of frames does not matter.

    `attention` is open_clip's `nn.MultiheadAttention`, whose frozen weights are taken over.
    """

    def __init__(self, attention: nn.MultiheadAttention, rank: int, fuses: bool):
        super().__init__()
        self.num_heads = attention.num_heads
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj
        self.lora = LoRA(attention.embed_dim, rank)
        self.adapter = FusionAdapter(attention.embed_dim, rank) if fuses else None

    def forward(self, x, class_token, frames=None, mask=None, class_only=False):
        """x (S, N, W) -> (S, N, W), or (S, 1, W) for the class tokens alone with `class_only`.

        class_token  `token_index` of the class tokens: x[class_token] is (S, 1, W)
        frames       F; None keeps a fusion block image-level (video captions belong to no frame)
        mask         (S, N, N), True where the token of a row may see the token of a column; None: everything
        """
        q, k, v = self.project(x)                                             # (S, N, h, d) each
        q_class = q[class_token]                                              # (S, 1, h, d)
        padding = None if mask is None else mask[:, -1]                       # (S, N): the last word sees all others
        if class_only:
            q, mask = q_class, None if mask is None else mask[class_token]    # (S, 1, h, d), (S, 1, N)

        image = self.out_proj(attend(q, k, v, mask))                          # (S, N, W) or (S, 1, W)
        if self.adapter is None or frames is None:
            return image
        video = self.out_proj(self.video_level(q_class, k, v, frames, padding))    # (S, 1, W)
        if class_only:
            return video + self.adapter(image)
        image[class_token] = video + self.adapter(image[class_token])
        return image

    def project(self, x):
        """x (S, N, W) -> q, k, v, each (S, N, h, d)."""
        S, N, W = x.shape
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias) + self.lora(x)    # (S, N, 3*W)
        return qkv.view(S, N, 3, self.num_heads, W // self.num_heads).unbind(dim=2)

    def video_level(self, q_class, k, v, frames, padding):
        """q_class (S, 1, h, d), k and v (S, N, h, d), padding (S, N) or None -> (S, 1, W)."""
        S, N, h, d = k.shape
        B = S // frames
        queries = q_class.reshape(B, frames, h, d)
        keys, values = k.reshape(B, frames * N, h, d), v.reshape(B, frames * N, h, d)
        mask = None if padding is None else padding.reshape(B, 1, frames * N)
        return attend(queries, keys, values, mask).reshape(S, 1, h * d)


def attend(q, k, v, mask=None):
    """softmax(q kᵀ / √d) v: q (B, Q, h, d), k and v (B, K, h, d), mask (B, Q or 1, K) -> (B, Q, h*d)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))                          # (B, h, Q, d), (B, h, K, d) twice
    mask = None if mask is None else mask[:, None]                            # the same for every head
    return scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)


def token_index(positions):
    """Index of one token per row: positions (S,) -> idx with x[idx] (S, 1, ...) for x (S, N, ...)."""
    rows = torch.arange(len(positions), device=positions.device)
    return rows[:, None], positions[:, None]


class IVFusionBlock(nn.Module):
    """A transformer block of CLIP with the attention above; everything else is open_clip's, frozen."""

    def __init__(self, block, rank: int, fuses: bool):
        super().__init__()
        self.ln_1, self.ls_1 = block.ln_1, block.ls_1
        self.ln_2, self.ls_2, self.mlp = block.ln_2, block.ls_2, block.mlp
        self.attn = IVFusionAttention(block.attn, rank, fuses)

    def forward(self, x, class_token, frames=None, mask=None, class_only=False):
        """As `IVFusionAttention.forward`."""
        attended = self.attn(self.ln_1(x), class_token, frames, mask, class_only)
        x = (x[class_token] if class_only else x) + self.ls_1(attended)
        return x + self.ls_2(self.mlp(self.ln_2(x)))


def adapt_tower(transformer, rank: int, fusion_layers: int) -> None:
    """Replace the blocks of one of CLIP's towers, in place; the last `fusion_layers` of them fuse.

    Raises ConfigError if the tower has fewer blocks than that, or for a rank below 1.
    """
    if rank < 1:
        raise ConfigError(f"LoRA rank must be at least 1, not {rank}")
    blocks = len(transformer.resblocks)
    if not 0 <= fusion_layers <= blocks:
        raise ConfigError(f"cannot fuse in the last {fusion_layers} blocks of a tower that has {blocks}")
    transformer.resblocks = nn.ModuleList(
        IVFusionBlock(block, rank, fuses=i >= blocks - fusion_layers)
        for i, block in enumerate(transformer.resblocks))


def class_features(transformer, x, class_token, frames=None, mask=None):
    """Run an adapted tower and read out its class tokens: x (S, N, W) -> (S, W).

    The last block computes the class tokens only, since nobody reads the other tokens after it.
    """
    *earlier, last = transformer.resblocks
    for block in earlier:
        x = block(x, class_token, frames, mask)
    return last(x, class_token, frames, mask, class_only=True).squeeze(1)
