"""UniVL's video encoder and cross encoder (section 3.2 of the paper, modules 2 and 3).

The first module, the text encoder, is transformers' BERT. Sizes: N clips of W words and T video features of F
numbers, hidden size D.
"""

import torch
from torch import nn
from torch.nn.functional import dropout

from minivl.univl.layers import EncoderLayer, LayerNorm, padding_bias


class VideoEncoder(nn.Module):
    """A transformer over the features of a clip, one per second.

    x_t = Dropout( LayerNorm( Linear( LayerNorm(feature_t) ) + position_t ) )
    """

    def __init__(self, config):
        super().__init__()
        self.frame_norm = LayerNorm(config.video_dim)  # over the F numbers of a feature; zeros become its bias
        self.project = nn.Linear(config.video_dim, config.hidden_size)
        self.positions = nn.Embedding(config.video_positions, config.hidden_size)
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.video_layers))

    def normalise(self, video):
        """Raw features (N, T, F) -> normalised features (N, T, F)."""
        return self.frame_norm(video.to(self.frame_norm.weight.dtype))

    def forward(self, video, mask):
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
    """A transformer over the words and then the frames of a clip, so that they can read each other.

        x = Dropout( LayerNorm( [text ; video] + position + type ) ),   type 0 for words, 1 for frames
        pooled = tanh( Linear( x_[CLS] ) )

    The first frame always has the position after the last *place* for a word, padding included.
    """

    def __init__(self, config):
        super().__init__()
        self.positions = nn.Embedding(config.cross_positions, config.hidden_size)
        self.types = nn.Embedding(2, config.hidden_size)
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.cross_layers))
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)

    def _embed(self, hidden, first_position, type_):
        """(N, K, D) -> (N, K, D), with K positions from `first_position` on."""
        end = first_position + hidden.shape[1]
        if end > self.positions.num_embeddings:
            raise ValueError(
                f"words and frames need {end} positions, but this cross encoder has "
                f"{self.positions.num_embeddings}: use fewer max_words or max_frames"
            )
        x = hidden + self.positions.weight[first_position:end] + self.types.weight[type_]
        return dropout(self.norm(x), self.dropout, self.training)

    def pool(self, first):
        """Hidden state of [CLS] (..., D) -> (..., D)."""
        return torch.tanh(self.pooler(first))

    def forward(self, text, text_mask, video, video_mask, frame_position):
        """text (N, W, D), video (N, T, D) and their masks -> (N, W+T, D), pooled (N, D)."""
        x = torch.cat([self._embed(text, 0, 0), self._embed(video, frame_position, 1)], dim=1)
        bias = padding_bias(torch.cat([text_mask, video_mask], dim=1))
        for layer in self.layers:
            x = layer(x, bias)
        return x, self.pool(x[:, 0])

    def pooled_rows(self, text, text_mask, video, video_mask, frame_position):
        """The pooled output alone, of text i with video i: (N, W, D), (N, T, D) -> (N, D)."""
        x = torch.cat([self._embed(text, 0, 0), self._embed(video, frame_position, 1)], dim=1)
        return self._pooled(x, self.layers, padding_bias(torch.cat([text_mask, video_mask], dim=1)))

    def pooled_pairs(self, text, text_mask, video, video_mask, frame_position):
        """The pooled output of every text with every video: (A, W, D), (B, T, D) -> (A, B, D).

        The same numbers as `forward` on all A*B pairs, for much less work: what the first layer computes of a word
        or a frame alone is computed once and not for every pair, its output is computed for real places only, and
        the last layer computes [CLS] alone.
        """
        A, B, D = len(text), len(video), text.shape[2]
        words, frames = self._embed(text, 0, 0), self._embed(video, frame_position, 1)  # (A, W, D), (B, T, D)
        mask = _pairs(text_mask, video_mask)  # (A*B, W+T)
        bias = padding_bias(mask)
        if len(self.layers) == 1:
            return self._pooled(_pairs(words, frames), self.layers, bias).view(A, B, D)
        x = self._first_layer(words, frames, mask.bool(), bias)  # (A*B, W+T, D)
        return self._pooled(x, self.layers[1:], bias).view(A, B, D)

    def _first_layer(self, words, frames, real, bias):
        """The first layer's output for all pairs, 0 at padding: words (A, W, D), frames (B, T, D) -> (A*B, W+T, D)."""
        layer, reader = self.layers[0], self.layers[0].attention
        queries = _pairs(reader.queries(words), reader.queries(frames), dim=2)  # (A*B, h, W+T, d)
        keys_values = [
            _pairs(w, f, dim=2) for w, f in zip(reader.keys_values(words), reader.keys_values(frames), strict=True)
        ]
        found = reader.read(queries, keys_values, bias)  # (A*B, W+T, D)
        packed = layer.feed_forward(reader.add(_pairs(words, frames)[real], found[real]))  # (real places, D)
        x = packed.new_zeros(found.shape)
        x[real] = packed
        return x

    def _pooled(self, x, layers, bias):
        """x (N, K, D) through some layers, of which the last computes [CLS] alone -> (N, D)."""
        for layer in layers[:-1]:
            x = layer(x, bias)
        return self.pool(layers[-1].first(x, bias))


def _pairs(a, b, dim=1):
    """Every row of a with every row of b, joined along `dim`: (A, ...), (B, ...) -> (A*B, ...)."""
    A, B = len(a), len(b)
    a = a[:, None].expand(A, B, *a.shape[1:])
    b = b[None].expand(A, B, *b.shape[1:])
    return torch.cat([a, b], dim=dim + 1).flatten(0, 1)


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
