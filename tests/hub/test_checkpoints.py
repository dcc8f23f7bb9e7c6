"""Weights are loaded whole or not at all, and every complaint names what is wrong."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from minivl.hub.checkpoints import CheckpointError, load_weights, read_weights


def network():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def state():
    return {name: torch.full_like(value, 7) for name, value in network().state_dict().items()}


def assert_loaded(model):
    assert all((value == 7).all() for value in model.state_dict().values())


def assert_refused(model, state, *patterns, **options):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as refusal:
        load_weights(model, state, **options)
    for pattern in patterns:
        assert pattern in str(refusal.value)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    return str(refusal.value)


def test_loads_mappings_and_both_kinds_of_file(state, tmp_path):
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.bin")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for source in (state, tmp_path / "a.safetensors", str(tmp_path / "b.bin"), tmp_path / "old.pt"):
        model = network()
        load_weights(model, source)
        assert_loaded(model)


def test_half_precision_is_widened(state):
    model = network()
    load_weights(model, {name: value.half() if value.is_floating_point() else value for name, value in state.items()})
    assert_loaded(model)
    assert model[0].weight.dtype == torch.float32


def test_one_message_lists_everything(state):
    state["1.weight"] = torch.zeros(3)
    state["0.extra"] = torch.zeros(1)
    state["1.running_mean"] = torch.tensor([1.0, torch.nan])
    state["1.running_var"] = torch.tensor([1.0, torch.inf])
    del state["0.bias"], state["1.bias"]
    message = assert_refused(
        network(),
        state,
        "missing (2)",
        "0.bias",
        "1.bias",
        "unexpected (1)",
        "0.extra",
        "1.weight: (3,), the model has (2,)",
        "1.running_mean",
        "1.running_var",
        "the given weights",
        "Sequential",
    )
    assert "0.weight" not in message


def test_missing_weights_may_be_allowed(state):
    del state["1.weight"]
    model = network()
    load_weights(model, state, allow_missing=("1.",))
    assert (model[0].weight == 7).all() and (model[1].weight == 1).all()
    assert_refused(model, state, "1.weight", allow_missing=("0.",))


def test_the_message_names_the_file(state, tmp_path):
    torch.save(state | {"more": torch.zeros(1)}, tmp_path / "weights.pt")
    assert_refused(network(), tmp_path / "weights.pt", "weights.pt", "more")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_files_that_cannot_be_read(name, state, tmp_path):
    file = tmp_path / name
    assert_refused(network(), file, "no weights file", name)
    assert_refused(network(), tmp_path, "no weights file")
    file.write_bytes(b"")
    assert_refused(network(), file, "empty", name)
    for garbage in (b"not a checkpoint at all", b"\x80\x02" + bytes(50), os.urandom(300), b"PK\x03\x04" + bytes(40)):
        file.write_bytes(garbage)
        assert_refused(network(), file, "damaged", name)
    save = save_file if name.endswith("safetensors") else torch.save
    save(state, file)
    file.write_bytes(file.read_bytes()[:-100])
    assert_refused(network(), file, "damaged", name)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def test_a_pickle_that_needs_code_is_refused(state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(state | {"x": Harmful()}, "new.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"x": Harmful()}, protocol=2))
    torch.save(network(), "module.pt")
    assert_refused(network(), "new.pt", "refused", "mkdir")
    assert_refused(network(), "plain.pkl", "refused", "mkdir")
    assert_refused(network(), "module.pt", "refused", "torch.nn.modules.container.Sequential")
    assert not (tmp_path / "hacked").exists()


def test_files_that_hold_something_else(state, tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"model": state, "epoch": 3}, tmp_path / "nested.pt")
    with pytest.raises(CheckpointError, match="not a list"):
        read_weights(tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="'model' is a"):
        read_weights(tmp_path / "nested.pt")
