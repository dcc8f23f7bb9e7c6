"""The transformer layers of UniVL: BERT's, which normalise after each residual connection.

The video encoder, the cross encoder and the decoder are made of them; the text encoder is transformers' BERT,
whose layers compute the same. Sizes: N sequences of Q queries that read K keys, width D = h heads of size d.
"""

import torch
from torch import nn
from torch.nn.functional import dropout, gelu, scaled_dot_product_attention

MASKED = -10_000.0  # added to the scores of what must not be read; finite, so a row without any key gives no NaN


class LayerNorm(nn.LayerNorm):
    """LayerNorm with BERT's epsilon, 1e-12."""

    def __init__(self, width: int):
        super().__init__(width, eps=1e-12)


class Attention(nn.Module):
    """Multi-head attention with its residual connection.

        out = LayerNorm( x + Dropout( Linear( softmax(Q Kᵀ / √d + bias) V ) ) )

    `bias` is 0 where a key may be read and -10000 where not.
    """

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.output, self.norm = nn.Linear(width, width), LayerNorm(width)

    def heads(self, x):
        """(N, Q, D) -> (N, h, Q, d)."""
        N, Q, D = x.shape
        return x.view(N, Q, self.num_heads, D // self.num_heads).transpose(1, 2)

    def queries(self, x):
        """(N, Q, D) -> (N, h, Q, d)."""
        return self.heads(self.query(x))

    def keys_values(self, memory):
        """What is read: memory (N, K, D) -> keys and values, (N, h, K, d) each."""
        return self.heads(self.key(memory)), self.heads(self.value(memory))

    def read(self, queries, keys_values, bias):
        """Queries (N, h, Q, d), keys and values (N, h, K, d), bias (N or 1, 1, Q or 1, K) -> what is read (N, Q, D)."""
        p = self.dropout if self.training else 0.0
        bias = bias.to(queries.dtype)  # autocast
        found = scaled_dot_product_attention(queries, *keys_values, bias, dropout_p=p)  # (N, h, Q, d)
        return found.transpose(1, 2).flatten(2)  # (N, Q, D)

    def weights(self, queries, keys, bias):
        """How much each query reads of each key, mean over heads: (N, Q, K). For pictures: `read` never makes them."""
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5 + bias  # (N, h, Q, K)
        return scores.softmax(-1).mean(1)

    def add(self, x, found):
        """The residual connection: x (..., D) and what it read (..., D) -> (..., D)."""
        return self.norm(x + dropout(self.output(found), self.dropout, self.training))

    def forward(self, x, keys_values, bias):
        """x (N, Q, D), keys and values (N, h, K, d), bias (N or 1, 1, Q or 1, K) -> (N, Q, D)."""
        return self.add(x, self.read(self.queries(x), keys_values, bias))

    def first(self, x, bias):
        """The output at position 0 alone: x (N, K, D), bias (N, 1, 1, K) -> (N, D).

        With a single query it is cheaper to bring the query to the words than every word to the query:
        qᵀ(W x + b) = (Wᵀq)ᵀx + qᵀb, and likewise Σ p (W x + b) = W Σ p x + b Σ p for the values.
        """
        N, _, D = x.shape
        h, d = self.num_heads, D // self.num_heads
        query = self.query(x[:, 0]).view(N, h, d) / d**0.5
        asked = torch.einsum("nhd,hdk->nhk", query, self.key.weight.view(h, d, D))  # (N, h, D): Wᵀq
        offset = (query * self.key.bias.view(h, d)).sum(-1, keepdim=True)  # (N, h, 1): qᵀb
        share = (asked @ x.transpose(1, 2) + offset + bias[:, 0]).softmax(-1)  # (N, h, K)
        share = dropout(share, self.dropout, self.training)
        seen = share @ x  # (N, h, D)
        found = torch.einsum("nhk,hdk->nhd", seen, self.value.weight.view(h, d, D))  # (N, h, d)
        found = found + share.sum(-1, keepdim=True) * self.value.bias.view(h, d)
        return self.add(x[:, 0], found.flatten(1))  # (N, D)


class FeedForward(nn.Module):
    """LayerNorm( x + Dropout( Linear( gelu( Linear(x) ) ) ) ), on each position alone; gelu in its exact form."""

    def __init__(self, config):
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.outer = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm, self.dropout = LayerNorm(config.hidden_size), config.dropout

    def forward(self, x):
        """(N, Q, D) -> (N, Q, D)."""
        return self.norm(x + dropout(self.outer(gelu(self.inner(x))), self.dropout, self.training))


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network."""

    def __init__(self, config):
        super().__init__()
        self.attention, self.feed_forward = Attention(config), FeedForward(config)

    def forward(self, x, bias):
        """x (N, K, D), bias (N, 1, 1, K) -> (N, K, D)."""
        return self.feed_forward(self.attention(x, self.attention.keys_values(x), bias))

    def first(self, x, bias):
        """The output at position 0 alone: x (N, K, D) -> (N, D). For a last layer of which nothing else is read."""
        return self.feed_forward(self.attention.first(x, bias))


class DecoderLayer(nn.Module):
    """Self-attention over the words so far, attention over what was encoded, then the feed-forward network."""

    def __init__(self, config):
        super().__init__()
        self.self_attention, self.cross_attention = Attention(config), Attention(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x, own, own_bias, memory, memory_bias):
        """x (N, Q, D), keys and values (N, h, K, d) of the words (`own`) and of what was encoded -> (N, Q, D)."""
        x = self.self_attention(x, own, own_bias)
        return self.feed_forward(self.cross_attention(x, memory, memory_bias))


class PredictionHead(nn.Module):
    """BERT's head before the output matrix: LayerNorm( gelu( Linear(x) ) ).

    The output matrix is borrowed from the embedding that made the input, so it is not a parameter here;
    `bias` is.
    """

    def __init__(self, config, outputs: int):
        super().__init__()
        self.dense, self.norm = nn.Linear(config.hidden_size, config.hidden_size), LayerNorm(config.hidden_size)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x, embedding):
        """x (..., D), embedding (outputs, D) -> (..., outputs)."""
        return self.norm(gelu(self.dense(x))) @ embedding.T + self.bias


def padding_bias(mask):
    """Mask (N, K), 1 for real, 0 for padding -> bias (N, 1, 1, K) for attention."""
    return (1.0 - mask[:, None, None].float()) * MASKED


def causal_bias(mask):
    """Mask (N, W) of words -> bias (N, 1, W, W): a word reads itself and the real words before it."""
    W = mask.shape[1]
    earlier = torch.ones(W, W, dtype=torch.bool, device=mask.device).tril()
    return (~(earlier & mask[:, None, None].bool())).float() * MASKED


def used_length(mask) -> int:
    """How many places of a mask (N, K) are real in some row, up to the last such place; at least 1.

    What comes after them is padding in every row and can be cut off.
    """
    used = mask.any(0).nonzero()
    return int(used.max()) + 1 if len(used) else 1


def init_weights(module: nn.Module) -> None:
    """BERT's start: matrices and embeddings N(0, 0.02), biases 0, LayerNorm 1 and 0. For `nn.Module.apply`."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
