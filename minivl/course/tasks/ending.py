"""When beam search ends, and in which order stands what it found. Sizes: B captions of one clip, of L places."""

import torch
from torch import Tensor

from minivl.course.task import task


@task(points=1)
def search_ended(finished: Tensor, num_return: int, length_penalty: float, words: int, max_length: int) -> bool:
    """Whether the search of a clip has ended after a step.

    The captions stand in the order of their sums of log-probabilities, best first, and these never grow. So nothing
    can change any more once the first num_return are finished. With a length penalty above 0 the order is made anew
    at the end, so all B have to be finished. It ends in any case when captions are max_length words long.

    finished (B,) truth values; words: how many each caption has by now, [SEP] included
    """
    needed = len(finished) if length_penalty else num_return
    return words >= max_length or bool(finished[:needed].all())


@search_ended.set_cases
def _ending_cases(draw):
    free = {"length_penalty": 0.0, "words": 3, "max_length": 9}
    yield "the best is finished, and one is asked for", {"finished": _which(True, False), "num_return": 1, **free}
    yield "the second is finished, and one is asked for", {"finished": _which(False, True), "num_return": 1, **free}
    yield "the first and the third of three", {"finished": _which(True, False, True), "num_return": 2, **free}
    penalised = {**free, "length_penalty": 0.6}
    yield "a length penalty", {"finished": _which(True, False), "num_return": 1, **penalised}
    full = {**free, "words": 9}
    yield "none is finished at max_length", {"finished": _which(False, False), "num_return": 1, **full}
    nearly = {**free, "words": 8}
    yield "one word before max_length", {"finished": _which(False, False), "num_return": 1, **nearly}


def _which(*finished):
    return torch.tensor(finished)


def _needed(finished, num_return, length_penalty):
    return len(finished) if length_penalty else num_return


def _ends(
    enough=lambda finished, needed: finished[:needed].all(),
    needed=_needed,
    full=lambda words, max_length: words >= max_length,
):
    """search_ended with other rules: what is enough, how many captions are needed, when captions are full."""

    def _ended(finished, num_return, length_penalty, words, max_length):
        return full(words, max_length) or bool(enough(finished, needed(finished, num_return, length_penalty)))

    return _ended


search_ended.add_mistake(
    "any_finished",
    "One finished caption ends your search, whichever it is. A better one is still growing, and may stay better.",
    _ends(enough=lambda finished, needed: finished.any()),
)
search_ended.add_mistake(
    "as_many_anywhere",
    "You count the finished captions wherever they stand. The *first* num_return have to be finished.",
    _ends(enough=lambda finished, needed: finished.sum() >= needed),
)
search_ended.add_mistake(
    "all_finished",
    "You wait for all captions. Without a length penalty the first num_return decide: sums of log-probabilities never "
    "grow, so the others can't overtake them.",
    _ends(needed=lambda finished, num_return, _: len(finished)),
)
search_ended.add_mistake(
    "the_best_alone",
    "You look at the best caption alone. num_return of them are asked for.",
    _ends(needed=lambda finished, num_return, _: 1),
)
search_ended.add_mistake(
    "penalty_forgotten",
    "With a length penalty a caption that is behind may be first in the end: all of them have to be finished.",
    _ends(needed=lambda finished, num_return, _: num_return),
)
search_ended.add_mistake(
    "without_end",
    "max_length is not looked at, or one word too late: a decoder that never writes [SEP] would go on for ever.",
    _ends(full=lambda words, max_length: False),
)
search_ended.add_mistake(
    "one_too_few",
    "Off by one: captions may be max_length words long, and yours end a word before.",
    _ends(full=lambda words, max_length: words >= max_length - 1),
)


@task(points=2)
def rank_captions(tokens: Tensor, scores: Tensor, sep: int, length_penalty: float) -> tuple[list[list[int]], Tensor]:
    """The captions that a search has found, as words, in their final order.

    A caption ends with its first [SEP], or at L if it has none; what stands behind means nothing. Its final score is
    score / length ** length_penalty, where the length counts its words and its [SEP].

    tokens (B, L), without [CLS]; scores (B,) sums of log-probabilities
    -> the words of each caption, without [SEP] and what is behind it; the final scores (B,); both best first
    """
    lines = [_words(line, sep) for line in tokens.tolist()]
    lengths = torch.tensor([min(len(line) + 1, tokens.shape[1]) for line in lines])
    final, order = (scores / lengths**length_penalty).sort(descending=True, stable=True)
    return [lines[i] for i in order.tolist()], final


def _words(line, sep):
    return line[: line.index(sep)] if sep in line else line


@rank_captions.set_cases
def _ranking_cases(draw):
    tokens = torch.tensor([[7, 102, 0, 0], [5, 6, 102, 0]])
    ranked = {"sep": 102, "length_penalty": 0.0}
    yield "no length penalty", {"tokens": tokens, "scores": torch.tensor([-1.5, -2.0]), **ranked}
    tokens = torch.tensor([[7, 102, 0, 0, 0], [5, 6, 8, 9, 102], [5, 6, 8, 9, 4]])
    ranked = {"sep": 102, "length_penalty": 1.0}
    yield (
        "a length penalty, and a caption without an end",
        {"tokens": tokens, "scores": -2.0 - draw.uniform(3), **ranked},
    )
    tokens = torch.tensor([[102, 0, 0, 0], [8, 102, 5, 102], [5, 6, 102, 0]])
    scores, ranked = torch.tensor([-2.0, -2.5, -3.5]), {"sep": 102, "length_penalty": 0.5}
    yield "an empty caption, and one that went on after its end", {"tokens": tokens, "scores": scores, **ranked}


def _ranks(
    length=lambda words, longest: min(words + 1, longest),
    final=lambda score, length, penalty: score / length**penalty,
    cut=_words,
    order=lambda final, scores: final.argsort(descending=True, stable=True),
):
    """rank_captions with other rules: of the length, of the final score, of where a caption ends, of the order."""

    def _ranked(tokens, scores, sep, length_penalty):
        L = tokens.shape[1]
        lengths = torch.tensor([length(len(_words(line, sep)), L) for line in tokens.tolist()])
        finals = final(scores, lengths, length_penalty)
        places = order(finals, scores)
        return [cut(tokens[place].tolist(), sep) for place in places.tolist()], finals[places]

    return _ranked


rank_captions.add_mistake(
    "order_of_the_sums",
    "The order is still that of the sums. With a length penalty it has to be made anew, by the final scores.",
    _ranks(order=lambda final, scores: scores.argsort(descending=True, stable=True)),
)
rank_captions.add_mistake(
    "sep_not_counted",
    "The length has to count [SEP], which the decoder has written, too. An empty caption has the length 1, not 0.",
    _ranks(length=lambda words, longest: words),
)
rank_captions.add_mistake(
    "sep_counted_twice",
    "A caption without [SEP] has L words, and nothing is added to its length.",
    _ranks(length=lambda words, longest: words + 1),
)
rank_captions.add_mistake(
    "padding_counted",
    "Every caption has the length L with you: what stands behind [SEP] does not count.",
    _ranks(length=lambda words, longest: longest),
)
rank_captions.add_mistake(
    "multiplied",
    "Scores are negative: times the length, long captions lose even more. Divide by length ** length_penalty.",
    _ranks(final=lambda score, length, penalty: score * length**penalty),
)
rank_captions.add_mistake(
    "penalty_as_factor",
    "The penalty is an exponent: length ** length_penalty. With 0 it divides by 1 and changes nothing.",
    _ranks(final=lambda score, length, penalty: score / (1 + length * penalty)),
)
rank_captions.add_mistake(
    "always_the_mean",
    "You divide by the length whatever the penalty is. With 0 the sum stays as it is.",
    _ranks(final=lambda score, length, penalty: score / length),
)
rank_captions.add_mistake(
    "sep_is_a_word",
    "[SEP] is among the words. It says where they end.",
    _ranks(cut=lambda line, sep: line[: line.index(sep) + 1] if sep in line else line),
)
rank_captions.add_mistake(
    "cut_at_the_last_sep",
    "A caption ends with its *first* [SEP], and yours goes on to a later one.",
    _ranks(cut=lambda line, sep: line[: len(line) - 1 - line[::-1].index(sep)] if sep in line else line),
)
rank_captions.add_mistake(
    "worst_first",
    "The worst come first: log-probabilities are negative, and the best is nearest to 0.",
    _ranks(order=lambda final, scores: final.argsort(stable=True)),
)
