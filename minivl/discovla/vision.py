"""The vision half of DiscoVLA: frames of an adapted CLIP."""

from typing import Any

import torch
from torch import Tensor

from minivl.discovla.ivfusion import Layout, class_features, first_tokens


def encode_frames(visual: Any, frames: Tensor, F: int, video_frames: Tensor | None = None) -> Tensor:
    """Frames (S, 3, H, W), normalised, F for each video, of an adapted tower of OpenAI's design -> (S, D).

    video_frames   (S,), True for frames that the whole video may attend to; None: all
    """
    patches = visual.conv1(frames).flatten(2).transpose(1, 2)  # (S, P, W)
    class_token = visual.class_embedding.expand(len(frames), 1, -1)  # (S, 1, W)
    x = torch.cat([class_token, patches], dim=1) + visual.positional_embedding  # (S, 1+P, W)
    video_tokens = None if video_frames is None else video_frames[:, None].expand(-1, x.shape[1])  # (S, 1+P)
    layout = Layout(first_tokens(x), F, video_tokens=video_tokens)
    x = class_features(visual.transformer, visual.ln_pre(x), layout)  # (S, W)
    return visual.ln_post(x) @ visual.proj  # (S, D)
