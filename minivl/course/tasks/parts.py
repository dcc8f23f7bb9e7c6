"""Parts of UniVL's model: attention, its masks, pooled similarity, and what the decoder reads and writes.

Sizes: N sequences of W words or T frames, Q queries and K keys of size d, hidden size D.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minivl.course.task import task
from minivl.data.wordpiece import encode_captions
from minivl.train.precision import products
from minivl.univl.layers import MASKED, causal_bias, padding_bias
from minivl.univl.pooling import pool_text, pool_video


@task(points=2, gradients=True)
def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """softmax(q kᵀ / √d + bias) v, where bias is -10000 for keys that are padding and 0 for the others.

    q (N, Q, d), k and v (N, K, d), mask (N, K): 1 for real keys, 0 for padding -> (N, Q, d)
    """
    return F.scaled_dot_product_attention(q, k, v, padding_bias(mask)[:, 0])


@attention.set_cases
def _attention_cases(draw):
    yield "one query, two keys", {"q": draw(1, 1, 4), "k": draw(1, 2, 4), "v": draw(1, 2, 4), "mask": _full(1, 2)}
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    yield "padding", {"q": 2 * draw(2, 3, 4), "k": draw(2, 5, 4), "v": draw(2, 5, 4), "mask": mask}
    mask = torch.tensor([[0, 0, 0], [1, 1, 0]])
    q, k = draw(2, 2, 4), draw(2, 3, 4)
    q[0] = k[0] = 0  # so that it does not matter whether the bias is added to the scores or replaces them
    yield "a sequence of padding alone", {"q": q, "k": k, "v": draw(2, 3, 4), "mask": mask}


def _full(*shape):
    """A mask without padding."""
    return torch.ones(shape, dtype=torch.long)


def _scores(q, k, d=None):
    return q @ k.transpose(1, 2) / (d or q.shape[-1] ** 0.5)


def _bias(mask):
    return (1 - mask[:, None].float()) * MASKED


@attention.mistake("The scores grow with the size d of a head, until softmax picks one key: divide them by √d.")
def _unscaled(q, k, v, mask):
    return (_scores(q, k, 1) + _bias(mask)).softmax(-1) @ v


@attention.mistake("You divide by d. The variance of a dot product is d, so its spread is √d.")
def _divided_by_d(q, k, v, mask):
    return (_scores(q, k, q.shape[-1]) + _bias(mask)).softmax(-1) @ v


@attention.mistake("The mask is not used: padding takes part. Add the bias to the scores, before the softmax.")
def _mask_forgotten(q, k, v, mask):
    return _scores(q, k).softmax(-1) @ v


@attention.mistake("The mask is the wrong way round: 1 marks what is real, and padding gets the bias.")
def _mask_inverted(q, k, v, mask):
    return (_scores(q, k) + _bias(1 - mask)).softmax(-1) @ v


@attention.mistake("Weights that are set to 0 after the softmax no longer sum to 1. Mask the scores before it.")
def _masked_after_the_softmax(q, k, v, mask):
    return (_scores(q, k).softmax(-1) * mask[:, None]) @ v


@attention.mistake("The softmax runs over the queries. The weights of one query, over its keys, must sum to 1.")
def _softmax_over_queries(q, k, v, mask):
    return (_scores(q, k) + _bias(mask)).softmax(1) @ v


@attention.mistake(
    "A bias of -inf makes NaN where a sequence is all padding: a softmax over nothing. That is why BERT adds -10000."
)
def _infinite_bias(q, k, v, mask):
    return _scores(q, k).masked_fill(mask[:, None] == 0, -torch.inf).softmax(-1) @ v


@attention.mistake(
    "A sequence that is all padding gives 0 here, as torch's own attention does with a mask of truth values. The bias "
    "of -10000 is the same for all keys then, and changes nothing: add it."
)
def _nothing_for_padding(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, mask[:, None].bool())


@task(points=1)
def causal_mask(mask: Tensor) -> Tensor:
    """Which word may attend to which in the decoder: itself and the words before it, but never to padding.

    mask (N, W): 1 for words, 0 for padding -> truth values (N, W, W), [n, i, j] True where word i may look at word j
    """
    return causal_bias(mask)[:, 0] == 0


@causal_mask.set_cases
def _causal_cases(draw):
    yield "three words", {"mask": _full(1, 3)}
    yield "captions of different length", {"mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])}


def _earlier(mask, diagonal=0):
    W = mask.shape[1]
    return torch.ones(W, W, dtype=torch.bool).tril(diagonal).expand(len(mask), W, W)


@causal_mask.mistake("Row i is the word that looks, column j what it looks at: you let it look at what comes after it.")
def _the_future(mask):
    return _earlier(mask).transpose(1, 2) & mask[:, None].bool()


@causal_mask.mistake("A word may look at itself: the diagonal is True. Else the first word has nothing to look at.")
def _without_itself(mask):
    return _earlier(mask, -1) & mask[:, None].bool()


@causal_mask.mistake("One word too many: each also sees the next one, which is the answer it has to give.")
def _one_too_many(mask):
    return _earlier(mask, 1) & mask[:, None].bool()


@causal_mask.mistake(
    "Padding is seen: it comes after the words, but the rows of padding see it. Use `mask` for columns."
)
def _padding_seen(mask):
    return _earlier(mask).clone()


@causal_mask.mistake("You hide the rows of padding. What must be hidden are its columns: nobody looks at padding.")
def _rows_of_padding(mask):
    return _earlier(mask) & mask[:, :, None].bool()


@task(points=2, gradients=True)
def joint_similarity(text: Tensor, text_mask: Tensor, video: Tensor, video_mask: Tensor) -> Tensor:
    """Dot products of mean words and mean frames: what Joint compares.

    The mean of a text leaves out its first place, [CLS], and all padding; that of a video leaves out padding. What
    has nothing left has the mean 0.

    text (A, W, D), video (B, T, D), masks (A, W) and (B, T): 1 for real, 0 for padding -> (A, B)
    """
    return products(pool_text(text, text_mask), pool_video(video, video_mask))


@joint_similarity.set_cases
def _joint_cases(draw):
    full = {"text_mask": _full(2, 3), "video_mask": _full(3, 2)}
    yield "no padding", {"text": draw(2, 3, 4), "video": draw(3, 2, 4), **full}
    masks = {
        "text_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]),
        "video_mask": torch.tensor([[1, 0, 0], [1, 1, 1]]),
    }
    yield "padding", {"text": draw(2, 4, 5), "video": draw(2, 3, 5), **masks}
    masks = {"text_mask": _full(2, 3), "video_mask": torch.tensor([[0, 0], [1, 1]])}
    yield "a video without a frame", {"text": draw(2, 3, 4), "video": draw(2, 2, 4), **masks}


def _mean(x, mask, least=1):
    mask = mask[..., None].float()
    return (x * mask).sum(1) / mask.sum(1).clamp(min=least)


@joint_similarity.mistake(
    "[CLS], the first place of a text, is part of your mean. UniVL leaves it out and keeps [SEP]."
)
def _with_cls(text, text_mask, video, video_mask):
    return _mean(text, text_mask) @ _mean(video, video_mask).T


@joint_similarity.mistake(
    "Padding is part of the mean: short texts and clips shrink. Sum what is real, divide by its number."
)
def _mean_over_padding(text, text_mask, video, video_mask):
    return text[:, 1:].mean(1) @ video.mean(1).T


@joint_similarity.mistake("You divide by the number of places, padding included. Divide by the number of real ones.")
def _divided_by_places(text, text_mask, video, video_mask):
    return (text * text_mask[..., None])[:, 1:].mean(1) @ (video * video_mask[..., None]).mean(1).T


@joint_similarity.mistake(
    "A clip without a frame divides 0 by 0. One NaN ends a training: keep the number at 1 or more."
)
def _nothing_divided_by_nothing(text, text_mask, video, video_mask):
    return _mean(text[:, 1:], text_mask[:, 1:], 0) @ _mean(video, video_mask, 0).T


@joint_similarity.mistake("These are cosines. UniVL's Joint takes dot products: the lengths of the means count.")
def _cosines(text, text_mask, video, video_mask):
    texts, videos = _mean(text[:, 1:], text_mask[:, 1:]), _mean(video, video_mask)
    return F.normalize(texts, dim=-1) @ F.normalize(videos, dim=-1).T


@joint_similarity.mistake("Rows are texts and columns are videos; yours is the transpose.")
def _transposed(text, text_mask, video, video_mask):
    return _mean(video, video_mask) @ _mean(text[:, 1:], text_mask[:, 1:]).T


@task(points=2)
def shift_captions(
    captions: list[list[int]], length: int, cls: int, sep: int, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What the decoder reads, which places of that are real, and what it has to write at each of them.

    reads [CLS] words, writes words [SEP], both filled up with [PAD]: at each place, the word that comes next. Captions
    with more than length - 1 words lose their last ones, never [SEP].

    captions   token ids of N captions, without [CLS] and [SEP]
    -> reads, mask (1 real, 0 padding), writes: whole numbers (N, length) each
    """
    texts = [" ".join(map(str, words)) for words in captions]
    return encode_captions(Numbers(cls, sep, pad), texts, length)  # reads, mask, writes


class Numbers:
    """A tokenizer of texts that are numbers."""

    def __init__(self, cls: int, sep: int, pad: int):
        self.cls_token_id, self.sep_token_id, self.pad_token_id = cls, sep, pad

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[int(word) for word in text.split()] for text in texts]}


@shift_captions.set_cases
def _shift_cases(draw):
    special = {"length": 5, "cls": 101, "sep": 102, "pad": 0}
    yield "one caption", {"captions": [[7, 8, 9]], **special}
    yield "captions of different length", {"captions": [[7], [], [5, 6, 7, 8]], **special}
    yield "more words than places", {"captions": [[5, 6, 7, 8, 9, 10]], **special}


def _filled(lines, length, pad):
    return torch.tensor([[*line[:length], *[pad] * (length - len(line))] for line in lines])


def _mask(lines, length):
    return _filled([[1] * len(line) for line in lines], length, 0)


@shift_captions.mistake("Nothing is shifted: the decoder reads the very word it has to write, and learns to copy it.")
def _not_shifted(captions, length, cls, sep, pad):
    lines = [[*words[: length - 1], sep] for words in captions]
    return _filled(lines, length, pad), _mask(lines, length), _filled(lines, length, pad)


@shift_captions.mistake("[SEP] is missing from what is written: the decoder would never learn to stop.")
def _no_end(captions, length, cls, sep, pad):
    reads = [[cls, *words[: length - 1]] for words in captions]
    return _filled(reads, length, pad), _mask(reads, length), _filled([w[: length - 1] for w in captions], length, pad)


@shift_captions.mistake("A long caption loses its [SEP]. Cut the words to length - 1 first, then add [CLS] and [SEP].")
def _cut_off_end(captions, length, cls, sep, pad):
    reads, writes = [[cls, *words] for words in captions], [[*words, sep] for words in captions]
    return _filled(reads, length, pad), _mask([r[:length] for r in reads], length), _filled(writes, length, pad)


@shift_captions.mistake("[SEP] is among what is read. After the last word it is written, so it is never read.")
def _end_is_read(captions, length, cls, sep, pad):
    cut = [words[: length - 1] for words in captions]
    reads = [[cls, *words, sep] for words in cut]
    writes = _filled([[*words, sep] for words in cut], length, pad)
    return _filled(reads, length, pad), _mask([r[:length] for r in reads], length), writes


@shift_captions.mistake(
    "The mask is all ones: padding would be a target, and its many easy places hide how words fare."
)
def _no_mask(captions, length, cls, sep, pad):
    cut = [words[: length - 1] for words in captions]
    reads, writes = [[cls, *words] for words in cut], [[*words, sep] for words in cut]
    return _filled(reads, length, pad), torch.ones(len(cut), length).long(), _filled(writes, length, pad)
