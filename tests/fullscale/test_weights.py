"""Released weights: small random models in exactly the files that circulate, whole and broken."""

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from helpers import RECORDINGS
from helpers.tiny_llava import tiny_llava
from minivl.cli import app
from minivl.clip.model import KITCHEN
from minivl.config import ConfigError, UniVLConfig
from minivl.data.wordpiece import train_wordpiece
from minivl.fullscale.weights import Weights, check_weights, convert, known_weights, read_bert, read_clip, read_llava
from minivl.hub.checkpoints import CheckpointError
from minivl.s3d import S3D
from minivl.univl import UniVL

SIZES = UniVLConfig(vocab_size=90, hidden_size=16, num_heads=2, intermediate_size=32, text_layers=1, text_positions=24)
NAMES = (
    "bert-base-uncased",
    "ViT-B-32",
    "ViT-B-16",
    "univl.pretrained.bin",
    "s3d_howto100m.pth",
    "llava-v1.6-mistral-7b-hf",
)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return tiny_llava(tmp_path_factory.mktemp("llava"))


class Hostile:
    """A pickle that would write a file when it is read."""

    def __reduce__(self):
        return Path.touch, (Path("i-was-run"),)


@pytest.fixture(autouse=True)
def nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    assert not (tmp_path / "i-was-run").exists()


@pytest.fixture(scope="module")
def architecture(tmp_path_factory):
    """A small CLIP under a name of its own, as open_clip knows ViT-B-32 with either activation."""
    import open_clip

    folder, settings = tmp_path_factory.mktemp("configs"), json.loads((KITCHEN / "open_clip_config.json").read_text())
    del settings["model_cfg"]["text_cfg"]["hf_tokenizer_name"]
    for name, quick in (("small-test", False), ("small-test-quickgelu", True)):
        (folder / f"{name}.json").write_text(json.dumps(settings["model_cfg"] | {"quick_gelu": quick}))
    open_clip.add_model_config(folder)
    return "small-test"


def bert_folder(path, safe=True):
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = train_wordpiece(["stir the soup", "cut the carrot"], SIZES.vocab_size, path)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        )
    )
    model.save_pretrained(path)
    if not safe:
        torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
        (path / "model.safetensors").unlink()
    return len(tokenizer)


def bert(words):
    return read_weights_of("bert-base-uncased", partial(read_bert, sizes=dataclasses.replace(SIZES, vocab_size=words)))


def read_weights_of(name, read):
    """The known weights of a name, with another reader."""
    known = next(weights for weights in known_weights() if name in weights.names)
    return dataclasses.replace(known, read=read, hub=None)


def check(weights, folder):
    (finding,) = check_weights(folder, [weights])
    return finding


def known(name):
    return next(weights for weights in known_weights() if weights.names[0] == name)


def released_univl():
    recorded = load_file(RECORDINGS / "univl.safetensors")
    return {name.removeprefix("state."): value for name, value in recorded.items() if name.startswith("state.")}


def test_nothing_is_here_and_each_is_told_with_its_source(tmp_path):
    findings = check_weights(tmp_path / "weights")
    assert tuple(finding.weights.names[0] for finding in findings) == NAMES
    for finding in findings:
        text = str(finding)
        assert finding.place is None and not finding.problem
        assert "not here   looked for" in text and str(tmp_path) in text and "get it" in text and "licence" in text
    answer = CliRunner().invoke(app, ["weights", "check", "--folder", str(tmp_path)])
    assert answer.exit_code == 0 and all(name in answer.output for name in NAMES)


@pytest.mark.parametrize("safe", [True, False])
def test_bert_as_the_hub_has_it(tmp_path, safe):
    words = bert_folder(tmp_path / "bert-base-uncased", safe)
    finding = check(bert(words), tmp_path)
    assert finding.found.endswith(f"tokenizer with {words} words") and not finding.problem


def test_bert_of_other_sizes_foreign_truncated_and_hostile(tmp_path):
    folder = tmp_path / "bert-base-uncased"
    words = bert_folder(folder)
    assert "other sizes than UniVL's text encoder" in check(bert(words + 1), tmp_path).problem
    whole = (folder / "model.safetensors").read_bytes()
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    assert "belong to another model" in check(bert(words), tmp_path).problem
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "SafetensorError" in check(bert(words), tmp_path).problem
    (folder / "model.safetensors").unlink()
    torch.save({"x": Hostile()}, folder / "pytorch_model.bin")
    assert "refused" in check(bert(words), tmp_path).problem
    (folder / "pytorch_model.bin").unlink()
    assert "OSError" in check(bert(words), tmp_path).problem


def test_bert_in_the_hub_s_cache(tmp_path, monkeypatch):
    import huggingface_hub

    cached = tmp_path / "hub" / "models--bert-base-uncased"
    words = bert_folder(cached / "snapshots" / "1234")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("1234")
    look = huggingface_hub.try_to_load_from_cache
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda name, file: look(name, file, cache_dir=tmp_path / "hub")
    )
    finding = check(dataclasses.replace(bert(words), hub=("bert-base-uncased", "config.json")), tmp_path)
    assert finding.place == cached / "snapshots" / "1234" and finding.found


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x.bin"])
def test_clip_as_a_file(tmp_path, architecture, name):
    weights = Weights((name,), "", "", "", partial(read_clip, architecture))
    state, path = load_file(KITCHEN / "open_clip_model.safetensors"), tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    assert "parameters" in check(weights, tmp_path).found
    path.write_bytes(path.read_bytes()[:5000])
    assert "damaged" in check(weights, tmp_path).problem
    foreign = {"a": torch.zeros(2)}
    save_file(foreign, path) if path.suffix == ".safetensors" else torch.save(foreign, path)
    assert "missing" in check(weights, tmp_path).problem
    if path.suffix != ".safetensors":
        torch.save({"x": Hostile()}, path)
        assert "would have to run" in check(weights, tmp_path).problem


def test_clip_as_openai_s_archive_is_refused(tmp_path, architecture):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "ViT-B-32.pt")
    finding = check(known("ViT-B-32"), tmp_path)
    assert "TorchScript archive, which holds code" in finding.problem and "BROKEN" in str(finding)


def test_clip_as_an_open_clip_folder(tmp_path, architecture):
    weights = Weights(("ViT-B-32",), "", "", "", partial(read_clip, architecture))
    shutil.copytree(KITCHEN, tmp_path / "ViT-B-32")
    assert "parameters" in check(weights, tmp_path).found
    assert "not a ViT-B-32" in check(known("ViT-B-32"), tmp_path).problem
    file = tmp_path / "ViT-B-32" / "open_clip_config.json"
    file.write_text(file.read_text().replace('"quick_gelu": true', '"quick_gelu": false'))
    assert "another activation" in check(weights, tmp_path).problem
    (tmp_path / "ViT-B-32" / "open_clip_model.safetensors").unlink()
    assert "open_clip_model.safetensors is missing" in check(weights, tmp_path).problem


def test_univl_as_released(tmp_path, monkeypatch):
    path, state = tmp_path / "univl.pretrained.bin", released_univl()
    read = partial(UniVL.from_reference, num_heads=2)
    monkeypatch.setattr("minivl.fullscale.weights.UniVL.from_reference", lambda path: read(path))
    torch.save(state, path)
    assert "not the released sizes: vocab_size" in check(known(path.name), tmp_path).found
    path.write_bytes(path.read_bytes()[:9999])
    assert "damaged" in check(known(path.name), tmp_path).problem
    torch.save({"bert.pooler.dense.bias": Hostile()}, path)
    assert "refused" in check(known(path.name), tmp_path).problem
    torch.save({"a": torch.zeros(2)}, path)
    assert "not the weights of a released UniVL" in check(known(path.name), tmp_path).problem
    state["cls.predictions.bias"] = state["cls.predictions.bias"][:-1]
    torch.save(state, path)
    finding = check(known(path.name), tmp_path)
    assert "wrong shape" in finding.problem
    answer = CliRunner().invoke(app, ["weights", "check", "--folder", str(tmp_path)])
    assert answer.exit_code == 1 and "wrong shape" in answer.output


def test_s3d_as_released(tmp_path):
    path, state = tmp_path / "s3d_howto100m.pth", S3D().state_dict()
    torch.save(state | {"text_module.fc1.weight": torch.zeros(3, 3)}, path)
    assert "parameters" in check(known(path.name), tmp_path).found
    convert("s3d", path, tmp_path / "s3d", "")
    assert S3D.from_pretrained(tmp_path / "s3d").fc.weight.equal(state["fc.weight"])
    torch.save({name: tensor for name, tensor in state.items() if name != "fc.bias"}, path)
    assert "fc.bias" in check(known(path.name), tmp_path).problem


def test_llava_as_the_hub_has_it(tmp_path, llava):  # noqa: F811
    name = "llava-v1.6-mistral-7b-hf"
    weights, folder = read_weights_of(name, read_llava), tmp_path / name
    shutil.copytree(llava, folder)
    assert "parameters, with its processor" in check(weights, tmp_path).found
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    assert "SafetensorError" in check(weights, tmp_path).problem
    state = load_file(llava / "model.safetensors")
    save_file(
        {name: value for name, value in state.items() if "lm_head" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    assert "lacks 1 of the model's weights, the first is lm_head.weight" in check(weights, tmp_path).problem
    (folder / "model.safetensors").unlink()
    torch.save({"x": Hostile()}, folder / "pytorch_model.bin")
    assert "OSError" in check(weights, tmp_path).problem  # only safetensors are read
    assert (
        "must be a folder"
        in check(read_weights_of(name, lambda path: read_llava(path / "config.json")), tmp_path).problem
    )


def test_released_univl_becomes_a_model_folder(tmp_path, monkeypatch):
    file, read = tmp_path / "univl.pretrained.bin", partial(UniVL.from_reference, num_heads=2)
    monkeypatch.setattr("minivl.fullscale.weights.UniVL.from_reference", lambda path: read(path))
    torch.save(released_univl(), file)
    size = read(file).config.vocab_size
    tokenizer = train_wordpiece(["a b c"], 200, tmp_path / "other")
    with pytest.raises(ConfigError, match=f"has {len(tokenizer)} words and .* has {size}"):
        convert("univl", file, tmp_path / "model", str(tmp_path / "other"))
    monkeypatch.setattr("minivl.fullscale.weights.load_tokenizer", lambda name: SizedTokenizer(size))
    answer = CliRunner().invoke(app, ["weights", "convert", "univl", str(file), str(tmp_path / "model")])
    assert answer.exit_code == 0, answer.exception
    model = UniVL.from_pretrained(tmp_path / "model")
    assert model.objectives.anchors == "middle" and model.config == read(file).config
    for name, tensor in read(file).state_dict().items():
        assert tensor.equal(model.state_dict()[name])
    with pytest.raises(ConfigError, match="choose univl or s3d"):
        convert("bert", file, tmp_path / "model", "")
    with pytest.raises(CheckpointError, match="no weights file"):
        convert("s3d", tmp_path / "none.pth", tmp_path / "model", "")


class SizedTokenizer:
    def __init__(self, words):
        self.words = words

    def __len__(self):
        return self.words

    def save_pretrained(self, folder):
        (Path(folder) / "tokenizer.json").write_text("{}")
