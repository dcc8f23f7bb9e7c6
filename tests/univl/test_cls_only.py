"""The shortcuts for [CLS] against the plain way, values and gradients."""

import pytest
import torch

from helpers.univl_processes import CONFIG, T, W, lengths_to_mask, small_model
from minivl.univl.cls_only import cls_attention, cls_layer, pooled_pairs, pooled_rows
from minivl.univl.layers import padding_bias

A, B, D = 3, 4, CONFIG.hidden_size


def states(rows, places, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, places, D, dtype=torch.double, generator=draw).requires_grad_()


def assert_same(found, expected, parameters):
    """Values, and gradients of a weighted sum of them, in double precision."""
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(9))
    gradients = [
        torch.autograd.grad((x * weights).sum(), parameters, retain_graph=True, allow_unused=True)
        for x in (found, expected)
    ]
    for ours, plain in zip(*gradients, strict=True):
        assert (ours is None) == (plain is None)
        if ours is not None:
            torch.testing.assert_close(ours, plain, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shortcut", [cls_attention, cls_layer])
def test_one_layer(shortcut):
    layer = small_model().double().cross.layers[0]
    x, bias = states(4, W, 1), padding_bias(lengths_to_mask([W, 5, 1, 0], W))  # the last row has nothing real
    module, arguments = (layer.attention, (x, x, bias)) if shortcut is cls_attention else (layer, (x, bias))
    assert_same(shortcut(module, x, bias), module(*arguments)[:, 0], [x, *module.parameters()])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_pooled_output(layers):
    cross = small_model(cross_layers=layers).double().cross
    text, video = states(A, W, 1), states(B, T, 2)
    text_mask, video_mask = lengths_to_mask([W, 4, 2], W), lengths_to_mask([T, 3, 1, 0], T)
    rows, columns = torch.arange(A).repeat_interleave(B), torch.arange(B).repeat(A)
    pairs = (text[rows], text_mask[rows], video[columns], video_mask[columns], W + 3)
    _, expected = cross(*pairs)  # (A*B, D)
    inputs = [text, video, *cross.parameters()]
    assert_same(pooled_rows(cross, *pairs), expected, inputs)
    assert_same(pooled_pairs(cross, text, text_mask, video, video_mask, W + 3).flatten(0, 1), expected, inputs)


def test_dropout_acts_in_training():
    layer = small_model(dropout=0.5).double().cross.layers[0]
    x, bias = states(4, W, 1), padding_bias(lengths_to_mask([W] * 4, W))
    for training in (True, False):
        layer.train(training)
        assert torch.equal(cls_layer(layer, x, bias), cls_layer(layer, x, bias)) != training
