"""Small files of `tests/fuzz/corpus` that ask for much, or hold what is no weight: refused, in little memory."""

import json
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from helpers import RECORDINGS, TESTS, small_discovla
from minivl.config import BUNDLED
from minivl.config.limits import PREFIX
from minivl.data.corpora.pickles import read_pickle
from minivl.data.features import FeatureError, load_features
from minivl.data.schema import SchemaError
from minivl.hub.checkpoints import CheckpointError, build, count_layers, finite, load_weights, read_torch, read_weights
from minivl.s3d import S3D
from minivl.tasks.clip.retrieval import load_model
from minivl.univl import UniVL


def kept(name):
    """A file of the corpus, `KIND/defect__name.suffix`, by its defect and suffix."""
    stem, suffix = name.split(".")
    return next((TESTS / "fuzz" / "corpus").glob(f"*/{stem}__*.{suffix}"))


WEIGHTS = {
    "expanded.pth": "weight has shape .1000000000,., but the file has 4 bytes of it",
    "expanded_old.pth": "weight has shape .1000000000,., but the file has 4 bytes of it",
    "claims.pth": "it claims tensors of 4,000,000,000 bytes, and has 1,460",
    "compressed.pth": "would unpack to more bytes than it has",
    "complex.safetensors": r"wrong type \(1\):\n    weight: complex numbers, the model has real ones",
    "whole.safetensors": r"wrong type \(1\):\n    weight: whole numbers",
    "overflow.safetensors": r"NaN or infinite \(1\):\n    weight",
    "overlapping.safetensors": "is damaged or not a safetensors file",
    "huge_header.safetensors": "is damaged or not a safetensors file",
}
PICKLES = {
    "bytearray.pickle": "is not a readable pickle: TypeError",
    "memo.pickle": "",  # no harm: a memo may have any number
    "nested.pickle": "MINIVL_LIMIT_UNPACKED_RATIO",
    "array.pickle": "has an array of shape .1000000000,. with 1 entries",
}
FOLDERS = {
    "huge_layers.json": (UniVL.from_pretrained, "UniVLConfig.text_layers cannot be 9999999.*MINIVL_LIMIT_LAYERS"),
    "huge_model.json": (UniVL.from_pretrained, "config.json describes a model of .* GB.*MINIVL_LIMIT_MODEL_GB"),
    "huge_number.json": (S3D.from_pretrained, "1e400 is too large a number"),
    "long_videos.json": (load_model, "InputConfig.max_frames cannot be 1000000000.*MINIVL_LIMIT_FRAMES"),
}


@pytest.fixture(autouse=True)
def little_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name):
    with pytest.raises(CheckpointError, match=WEIGHTS[name]) as error:
        load_weights(nn.Linear(3, 2), kept(name))
    assert str(kept(name)) in str(error.value)


def test_a_name_makes_no_layers():
    recorded = load_file(RECORDINGS / "univl.safetensors")
    released = {name.removeprefix("state."): value for name, value in recorded.items() if name.startswith("state.")}
    with pytest.raises(CheckpointError, match="name layer 9999999 of bert.encoder.layer, but there are only"):
        UniVL.from_reference(released | read_weights(kept("layer_9999999.pth")), num_heads=2)
    assert count_layers({f"a.{number}.x": 0 for number in (0, 1, 2)} | {"b.7.x": 0}, "a") == 3
    with pytest.raises(CheckpointError, match="MINIVL_LIMIT_LAYERS"):
        count_layers({f"a.{number}.x": 0 for number in range(200)}, "a")


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name):
    if not PICKLES[name]:
        assert read_pickle(kept(name)) == {}
        return
    with pytest.raises(SchemaError, match=PICKLES[name]):
        read_pickle(kept(name))


def test_a_pickle_may_name_one_part_several_times(tmp_path):
    import pickle

    label = ["stir"]
    (tmp_path / "a.pickle").write_bytes(pickle.dumps([label] * 100))
    assert read_pickle(tmp_path / "a.pickle") == [["stir"]] * 100


def test_features_that_claim_more_than_the_file_has():
    with pytest.raises(FeatureError, match=r"claims__one.npy cannot be read as a \.npy file"):
        load_features(kept("claims.npy"))


@pytest.mark.parametrize("name", FOLDERS)
def test_settings(name, tmp_path):
    load, message = FOLDERS[name]
    shutil.copy(kept(name), tmp_path / "config.json")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    if name == "long_videos.json":  # its model is in order
        from minivl.config import DiscoVLAConfig
        from minivl.discovla import DiscoVLA

        config = DiscoVLAConfig(lora_rank=1, vision_fusion_layers=0, text_fusion_layers=0)
        DiscoVLA.from_open_clip("kitchen", config=config).save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(saved | {"inputs": {"max_frames": 10**9}}))
    with pytest.raises(CheckpointError, match=message):
        load(str(tmp_path))


def test_limits_can_be_raised_and_lowered(tmp_path, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}MODEL_GB", "1")
    with pytest.raises(CheckpointError, match="here describes a model of 2 GB: the limit is 1; set MINIVL_LIMIT_MODEL"):
        build(lambda: nn.Linear(2**14, 2**15), "here")
    monkeypatch.setenv(f"{PREFIX}WEIGHTS_GB", "1")
    with open(tmp_path / "large.pth", "wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(CheckpointError, match="has 3 GB: the limit is 1; set MINIVL_LIMIT_WEIGHTS_GB"):
        read_weights(tmp_path / "large.pth")


def test_sizes_that_give_no_model_are_told_with_their_file():
    with pytest.raises(CheckpointError, match=r"a\.json describes no model that can be built: .*division"):
        build(lambda: nn.Linear(1 // 0, 1), "a.json")


@pytest.mark.parametrize("kind", ["sparse", "quantized"])
def test_tensors_of_other_kinds(kind, tmp_path):
    tensor = (
        torch.eye(3).to_sparse() if kind == "sparse" else torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)
    )
    torch.save({"weight": tensor}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="no plain tensor|damaged or not a torch file"):
        read_weights(tmp_path / "a.pth")


def test_tied_tensors_are_read_and_nested_ones_checked(tmp_path):
    weight = torch.rand(4, 4)
    torch.save({"a": weight, "b": weight, "c": weight[1:3]}, tmp_path / "tied.pth")
    read = read_weights(tmp_path / "tied.pth")
    assert torch.equal(read["a"], weight) and torch.equal(read["c"], weight[1:3])
    torch.save({"state": [{"deep": torch.zeros(1).expand(10**9)}]}, tmp_path / "deep.pth")
    with pytest.raises(CheckpointError, match="deep has shape"):
        read_torch(tmp_path / "deep.pth")


def test_a_variance_is_not_negative(tmp_path):
    folder = shutil.copytree(BUNDLED / "s3d_kitchen", tmp_path / "s3d")
    state = load_file(folder / "model.safetensors")
    state["conv1.bn1.running_var"][0] = -1
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"negative variance \(1\):\n    conv1.bn1.running_var"):
        S3D.from_pretrained(folder)


def test_long_lists_of_names_are_cut():
    with pytest.raises(CheckpointError, match=r"unexpected \(1000\)(.|\n)*and 980 more") as error:
        load_weights(nn.Linear(3, 2), {f"{'x' * 500}{number}": torch.zeros(1) for number in range(1000)})
    assert len(str(error.value)) < 10_000


def test_what_a_model_computes_is_finite():
    assert finite(torch.ones(2), "cosines").sum() == 2
    with pytest.raises(CheckpointError, match="computes cosines that are NaN or infinite"):
        finite(torch.tensor([1.0, torch.nan]), "cosines")
    assert finite(torch.ones(2, device="meta"), "features that are only counted").is_meta


def test_embeddings_that_are_not_finite_are_no_ranking():
    model = small_discovla.build().eval()
    batch = small_discovla.small_batch()
    with pytest.raises(CheckpointError, match="embeddings of videos that are NaN or infinite"):
        model.encode_video(batch["video"] * torch.nan)
    model.clip.text_projection.data *= torch.inf
    with pytest.raises(CheckpointError, match="embeddings of captions that are NaN or infinite"):
        model.encode_caption(batch["text_ids"], batch["text_mask"])
