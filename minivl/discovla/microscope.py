"""A view into DiscoVLA: attention of class tokens, recomputed from a block's own projections."""

from typing import Any

import torch
from torch import Tensor

from minivl.discovla.model import DiscoVLA


@torch.inference_mode()
def class_attention(model: DiscoVLA, video: Tensor, block: int = -1, across_frames: bool = True) -> Tensor:
    """Attention of the class token of each frame to each patch, mean over heads.

        softmax( q[class] kᵀ / √d )     over the tokens of all frames, or of the own frame

    video          (B, F, 3, H, W), as `encode_video` takes it
    block          of the vision tower, counted as in a list; its strategy does not matter
    across_frames  over all frames (B, F, F, P): frame f reads patch p of frame g; else over its own only, (B, F, P)

    What class tokens read of class tokens is left out, so rows sum to less than 1.
    """
    B, F = video.shape[:2]
    seen: dict[str, Any] = {}
    attention = model.clip.visual.transformer.resblocks[block].attn
    hook = attention.register_forward_pre_hook(lambda module, args: seen.update(x=args[0], layout=args[1]))
    try:
        model.encode_video(video)
    finally:
        hook.remove()
    q, k, _ = attention.project(seen["x"])  # (B*F, 1+P, h, d) each
    q = q[seen["layout"].class_token]  # (B*F, 1, h, d)
    S, N, h, d = k.shape
    rows = (B, F) if across_frames else (S, 1)  # queries that share their keys
    q, k = q.reshape(*rows, h, d), k.reshape(rows[0], -1, h, d)
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(d**0.5).softmax(-1).mean(1)  # (B, F, F*N) or (B*F, 1, N)
    return weights.view(B, F, F, N)[..., 1:] if across_frames else weights.view(B, F, N)[..., 1:]
