"""AlignDistill: image-level alignment, distilled into video-level alignment."""

import torch
from torch import Tensor
from torch.nn.functional import kl_div


def alignment_distillation(video: Tensor, image: Tensor, scale: Tensor | float, behaviour: str = "release") -> Tensor:
    """Divergence of video-level alignment S from image-level alignment I, seen from texts and from videos -> scalar.

        L = ( D(S, I) + D(Sᵀ, Iᵀ) ) / 2
        D(S, I) = w sum_i KL( softmax(s I[i]) || softmax(s S[i]) )        I is the teacher, S the student

    behaviour   "release": w = 100 / B², so the loss weighs less in larger batches, and the gradient also moves the
                teacher towards the student, as in the released code;
                "paper": w = 1 / B and the teacher is detached;
                "shuffled", a control: as "paper", but what each row of I says of wrong answers is given to other ones,
                so that the teacher is as right and as sure, and all that it knows beyond that is gone

    video S and image I are cosines (B, B), row i for text i; scale is s. The release takes CLIP's logit scale. At
    100 both distributions are nearly one-hot; a lower scale shows the student more than the teacher's favourite.
    """
    B = len(video)
    w = {"release": 100 / B**2, "paper": 1 / B, "shuffled": 1 / B}[behaviour]
    teacher = image if behaviour == "release" else image.detach()
    of_texts, of_videos = teacher, teacher.T
    if behaviour == "shuffled":
        of_texts, of_videos = shuffle_wrong_answers(of_texts), shuffle_wrong_answers(of_videos)
    return w * (_divergence(video, of_texts, scale) + _divergence(video.T, of_videos, scale)) / 2


def shuffle_wrong_answers(similarity: Tensor) -> Tensor:
    """Each row with its entries off the diagonal in a random order of their own: (B, B) -> (B, B)."""
    B = len(similarity)
    wrong = ~torch.eye(B, dtype=torch.bool, device=similarity.device)
    order = torch.rand(B, B - 1, device=similarity.device).argsort(dim=1)
    shuffled = similarity.clone()
    shuffled[wrong] = similarity[wrong].view(B, B - 1).gather(1, order).flatten()
    return shuffled


def _divergence(student: Tensor, teacher: Tensor, scale: Tensor | float) -> Tensor:
    """Sum over rows of KL(teacher || student): (B, B) each -> scalar."""
    log_p = (scale * teacher).log_softmax(dim=1)  # (B, B)
    log_q = (scale * student).log_softmax(dim=1)  # (B, B)
    return kl_div(log_q, log_p, reduction="sum", log_target=True)
