"""PImgAlign: image-level alignment of video and language, taught by one pseudo caption per frame.

Sizes: caption sets of A videos with T captions each, B videos of F frames, embeddings of D numbers.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from minivl.train.precision import products

COSINES_AT_ONCE = 2**25  # 128 MiB in single precision


def image_level_similarity(
    captions: Tensor,
    frames: Tensor,
    scale: Tensor | float,
    caption_mask: Tensor | None = None,
    frame_mask: Tensor | None = None,
) -> Tensor:
    """Similarity of the frame captions of video a and the frames of video b, for all a and b: I (A, B).

        K[a,b,t,f] = cosine of caption t of a and frame f of b
        A1[a,b] = sum_t softmax_t(s m1) m1        m1[a,b,t] = max_f K[a,b,t,f]
        A2[a,b] = sum_f softmax_f(s m2) m2        m2[a,b,f] = max_t K[a,b,t,f]
        I = (A1 + A2) / 2

    Every caption looks for its best frame and every frame for its best caption; those that find a good one count
    most. Caption i is never tied to frame i, so the order of neither matters.

    captions (A, T, D) and frames (B, F, D) need not be normalised; scale is s, CLIP's logit scale. Masks (A, T) and
    (B, F) are 1 for real, 0 for padding that is to take no part; None: everything takes part.

    There are A*T*B*F cosines. They are computed for as many caption sets at a time as COSINES_AT_ONCE allows, and
    are not kept for the backward pass, which needs only which of them were the largest.
    """
    captions, frames = normalize(captions, dim=-1), normalize(frames, dim=-1)
    (A, T, _), (B, F, _) = captions.shape, frames.shape
    of_captions = None if caption_mask is None else caption_mask[:, None].bool()  # (A, 1, T)
    of_frames = None if frame_mask is None else frame_mask[None].bool()  # (1, B, F)
    at_once = max(1, COSINES_AT_ONCE // (T * B * F))
    rows = []
    for some in (slice(first, first + at_once) for first in range(0, A, at_once)):  # A' caption sets
        captions_mask = None if of_captions is None else of_captions[some]  # (A', 1, T)
        K = cosines(captions[some], frames)  # (A', B, T, F)
        m1 = largest(K, 3, None if of_frames is None else of_frames[:, :, None])  # (A', B, T)
        m2 = largest(K, 2, None if captions_mask is None else captions_mask[..., None])  # (A', B, F)
        A1 = weighted_sum(m1, scale, captions_mask)  # (A', B)
        A2 = weighted_sum(m2, scale, of_frames)  # (A', B)
        rows.append((A1 + A2) / 2)
    return torch.cat(rows)  # (A, B)


def cosines(captions: Tensor, frames: Tensor) -> Tensor:
    """Cosines of captions (A, T, D) and frames (B, F, D), both normalised -> K (A, B, T, F)."""
    (A, T, D), (B, F, _) = captions.shape, frames.shape
    K = products(captions.reshape(A * T, D), frames.reshape(B * F, D))  # (A*T, B*F)
    return K.view(A, T, B, F).transpose(1, 2)  # (A, B, T, F)


def largest(K: Tensor, dim: int, mask: Tensor | None = None) -> Tensor:
    """K's maximum over one dimension, among the entries whose mask (broadcasting to K) is True."""
    return (K if mask is None else K.masked_fill(~mask, -torch.inf)).max(dim).values


def weighted_sum(m: Tensor, scale: Tensor | float, mask: Tensor | None = None) -> Tensor:
    """sum_n softmax_n(s m) m: m (A, B, N), mask broadcasting to it -> (A, B). For s = 100 close to the maximum."""
    logits = scale * m
    weights = (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).softmax(dim=-1)
    return (weights * m).sum(dim=-1)
