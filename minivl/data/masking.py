"""Masking, which UniVL learns from: words and frames (section 4.2 of the paper, CMLM and CMFM).

All draws come from torch's global generator, which `fit` seeds for every step.
"""

from typing import Any

import torch

UNMASKED = -1  # label of a place where nothing has to be predicted


def mask_tokens(
    ids: torch.Tensor, mask: torch.Tensor, tokenizer: Any, share: float = 0.15
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's masking: (masked ids, labels), both int64 of the shape of `ids` (..., W): see `masked_tokens`."""
    chance, fate = torch.rand(ids.shape), torch.rand(ids.shape)
    anything = torch.randint(len(tokenizer), ids.shape)
    return masked_tokens(ids, mask, chance, fate, anything, tokenizer.mask_token_id, share)


def masked_tokens(
    ids: torch.Tensor,
    mask: torch.Tensor,
    chance: torch.Tensor,
    fate: torch.Tensor,
    anything: torch.Tensor,
    mask_id: int,
    share: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's masking, given its draws: (masked ids, labels), both int64 of the shape of `ids` (..., W).

    Every token but the first and the last real one is selected with probability `share` (chance < share). Of the
    selected, 80% become [MASK] (fate < 0.8), 10% a random entry of the whole vocabulary (fate < 0.9, `anything`) and
    10% stay. The label is the token that was there, -1 where none was selected. For captions as the decoder reads
    them, `[CLS] words`, the same rule spares [CLS] and the last word, as in the release; their labels are not needed.
    It may happen that nothing is selected.

    chance and fate are uniform in [0, 1), anything in the vocabulary, all of the shape of `ids`.
    """
    position = torch.arange(ids.shape[-1])
    last = mask.sum(-1, keepdim=True) - 1  # (..., 1)
    selected = (position > 0) & (position < last) & (chance < share)
    masked = ids.masked_fill(selected & (fate < 0.8), mask_id)
    masked = torch.where(selected & (fate >= 0.8) & (fate < 0.9), anything, masked)
    return masked, ids.masked_fill(~selected, UNMASKED)


def mask_frames(video: torch.Tensor, mask: torch.Tensor, share: float = 0.15) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeroed frames: (masked video (..., T, F), labels (..., T)): see `masked_frames`."""
    return masked_frames(video, mask, torch.rand(mask.shape), share)


def masked_frames(
    video: torch.Tensor, mask: torch.Tensor, chance: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeroed frames, given draws from [0, 1): (masked video (..., T, F), labels (..., T)).

    Every real frame whose chance (..., T) is below `share` is zeroed. Its label is its own index, which may be 0;
    others have -1.
    """
    selected = (mask > 0) & (chance < share)  # (..., T)
    index = torch.arange(mask.shape[-1]).expand(mask.shape)
    return video.masked_fill(selected[..., None], 0.0), index.masked_fill(~selected, UNMASKED)
