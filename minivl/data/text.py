"""Captions as token numbers for CLIP's text encoder."""

from collections.abc import Callable, Sequence
from typing import Any

import torch


class PaddedTokenizer:
    """A tokenizer for text towers that were trained on texts of one length, padding included, and read them so.

    tokenizer   one of open_clip's, or of transformers' where `masked` is set: such a tower is told what is padding
    length      tokens of every text
    """

    def __init__(self, tokenizer: Any, length: int, masked: bool = False):
        self.tokenizer, self.length, self.masked = tokenizer, length, masked

    def __call__(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask of texts, both int64 (N, length); where nothing tells padding from words, the mask is 1."""
        if hasattr(self.tokenizer, "context_length"):  # open_clip's
            ids = self.tokenizer(list(texts), context_length=self.length)
            return ids, torch.ones_like(ids)
        sizes: dict[str, Any] = {"padding": "max_length", "truncation": True, "max_length": self.length}
        found = self.tokenizer(list(texts), return_tensors="pt", return_attention_mask=True, **sizes)
        ids = found["input_ids"]
        return ids, found["attention_mask"] if self.masked else torch.ones_like(ids)

    def save_pretrained(self, folder: Any) -> None:
        """Write the tokenizer's files into a folder."""
        self.tokenizer.save_pretrained(folder)


def tokenize(
    tokenizer: Callable | PaddedTokenizer, texts: Sequence[str], max_words: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of captions, both int64 (N, max_words).

    `tokenizer` is one of open_clip's. A row is start token, words, end token, then zeros; longer captions
    lose their last words, not the end token. The mask is 1 up to and including the end token, which has the
    highest id of all in CLIP's vocabularies. A `PaddedTokenizer` has its own length and mask instead.
    Raises ValueError for a single string, or for anything else but strings.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts must be a list of strings, got {texts!r:.80}")
    if max_words < 3:
        raise ValueError(f"max_words must leave room for a word between start and end token, got {max_words}")
    length = tokenizer.length if isinstance(tokenizer, PaddedTokenizer) else max_words
    if len(texts) == 0:
        return torch.zeros(0, length, dtype=torch.int64), torch.zeros(0, length, dtype=torch.int64)
    if isinstance(tokenizer, PaddedTokenizer):
        return tokenizer(texts)
    ids = tokenizer(list(texts), context_length=max_words)
    end = ids.argmax(dim=-1, keepdim=True)
    mask = (torch.arange(max_words) <= end).long()
    return ids * mask, mask  # Hugging Face tokenizers pad with other ids than 0
