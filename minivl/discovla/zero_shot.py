"""A dual encoder on videos as it is: nothing is trained, and no frame sees another."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from minivl.clip.dual import dual_encoder
from minivl.config import DiscoVLAConfig
from minivl.discovla.checks import require_valid
from minivl.discovla.model import DiscoVLA
from minivl.hub.checkpoints import finite

PLAIN = DiscoVLAConfig(vision_fusion_layers=0, text_fusion_layers=0)


class ZeroShot(nn.Module):
    """What `DiscoVLA` is before its first step and without fusion, for towers that it cannot adapt, too.

        v = mean of g_f / |g_f| over the valid frames of a video

    model   of open_clip or transformers, see `minivl.clip.dual`
    """

    config = PLAIN

    def __init__(self, model: Any):
        super().__init__()
        self.clip = model
        self.image_size = dual_encoder(model).image_size

    def encode_video(self, frames: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `DiscoVLA.encode_video`: frames (B, F, 3, H, W) -> videos (B, D) and frame features (B, F, D)."""
        B, F = frames.shape[:2]
        frame_mask = torch.ones(B, F, device=frames.device) if frame_mask is None else frame_mask
        require_valid(frame_mask, (B, F), "video", "frame")
        features = dual_encoder(self.clip).encode_frames(frames.flatten(0, 1)).view(B, F, -1)  # (B, F, D)
        weights = (frame_mask / frame_mask.sum(1, keepdim=True))[..., None]  # (B, F, 1)
        return finite((weights * normalize(features, dim=-1)).sum(1), "embeddings of videos"), features

    def encode_caption(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Captions, ids and mask (B, L) as `minivl.data.text.tokenize` makes them -> (B, D)."""
        return finite(dual_encoder(self.clip).encode_texts(ids, mask), "embeddings of captions")

    similarity = staticmethod(DiscoVLA.similarity)
