"""PImgAlign: image-level alignment of video and language, taught by one pseudo caption per frame.

Sizes: caption sets of A videos with T captions each, B videos of F frames, embeddings of D numbers.
"""

import torch
from torch.nn.functional import normalize

COSINES_AT_ONCE = 2**25  # 128 MiB in single precision


def image_level_similarity(captions, frames, scale, caption_mask=None, frame_mask=None):
    """How well the frame captions of video a fit the frames of video b, for all a and b: I (A, B).

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
    at_once = max(1, COSINES_AT_ONCE // (captions.shape[1] * frames.shape[0] * frames.shape[1]))
    rows = []
    for first in range(0, len(captions), at_once):
        some = slice(first, first + at_once)
        K = cosines(captions[some], frames)  # (A', B, T, F)
        of_captions = None if caption_mask is None else caption_mask[some, None].bool()  # (A', 1, T)
        of_frames = None if frame_mask is None else frame_mask[None].bool()  # (1, B, F)
        m1 = largest(K, 3, None if of_frames is None else of_frames[:, :, None])  # (A', B, T)
        m2 = largest(K, 2, None if of_captions is None else of_captions[..., None])  # (A', B, F)
        rows.append((weighted_sum(m1, scale, of_captions) + weighted_sum(m2, scale, of_frames)) / 2)  # (A', B)
    return torch.cat(rows)


def cosines(captions, frames):
    """captions (A, T, D) and frames (B, F, D), both normalised -> K (A, B, T, F)."""
    (A, T, D), (B, F, _) = captions.shape, frames.shape
    return (captions.reshape(A * T, D) @ frames.reshape(B * F, D).T).view(A, T, B, F).transpose(1, 2)


def largest(K, dim, mask=None):
    """K's maximum over one dimension, among the entries whose mask (broadcasting to K) is True."""
    return (K if mask is None else K.masked_fill(~mask, -torch.inf)).max(dim).values


def weighted_sum(m, scale, mask=None):
    """sum_n softmax_n(s m) m: m (A, B, N), mask broadcasting to it -> (A, B). For s = 100 close to the maximum."""
    logits = scale * m
    weights = (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).softmax(dim=-1)
    return (weights * m).sum(dim=-1)
