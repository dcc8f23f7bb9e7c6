"""What class tokens read, what strategies cost, and how embeddings of one kind lie together."""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from minivl.ablations.discovla_cost import strategy_costs
from minivl.config import DiscoVLAConfig
from minivl.discovla import DiscoVLA
from minivl.discovla.microscope import class_attention
from minivl.plots import embedding_maps, neighbour_accuracy

CONFIG = DiscoVLAConfig(vision_fusion_layers=2, text_fusion_layers=0, alpha=0.0, beta=0.0)


@pytest.fixture(scope="module")
def model():
    return DiscoVLA.from_open_clip("kitchen", None, CONFIG).eval()


@pytest.mark.parametrize("block", [-1, 0])
@pytest.mark.parametrize("across", [True, False])
def test_attention_is_what_the_block_uses(model, block, across):
    """Weights times values, summed over everything, is what the fused kernel returns for the class tokens."""
    B, F, video = 2, 3, torch.randn(2, 3, 3, 48, 48)
    attention, seen = model.clip.visual.transformer.resblocks[block].attn, {}
    hook = attention.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    weights = class_attention(model, video, block, across)
    hook.remove()
    with torch.no_grad():
        q, k, _ = (t.view(B * F, -1, attention.num_heads, t.shape[-1]) for t in attention.project(seen["x"]))
    N = q.shape[1]
    # Values that are unit vectors return the attention itself.
    rows, length = (B, F * N) if across else (B * F, N)
    values = torch.eye(length).expand(rows, attention.num_heads, length, length)
    queries = q[:, 0].reshape(rows, -1, *q.shape[2:]).transpose(1, 2)
    found = scaled_dot_product_attention(queries, k.reshape(rows, length, *k.shape[2:]).transpose(1, 2), values).mean(1)
    wanted = found.view(B, F, F, N)[..., 1:] if across else found.view(B, F, N)[..., 1:]
    torch.testing.assert_close(weights, wanted, atol=1e-5, rtol=1e-4)
    assert (weights.flatten(2).sum(-1) < 1).all()


def test_hooks_are_removed(model):
    with pytest.raises(ValueError):
        class_attention(model, torch.randn(1, 2, 3, 5, 5))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_costs_grow_as_they_must():
    table = strategy_costs(CONFIG, frames=(2, 4), videos=1, repeats=1, progress=False).set_index(["strategy", "frames"])
    few, many = (table.xs(count, level="frames") for count in (2, 4))
    assert (many["operations"] / few["operations"])["image"] == pytest.approx(2, rel=1e-6)
    assert (many["operations"] / few["operations"])["video"] > 2.01
    assert many["operations"]["image"] < many["operations"]["adapter"] < many["operations"]["video"]
    assert (table["parameters"].groupby("strategy").nunique() == 1).all()
    adapters = CONFIG.vision_fusion_layers * (2 * 96 * CONFIG.lora_rank + CONFIG.lora_rank + 96)
    assert few["parameters"]["adapter"] - few["parameters"]["image"] == adapters
    assert (many["megabytes"] > 1.8 * few["megabytes"]).all()


def test_neighbours_of_separated_and_of_mixed_kinds():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 30)
    centres = np.repeat(np.eye(3, 8) * 10, 30, axis=0)
    assert neighbour_accuracy(centres + rng.normal(size=(90, 8)), labels) == 100
    assert neighbour_accuracy(rng.normal(size=(90, 8)), labels) < 60
    picture = embedding_maps({"near": centres + rng.normal(size=(90, 8)), "mixed": rng.normal(size=(90, 8))}, labels)
    assert "near: the 10 nearest neighbours give the right one in 100.0 %" in picture.alt
    assert len(picture.figure.axes) == 2
