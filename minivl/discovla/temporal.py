"""Beyond the paper: telling the model which frame comes first."""

import torch
from torch import nn


class TemporalEmbedding(nn.Module):
    """One learned vector per frame position, added to all tokens of the frame.

        x[f, token] + e[f]

    DiscoVLA itself has nothing of the kind: shuffle the frames of a video and its embedding stays what it was. The
    vectors start at zero, so a fresh embedding changes nothing.
    """

    def __init__(self, frames: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(frames, width))

    def forward(self, x, frames):
        """x (B*F, N, W) -> the same; F is `frames`. Raises ValueError for more frames than there are positions."""
        if frames > len(self.weight):
            raise ValueError(f"a video has {frames} frames, but the temporal embedding has {len(self.weight)} "
                             "positions: raise `temporal` or sample fewer frames")
        videos = len(x) // frames
        return x + self.weight[:frames].repeat(videos, 1)[:, None]  # (B*F, 1, W)
