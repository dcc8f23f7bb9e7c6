"""UniVL's video encoder and cross encoder (section 3.2 of the paper, modules 2 and 3).

The first module, the text encoder, is transformers' BERT. Sizes: N clips of W words and T video features of F
numbers, hidden size D.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from minivl.config import UniVLConfig
from minivl.univl.layers import EncoderLayer, LayerNorm, padding_bias


class VideoEncoder(nn.Module):
    """A transformer over the features of a clip, one per second.

    x_t = Dropout( LayerNorm( Linear( LayerNorm(feature_t) ) + position_t ) )
    """

    def __init__(self, config: UniVLConfig):
        super().__init__()
        self.frame_norm = LayerNorm(config.video_dim)  # over the F numbers of a feature; zeros become its bias
        self.project = nn.Linear(config.video_dim, config.hidden_size)
        self.positions = nn.Embedding(config.video_positions, config.hidden_size)
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.video_layers))

    def normalise(self, video: Tensor) -> Tensor:
        """Raw features (N, T, F) -> normalised features (N, T, F)."""
        return self.frame_norm(video.to(self.frame_norm.weight.dtype))

    def forward(self, video: Tensor, mask: Tensor) -> Tensor:
        """Raw features (N, T, F) and mask (N, T) -> (N, T, D).

        Raises ValueError for features of another size, for more of them than there are positions, and for NaN.
        """
        _check_features(video, mask, self.project.in_features, self.positions.num_embeddings)
        x = self.project(self.normalise(video)) + self.positions.weight[: video.shape[1]]  # (N, T, D)
        x = dropout(self.norm(x), self.dropout, self.training)
        bias = padding_bias(mask)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class CrossEncoder(nn.Module):
    """A transformer over the words and then the frames of a clip, so that they attend to each other.

        x = Dropout( LayerNorm( [text ; video] + position + type ) ),   type 0 for words, 1 for frames
        pooled = tanh( Linear( x_[CLS] ) )

    The first frame always has the position after the last *place* for a word, padding included.
    """

    def __init__(self, config: UniVLConfig):
        super().__init__()
        self.positions = nn.Embedding(config.cross_positions, config.hidden_size)
        self.types = nn.Embedding(2, config.hidden_size)
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.cross_layers))
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, text: Tensor, text_mask: Tensor, video: Tensor, video_mask: Tensor, frame_position: int
    ) -> tuple[Tensor, Tensor]:
        """text (N, W, D), video (N, T, D) and their masks -> (N, W+T, D), pooled (N, D).

        Raises ValueError if there are not enough positions.
        """
        x = torch.cat([self.embed_words(text), self.embed_frames(video, frame_position)], dim=1)  # (N, W+T, D)
        bias = padding_bias(torch.cat([text_mask, video_mask], dim=1))
        for layer in self.layers:
            x = layer(x, bias)
        return x, self.pool(x[:, 0])

    def embed_words(self, text: Tensor) -> Tensor:
        """The first layer's input for words: (N, W, D) -> (N, W, D)."""
        return self._embed(text, 0, self.types.weight[0])

    def embed_frames(self, video: Tensor, first_position: int) -> Tensor:
        """The first layer's input for frames, the first of which has `first_position`: (N, T, D) -> (N, T, D)."""
        return self._embed(video, first_position, self.types.weight[1])

    def pool(self, cls: Tensor) -> Tensor:
        """Hidden state of [CLS] (..., D) -> (..., D)."""
        return torch.tanh(self.pooler(cls))

    def _embed(self, hidden, first_position, type_embedding):
        end = first_position + hidden.shape[1]
        if end > self.positions.num_embeddings:
            raise ValueError(
                f"words and frames need {end} positions, but this cross encoder has "
                f"{self.positions.num_embeddings}: use fewer max_words or max_frames"
            )
        x = hidden + self.positions.weight[first_position:end] + type_embedding
        return dropout(self.norm(x), self.dropout, self.training)


def _check_features(video, mask, width, positions):
    if video.ndim != 3 or video.shape[2] != width:
        raise ValueError(
            f"video features must be (N, T, {width}), not {tuple(video.shape)}: were they extracted by "
            "another network than this model was trained on?"
        )
    if mask.shape != video.shape[:2]:
        raise ValueError(f"the video mask has shape {tuple(mask.shape)}, it must be {tuple(video.shape[:2])}")
    if video.shape[1] > positions:
        raise ValueError(f"{video.shape[1]} video features per clip, but there are only {positions} positions")
    if video.is_cpu and not video.isfinite().all():  # on a GPU the check would wait for the device in every step
        rows = (~video.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(f"video features of clips {rows} are NaN or infinite")
