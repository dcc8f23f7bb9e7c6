"""S3D-G, the video network below UniVL: from the pixels of a few frames to one feature (arXiv 1712.04851).

UniVL reads features that this network computed beforehand, one vector per second of video; it was trained on
HowTo100M with MIL-NCE (arXiv 1912.06430, here in `s3d_pretraining`) and stays frozen. It is differentiable down to
the pixels, so UniVL's losses can also train it: give a model `net(net.segments(frames)).features` in place of stored
features. Names of modules are those of the released weights.

Sizes: B clips of T frames, H x W pixels; t, h, w are what pooling leaves of them; C channels.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minivl.config import S3DConfig
from minivl.hub.checkpoints import build, finite, load_weights, weights_of
from minivl.hub.folders import CONFIG, WEIGHTS, PushToHubMixin, find, model_card, read_configs, write_folder

# Channels of the blocks of S3D-G: 1x1 branch; 1x1 and 3x3x3 of the second; 1x1 and 3x3x3 of the third; pooled branch.
BLOCKS = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}


class S3DOutput(NamedTuple):
    """Output of S3D for B clips."""

    features: Tensor  # (B, feature_dim): what UniVL reads
    embedding: Tensor  # (B, embed_dim): what MIL-NCE compares with sentences


class S3D(PushToHubMixin, nn.Module):
    """S3D with feature gating: 3D Inception blocks whose 3x3x3 convolutions are split into space and time.

    config   the released sizes by default; see S3DConfig
    """

    def __init__(self, config: S3DConfig | None = None):
        super().__init__()
        self.config = config or S3DConfig()
        stem, second = self._scaled(64), self._scaled(192)
        self.conv1 = ConvUnit(8 * 3, stem, (2, 4, 4))
        self.conv_2b = ConvUnit(stem, stem, (1, 1, 1))
        self.conv_2c = SeparableConvUnit(stem, second)
        self.gating = SelfGating(second)
        channels = second
        for name in BLOCKS:
            block = InceptionBlock(channels, *self._block_channels(name))
            self.add_module(name, block)
            channels = block.channels
        self.fc = nn.Linear(channels, self.config.embed_dim)

    def _scaled(self, channels: int) -> int:
        return max(1, round(self.config.width * channels))

    def _block_channels(self, name: str) -> list[int]:
        channels = [self._scaled(c) for c in BLOCKS[name]]
        if name == "mixed_5c":  # its four branches make the features, in the shares 3 : 3 : 1 : 1
            eighth = self.config.feature_dim // 8
            channels[0], channels[2], channels[4], channels[5] = 3 * eighth, 3 * eighth, eighth, eighth
        return channels

    @classmethod
    def from_reference(cls, path_or_state_dict: Path | str | Mapping[str, Tensor]) -> "S3D":
        """The released network, trained on HowTo100M (`s3d_howto100m.pth`), in evaluation mode.

        Its text tower (`text_module.*`) is left out. Raises CheckpointError, which lists every mismatch, for weights
        that do not fit.
        """
        state, origin = weights_of(path_or_state_dict)
        net, state = cls(), {name: tensor for name, tensor in state.items() if not name.startswith("text_module.")}
        load_weights(net, state, origin=origin)
        return net.eval()

    def forward(self, video: Tensor) -> S3DOutput:
        """Clips (B, 3, T, H, W), red, green and blue in [0, 1], not normalised -> features and embedding.

        The features are the mean of the last block over time and space, the embedding a linear map of them.
        Raises ValueError for odd T, H or W: the network begins by folding 2 x 2 x 2 pixels into one.
        """
        x = fold_pixels(video).contiguous(memory_format=torch.channels_last_3d)  # twice as fast on CPUs
        x = F.pad(x, (1, 2, 1, 2, 0, 1))  # as TensorFlow's "SAME" pads for a 2x4x4 kernel
        x = pool(self.conv1(x), (1, 3, 3), (1, 2, 2))  # (B, C, T/2, H/4, W/4)
        x = self.gating(self.conv_2c(self.conv_2b(x)))
        x = pool(x, (1, 3, 3), (1, 2, 2))  # (B, C, T/2, H/8, W/8)
        x = self._blocks("mixed_3", x)
        x = pool(x, (3, 3, 3), (2, 2, 2))  # (B, C, T/4, H/16, W/16)
        x = self._blocks("mixed_4", x)
        x = pool(x, (2, 2, 2), (2, 2, 2))  # (B, C, T/8, H/32, W/32)
        x = self._blocks("mixed_5", x)
        features = x.mean(dim=(2, 3, 4))  # (B, feature_dim)
        features = features if self.training else finite(features, "features of videos")
        return S3DOutput(features, self.fc(features))

    def _blocks(self, stage: str, x: Tensor) -> Tensor:
        """The Inception blocks of one stage, one after the other."""
        for name in BLOCKS:
            if name.startswith(stage):
                x = self.get_submodule(name)(x)
        return x

    def segments(self, frames: Tensor) -> Tensor:
        """Cut a clip into one input per second: frames (F, H, W, 3) -> (seconds, 3, T, H, W) in [0, 1].

        Frames are consecutive at `config.frames_per_second` = T, uint8 or already float in [0, 1] (gradients then
        reach them). The last one is repeated until its second is full. Raises ValueError for other shapes.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
            raise ValueError(f"frames must be (F, H, W, 3), not {tuple(frames.shape)}")
        T = self.config.frames_per_second
        frames = frames if frames.is_floating_point() else frames.float() / 255
        last = frames[-1:].expand(-len(frames) % T, -1, -1, -1)
        return torch.cat([frames, last]).unflatten(0, (-1, T)).permute(0, 4, 1, 2, 3)  # (seconds, 3, T, H, W)

    def save_pretrained(self, folder: Path | str, card: str = "") -> None:  # type: ignore[override]  # `options` by name
        """Write settings, weights and a model card into `folder`.

        card   Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`
        """
        settings = dataclasses.asdict(self.config)
        text = _CARD.format(parameters=sum(p.numel() for p in self.parameters()), card=card, **settings)
        card = model_card(text, license="mit", library_name="minivl", pipeline_tag="feature-extraction")
        write_folder(Path(folder), {"s3d": settings}, {WEIGHTS: self.state_dict()}, card)

    @classmethod
    def from_pretrained(cls, name: Path | str) -> "S3D":
        """The network that `save_pretrained` wrote, from a folder or the hub, in evaluation mode.

        Raises CheckpointError if there is no such network or its weights do not fit.
        """
        folder = find(name)
        [config] = read_configs(folder, s3d=S3DConfig)
        net = build(lambda: cls(config), folder / CONFIG)
        load_weights(net, folder / WEIGHTS)
        return net.eval()


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int | tuple[int, int, int]):
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels_out, kernel, bias=False)
        self.bn1 = nn.BatchNorm3d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(x)))


class SeparableConvUnit(nn.Module):
    """A 3x3x3 convolution as one in space and one in time: fewer parameters, and it learns better."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels_out, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.bn1 = nn.BatchNorm3d(channels_out)
        self.conv2 = nn.Conv3d(channels_out, channels_out, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn2 = nn.BatchNorm3d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SelfGating(nn.Module):
    """Scaling of each channel by what the whole clip shows: sigmoid(W mean(x) + b) * x."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))  # (B, C)
        return weights[:, :, None, None, None] * x


class InceptionBlock(nn.Module):
    """Four branches side by side, each gated: 1x1x1, two of 1x1x1 then 3x3x3, and max-pooling then 1x1x1."""

    def __init__(self, channels_in: int, b0: int, b1_a: int, b1_b: int, b2_a: int, b2_b: int, b3_b: int):
        super().__init__()
        self.channels = b0 + b1_b + b2_b + b3_b
        self.conv_b0 = ConvUnit(channels_in, b0, 1)
        self.conv_b1_a = ConvUnit(channels_in, b1_a, 1)
        self.conv_b1_b = SeparableConvUnit(b1_a, b1_b)
        self.conv_b2_a = ConvUnit(channels_in, b2_a, 1)
        self.conv_b2_b = SeparableConvUnit(b2_a, b2_b)
        self.conv_b3_b = ConvUnit(channels_in, b3_b, 1)
        self.gating_b0, self.gating_b1 = SelfGating(b0), SelfGating(b1_b)
        self.gating_b2, self.gating_b3 = SelfGating(b2_b), SelfGating(b3_b)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, t, h, w) -> (B, channels, t, h, w)."""
        return torch.cat(
            [
                self.gating_b0(self.conv_b0(x)),
                self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
                self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
                self.gating_b3(self.conv_b3_b(F.max_pool3d(x, 3, stride=1, padding=1))),
            ],
            dim=1,
        )


def fold_pixels(video: Tensor) -> Tensor:
    """Fold blocks of 2 x 2 x 2 pixels into channels: (B, 3, T, H, W) -> (B, 24, T/2, H/2, W/2)."""
    if video.ndim != 5 or video.shape[1] != 3 or any(side % 2 or not side for side in video.shape[2:]):
        raise ValueError(f"video must be (B, 3, T, H, W) with even T, H and W, not {tuple(video.shape)}")
    B, C, T, H, W = video.shape
    blocks = video.view(B, C, T // 2, 2, H // 2, 2, W // 2, 2)
    return blocks.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(B, 8 * C, T // 2, H // 2, W // 2)


def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Max-pooling that pads as TensorFlow's "SAME" does for even sizes: nothing before, one zero after."""
    depth, height, width = (k - s for k, s in zip(kernel, stride, strict=True))
    return F.max_pool3d(F.pad(x, (0, width, 0, height, 0, depth)), kernel, stride, ceil_mode=True)


_CARD = """\
# S3D

S3D-G with {parameters:,} parameters: one feature of {feature_dim} numbers from a second of video, {frames_per_second}
frames of {image_size} x {image_size} pixels. Made with minivl.

    from minivl.s3d import S3D
    net = S3D.from_pretrained("this folder")

{card}"""
