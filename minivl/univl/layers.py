"""The transformer layers of UniVL: BERT's, which normalise after each residual connection.

The video encoder, the cross encoder and the decoder are made of them; the text encoder is transformers' BERT,
whose layers compute the same. Sizes: N sequences of Q queries that attend to K keys, width D = h heads of size d.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, scaled_dot_product_attention

from minivl.config import UniVLConfig

MASKED = -10_000.0  # added to the scores of keys that are masked; finite, so a row without any key gives no NaN


class KeysValues(NamedTuple):
    """Keys and values of the states that attention attends to, which can be kept while they stay the same."""

    keys: Tensor  # (N, h, K, d)
    values: Tensor  # (N, h, K, d)


class LayerNorm(nn.LayerNorm):
    """LayerNorm with BERT's epsilon, 1e-12."""

    def __init__(self, width: int):
        super().__init__(width, eps=1e-12)


class Attention(nn.Module):
    """Multi-head attention with its residual connection.

        out = LayerNorm( x + Dropout( Linear( softmax(Q Kᵀ / √d + bias) V ) ) )

    `bias` is 0 for keys that take part and -10000 for those that do not.
    """

    def __init__(self, config: UniVLConfig):
        super().__init__()
        width = config.hidden_size
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.output, self.norm = nn.Linear(width, width), LayerNorm(width)

    def forward(self, x: Tensor, memory: Tensor | KeysValues, bias: Tensor) -> Tensor:
        """x (N, Q, D) attends to memory (N, K, D) -> (N, Q, D); with memory = x it is self-attention.

        memory   its hidden states, or what `keys_values` has made of them before
        bias     (N or 1, 1, Q or 1, K)
        """
        q = self.split_heads(self.query(x))  # (N, h, Q, d)
        k, v = memory if isinstance(memory, KeysValues) else self.keys_values(memory)  # (N, h, K, d) each
        bias = bias.to(q.dtype)  # autocast
        # softmax(q kᵀ / √d + bias) v, in one kernel that never stores the weights
        p = self.dropout if self.training else 0.0
        context = scaled_dot_product_attention(q, k, v, bias, dropout_p=p)  # (N, h, Q, d)
        context = context.transpose(1, 2).flatten(2)  # (N, Q, D)
        update = dropout(self.output(context), self.dropout, self.training)  # (N, Q, D)
        return self.norm(x + update)  # (N, Q, D)

    def keys_values(self, memory: Tensor) -> KeysValues:
        """Keys and values of memory (N, K, D)."""
        return KeysValues(self.split_heads(self.key(memory)), self.split_heads(self.value(memory)))

    def split_heads(self, x: Tensor) -> Tensor:
        """(N, Q, D) -> (N, h, Q, d)."""
        N, Q, D = x.shape
        return x.view(N, Q, self.num_heads, D // self.num_heads).transpose(1, 2)

    def weights(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Attention weights, mean over heads: (N, Q, K), arguments as of `forward`. For pictures."""
        q, k = self.split_heads(self.query(x)), self.split_heads(self.key(memory))  # (N, h, Q, d), (N, h, K, d)
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5 + bias  # (N, h, Q, K)
        return scores.softmax(-1).mean(1)


class FeedForward(nn.Module):
    """LayerNorm( x + Dropout( Linear( gelu( Linear(x) ) ) ) ), on each position alone; gelu in its exact form."""

    def __init__(self, config: UniVLConfig):
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.outer = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout

    def forward(self, x: Tensor) -> Tensor:
        """(N, Q, D) -> (N, Q, D)."""
        return self.norm(x + dropout(self.outer(gelu(self.inner(x))), self.dropout, self.training))


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network."""

    def __init__(self, config: UniVLConfig):
        super().__init__()
        self.attention, self.feed_forward = Attention(config), FeedForward(config)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (N, K, D), bias (N, 1, 1, K) -> (N, K, D)."""
        return self.feed_forward(self.attention(x, x, bias))


class DecoderLayer(nn.Module):
    """Self-attention over the words so far, cross-attention over what was encoded, then the feed-forward network."""

    def __init__(self, config: UniVLConfig):
        super().__init__()
        self.self_attention, self.cross_attention = Attention(config), Attention(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, words_bias: Tensor, cross: Tensor, cross_bias: Tensor) -> Tensor:
        """x (N, Q, D) of the words, cross (N, K, D) of the clip -> (N, Q, D); biases (N, 1, Q, Q) and (N, 1, 1, K)."""
        x = self.self_attention(x, x, words_bias)
        return self.feed_forward(self.cross_attention(x, cross, cross_bias))


class PredictionHead(nn.Module):
    """BERT's head before the output matrix: LayerNorm( gelu( Linear(x) ) ).

    The output matrix is borrowed from the embedding that made the input, so it is not a parameter here;
    `bias` is.
    """

    def __init__(self, config: UniVLConfig, outputs: int):
        super().__init__()
        self.dense, self.norm = nn.Linear(config.hidden_size, config.hidden_size), LayerNorm(config.hidden_size)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (..., D), embedding (outputs, D) -> (..., outputs)."""
        return self.norm(gelu(self.dense(x))) @ embedding.T + self.bias


def padding_bias(mask: Tensor) -> Tensor:
    """Mask (N, K), 1 for real, 0 for padding -> bias (N, 1, 1, K) for attention."""
    return (1.0 - mask[:, None, None].float()) * MASKED


def causal_bias(mask: Tensor) -> Tensor:
    """Mask (N, W) of words -> bias (N, 1, W, W): a word attends to itself and the real words before it."""
    W = mask.shape[1]
    earlier = torch.ones(W, W, dtype=torch.bool, device=mask.device).tril()
    return (~(earlier & mask[:, None, None].bool())).float() * MASKED


def used_length(mask: Tensor) -> int:
    """The number of places of a mask (N, K) up to the last that is real in some row; at least 1.

    What comes after it is padding in every row and can be cut off.
    """
    used = mask.any(0).nonzero()
    return int(used.max()) + 1 if len(used) else 1


def init_weights(module: nn.Module) -> None:
    """BERT's start: matrices and embeddings N(0, 0.02), biases 0, LayerNorm 1 and 0. For `nn.Module.apply`."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
