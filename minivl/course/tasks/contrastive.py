"""UniVL's objectives that compare texts with videos: Joint and Align. Sizes: N clips of W words and T frames."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivl.course.task import task
from minivl.univl import objectives


@task(points=3, gradients=True)
def mil_nce(similarity: Tensor, clips_per_video: int) -> Tensor:
    """Joint: neighbouring clips of a video are positives of each other (MIL-NCE, equation 3 of the paper).

        L_a = -log  sum_{j in G(a)} exp S[j,a]  /  ( sum_j exp S[j,a] + sum_{j not in G(a)} exp S[a,j] )

    G(a) are the clips of a's video: rows kn ... kn+n-1 are one video, n = clips_per_video.

    similarity S (N, N), rows are texts, columns are videos; values reach hundreds -> the mean over all a, a scalar
    """
    return objectives.mil_nce(similarity, clips_per_video)


@mil_nce.set_cases
def _mil_nce_cases(draw):
    yield "two videos of one clip", {"similarity": draw(2, 2), "clips_per_video": 1}
    yield "two videos of three clips", {"similarity": 2 * draw(6, 6), "clips_per_video": 3}
    yield "a single video of two clips", {"similarity": draw(2, 2), "clips_per_video": 2}
    yield "similarities of several hundreds", {"similarity": 300 * draw(4, 4), "clips_per_video": 2}


def _same_video(S, n):
    video = torch.arange(len(S)) // n
    return video[:, None] == video


def _mil_nce_of(S, positive, denied, among=None):
    """-log sum exp over `positive`, over all S[j,a] with those S[a,j] that are not `denied`, mean over a."""
    candidates = [S.T if among is None else S.T.masked_fill(~among, -torch.inf), S.masked_fill(denied, -torch.inf)]
    found = S.T.masked_fill(~positive, -torch.inf).logsumexp(1)
    return (torch.cat(candidates, 1).logsumexp(1) - found).mean()


@mil_nce.mistake(
    "Only the diagonal counts as positive. All clips of a video are positives: that is the MIL of MIL-NCE."
)
def _diagonal_alone(similarity, clips_per_video):
    return _mil_nce_of(similarity, torch.eye(len(similarity)).bool(), _same_video(similarity, clips_per_video))


@mil_nce.mistake(
    "The positives are counted twice: as texts of video a and as videos of text a. Leave them out of the latter."
)
def _positives_twice(similarity, clips_per_video):
    same = _same_video(similarity, clips_per_video)
    return _mil_nce_of(similarity, same, torch.zeros_like(same))


@mil_nce.mistake("The second sum is missing: the other videos, j not in G(a), compete for text a, too.")
def _one_direction(similarity, clips_per_video):
    same = _same_video(similarity, clips_per_video)
    return _mil_nce_of(similarity, same, torch.ones_like(same))


@mil_nce.mistake(
    "You average log-probabilities over the positives, so each of them has to fit. The sum belongs inside the "
    "logarithm: it is enough if one fits."
)
def _each_positive_alone(similarity, clips_per_video):
    same = _same_video(similarity, clips_per_video)
    everything = torch.cat([similarity.T, similarity.masked_fill(same, -torch.inf)], 1).logsumexp(1, keepdim=True)
    return ((everything - similarity.T) * same).sum() / same.sum()


@mil_nce.mistake(
    "exp of several hundreds is infinite. Stay with logarithms: torch.logsumexp, and -inf for what is left out."
)
def _overflow(similarity, clips_per_video):
    same, e = _same_video(similarity, clips_per_video), similarity.exp()
    found = (e.T * same).sum(1)
    return -(found / (e.T.sum(1) + (e * ~same).sum(1))).log().mean()


@mil_nce.mistake("Texts and videos are swapped: the positives of a are S[j,a], rows j of column a.")
def _swapped(similarity, clips_per_video):
    same = _same_video(similarity, clips_per_video)
    return _mil_nce_of(similarity.T, same, same)


@mil_nce.mistake("You sum over the clips. The mean keeps the loss the same size for every batch.")
def _summed(similarity, clips_per_video):
    same = _same_video(similarity, clips_per_video)
    return len(similarity) * _mil_nce_of(similarity, same, same)


@task(points=2, gradients=True)
def align_loss(score: Callable[[Tensor, Tensor], Tensor], text: Tensor, video: Tensor) -> Tensor:
    """Align: the cross encoder reads every text with every video, and each text must find its own (equation 6).

        S[i, j] = score(text i, video j)        L = - mean_i log softmax_j( S[i, j] )[i]

    The other direction, each video its text, is not trained.

    score   takes M texts (M, W, D) and M videos (M, T, D), and gives the score of each pair (M,)
    text (N, W, D), video (N, T, D) -> a scalar
    """
    return objectives.align_loss(_all_scores(score, text, video))


def _all_scores(score, text, video):
    N = len(text)
    pairs = text.repeat_interleave(N, 0), video.repeat(N, 1, 1)
    return score(*pairs).view(N, N)


@align_loss.set_cases
def _align_cases(draw):
    yield "two clips", {"score": _score, "text": draw(2, 3, 4), "video": draw(2, 2, 4)}
    yield "four clips", {"score": _score, "text": draw(4, 2, 4), "video": draw(4, 3, 4)}


def _score(text, video):
    """A stand-in for the cross encoder: (M, W, D), (M, T, D) -> (M,)."""
    if len(text) != len(video):
        raise ValueError(f"score needs pairs, but there are {len(text)} texts and {len(video)} videos")
    return (text.mean(1) * video.amax(1)).sum(-1)


@align_loss.mistake("Your matrix is transposed: here each video looks for its text. A row is one text with all videos.")
def _videos_choose(score, text, video):
    return objectives.align_loss(_all_scores(score, text, video).T)


@align_loss.mistake("Both directions are trained, as in CLIP. UniVL's Align trains texts to find their videos alone.")
def _both_directions(score, text, video):
    S = _all_scores(score, text, video)
    return (objectives.align_loss(S) + objectives.align_loss(S.T)) / 2


@align_loss.mistake("The sum over texts; the mean keeps the loss the same size for every batch.")
def _sum_of_texts(score, text, video):
    return len(text) * objectives.align_loss(_all_scores(score, text, video))


@align_loss.mistake(
    "Texts and videos are paired in the wrong order: repeat each text N times, and all videos N times over."
)
def _same_order(score, text, video):
    N = len(text)
    return objectives.align_loss(score(text.repeat(N, 1, 1), video.repeat(N, 1, 1)).view(N, N))


@align_loss.mistake("The positives are missing from the denominator: softmax runs over all videos, the own one too.")
def _own_left_out(score, text, video):
    S = _all_scores(score, text, video)
    return (S.masked_fill(torch.eye(len(S)).bool(), -torch.inf).logsumexp(1) - S.diagonal()).mean()
