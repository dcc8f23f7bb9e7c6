"""AlignDistill: what image-level alignment knows, passed on to video-level alignment."""

from torch.nn.functional import kl_div


def alignment_distillation(video, image, scale, behaviour="release"):
    """How far video-level alignment S is from image-level alignment I, seen from texts and from videos -> scalar.

        L = ( D(S, I) + D(Sᵀ, Iᵀ) ) / 2
        D(S, I) = w sum_i KL( softmax(s I[i]) || softmax(s S[i]) )        I is the teacher, S the student

    behaviour   "release": w = 100 / B², so the loss weighs less in larger batches, and the gradient also moves the
                teacher towards the student, as in the released code;
                "paper": w = 1 / B and the teacher is detached

    video S and image I are cosines (B, B), row i for text i; scale is s. The release takes CLIP's logit scale. At
    100 both distributions are nearly one-hot; a lower scale shows the student more than the teacher's favourite.
    """
    B = len(video)
    w = {"release": 100 / B**2, "paper": 1 / B}[behaviour]
    teacher = image.detach() if behaviour == "paper" else image
    return w * (_divergence(video, teacher, scale) + _divergence(video.T, teacher.T, scale)) / 2


def _divergence(student, teacher, scale):
    """Sum over rows of KL(teacher || student)."""
    log_p, log_q = (scale * teacher).log_softmax(dim=1), (scale * student).log_softmax(dim=1)
    return kl_div(log_q, log_p, reduction="sum", log_target=True)
