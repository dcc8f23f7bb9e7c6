"""UniVL's objectives that ask what was masked: CMLM and CMFM.

Sizes: N clips of W words and T frames, F numbers per frame, V words in the vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from minivl.course.task import task
from minivl.univl import objectives


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
