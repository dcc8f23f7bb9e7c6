"""Masking, which UniVL learns from: words and frames (section 4.2 of the paper, CMLM and CMFM).

All draws come from torch's global generator, which `fit` seeds for every step.
"""

from typing import Any

import torch

UNMASKED = -1  # label of a place where nothing has to be predicted


def mask_tokens(
    ids: torch.Tensor, mask: torch.Tensor, tokenizer: Any, share: float = 0.15
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's masking: (masked ids, labels), both int64 of the shape of `ids` (..., W).

    Every token but the first and the last real one is selected with probability `share`. Of the selected, 80% become
    [MASK], 10% a random entry of the whole vocabulary and 10% stay. The label is the token that was there, -1 where
    none was selected. For captions as the decoder reads them, `[CLS] words`, the same rule spares [CLS] and the last
    word, as in the release; their labels are not needed. It may happen that nothing is selected.
    """
    position = torch.arange(ids.shape[-1])
    last = mask.sum(-1, keepdim=True) - 1  # (..., 1)
    inside = (position > 0) & (position < last)
    selected = inside & (torch.rand(ids.shape) < share)
    fate = torch.rand(ids.shape)
    anything = torch.randint(len(tokenizer), ids.shape)

    masked = ids.masked_fill(selected & (fate < 0.8), tokenizer.mask_token_id)
    masked = torch.where(selected & (fate >= 0.8) & (fate < 0.9), anything, masked)
    return masked, ids.masked_fill(~selected, UNMASKED)


def mask_frames(video: torch.Tensor, mask: torch.Tensor, share: float = 0.15) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeroed frames: (masked video (..., T, F), labels (..., T)).

    Every real frame is zeroed with probability `share`. Its label is its own index, which may be 0; others have -1.
    """
    selected = (mask > 0) & (torch.rand(mask.shape) < share)  # (..., T)
    index = torch.arange(mask.shape[-1]).expand(mask.shape)
    return video.masked_fill(selected[..., None], 0.0), index.masked_fill(~selected, UNMASKED)
