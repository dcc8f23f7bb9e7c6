"""CLIP's activation, with half of the memory."""

import torch
from torch import nn


class QuickGELU(nn.Module):
    """QuickGELU(x) = x * sigmoid(1.702 x), as in open_clip to the last bit.

    The backward pass computes the sigmoid again instead of keeping it beside x. These are the largest of all
    intermediate results (4W numbers per token), and writing them to memory takes longer than computing them.
    """

    def forward(self, x):
        return _QuickGELU.apply(x)


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (1.702 * x).sigmoid_().mul_(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        sigmoid = (1.702 * x).sigmoid_()
        through_sigmoid = torch.ops.aten.sigmoid_backward(gradient * x, sigmoid).mul_(1.702)
        return sigmoid.mul_(gradient).add_(through_sigmoid)
