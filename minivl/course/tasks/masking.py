"""Masking of words and frames. The draws are given, so that an answer can be compared number by number."""

import torch
from torch import Tensor

from minivl.course.task import task
from minivl.data import masking


@task(points=2)
def mask_words(
    ids: Tensor, mask: Tensor, chance: Tensor, fate: Tensor, anything: Tensor, mask_id: int, share: float
) -> tuple[Tensor, Tensor]:
    """BERT's masking, with all draws given.

    A word is selected where chance < share, but never the first and the last real one ([CLS] and [SEP]) or padding.
    A selected word becomes mask_id where fate < 0.8, the word in `anything` where 0.8 <= fate < 0.9, and else stays.

    ids (N, W); mask (N, W): 1 for real words, 0 for padding, which comes last; chance and fate (N, W) from 0 to 1;
    anything (N, W) random words
    -> masked ids (N, W), labels (N, W): the word that was there where one was selected, -1 elsewhere
    """
    return masking.masked_tokens(ids, mask, chance, fate, anything, mask_id, share)


@mask_words.set_cases
def _word_cases(draw):
    yield "all words are selected", _text(draw, [6], share=1.0)
    yield "texts of different length", _text(draw, [8, 5, 2], share=0.6)


def _text(draw, lengths, share):
    N, W = len(lengths), max(lengths)
    mask = (torch.arange(W) < torch.tensor(lengths)[:, None]).long()
    fate = torch.tensor([0.3, 0.85, 0.95, 0.5]).repeat(N, W // 4 + 1)[:, :W]  # all three fates
    ids, anything = draw.integers(10, 50, N, W), draw.integers(50, 90, N, W)
    draws = {"chance": draw.uniform(N, W), "fate": fate, "anything": anything}
    return {"ids": ids * mask, "mask": mask, **draws, "mask_id": 4, "share": share}


def _selected(mask, chance, share):
    place = torch.arange(mask.shape[1])
    return (place > 0) & (place < mask.sum(1, keepdim=True) - 1) & (chance < share)


def _masked(ids, selected, fate, anything, mask_id, first=0.8, second=0.9):
    out = torch.where(selected & (fate < first), mask_id, ids)
    out = torch.where(selected & (fate >= first) & (fate < second), anything, out)
    return out, torch.where(selected, ids, -1)


@mask_words.mistake("[CLS] and [SEP] are masked, too: spare the first and the last real word of each text.")
def _special_words_too(ids, mask, chance, fate, anything, mask_id, share):
    return _masked(ids, (mask > 0) & (chance < share), fate, anything, mask_id)


@mask_words.mistake(
    "Padding and the last real word are selected. The last *real* word is at mask.sum(1) - 1, not at W - 1."
)
def _padding_too(ids, mask, chance, fate, anything, mask_id, share):
    place = torch.arange(mask.shape[1])
    selected = (place > 0) & (place < mask.shape[1] - 1) & (chance < share)
    return _masked(ids, selected, fate, anything, mask_id)


@mask_words.mistake(
    "All selected words become [MASK]. 10% turn into a random word and 10% stay, so that the model must think about "
    "every word, also where it sees no [MASK]."
)
def _always_the_mask(ids, mask, chance, fate, anything, mask_id, share):
    return _masked(ids, _selected(mask, chance, share), fate, anything, mask_id, 2.0, 2.0)


@mask_words.mistake(
    "Words that are selected and stay have no label. They count as masked: the model must predict them, too."
)
def _kept_words_unlabelled(ids, mask, chance, fate, anything, mask_id, share):
    selected = _selected(mask, chance, share)
    masked, labels = _masked(ids, selected, fate, anything, mask_id)
    return masked, labels.masked_fill(fate >= 0.9, -1)


@mask_words.mistake("Your labels are the masked words. A label is the word that was there before.")
def _labels_after_masking(ids, mask, chance, fate, anything, mask_id, share):
    selected = _selected(mask, chance, share)
    masked, _ = _masked(ids, selected, fate, anything, mask_id)
    return masked, torch.where(selected, masked, -1)


@mask_words.mistake("Every word has a label. Where nothing was selected it is -1, and CMLM leaves the place out.")
def _every_word_labelled(ids, mask, chance, fate, anything, mask_id, share):
    return _masked(ids, _selected(mask, chance, share), fate, anything, mask_id)[0], ids.clone()


@task(points=1)
def mask_frames(video: Tensor, mask: Tensor, chance: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Frames that are set to zeros, with all draws given: real frames where chance < share.

    video (N, T, F); mask (N, T): 1 for real frames, 0 for padding; chance (N, T) from 0 to 1
    -> masked video (N, T, F), labels (N, T): the own index t of a masked frame (0 for the first), -1 elsewhere
    """
    return masking.masked_frames(video, mask, chance, share)


@mask_frames.set_cases
def _frame_cases(draw):
    every = {"mask": torch.ones(1, 3).long(), "chance": draw.uniform(1, 3), "share": 1.0}
    yield "all frames are masked", {"video": draw(1, 3, 4), **every}
    chance = torch.tensor([[0.1, 0.9, 0.2, 0.1], [0.8, 0.3, 0.9, 0.4]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    yield "clips of different length", {"video": draw(2, 4, 3), "mask": mask, "chance": chance, "share": 0.5}


def _zeroed(video, chosen):
    return video * ~chosen[..., None], torch.where(chosen, torch.arange(chosen.shape[1]), -1)


@mask_frames.mistake("Padding is masked, too: the model would have to predict a frame that never was.")
def _padding_is_masked(video, mask, chance, share):
    return _zeroed(video, chance < share)


@mask_frames.mistake("Frames from `share` on are masked. A chance below 0.15 comes up 15 times in a hundred.")
def _the_others(video, mask, chance, share):
    return _zeroed(video, (mask > 0) & (chance >= share))


@mask_frames.mistake(
    "Frames that are not masked have the label 0, which is the first frame's own index. Their label is -1."
)
def _zero_for_nothing(video, mask, chance, share):
    masked, labels = _zeroed(video, (mask > 0) & (chance < share))
    return masked, labels.clamp(min=0)


@mask_frames.mistake("Your labels are 1 for masked frames. A label says which frame it is: its index t.")
def _ones_for_labels(video, mask, chance, share):
    chosen = (mask > 0) & (chance < share)
    return _zeroed(video, chosen)[0], torch.where(chosen, 1, -1)
