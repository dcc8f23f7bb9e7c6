"""UniVL's two strategies of pretraining: EnhancedV hides texts, StagedP hands weights over."""

import torch
from torch import Tensor

from minivl.course.task import task
from minivl.course.tasks.parts import Numbers
from minivl.data.wordpiece import encode_texts


@task(points=2)
def hide_texts(
    ids: Tensor, mask: Tensor, chance: Tensor, share: float, clips_per_video: int, sep: int, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    """EnhancedV: the whole text of some videos is hidden, so that the model has to rely on what it sees.

    A video is hidden where its chance < share, and then all of its clips are: rows kn ... kn+n-1 are video k,
    n = clips_per_video. What is left of a hidden text is [CLS] [SEP], then [PAD]. The others stay as they are.

    ids (N, W), each [CLS] words [SEP], then [PAD]; mask (N, W): 1 for real, 0 for padding; chance (N / n,) from 0 to 1
    -> ids (N, W), mask (N, W), hidden (N,): 1 for hidden texts, 0 for the others
    """
    hidden = (chance < share).repeat_interleave(clips_per_video)
    left, left_mask = encode_texts(Numbers(int(ids[0, 0]), sep, pad), [""] * len(ids), ids.shape[1])
    return torch.where(hidden[:, None], left, ids), torch.where(hidden[:, None], left_mask, mask), hidden.long()


@hide_texts.set_cases
def _hiding_cases(draw):
    chance = torch.tensor([0.05, 0.9])
    yield "two videos of one clip", {**_texts(draw, [5, 4]), "chance": chance, "share": 0.15, "clips_per_video": 1}
    chance = torch.tensor([0.3, 0.1, 0.6])
    texts = _texts(draw, [6, 4, 2, 5, 3, 6])
    yield "three videos of two clips", {**texts, "chance": chance, "share": 0.5, "clips_per_video": 2}
    chance = torch.tensor([0.2, 0.7])
    yield "nothing is hidden", {**_texts(draw, [3, 4]), "chance": chance, "share": 0.0, "clips_per_video": 1}


def _texts(draw, lengths):
    W = max(lengths)
    mask = (torch.arange(W) < torch.tensor(lengths)[:, None]).long()
    ids = draw.integers(10, 50, len(lengths), W) * mask
    ids[:, 0] = 101
    ids[torch.arange(len(ids)), mask.sum(1) - 1] = 102
    return {"ids": ids, "mask": mask, "sep": 102, "pad": 0}


def _hide(ids, mask, hidden, sep, pad):
    """[CLS] [SEP] in place of the hidden texts."""
    left, left_mask = torch.full_like(ids, pad), torch.zeros_like(mask)
    left[:, 0], left[:, 1], left_mask[:, :2] = ids[:, 0], sep, 1
    return torch.where(hidden[:, None], left, ids), torch.where(hidden[:, None], left_mask, mask), hidden.long()


def _chosen(chance, share, clips_per_video):
    return (chance < share).repeat_interleave(clips_per_video)


@hide_texts.mistake("The mask still counts the words that are gone: attention would read [PAD] as text.")
def _mask_as_before(ids, mask, chance, share, clips_per_video, sep, pad):
    left, _, hidden = _hide(ids, mask, _chosen(chance, share, clips_per_video), sep, pad)
    return left, mask.clone(), hidden


@hide_texts.mistake("[CLS] and [SEP] are gone, too. They stay: an empty text is [CLS] [SEP].")
def _nothing_is_left(ids, mask, chance, share, clips_per_video, sep, pad):
    hidden = _chosen(chance, share, clips_per_video)
    return ids.masked_fill(hidden[:, None], pad), mask * ~hidden[:, None], hidden.long()


@hide_texts.mistake("[SEP] is where it was, behind [PAD]. It moves up to place 1: [CLS] [SEP] [PAD] ...")
def _sep_stays(ids, mask, chance, share, clips_per_video, sep, pad):
    hidden = _chosen(chance, share, clips_per_video)
    special = (torch.arange(ids.shape[1]) == 0) | (ids == sep)
    gone = hidden[:, None] & ~special
    return ids.masked_fill(gone, pad), mask * ~gone, hidden.long()


@hide_texts.mistake("The other videos are hidden: a chance below 0.15 comes up 15 times in a hundred.")
def _others_hidden(ids, mask, chance, share, clips_per_video, sep, pad):
    return _hide(ids, mask, ~_chosen(chance, share, clips_per_video), sep, pad)


@hide_texts.mistake(
    "The clips of a video are neighbours: its chance belongs to n rows that follow each other (repeat_interleave), not "
    "to every row in turn (repeat)."
)
def _in_turn(ids, mask, chance, share, clips_per_video, sep, pad):
    return _hide(ids, mask, (chance < share).repeat(clips_per_video), sep, pad)


@hide_texts.mistake("Only the first clip of a video is hidden. The next one often says the same: hide them all.")
def _first_clip_alone(ids, mask, chance, share, clips_per_video, sep, pad):
    first = torch.arange(len(ids)) % clips_per_video == 0
    return _hide(ids, mask, _chosen(chance, share, clips_per_video) & first, sep, pad)


@task(points=2)
def hand_over(stage_one: dict[str, Tensor], stage_two: dict[str, Tensor], new: tuple[str, ...]) -> dict[str, Tensor]:
    """StagedP: the weights that stage two starts with. What stage one has trained goes on; the rest is new.

    The result has the names of stage_two. A weight whose name begins with one of `new` keeps stage two's own random
    start; every other one is taken from stage one. Raise ValueError where stage one lacks one of these, where its
    shape is another, and for a weight of stage one that stage two does not have: else it would be lost without a word.

    stage_one, stage_two   weights by name
    new                    how the names of what stage two adds begin, such as ("cross.", "decoder.")
    """
    kept = {name for name in stage_two if not name.startswith(new)}
    if kept != stage_one.keys() or any(stage_one[name].shape != stage_two[name].shape for name in kept):
        raise ValueError("the weights of stage one do not fit")
    return {name: stage_one[name] if name in kept else own for name, own in stage_two.items()}


ENCODERS = {"text.words": (4, 2), "video.project": (2, 3)}
ADDED = {"cross.types": (2, 2), "decoder.norm": (2,)}


@hand_over.set_cases
def _hand_over_cases(draw):
    yield "two encoders, and two new parts", _stages(draw, ENCODERS, ENCODERS | ADDED)
    yield "nothing is new", _stages(draw, ENCODERS, ENCODERS)
    yield "stage one lacks a weight of its encoders", _stages(draw, {"text.words": (4, 2)}, ENCODERS | ADDED)
    yield "another shape", _stages(draw, ENCODERS | {"video.project": (2, 5)}, ENCODERS | ADDED)
    yield "a weight that stage two does not have", _stages(draw, ENCODERS | {"text.pooler": (2,)}, ENCODERS | ADDED)


def _stages(draw, one, two):
    weights = [{name: draw(*shape) for name, shape in shapes.items()} for shapes in (one, two)]
    return {"stage_one": weights[0], "stage_two": weights[1], "new": ("cross.", "decoder.")}


def _checked(stage_one, stage_two, new):
    return hand_over.reference(stage_one, stage_two, new)


@hand_over.mistake("Nothing is handed over: stage two starts at random, and stage one was for nothing.")
def _all_new(stage_one, stage_two, new):
    _checked(stage_one, stage_two, new)
    return dict(stage_two)


@hand_over.mistake("The new parts are missing: stage two needs weights of every name, also where they start at random.")
def _stage_one_alone(stage_one, stage_two, new):
    _checked(stage_one, stage_two, new)
    return dict(stage_one)


@hand_over.mistake(
    "The new parts are zeros, so all their units would learn the same, or nothing. Keep stage two's random start."
)
def _new_parts_are_zero(stage_one, stage_two, new):
    made = _checked(stage_one, stage_two, new)
    return {name: weight * 0 if name.startswith(new) else weight for name, weight in made.items()}


@hand_over.mistake("Only the text encoder is handed over. Stage one has trained both encoders.")
def _text_encoder_alone(stage_one, stage_two, new):
    made = _checked(stage_one, stage_two, new)
    return {name: weight if name.startswith("text.") else stage_two[name] for name, weight in made.items()}


@hand_over.mistake(
    "What does not fit is passed over, as load_state_dict(strict=False) does: a misspelled name, and an encoder starts "
    "at random without anybody knowing. Raise ValueError."
)
def _passed_over(stage_one, stage_two, new):
    fits = {name for name, own in stage_two.items() if name in stage_one and stage_one[name].shape == own.shape}
    return {name: stage_one[name] if name in fits else own for name, own in stage_two.items()}


@hand_over.mistake(
    "What stage one lacks is an error with you, and what it has too much is not. Both say that two models do not fit."
)
def _surplus_is_lost(stage_one, stage_two, new):
    return _checked({name: weight for name, weight in stage_one.items() if name in stage_two}, stage_two, new)


@hand_over.mistake("Names are compared, shapes are not: a weight of another shape would stop the training later.")
def _shapes_unseen(stage_one, stage_two, new):
    if {name for name in stage_two if not name.startswith(new)} != stage_one.keys():
        raise ValueError("the names do not fit")
    return {**stage_two, **stage_one}
