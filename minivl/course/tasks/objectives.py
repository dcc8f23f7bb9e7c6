"""UniVL's objectives. Sizes: N clips of W words and T frames, F numbers per frame, V words in the vocabulary."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
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
def cmlm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """CMLM: which words were masked (equation 4 of the paper).

        L = - mean_m log softmax_v( logits_m )[label_m]        over the masked words m

    logits (N, W, V), labels (N, W): the word that was masked, -1 where none was -> a scalar; 0 if nothing is masked
    """
    masked = labels >= 0
    return objectives.cmlm_loss(logits[masked], labels[masked])


@cmlm_loss.set_cases
def _cmlm_cases(draw):
    yield "every word is masked", {"logits": draw(1, 2, 4), "labels": torch.tensor([[3, 1]])}
    labels = torch.tensor([[-1, 2, -1, 0], [-1, -1, -1, 4]])
    yield "some words are masked", {"logits": 2 * draw(2, 4, 5), "labels": labels}
    yield "nothing is masked", {"logits": draw(1, 3, 4), "labels": torch.full((1, 3), -1)}


def _per_word(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=-1)


@cmlm_loss.mistake("Without any masked word you divide by 0: NaN, as in the release. Divide by at least 1.")
def _nan_for_nothing(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-1)


@cmlm_loss.mistake("You divide by all words. The mean is over the masked ones; the others are not predicted.")
def _mean_over_all_words(logits, labels):
    return _per_word(logits, labels).mean()


@cmlm_loss.mistake("-1 is taken for a word. It says that nothing was masked there: leave these places out.")
def _every_place(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().clamp(min=0))


@cmlm_loss.mistake("-1 is taken as an index, and means the last word of the vocabulary. Leave these places out.")
def _last_word(logits, labels):
    return -logits.log_softmax(-1).gather(-1, (labels % logits.shape[-1])[..., None]).mean()


@cmlm_loss.mistake(
    "The softmax runs over the places of the text. A word is chosen among the V words of the vocabulary."
)
def _softmax_over_places(logits, labels):
    chosen = logits.log_softmax(1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    return -(chosen * (labels >= 0)).sum() / (labels >= 0).sum().clamp(min=1)


@cmlm_loss.mistake(
    "The logarithm is missing: these are probabilities, whose gradient is smallest where the model is worst."
)
def _no_logarithm(logits, labels):
    chosen = logits.softmax(-1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    return -(chosen * (labels >= 0)).sum() / (labels >= 0).sum().clamp(min=1)


@cmlm_loss.mistake("You sum over the masked words. Take their mean: else a batch with more masks weighs more.")
def _sum_of_words(logits, labels):
    return _per_word(logits, labels).sum()


@task(points=3, gradients=True)
def cmfm_loss(predicted: Tensor, frames: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """CMFM: which frame was masked, among all real frames of the batch (equation 5 of the paper, noise contrastive).

        L = - mean_m log softmax_k( predicted_m . frame_k )[own frame of m]

    The frames are targets: no gradient reaches them.

    predicted (N, T, F); frames (N, T, F) as they were before masking; mask (N, T): 1 for real frames, 0 for padding;
    labels (N, T): the own index t of a masked frame, -1 elsewhere -> a scalar; 0 if nothing is masked
    """
    masked, real = labels >= 0, mask.bool()
    place = (real.flatten().cumsum(0) - 1).view_as(real)  # of each real frame among the candidates
    return objectives.cmfm_loss(predicted[masked], frames.detach()[real], place[masked])


@cmfm_loss.set_cases
def _cmfm_cases(draw):
    yield "one clip of three frames", _clips(draw, [[1, 1, 1]], [[-1, 1, -1]])
    yield "two clips", _clips(draw, [[1, 1, 1], [1, 1, 1]], [[0, -1, -1], [-1, 1, 2]])
    yield "clips with padding", _clips(draw, [[1, 1, 0], [1, 1, 1]], [[-1, 1, -1], [0, -1, 2]])
    yield "nothing is masked", _clips(draw, [[1, 1, 0]], [[-1, -1, -1]])


def _clips(draw, mask, labels):
    mask, labels = torch.tensor(mask), torch.tensor(labels)
    size = (*mask.shape, 4)
    return {"predicted": draw(*size), "frames": draw(*size), "mask": mask, "labels": labels}


def _cmfm_of(predicted, frames, mask, labels, least=1):
    """With padding among the candidates if the mask says so; the targets are what `frames` is."""
    scores = (predicted.flatten(0, 1) @ frames.flatten(0, 1).T).masked_fill(~mask.flatten().bool(), -torch.inf)
    own = scores.log_softmax(1).diagonal().view_as(labels)
    chosen = labels >= 0
    return -own[chosen].sum() / chosen.sum().clamp(min=least)


@cmfm_loss.mistake("The candidates are the frames of the own clip alone. Equation 5 takes all frames of the batch.")
def _own_clip_alone(predicted, frames, mask, labels):
    scores = (predicted @ frames.detach().transpose(1, 2)).masked_fill(~mask[:, None].bool(), -torch.inf)
    own = scores.log_softmax(2).diagonal(dim1=1, dim2=2)
    return -own[labels >= 0].sum() / (labels >= 0).sum().clamp(min=1)


@cmfm_loss.mistake("Padding is among the candidates: zeros that no frame should be compared with. Use `mask`.")
def _padding_as_candidates(predicted, frames, mask, labels):
    return _cmfm_of(predicted, frames.detach(), torch.ones_like(mask), labels)


@cmfm_loss.mistake(
    "A label counts within its clip. Among the frames of the whole batch, those of earlier clips come first."
)
def _labels_within_the_clip(predicted, frames, mask, labels):
    scores = predicted[labels >= 0] @ frames.detach()[mask.bool()].T
    return F.cross_entropy(scores, labels[labels >= 0], reduction="sum") / max(1, int((labels >= 0).sum()))


@cmfm_loss.mistake(
    "The frames get a gradient: the model could make its targets easy instead of predicting. Detach them."
)
def _targets_are_trained(predicted, frames, mask, labels):
    return _cmfm_of(predicted, frames, mask, labels)


@cmfm_loss.mistake("These are cosines. UniVL takes dot products.")
def _cosines_of_frames(predicted, frames, mask, labels):
    return _cmfm_of(F.normalize(predicted, dim=-1), F.normalize(frames.detach(), dim=-1), mask, labels)


@cmfm_loss.mistake("Without any masked frame you divide by 0: NaN. Divide by at least 1.")
def _nan_without_masks(predicted, frames, mask, labels):
    return _cmfm_of(predicted, frames.detach(), mask, labels, least=0)


@cmfm_loss.mistake("That is regression. CMFM asks which frame it was: a softmax over candidates.")
def _regression(predicted, frames, mask, labels):
    chosen = labels >= 0
    return (predicted - frames.detach())[chosen].pow(2).sum() / (4 * chosen.sum().clamp(min=1))


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
