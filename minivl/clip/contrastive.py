"""CLIP's loss, which DiscoVLA trains with, too."""

import torch
import torch.nn.functional as F
from torch import Tensor


def symmetric_contrastive(similarity: Tensor, logit_scale: Tensor | float) -> Tensor:
    """InfoNCE in both directions, where text i belongs to video i.

        L = ( CE(s S) + CE(s Sᵀ) ) / 2        CE(M) = mean over rows i of -log softmax(M[i])[i]

    similarity (N_text, N_video): cosines S, rows are texts; logit_scale: s -> scalar.
    Raises ValueError if S is not square.
    """
    texts, videos = similarity.shape
    if texts != videos:
        raise ValueError(f"text i must belong to video i, but there are {texts} texts and {videos} videos")
    own = torch.arange(texts, device=similarity.device)
    logits = logit_scale * similarity
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
