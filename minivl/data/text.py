"""Captions as token numbers for CLIP's text encoder."""

from collections.abc import Callable, Sequence

import torch


def tokenize(tokenizer: Callable, texts: Sequence[str], max_words: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of captions, both int64 (N, max_words).

    `tokenizer` is one of open_clip's. A row is start token, words, end token, then zeros; longer captions
    lose their last words, not the end token. The mask is 1 up to and including the end token, which has the
    highest id of all in CLIP's vocabularies.
    Raises ValueError for a single string, or for anything else but strings.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts must be a list of strings, got {texts!r:.80}")
    if max_words < 3:
        raise ValueError(f"max_words must leave room for a word between start and end token, got {max_words}")
    if len(texts) == 0:
        return torch.zeros(0, max_words, dtype=torch.int64), torch.zeros(0, max_words, dtype=torch.int64)
    ids = tokenizer(list(texts), context_length=max_words)
    end = ids.argmax(dim=-1, keepdim=True)
    mask = (torch.arange(max_words) <= end).long()
    return ids * mask, mask  # Hugging Face tokenizers pad with other ids than 0
