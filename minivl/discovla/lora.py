"""LoRA: a frozen projection plus a trained low-rank one beside it."""

import math

import torch
from torch import Tensor, nn


class LoRA(nn.Module):
    """The low-rank change of the query, key and value projections, which CLIP keeps in one matrix.

        [q | k | v] = x Wᵀ + bias + (x Aᵀ) Bᵀ        A (rank, width), B (3 * width, rank)

    This module is the last term; W and the bias stay frozen. One A serves q, k and v; the rows of B
    belong to q, then k, then v. There is no bias, scaling factor or dropout. B starts at zero, so a
    fresh LoRA changes nothing.

    DiscoVLA (arXiv 2506.08887) puts one into the attention of every block of both towers, and
    nothing on the output projection or the MLP.
    """

    def __init__(self, width: int, rank: int):
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, width).uniform_(-1, 1) / math.sqrt(width))
        self.B = nn.Parameter(torch.zeros(3 * width, rank))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., width) -> (..., 3 * width), to be added to the frozen projection of x."""
        x = x @ self.A.T  # (..., rank)
        return x @ self.B.T  # (..., 3 * width)
