"""The cross encoder's pooled output alone, for Align: `CrossEncoder.forward(...)[1]`, for much less work.

Three shortcuts, none of which changes a number:

1. The last layer computes [CLS] alone (`cls_layer`): a single query.
2. With pairs of A texts and B videos, what the first layer makes of a word or a frame alone (its query, key and
   value) is computed once and not for every pair.
3. The first layer's output is computed for real places only.

Sizes as in `minivl.univl.layers`, with K = W + T places for words and frames.
"""

import torch
from torch import Tensor
from torch.nn.functional import dropout, scaled_dot_product_attention

from minivl.univl.encoders import CrossEncoder
from minivl.univl.layers import Attention, EncoderLayer, padding_bias


def pooled_rows(
    cross: CrossEncoder, text: Tensor, text_mask: Tensor, video: Tensor, video_mask: Tensor, frame_position: int
) -> Tensor:
    """The pooled output of text i with video i: (N, W, D), (N, T, D) -> (N, D)."""
    x = torch.cat([cross.embed_words(text), cross.embed_frames(video, frame_position)], dim=1)  # (N, K, D)
    return _pooled(cross, 0, x, padding_bias(torch.cat([text_mask, video_mask], dim=1)))


def pooled_pairs(
    cross: CrossEncoder, text: Tensor, text_mask: Tensor, video: Tensor, video_mask: Tensor, frame_position: int
) -> Tensor:
    """The pooled output of every text with every video: (A, W, D), (B, T, D) -> (A, B, D)."""
    A, B, D = len(text), len(video), text.shape[2]
    words, frames = cross.embed_words(text), cross.embed_frames(video, frame_position)  # (A, W, D), (B, T, D)
    mask = _all_pairs(text_mask, video_mask)  # (A*B, K)
    bias = padding_bias(mask)
    if len(cross.layers) == 1:
        return _pooled(cross, 0, _all_pairs(words, frames), bias).view(A, B, D)
    x = _first_layer(cross.layers[0], words, frames, mask.bool(), bias)  # (A*B, K, D)
    return _pooled(cross, 1, x, bias).view(A, B, D)


def cls_layer(layer: EncoderLayer, x: Tensor, bias: Tensor) -> Tensor:
    """`layer(x, bias)[:, 0]`: x (N, K, D), bias (N, 1, 1, K) -> (N, D)."""
    return layer.feed_forward(cls_attention(layer.attention, x, bias))


def cls_attention(attention: Attention, x: Tensor, bias: Tensor) -> Tensor:
    """`attention(x, x, bias)[:, 0]`: x (N, K, D), bias (N, 1, 1, K) -> (N, D).

    With a single query q it is cheaper to fold the matrix of the keys into the query than to make a key of every
    word: qᵀ(W x + b) = (Wᵀq)ᵀx + qᵀb. Likewise for the values: Σ p (W x + b) = W Σ p x + b Σ p.
    """
    N, _, D = x.shape
    h, d = attention.num_heads, D // attention.num_heads
    q = attention.query(x[:, 0]).view(N, h, d) / d**0.5  # (N, h, d)
    folded_query = torch.einsum("nhd,hdk->nhk", q, attention.key.weight.view(h, d, D))  # (N, h, D): Wᵀq
    offset = (q * attention.key.bias.view(h, d)).sum(-1, keepdim=True)  # (N, h, 1): qᵀb
    weights = (folded_query @ x.transpose(1, 2) + offset + bias[:, 0]).softmax(-1)  # (N, h, K): p
    weights = dropout(weights, attention.dropout, attention.training)
    mean_state = weights @ x  # (N, h, D): Σ p x
    context = torch.einsum("nhk,hdk->nhd", mean_state, attention.value.weight.view(h, d, D))  # (N, h, d)
    context = context + weights.sum(-1, keepdim=True) * attention.value.bias.view(h, d)
    return _add_and_norm(attention, x[:, 0], context.flatten(1))  # (N, D)


def _pooled(cross, first, x, bias):
    """x (N, K, D) through the layers from number `first` on, of which the last computes [CLS] alone -> (N, D)."""
    for layer in cross.layers[first:-1]:
        x = layer(x, bias)
    return cross.pool(cls_layer(cross.layers[-1], x, bias))


def _first_layer(layer, words, frames, real, bias):
    """The layer's output for all pairs, 0 at padding: words (A, W, D), frames (B, T, D) -> (A*B, K, D).

    real (A*B, K) says which places are real.
    """
    attention = layer.attention
    q, k, v = (
        _all_pairs(attention.split_heads(project(words)), attention.split_heads(project(frames)), dim=2)
        for project in (attention.query, attention.key, attention.value)
    )  # (A*B, h, K, d) each
    p = attention.dropout if attention.training else 0.0
    context = scaled_dot_product_attention(q, k, v, bias.to(q.dtype), dropout_p=p)  # (A*B, h, K, d)
    context = context.transpose(1, 2).flatten(2)  # (A*B, K, D)
    attended = _add_and_norm(attention, _all_pairs(words, frames)[real], context[real])  # (real places, D)
    packed = layer.feed_forward(attended)  # (real places, D)
    x = packed.new_zeros(context.shape)
    x[real] = packed
    return x


def _add_and_norm(attention, x, context):
    """The end of `Attention.forward`, at some places: (..., D) each -> (..., D)."""
    return attention.norm(x + dropout(attention.output(context), attention.dropout, attention.training))


def _all_pairs(a, b, dim=1):
    """Every row of a with every row of b, joined along `dim`: (A, ...), (B, ...) -> (A*B, ...)."""
    A, B = len(a), len(b)
    a = a[:, None].expand(A, B, *a.shape[1:])
    b = b[None].expand(A, B, *b.shape[1:])
    return torch.cat([a, b], dim=dim + 1).flatten(0, 1)
