"""Code is planted in every kind of model folder, and never runs, whichever loader or command opens the folder.

The planted module writes a file beside itself when it is imported. Standard input is closed: a question ("run the
custom code? [y/N]") would be an error of its own.
"""

import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch

from helpers.program import minivl
from helpers.tiny_llava import tiny_llava
from helpers.tiny_univl import tiny_univl, tokenizer_in
from minivl.clip import ModelError, load_clip
from minivl.clip.model import KITCHEN
from minivl.config import BUNDLED
from minivl.data.trust import UntrustedFile, refuse_code
from minivl.data.wordpiece import TokenizerError, load_tokenizer
from minivl.discovla import DiscoVLA
from minivl.discovla.llava import LlavaCaptioner
from minivl.fullscale.weights import check_weights
from minivl.hub.checkpoints import CheckpointError, read_weights
from minivl.tasks.clip.retrieval import ZERO_SHOT, load_model
from minivl.univl.pretraining import load_bert

AUTO_MAP = {
    "AutoTokenizer": ["evil.Evil", "evil.Evil"],
    "AutoModel": "evil.Evil",
    "AutoConfig": "evil.Evil",
    "AutoProcessor": "evil.Evil",
    "AutoImageProcessor": "evil.Evil",
    "AutoModelForCausalLM": "evil.Evil",
}

TRUST = "trust_remote" + "_code=True"  # nowhere else in this repository


def plant(folder, *files, key="auto_map", value=AUTO_MAP, text_cfg=None):
    """`folder` with `evil.py`, and JSON files that name it."""
    (folder / "evil.py").write_text(
        f"open({str(folder / 'it-ran')!r}, 'w')\n"
        "class Evil:\n    from_pretrained = classmethod(lambda cls, *_, **__: cls())\n"
    )
    for name in files:
        file = folder / name
        content = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(content | {key: value}))
    if text_cfg:
        file = folder / "open_clip_config.json"
        content = json.loads(file.read_text())
        content["model_cfg"]["text_cfg"] |= text_cfg
        file.write_text(json.dumps(content))
    return folder


def assert_it_never_ran(folder):
    assert not (folder / "it-ran").exists()


@pytest.fixture(autouse=True)
def no_questions(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def clip_folder(tmp_path):
    return shutil.copytree(KITCHEN, tmp_path / "clip")


CLIP_TRAPS = {
    "tokenizer arguments": {"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}},
    "another tokenizer": {"text_cfg": {"hf_tokenizer_name": "evil/code", "tokenizer_kwargs": {"use_fast": False}}},
    "a text tower of the hub": {"text_cfg": {"hf_model_name": "evil/code", "hf_model_pretrained": True}},
    "auto_map of the tokenizer": {"key": "auto_map"},
}


@pytest.mark.parametrize("trap", CLIP_TRAPS)
def test_clip_folders(clip_folder, trap):
    plant(clip_folder, "tokenizer_config.json", **CLIP_TRAPS[trap])
    for load in (load_clip, load_model):
        with pytest.raises(ModelError, match="names code to be run|not a configuration of open_clip"):
            load(str(clip_folder))
    assert_it_never_ran(clip_folder)


@pytest.mark.parametrize("trap", CLIP_TRAPS)
def test_open_clip_s_own_configuration_is_checked_without_an_auto_map_too(clip_folder, trap):
    plant(clip_folder, **{name: value for name, value in CLIP_TRAPS[trap].items() if name == "text_cfg"})
    if "text_cfg" in CLIP_TRAPS[trap]:
        with pytest.raises(ModelError, match="Extra inputs are not permitted|names code to be run"):
            load_clip(str(clip_folder))
    else:
        assert load_clip(str(clip_folder)).image_size == 48, "a file of Python that nothing names does no harm"
    assert_it_never_ran(clip_folder)


def test_an_adapted_folder_that_names_such_a_clip(clip_folder, tmp_path):
    DiscoVLA.from_open_clip("kitchen", config=ZERO_SHOT).save_pretrained(tmp_path / "adapted")
    settings = json.loads((tmp_path / "adapted" / "config.json").read_text())
    settings["clip"]["name"] = str(plant(clip_folder, "tokenizer_config.json"))
    (tmp_path / "adapted" / "config.json").write_text(json.dumps(settings))
    for load in (DiscoVLA.from_pretrained, load_model):
        with pytest.raises(ModelError, match="names code to be run"):
            load(str(tmp_path / "adapted"))
    assert_it_never_ran(clip_folder)


def test_univl_folders(tmp_path):
    folder = tmp_path / "univl"
    tokenizer = tokenizer_in(tmp_path / "words")
    tiny_univl(tokenizer).save_pretrained(folder, tokenizer)
    plant(folder, "tokenizer_config.json", "config.json")
    with pytest.raises(TokenizerError, match="names code to be run"):
        load_tokenizer(folder)
    with pytest.raises(UntrustedFile, match="names code to be run"):
        load_bert(tiny_univl(tokenizer), str(folder))
    assert_it_never_ran(folder)


def test_llava_folders(tmp_path):
    folder = tiny_llava(tmp_path / "llava-v1.6-mistral-7b-hf")
    plant(folder, "processor_config.json")
    with pytest.raises(ModelError, match="names code to be run"):
        LlavaCaptioner.from_pretrained(folder)
    findings = {f.weights.names[0]: f for f in check_weights(tmp_path)}
    assert "names code to be run" in findings[folder.name].problem
    assert_it_never_ran(folder)


def test_a_nested_auto_map_is_found(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"text_config": [{"a": {"auto_map": AUTO_MAP}}]}))
    with pytest.raises(UntrustedFile, match="auto_map"):
        refuse_code(tmp_path)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '{"a": NaN}', '{"a": Infinity}', "\x00"])
def test_configurations_that_are_no_json(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UntrustedFile, match="config.json cannot be read as JSON"):
        refuse_code(tmp_path)


def test_large_configurations_are_not_read(tmp_path):
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(10**9)
    with pytest.raises(UntrustedFile, match="954 MB"):
        refuse_code(tmp_path)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (self.target, "w"))


def test_torch_files(tmp_path):
    for write in (lambda path, content: torch.save(content, path), lambda path, c: path.write_bytes(pickle.dumps(c))):
        write(tmp_path / "weights.bin", {"a": Bomb(str(tmp_path / "it-ran"))})
        with pytest.raises(CheckpointError, match="refused|damaged"):
            read_weights(tmp_path / "weights.bin")
    assert_it_never_ran(tmp_path)


def test_a_pickle_beside_the_weights_is_not_read(tmp_path):
    folder = shutil.copytree(BUNDLED / "s3d_kitchen", tmp_path / "s3d")
    (folder / "model.safetensors").unlink()
    torch.save({"a": Bomb(str(folder / "it-ran"))}, folder / "pytorch_model.bin")
    from minivl.s3d import S3D

    with pytest.raises((CheckpointError, OSError)):
        S3D.from_pretrained(folder)
    assert_it_never_ran(folder)


COMMANDS = {
    "search": ["search", "a pot", str(BUNDLED / "kitchen" / "test"), "--model", "FOLDER"],
    "evaluate": ["evaluate", "--model", "FOLDER"],
    "adapt": ["adapt", "--clip", "FOLDER", "--scale", "tiny"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(clip_folder, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plant(clip_folder, "tokenizer_config.json", text_cfg={"tokenizer_kwargs": {"trust_remote_code": True}})
    words = [str(clip_folder) if word == "FOLDER" else word for word in COMMANDS[command]]
    done = minivl(*words, MINIVL_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1 and "names code to be run" in done.stderr and "Traceback" not in done.stderr
    assert_it_never_ran(clip_folder)


def test_the_trap_works(clip_folder):
    """With transformers alone and its switch on, the planted code does run: the tests above can fail."""
    plant(clip_folder, "tokenizer_config.json")
    program = f"import transformers; transformers.AutoTokenizer.from_pretrained({str(clip_folder)!r}, {TRUST})"
    subprocess.run([sys.executable, "-c", program], capture_output=True, stdin=subprocess.DEVNULL)
    assert (clip_folder / "it-ran").exists()
