"""UniVL's decoder (section 3.2 of the paper, module 4): writes a caption, reading what the cross encoder made."""

import torch
from torch import nn
from torch.nn.functional import dropout

from minivl.univl.layers import DecoderLayer, LayerNorm, PredictionHead, causal_bias, padding_bias


class Decoder(nn.Module):
    """A transformer that predicts the next word of a caption from the words so far and a clip.

    Words and positions are embedded by the tables of the text encoder, which the methods are given as
    `words` (V, D) and `positions` (P, D); the words' table is the output matrix, too.
    """

    def __init__(self, config):
        super().__init__()
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.head = PredictionHead(config, config.vocab_size)

    def _embed(self, ids, words, positions):
        """ids (N, Q), positions (Q, D) of these words -> (N, Q, D)."""
        return dropout(self.norm(words[ids] + positions), self.dropout, self.training)

    def hidden(self, ids, mask, cross, cross_mask, words, positions):
        """All positions at once: ids and mask (N, W), cross (N, K, D), cross_mask (N, K) -> (N, W, D)."""
        if ids.shape[1] > len(positions):
            raise ValueError(f"captions of {ids.shape[1]} tokens, but there are only {len(positions)} positions")
        x = self._embed(ids, words, positions[: ids.shape[1]])
        own_bias, memory_bias = causal_bias(mask), padding_bias(cross_mask)
        for layer in self.layers:
            x = layer(
                x, layer.self_attention.keys_values(x), own_bias, layer.cross_attention.keys_values(cross), memory_bias
            )
        return x

    def forward(self, ids, mask, cross, cross_mask, words, positions):
        """As `hidden` -> logits of the word that follows each position (N, W, V)."""
        return self.head(self.hidden(ids, mask, cross, cross_mask, words, positions), words)

    def attention_over_memory(self, ids, mask, cross, cross_mask, words, positions):
        """What each word reads of the clip, mean over layers and heads: as `hidden` -> (N, W, K), rows sum to 1."""
        x, read = self._embed(ids, words, positions[: ids.shape[1]]), []
        own_bias, memory_bias = causal_bias(mask), padding_bias(cross_mask)
        for layer in self.layers:
            memory = layer.cross_attention.keys_values(cross)
            x = layer.self_attention(x, layer.self_attention.keys_values(x), own_bias)
            read.append(layer.cross_attention.weights(layer.cross_attention.queries(x), memory[0], memory_bias))
            x = layer.feed_forward(layer.cross_attention(x, memory, memory_bias))
        return torch.stack(read).mean(0)

    def start(self, cross, cross_mask) -> "DecoderCache":
        """What stays the same while captions of N clips grow word by word: cross (N, K, D)."""
        memory = [layer.cross_attention.keys_values(cross) for layer in self.layers]
        return DecoderCache(memory, padding_bias(cross_mask), own=[None] * len(self.layers))

    def step(self, ids, cache, words, positions):
        """One more word of B captions per clip: ids (N, B), the newest words -> logits (N, B, V); extends `cache`.

        The B captions of a clip read its memory as B queries, so the memory is never copied per caption.
        """
        N, B, D = *ids.shape, words.shape[1]
        x = self._embed(ids.view(N * B, 1), words, positions[cache.length])  # (N*B, 1, D)
        everything = torch.zeros(1, 1, 1, 1, device=x.device)
        for i, (layer, memory) in enumerate(zip(self.layers, cache.memory, strict=True)):
            own = cache.extend(i, layer.self_attention.keys_values(x))
            x = layer.self_attention(x, own, everything)
            x = layer.cross_attention(x.view(N, B, D), memory, cache.memory_bias)  # (N, B, D)
            x = layer.feed_forward(x).view(N * B, 1, D)
        cache.length += 1
        return self.head(x, words).view(N, B, len(words))


class DecoderCache:
    """Keys and values that need not be computed again: those of the clips, and those of the words so far."""

    def __init__(self, memory, memory_bias, own):
        self.memory, self.memory_bias, self.own = memory, memory_bias, own
        self.length = 0  # words so far

    def extend(self, layer, new):
        """Append keys and values (N*B, h, 1, d) of the newest words; all of them so far (N*B, h, length + 1, d)."""
        old = self.own[layer]
        self.own[layer] = new if old is None else tuple(torch.cat(pair, dim=2) for pair in zip(old, new, strict=True))
        return self.own[layer]

    def follow(self, rows):
        """Continue other captions: row i becomes what row rows[i] was; rows (N*B',)."""
        self.own = [tuple(part[rows] for part in own) for own in self.own]

    def keep(self, clips):
        """Go on with some of the clips: a bool mask (N,)."""
        self.memory = [tuple(part[clips] for part in memory) for memory in self.memory]
        self.memory_bias = self.memory_bias[clips]
        self.follow(clips.repeat_interleave(len(self.own[0][0]) // len(clips)))  # (N*B,)
