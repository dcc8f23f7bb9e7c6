"""Folders that hold a UniVL: written, read back whole and in parts, and refused with a reason."""

import dataclasses
import json
import resource

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from helpers.tiny_univl import tokenizer_in
from helpers.univl_processes import CONFIG, random_batch, small_model
from minivl.config import ConfigError, ObjectiveConfig
from minivl.data.online import hub_answers
from minivl.hub.checkpoints import CheckpointError
from minivl.hub.folders import find, read_settings
from minivl.univl import UniVL

ALL = ("cross", "decoder", "heads")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(model, its folder)."""
    folder = tmp_path_factory.mktemp("models") / "univl"
    model = small_model(ObjectiveConfig.release(cmlm=0.5))
    model.save_pretrained(folder, card="Trained on {nothing}.")
    return model, folder


def test_round_trip(saved):
    model, folder = saved
    again = UniVL.from_pretrained(folder)
    assert again.config == model.config == CONFIG and again.objectives == model.objectives
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    batch = random_batch([5, 3], [4, 2], [3, 2])
    assert again.losses(batch)["total"] == model.losses(batch)["total"]


def test_what_is_in_the_folder(saved):
    model, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n") and "Trained on {nothing}." in card
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in card
    model.save_pretrained(folder, card="Trained on {nothing}.")  # again, over the old one
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("parts", [(), ("cross",), ("cross", "decoder"), ("cross", "heads"), ALL])
def test_some_parts(saved, parts):
    model, folder = saved
    some = UniVL.from_pretrained(folder, parts=parts)
    assert some.config == dataclasses.replace(CONFIG, parts=parts)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in some.state_dict().items())
    assert len(some.state_dict()) < len(model.state_dict()) or parts == ALL


def test_more_parts_than_were_saved(tmp_path):
    stage_one = small_model(parts=())
    stage_one.save_pretrained(tmp_path)
    more = UniVL.from_pretrained(tmp_path, parts=ALL)
    state = more.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in stage_one.state_dict().items())
    assert state["decoder.layers.0.self_attention.query.weight"].std() == pytest.approx(0.02, rel=0.3)  # at random
    with pytest.raises(ConfigError, match="parts are cross"):
        UniVL.from_pretrained(tmp_path, parts=("decoder",))


def test_the_tokenizer_lies_beside(tmp_path):
    class Tokenizer:
        def save_pretrained(self, folder):
            (folder / "tokenizer.json").write_text("{}")

    small_model(parts=()).save_pretrained(tmp_path, Tokenizer())
    assert (tmp_path / "tokenizer.json").exists()


def changed(saved, folder, **settings):
    """A copy of the saved model with other entries in its config.json."""
    config = json.loads((saved[1] / "config.json").read_text())
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    (folder / "model.safetensors").write_bytes((saved[1] / "model.safetensors").read_bytes())
    return config


def test_foreign_folders(saved, tmp_path):
    with pytest.raises(CheckpointError, match="not the config"):
        UniVL.from_pretrained(tmp_path)  # empty
    for text in ("{}", "[]", "not json", json.dumps({"model_type": "bert", "hidden_size": 768})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match="not the config of a saved model of this kind"):
            UniVL.from_pretrained(tmp_path)
    config = changed(saved, tmp_path / "newer", univl={"parts": [], "wings": 2})
    for univl in ({"parts": [], "wings": 2}, {}, [], {"parts": 3}, {"hidden_size": "24"}):
        changed(saved, tmp_path / "newer", univl=univl)
        with pytest.raises(CheckpointError, match="not of a model of this version"):
            UniVL.from_pretrained(tmp_path / "newer")
    changed(saved, tmp_path / "wider", univl={**config["univl"], "hidden_size": 30})
    with pytest.raises(CheckpointError, match="wrong shape"):
        UniVL.from_pretrained(tmp_path / "wider")
    changed(saved, tmp_path / "other")
    save_file({"net.weight": torch.zeros(2)}, tmp_path / "other" / "model.safetensors")
    with pytest.raises(CheckpointError, match="missing"):
        UniVL.from_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights file"):
        UniVL.from_pretrained(tmp_path / "other")


def test_models_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub_answers.cache_clear()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="owner/model is no folder here, and on the hub it cannot be looked up"):
        UniVL.from_pretrained("owner/model")
    for name in ("nowhere", "a/b/c"):
        with pytest.raises(CheckpointError, match="named owner/name"):
            UniVL.from_pretrained(name)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="not a folder"):
        find("file")


def test_a_model_of_the_hub(monkeypatch, saved):
    asked = []
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, allow_patterns: (asked.append((name, allow_patterns)), str(saved[1]))[1],
    )
    assert UniVL.from_pretrained("owner/model", parts=()).config.parts == ()
    assert asked[0][0] == "owner/model" and not any("bin" in pattern for pattern in asked[0][1])  # nothing pickled


def test_settings_may_have_more_entries(saved):
    assert set(read_settings(saved[1], ("univl",))) == {"univl", "objectives"}


@pytest.fixture
def disk():
    """disk(n): from now on no file can grow beyond n bytes, a real failure of the write; disk(None) lifts it."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    yield limit
    limit(None)


@pytest.mark.parametrize("size", [0, 400, 3_000, 20_000], ids=["config", "card", "tokenizer", "weights"])
def test_a_full_disk_while_a_model_is_saved(tmp_path, disk, size):
    """What was there stays as it was, all of it, whichever file did not fit."""
    tokenizer, folder = tokenizer_in(tmp_path / "words"), tmp_path / "model"
    model = small_model()
    model.save_pretrained(folder, tokenizer)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with torch.no_grad():
        model.video.project.weight.zero_()
    disk(size)
    with pytest.raises(OSError, match=r"cannot write .*model: .*What was there is unchanged: free some space"):
        model.save_pretrained(folder, tokenizer, card="new")
    disk(None)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    model.save_pretrained(folder, tokenizer, card="new")
    assert UniVL.from_pretrained(folder).video.project.weight.abs().sum() == 0
