"""One step of beam search. Sizes: B captions of one clip, V words in the vocabulary."""

import torch
from torch import Tensor

from minivl.course.task import task
from minivl.univl.generation import allowed, best_continuations


@task(points=3)
def beam_step(scores: Tensor, logits: Tensor, finished: Tensor, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """One step of beam search: of all continuations of B captions by one word, the B with the highest scores.

    The score of a continuation is that of its caption plus the log-probability of its word. [PAD] is never written,
    but a finished caption has exactly one continuation: [PAD], which costs nothing, so that it stays as it is.

    scores (B,) sums of log-probabilities; logits (B, V); finished (B,) truth values
    -> scores, the caption (0 to B-1) that is continued, and the new word, (B,) each, best first
    """
    gains = allowed(logits[None].log_softmax(-1), finished[None], pad, pad)
    found = best_continuations(scores[None], gains, len(scores))
    return found[0][0], found[1][0], found[2][0]


@beam_step.set_cases
def _beam_cases(draw):
    yield "two captions of equal score", {**_captions(draw, [-1.0, -1.0], 4), "finished": torch.zeros(2).bool()}
    yield "one caption is far ahead", {**_captions(draw, [-0.5, -9.0, -9.5], 6), "finished": torch.zeros(3).bool()}
    finished = torch.tensor([False, True, False])
    yield "a finished caption that stays", {**_captions(draw, [-2.0, -2.5, -3.0], 5), "finished": finished}
    yield "all are finished", {**_captions(draw, [-2.0, -1.0], 4), "finished": torch.ones(2).bool()}


def _captions(draw, scores, V):
    """[PAD] is the likeliest word of each caption, as it would be for a decoder that has learned to write it."""
    logits = draw(len(scores), V)
    logits[:, 0] = 2.0
    return {"scores": torch.tensor(scores), "logits": logits, "pad": 0}


def _best(scores, gains):
    scores, best = (scores[:, None] + gains).flatten().topk(len(scores))
    return scores, best // gains.shape[1], best % gains.shape[1]


def _gains(logits, finished, pad):
    gains = logits.log_softmax(-1)
    gains[:, pad] = -torch.inf
    gains[finished] = -torch.inf
    gains[finished, pad] = 0.0
    return gains


@beam_step.mistake(
    "Each caption keeps its own best word. All continuations compete: one caption may have several of them."
)
def _no_competition(scores, logits, finished, pad):
    gain, word = _gains(logits, finished, pad).max(1)
    total, order = (scores + gain).sort(descending=True)
    return total, order, word[order]


@beam_step.mistake("Logits are added up. Scores are comparable only as log-probabilities: log_softmax over the words.")
def _sums_of_logits(scores, logits, finished, pad):
    gains = _gains(logits, finished, pad)
    return _best(scores, torch.where(gains.isfinite() & ~finished[:, None], logits, gains))


@beam_step.mistake("Probabilities are added to log-probabilities: take the logarithm of the softmax.")
def _no_logarithm(scores, logits, finished, pad):
    gains = _gains(logits, finished, pad)
    return _best(scores, torch.where(finished[:, None], gains, gains.exp().where(gains.isfinite(), gains)))


@beam_step.mistake("A finished caption goes on growing. Its only continuation is [PAD], at no cost.")
def _grows_on(scores, logits, finished, pad):
    return _best(scores, _gains(logits, torch.zeros_like(finished), pad))


@beam_step.mistake("A finished caption pays for its [PAD] and loses against longer ones. It stays as it is: cost 0.")
def _pays_for_padding(scores, logits, finished, pad):
    gains = _gains(logits, finished, pad)
    gains[finished, pad] = logits.log_softmax(-1)[finished, pad]
    return _best(scores, gains)


@beam_step.mistake("[PAD] is written by captions that are not finished: rule it out before you choose.")
def _padding_is_written(scores, logits, finished, pad):
    gains = _gains(logits, finished, pad)
    gains[:, pad] = logits.log_softmax(-1)[:, pad].masked_fill(finished, 0.0)
    return _best(scores, gains)


@beam_step.mistake(
    "Caption and word are mixed up: in the flattened (B, V), place // V is the caption and place % V the word."
)
def _mixed_up(scores, logits, finished, pad):
    total, best = (scores[:, None] + _gains(logits, finished, pad)).flatten().topk(len(scores))
    return total, best % len(scores), best // len(scores)


@beam_step.mistake("The worst come first: the order is from the highest score to the lowest.")
def _worst_first(scores, logits, finished, pad):
    return tuple(part.flip(0) for part in _best(scores, _gains(logits, finished, pad)))
