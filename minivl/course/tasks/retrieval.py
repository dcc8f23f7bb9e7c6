"""After the model: candidates are ranked again, and the ranking is scored."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from minivl.course.task import task
from minivl.metrics.retrieval import retrieval_metrics
from minivl.tasks.univl import retrieval


class _Align:
    """A stand-in for the cross encoder, which counts the pairs that it reads."""

    def __init__(self, scores: Tensor):
        self.scores, self.pairs = scores, 0

    def __call__(self, queries: Tensor, candidates: Tensor) -> Tensor:
        if not isinstance(queries, Tensor) or not isinstance(candidates, Tensor):
            kinds = f"{type(queries).__name__} and {type(candidates).__name__}"
            raise TypeError(f"align takes two tensors of whole numbers, (M,) each, not {kinds}")
        if queries.shape != candidates.shape or queries.ndim != 1:
            kinds = f"{tuple(queries.shape)} and {tuple(candidates.shape)}"
            raise ValueError(f"align takes M queries and M candidates, (M,) each, not {kinds}")
        self.pairs += len(queries)
        return self.scores[queries, candidates]


def _ranked(answer, joint, align, k):
    """The ranking, and how many pairs were read for it: that is what FT-Align costs."""
    counted = _Align(align.scores)
    ranking = answer(joint, counted, k)
    return {"ranking": ranking, "number of pairs that `align` was asked for": counted.pairs}


@task(points=3, call=_ranked)
def rerank(joint: Tensor, align: Callable[[Tensor, Tensor], Tensor], k: int) -> Tensor:
    """FT-Align on the best of FT-Joint: the cross encoder is slow, so it reads no more than k candidates of a query.

    The k best stand first, in the order of their FT-Align scores; behind them come the others, in FT-Joint's order.
    With k above C all candidates are read.

    joint (Q, C): similarities of Q queries with C candidates
    align   takes M queries and M candidates, whole numbers (M,) each, and gives the score of each pair (M,)
    -> the ranking (Q, C): numbers of candidates, best first
    """
    similarity = retrieval.rerank(
        joint.numpy(), lambda queries, candidates: align(*map(_whole, (queries, candidates))), k
    )
    return torch.tensor(np.argsort(-similarity, axis=1, kind="stable"))


def _whole(numbers):
    return torch.as_tensor(numbers)


@rerank.set_cases
def _rerank_cases(draw):
    yield "one query, the two best of four", {"joint": draw(1, 4), "align": _Align(draw(1, 4)), "k": 2}
    yield "three queries, the three best of six", {"joint": 5 * draw(3, 6), "align": _Align(draw(3, 6)), "k": 3}
    yield (
        "FT-Align's scores are on another scale",
        {"joint": draw(2, 5).sigmoid(), "align": _Align(draw(2, 5) - 9), "k": 2},
    )
    yield "more than there are candidates", {"joint": draw(2, 3), "align": _Align(draw(2, 3)), "k": 10}


def _reranked(joint, align, k, order=lambda aligned: aligned.argsort(1, descending=True)):
    """The k best in the `order` of their FT-Align scores, then the others."""
    ranking = joint.argsort(1, descending=True)
    best = ranking[:, :k]
    queries = torch.arange(len(joint))[:, None].expand_as(best)
    aligned = align(queries.flatten(), best.flatten()).view_as(best)
    return torch.cat([best.gather(1, order(aligned)), ranking[:, k:]], 1)


@rerank.mistake(
    "The cross encoder reads every pair. That is FT-Align, whose cost reranking avoids: give it the k best alone."
)
def _everything_is_read(joint, align, k):
    return _reranked(joint, align, joint.shape[1])


@rerank.mistake("Nothing is ranked again: the k best are still in FT-Joint's order.")
def _joint_order(joint, align, k):
    return _reranked(joint, align, k, lambda aligned: torch.arange(aligned.shape[1]).expand_as(aligned))


@rerank.mistake("The worst come first among the k best: sort in descending order.")
def _worst_come_first(joint, align, k):
    return _reranked(joint, align, k, lambda aligned: aligned.argsort(1))


@rerank.mistake(
    "Scores of FT-Align are compared with similarities of FT-Joint, in one sorting. Their scales have nothing to do "
    "with each other: the k best come first, whatever their scores."
)
def _scales_are_mixed(joint, align, k):
    best = joint.topk(min(k, joint.shape[1]), 1).indices
    queries = torch.arange(len(joint))[:, None].expand_as(best)
    aligned = align(queries.flatten(), best.flatten()).view_as(best)
    return joint.scatter(1, best, aligned).argsort(1, descending=True)


@rerank.mistake(
    "Your ranking holds places among the k best. What is asked for are the candidates that stand there: gather them."
)
def _places(joint, align, k):
    ranking = joint.argsort(1, descending=True)
    best = ranking[:, :k]
    queries = torch.arange(len(joint))[:, None].expand_as(best)
    aligned = align(queries.flatten(), best.flatten()).view_as(best)
    return torch.cat([aligned.argsort(1, descending=True), ranking[:, k:]], 1)


@rerank.mistake("The candidates beyond the k best are gone. They stay behind them, in FT-Joint's order.")
def _the_rest_is_lost(joint, align, k):
    return _reranked(joint, align, k)[:, :k]


@rerank.mistake("The k *worst* candidates of FT-Joint are read: argsort is ascending unless it is told otherwise.")
def _the_worst_are_read(joint, align, k):
    return _reranked(-joint, align, k)


@task(points=3)
def recall_at_k(similarity: Tensor, k: int) -> float:
    """R@K, text to video: the share of texts, in percent, whose own video is among the K best.

    Tied videos stand in random order, so what is asked for is the expected value. With g videos that score higher
    than the own one, and e that score the same (itself included), the text counts with the probability

        P = min(1, max(0, (k - g) / e))

    similarity (N, N), row i is text i and its own video is i; k -> a number from 0 to 100
    """
    return retrieval_metrics(similarity, ks=(k,))["t2v"][f"R@{k}"]


@recall_at_k.set_cases
def _recall_cases(draw):
    yield "three texts, one right", {"similarity": torch.tensor([[3.0, 1, 2], [5, 4, 1], [1, 3, 2]]), "k": 1}
    yield "no ties", {"similarity": draw(9, 9) + torch.eye(9), "k": 3}
    yield "every video has the same score", {"similarity": torch.zeros(8, 8), "k": 2}
    pairs = torch.tensor([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    yield "two videos share the best score", {"similarity": pairs, "k": 1}
    yield "some ties", {"similarity": draw.integers(0, 3, 10, 10).float(), "k": 4}


def _counts(similarity):
    own = similarity.diagonal()[:, None]
    return (similarity > own).sum(1), (similarity == own).sum(1)


def _percent(found):
    return 100 * found.double().mean().item()


@recall_at_k.mistake("Ties count as won: a model that gives every video the same score would be perfect.")
def _ties_win(similarity, k):
    return _percent(_counts(similarity)[0] < k)


@recall_at_k.mistake("Ties count as lost. In random order, the own video is sometimes the first of its equals.")
def _ties_lose(similarity, k):
    return _percent(sum(_counts(similarity)) <= k)


@recall_at_k.mistake(
    "Ties are broken by the place in the list, as argsort does: then video 0 wins them all. Take the expected value."
)
def _ties_by_place(similarity, k):
    order = similarity.argsort(dim=1, descending=True, stable=True)[:, :k]
    return _percent((order == torch.arange(len(similarity))[:, None]).any(1))


@recall_at_k.mistake("You rank texts for each video: the columns. Text to video ranks the videos of each row.")
def _videos_to_texts(similarity, k):
    above, equal = _counts(similarity.T)
    return _percent(((k - above) / equal).clamp(0, 1))


@recall_at_k.mistake("Off by one: the best rank is 1, so R@1 is those with nobody above them.")
def _off_by_one(similarity, k):
    above, equal = _counts(similarity)
    return _percent(((k - 1 - above) / equal).clamp(0, 1))


@recall_at_k.mistake("A share from 0 to 1. Recall is given in percent.")
def _a_share(similarity, k):
    above, equal = _counts(similarity)
    return _percent(((k - above) / equal).clamp(0, 1)) / 100
