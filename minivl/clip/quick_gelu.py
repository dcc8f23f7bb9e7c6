"""CLIP's activation, in fewer passes over memory."""

from typing import Any

import torch
from torch import Tensor, nn

SLOPE = 1.702


class QuickGELU(nn.Module):
    """QuickGELU(x) = x * sigmoid(1.702 x) = SiLU(z) / 1.702 with z = 1.702 x.

    Only z is kept for the backward pass, which is then SiLU's own:

        dQuickGELU/dx = dSiLU/dz

    These are the largest of all intermediate results (4W numbers per token), and moving them through memory takes
    longer than computing them. Written out, the formula keeps both x and the sigmoid and reads and writes them again
    for every product in it and in its derivative.
    """

    def forward(self, x: Tensor) -> Tensor:
        return _QuickGELU.apply(x)


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        z = SLOPE * x
        ctx.save_for_backward(z)
        return torch.nn.functional.silu(z).div_(SLOPE)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient, z)
