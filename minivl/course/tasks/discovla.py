"""DiscoVLA's embeddings of videos, and its losses.

Sizes: A caption sets of T captions each, B videos of F frames, embeddings of D numbers.
"""

import torch
from torch import Tensor
from torch.nn.functional import kl_div, normalize

from minivl.course.task import task
from minivl.discovla import aligndistill, pimgalign


@task(points=2, gradients=True)
def frame_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """The embedding of a video: the mean of its real frames' embeddings, each of which is normalised first.

        v = sum_f m_f g_f / |g_f|  /  sum_f m_f

    v is not normalised again: that is left to the cosine. Raise ValueError for a video without a real frame.

    frames g (B, F, D), not normalised; mask m (B, F): 1 for real frames, 0 for padding -> (B, D)
    """
    if not mask.any(1).all():
        raise ValueError("a video without a real frame")
    return (normalize(frames, dim=-1) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@frame_mean.set_cases
def _mean_cases(draw):
    yield "one video, no padding", {"frames": draw(1, 2, 3), "mask": torch.ones(1, 2).long()}
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    yield "padding", {"frames": 3 * draw(3, 4, 5), "mask": mask}
    yield "a video without a real frame", {"frames": draw(2, 2, 3), "mask": torch.tensor([[1, 1], [0, 0]])}


def _mean_of(frames, mask):
    """The mean of real frames, and an error where there is none."""
    if not mask.any(1).all():
        raise ValueError("no real frame")
    return (frames * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@frame_mean.mistake("Padding is part of the mean. Sum the real frames, and divide by their number.")
def _padding_in_the_mean(frames, mask):
    return _mean_of(normalize(frames, dim=-1), mask.any(1, keepdim=True).expand_as(mask))


@frame_mean.mistake("You divide by the number of places, padding included. Divide by the number of real frames.")
def _divided_by_all(frames, mask):
    return _mean_of(normalize(frames, dim=-1), mask) * mask.float().mean(1, keepdim=True)


@frame_mean.mistake("The frames are not normalised: one with a large embedding decides for all.")
def _frames_not_normalised(frames, mask):
    return _mean_of(frames, mask)


@frame_mean.mistake("The mean is normalised, and the frames are not. It has to be the other way round.")
def _mean_normalised_alone(frames, mask):
    return normalize(_mean_of(frames, mask), dim=-1)


@frame_mean.mistake(
    "The mean is normalised again. Its length says how much the frames agree, and the cosine drops it later."
)
def _normalised_twice(frames, mask):
    return normalize(_mean_of(normalize(frames, dim=-1), mask), dim=-1)


@frame_mean.mistake("You normalise over the frames. A frame's length is taken over its D numbers, the last dimension.")
def _normalised_over_frames(frames, mask):
    return _mean_of(normalize(frames, dim=1), mask)


@frame_mean.mistake("A video without a real frame divides 0 by 0, and one NaN ends a training. Raise ValueError.")
def _nan_for_no_frame(frames, mask):
    return (normalize(frames, dim=-1) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@frame_mean.mistake("A video without a real frame gets the embedding 0, which fits nothing. Raise ValueError.")
def _zero_for_no_frame(frames, mask):
    return (normalize(frames, dim=-1) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


@task(points=3, gradients=True)
def image_level_similarity(captions: Tensor, frames: Tensor, scale: float) -> Tensor:
    """PImgAlign: how well the frame captions of video a fit the frames of video b, for all a and b.

        K[a,b,t,f] = cosine of caption t of a and frame f of b
        A1[a,b] = sum_t softmax_t(s m1) m1        m1[a,b,t] = max_f K[a,b,t,f]
        A2[a,b] = sum_f softmax_f(s m2) m2        m2[a,b,f] = max_t K[a,b,t,f]
        I = (A1 + A2) / 2

    captions (A, T, D) and frames (B, F, D), not normalised; scale s -> (A, B)
    """
    return pimgalign.image_level_similarity(captions, frames, scale)


@image_level_similarity.set_cases
def _image_level_cases(draw):
    yield "one video", {"captions": draw(1, 2, 3), "frames": draw(1, 3, 3), "scale": 2.0}
    yield "two caption sets, three videos", {"captions": draw(2, 4, 5), "frames": draw(3, 3, 5), "scale": 4.0}
    yield "as many captions as frames", {"captions": draw(2, 3, 4), "frames": draw(2, 3, 4), "scale": 3.0}


def _cosines(captions, frames):
    return torch.einsum("atd,bfd->abtf", normalize(captions, dim=-1), normalize(frames, dim=-1))


def _weighted(m, scale):
    return ((scale * m).softmax(-1) * m).sum(-1)


@image_level_similarity.mistake("Captions and frames are not normalised: K are cosines.")
def _not_normalised(captions, frames, scale):
    K = torch.einsum("atd,bfd->abtf", captions, frames)
    return (_weighted(K.amax(3), scale) + _weighted(K.amax(2), scale)) / 2


@image_level_similarity.mistake("One way only: captions look for frames. Frames look for captions, too (A2).")
def _captions_alone(captions, frames, scale):
    return _weighted(_cosines(captions, frames).amax(3), scale)


@image_level_similarity.mistake("One way only: frames look for captions. Captions look for frames, too (A1).")
def _frames_alone(captions, frames, scale):
    return _weighted(_cosines(captions, frames).amax(2), scale)


@image_level_similarity.mistake(
    "A plain mean over captions and frames. The softmax gives more weight to those that found a good one."
)
def _plain_mean(captions, frames, scale):
    K = _cosines(captions, frames)
    return (K.amax(3).mean(-1) + K.amax(2).mean(-1)) / 2


@image_level_similarity.mistake("The scale is missing from the softmax: cosines alone differ too little to be weights.")
def _no_scale(captions, frames, scale):
    K = _cosines(captions, frames)
    return (_weighted(K.amax(3), 1.0) + _weighted(K.amax(2), 1.0)) / 2


@image_level_similarity.mistake(
    "The scale is part of the result. It belongs inside the softmax; what is summed are the cosines m."
)
def _scaled_result(captions, frames, scale):
    K = scale * _cosines(captions, frames)
    return (_weighted(K.amax(3), 1.0) + _weighted(K.amax(2), 1.0)) / 2


@image_level_similarity.mistake("A1 and A2 are added up; I is their mean.")
def _sum_of_ways(captions, frames, scale):
    K = _cosines(captions, frames)
    return _weighted(K.amax(3), scale) + _weighted(K.amax(2), scale)


@task(points=3, gradients=True)
def alignment_distillation(video: Tensor, image: Tensor, scale: float) -> Tensor:
    """AlignDistill, as the paper has it: image-level alignment I teaches video-level alignment S.

        L = ( D(S, I) + D(Sᵀ, Iᵀ) ) / 2        D(S, I) = 1/B sum_i KL( softmax(s I[i]) || softmax(s S[i]) )

    KL(p || q) = sum_j p_j (log p_j - log q_j). I is the teacher and is detached: only S gets a gradient.

    video S and image I (B, B), row i for text i; scale s -> a scalar
    """
    return aligndistill.alignment_distillation(video, image, scale, "paper")


@alignment_distillation.set_cases
def _distillation_cases(draw):
    yield "two videos", {"video": draw(2, 2), "image": draw(2, 2), "scale": 1.0}
    yield "four videos, scale 3", {"video": draw(4, 4), "image": draw(4, 4), "scale": 3.0}
    yield "a scale of 100", {"video": draw(3, 3), "image": draw(3, 3), "scale": 100.0}


def _divergence(student, teacher, scale, reduction="batchmean"):
    log_p, log_q = (scale * teacher).log_softmax(1), (scale * student).log_softmax(1)
    return kl_div(log_q, log_p, reduction=reduction, log_target=True)


def _both_ways(student, teacher, scale, reduction="batchmean"):
    return (_divergence(student, teacher, scale, reduction) + _divergence(student.T, teacher.T, scale, reduction)) / 2


@alignment_distillation.mistake("The teacher gets a gradient: it would move towards its student. Detach it.")
def _teacher_learns(video, image, scale):
    return _both_ways(video, image, scale)


@alignment_distillation.mistake("The student is detached, so it learns nothing. Detach the teacher, `image`.")
def _student_detached(video, image, scale):
    return _both_ways(video.detach(), image, scale)


@alignment_distillation.mistake(
    "KL the wrong way round: the teacher is p, on the left. In torch: kl_div(log q, log p)."
)
def _reversed(video, image, scale):
    return _both_ways(image.detach(), video, scale)


@alignment_distillation.mistake("Texts alone. The transposed matrices, seen from the videos, are half of the loss.")
def _texts_alone(video, image, scale):
    return _divergence(video, image.detach(), scale)


@alignment_distillation.mistake("The mean runs over all B² entries. Sum over the columns, and take the mean over rows.")
def _mean_over_entries(video, image, scale):
    return _both_ways(video, image.detach(), scale, "mean")


@alignment_distillation.mistake("The sum over rows is not divided by B: the loss grows with the batch.")
def _sum_over_rows(video, image, scale):
    return _both_ways(video, image.detach(), scale, "sum")


@alignment_distillation.mistake("The scale is forgotten: both softmaxes are of s times the similarities.")
def _scale_forgotten(video, image, scale):
    return _both_ways(video, image.detach(), 1.0)


@alignment_distillation.mistake("The two directions are added up; the loss is their mean.")
def _sum_of_directions(video, image, scale):
    return 2 * _both_ways(video, image.detach(), scale)


@alignment_distillation.mistake("kl_div takes the *logarithm* of q as its input; you give it probabilities.")
def _probabilities(video, image, scale):
    return (_of_probabilities(video, image.detach(), scale) + _of_probabilities(video.T, image.detach().T, scale)) / 2


def _of_probabilities(student, teacher, scale):
    return kl_div((scale * student).softmax(1), (scale * teacher).softmax(1), reduction="batchmean")


@alignment_distillation.mistake(
    "Probabilities as small as exp(-100) are 0, and log 0 is infinite. Use log_softmax, not the log of softmax."
)
def _log_of_zero(video, image, scale):
    return (_of_logs(video, image.detach(), scale) + _of_logs(video.T, image.detach().T, scale)) / 2


def _of_logs(student, teacher, scale):
    p, q = (scale * teacher).softmax(1), (scale * student).softmax(1)
    return (p * (p.log() - q.log())).sum(1).mean()
