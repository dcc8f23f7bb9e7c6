"""Gradient caching: the same losses and gradients, less memory, and a clear word where it cannot be.

Two processes are in test_engine.py.
"""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import default_collate

from helpers.engine_processes import CONFIG, discovla, stage_one, stage_two
from minivl.config import ConfigError
from minivl.train.engine import make_accelerator, prepare
from minivl.train.gradient_cache import backward_in_chunks
from minivl.train.loop import fit
from minivl.train.run_folder import TrainingError


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def directly(model, batch):
    losses = model.losses(batch)
    losses["total"].backward()
    return losses, gradients(model)


def in_chunks(model, batch, size):
    accelerator = make_accelerator(CONFIG)
    losses = backward_in_chunks(accelerator, prepare(accelerator, model), batch, size)
    return losses, gradients(model)


def assert_same(found, expected, tolerance=1e-6):
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            largest = value.abs().max().item()
            torch.testing.assert_close(
                one[name],
                value.detach(),
                rtol=0,
                atol=tolerance * max(largest, 1.0),
                msg=lambda message, name=name: f"{name}: {message}",
            )


def batch_of(data):
    return default_collate([data[i] for i in range(len(data))])


MODELS = {
    "DiscoVLA": discovla,
    "UniVL": stage_one,
    "UniVL, release": lambda: stage_one(objectives={"anchors": "middle", "joint": 0.5}),
    "UniVL, hidden texts": lambda: stage_one(objectives={"contrast_hidden_texts": False}),
}


@pytest.mark.parametrize("size", [1, 3, 100])  # the last of three chunks is smaller; all at once
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_gradients_are_those_of_the_whole_batch(make, size):
    model, data = make()
    batch = batch_of(data)
    expected = directly(model.train(), batch)
    assert all(gradient.abs().sum() > 0 for name, gradient in expected[1].items() if "key.bias" not in name)
    assert_same(in_chunks(model, batch, size), expected, 5e-6)


def test_double_precision_leaves_no_doubt():
    model, data = stage_one()
    batch = {name: value.double() if value.is_floating_point() else value for name, value in batch_of(data).items()}
    assert_same(in_chunks(model.double(), batch, 3), directly(model, batch), 1e-6)  # `products` is in single precision


def test_dropout_masks_are_the_same_in_both_passes():
    """The direct gradient, with each chunk encoded under the seed that it has in the cache."""
    model, data = stage_one(dropout=0.3)
    batch = batch_of(data)
    torch.manual_seed(11)
    seeds = torch.randint(2**31, (3,)).tolist()
    parts = []
    for seed, rows in zip(seeds, (slice(0, 3), slice(3, 6), slice(6, 8)), strict=True):
        torch.manual_seed(seed)
        parts.append(model.train().encode({name: value[rows] for name, value in batch.items()}))
    losses = model.losses_of({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    losses["total"].backward()
    expected = losses, gradients(model)
    torch.manual_seed(11)
    found = in_chunks(model, batch, 3)
    assert_same(found, expected, 5e-6)
    torch.manual_seed(12)
    other = in_chunks(model, batch, 3)
    assert (other[0]["joint"] - found[0]["joint"]).abs() > 1e-3


class Kept:
    """Counts the bytes that a forward pass keeps for the backward pass; `peak` is the most at any moment."""

    def __init__(self, model):
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.now, self.peak, self.uses = 0, 0, {}

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self.weights:
            return tensor
        return _Held(self, tensor, (storage.data_ptr(), storage.nbytes()))

    def count(self, key, change):
        self.uses[key] = self.uses.get(key, 0) + change
        if self.uses[key] == max(change, 0):  # the first use begins or the last one ends
            self.now += change * key[1]
            self.peak = max(self.peak, self.now)


class _Held:
    def __init__(self, kept, tensor, key):
        self.kept, self.tensor, self.key = kept, tensor, key
        kept.count(key, 1)

    def __del__(self):
        self.kept.count(self.key, -1)


def peak_bytes(model, work):
    kept = Kept(model)
    with torch.autograd.graph.saved_tensors_hooks(
        kept.pack, lambda held: held.tensor if isinstance(held, _Held) else held
    ):
        work()
    assert kept.now == 0
    return kept.peak


@pytest.mark.parametrize("make", [discovla, stage_one], ids=["DiscoVLA", "UniVL"])
def test_memory_is_that_of_one_chunk(make):
    model, data = make()
    batch = batch_of(data)
    whole = peak_bytes(model, lambda: directly(model, batch))
    one_by_one = peak_bytes(model, lambda: in_chunks(model, batch, 1))
    assert one_by_one < whole / 4  # 8 examples


def test_fit_in_chunks(tmp_path):
    """With accumulation and mixed batches of every epoch: the losses of a run without chunks."""
    runs = [
        fit(
            *stage_one(),
            replace(CONFIG, gradient_accumulation=2, chunk_size=size),
            tmp_path / str(size),
            progress=False,
        )
        for size in (None, 3)
    ]
    assert len(runs[0]) == CONFIG.steps
    for one, other in zip(*runs, strict=True):
        for name in ("joint", "total", "grad_norm"):
            assert other[name] == pytest.approx(one[name], rel=1e-4)


def test_losses_that_need_more_than_embeddings(tmp_path):
    chunks = replace(CONFIG, chunk_size=2)
    with pytest.raises(ConfigError, match="also trains align, cmfm, cmlm, decoder.*Leave chunk_size out"):
        fit(*stage_two(), chunks, tmp_path / "two", progress=False)
    model, data = stage_one()
    with pytest.raises(TrainingError, match="a model's own.*UniVL does not train so here"):
        fit(model, data, chunks, tmp_path / "own", losses=lambda model, batch: model.losses(batch), progress=False)
    with pytest.raises(TrainingError, match="Linear does not train so here: leave chunk_size out"):
        fit(torch.nn.Linear(2, 2), data, chunks, tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="chunk_size must be at least 1"):
        replace(CONFIG, chunk_size=0)
