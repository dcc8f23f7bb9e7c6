"""UniVL's decoder (section 3.2 of the paper, module 4): writes a caption, attending to the cross encoder's output."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from minivl.config import UniVLConfig
from minivl.univl.layers import DecoderLayer, KeysValues, LayerNorm, PredictionHead, causal_bias, padding_bias


class Decoder(nn.Module):
    """A transformer that predicts the next word of a caption from the words so far and a clip.

    Words and positions are embedded by the tables of the text encoder, which the methods are given as
    `words` (V, D) and `positions` (P, D); the words' table is the output matrix, too. `cross` (N, K, D) is the cross
    encoder's output for N clips.
    """

    def __init__(self, config: UniVLConfig):
        super().__init__()
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.head = PredictionHead(config, config.vocab_size)

    def forward(
        self, ids: Tensor, mask: Tensor, cross: Tensor, cross_mask: Tensor, words: Tensor, positions: Tensor
    ) -> Tensor:
        """Arguments as of `hidden` -> logits of the word that follows each position (N, W, V)."""
        return self.head(self.hidden(ids, mask, cross, cross_mask, words, positions), words)

    def hidden(
        self, ids: Tensor, mask: Tensor, cross: Tensor, cross_mask: Tensor, words: Tensor, positions: Tensor
    ) -> Tensor:
        """All positions at once: ids and mask (N, W), cross (N, K, D), cross_mask (N, K) -> (N, W, D).

        Raises ValueError for captions longer than the table of positions.
        """
        if ids.shape[1] > len(positions):
            raise ValueError(f"captions of {ids.shape[1]} tokens, but there are only {len(positions)} positions")
        x = self._embed(ids, words, positions[: ids.shape[1]])
        words_bias, cross_bias = causal_bias(mask), padding_bias(cross_mask)
        for layer in self.layers:
            x = layer(x, words_bias, cross, cross_bias)
        return x

    def attention_over_memory(
        self, ids: Tensor, mask: Tensor, cross: Tensor, cross_mask: Tensor, words: Tensor, positions: Tensor
    ) -> Tensor:
        """Cross-attention weights, mean over layers and heads: as `hidden` -> (N, W, K), rows sum to 1."""
        x, weights = self._embed(ids, words, positions[: ids.shape[1]]), []
        words_bias, cross_bias = causal_bias(mask), padding_bias(cross_mask)
        for layer in self._layers():
            attended = layer.self_attention(x, x, words_bias)
            weights.append(layer.cross_attention.weights(attended, cross, cross_bias))
            x = layer.feed_forward(layer.cross_attention(attended, cross, cross_bias))
        return torch.stack(weights).mean(0)

    def start(self, cross: Tensor, cross_mask: Tensor) -> "DecoderCache":
        """A cache for captions of N clips that grow word by word: cross (N, K, D), cross_mask (N, K)."""
        return DecoderCache(
            clips=[layer.cross_attention.keys_values(cross) for layer in self._layers()],
            clips_bias=padding_bias(cross_mask),
        )

    def step(self, ids: Tensor, cache: "DecoderCache", words: Tensor, positions: Tensor) -> Tensor:
        """One more word of B captions per clip: ids (N, B), the newest words -> logits (N, B, V); extends `cache`.

        The B captions of a clip are B queries of its keys, so that these are never copied per caption.
        """
        (N, B), D = ids.shape, words.shape[1]
        x = self._embed(ids.view(N * B, 1), words, positions[cache.length])  # (N*B, 1, D)
        no_bias = torch.zeros(1, 1, 1, cache.length + 1, device=x.device)  # CUDA's kernels want a place for every key
        for i, layer in enumerate(self._layers()):
            so_far = cache.extend(i, layer.self_attention.keys_values(x))  # (N*B, h, length + 1, d) each
            x = layer.self_attention(x, so_far, no_bias)  # (N*B, 1, D)
            x = layer.cross_attention(x.view(N, B, D), cache.clips[i], cache.clips_bias)  # (N, B, D)
            x = layer.feed_forward(x).view(N * B, 1, D)
        cache.length += 1
        return self.head(x, words).view(N, B, len(words))

    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.layers))  # a ModuleList does not know the type of its modules

    def _embed(self, ids, words, positions):
        """ids (N, Q), positions (Q, D) of these words -> (N, Q, D)."""
        return dropout(self.norm(words[ids] + positions), self.dropout, self.training)


class DecoderCache:
    """Keys and values that need not be computed again, layer by layer: of the clips, and of the words so far."""

    def __init__(self, clips: list[KeysValues], clips_bias: Tensor):
        self.clips, self.clips_bias = clips, clips_bias  # (N, h, K, d) each, (N, 1, 1, K)
        self.words: list[KeysValues] = []  # (N*B, h, length, d) each; none before the first word
        self.length = 0  # words so far

    def extend(self, layer: int, new: KeysValues) -> KeysValues:
        """Append the newest words' (N*B, h, 1, d) in a layer; those of all words so far (N*B, h, length + 1, d)."""
        if self.length == 0:
            self.words.append(new)
        else:
            old = self.words[layer]
            self.words[layer] = KeysValues(
                torch.cat([old.keys, new.keys], dim=2), torch.cat([old.values, new.values], dim=2)
            )
        return self.words[layer]

    def reorder(self, rows: Tensor) -> None:
        """Go on with other captions: row i becomes what row rows[i] was; rows (N*B',)."""
        self.words = [KeysValues(words.keys[rows], words.values[rows]) for words in self.words]

    def keep(self, clips: Tensor) -> None:
        """Go on with some of the clips: a bool mask (N,)."""
        captions = len(self.words[0].keys) // len(clips)  # B
        self.clips = [KeysValues(clip.keys[clips], clip.values[clips]) for clip in self.clips]
        self.clips_bias = self.clips_bias[clips]
        self.reorder(clips.repeat_interleave(captions))  # (N*B,)
