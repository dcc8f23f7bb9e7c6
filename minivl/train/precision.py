"""What mixed precision must not round."""

import torch
from torch import Tensor


def products(a: Tensor, b: Tensor) -> Tensor:
    """Dot products of the rows of a (A, D) and b (B, D) -> (A, B), in single precision at least.

    Sixteen bits round them to two or three digits: UniVL's reach hundreds, as they are not normalised, and CLIP
    multiplies cosines by a hundred. Either way whole units would be lost before the softmax.
    """
    exact = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    with torch.autocast(a.device.type, enabled=False):
        return a.to(exact) @ b.to(exact).T
