"""The text tower alone gives what the whole model gives, and opens nothing that it does not need."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from minivl.clip import ModelError, load_clip
from minivl.clip.model import KITCHEN
from minivl.clip.text_tower import FolderTokenizer, load_text_tower
from minivl.config import DiscoVLAConfig
from minivl.data.text import tokenize
from minivl.discovla import DiscoVLA
from minivl.discovla.text import AdaptedText
from minivl.hub.checkpoints import CheckpointError

TEXTS = [
    "a Red pot",
    "quinoa!",
    "",
    "x " * 100,
    "&amp;lt; â€œtwo  \n words",
    "日本 ñ [UNK] <end_of_text> <pad>",
    "\x00\u200b",
]


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(KITCHEN, tmp_path / "clip")


@torch.inference_mode()
def test_embeddings_are_those_of_the_whole_model_bit_for_bit(tmp_path):
    config = DiscoVLAConfig(vision_fusion_layers=1, text_fusion_layers=2, lora_rank=4)
    whole = DiscoVLA.from_open_clip("kitchen", config=config).eval()
    for parameter in whole.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    whole.save_pretrained(tmp_path)
    tower, tokenizer = load_text_tower(KITCHEN)
    alone = AdaptedText(tower, config)
    alone.load_adapted(tmp_path / "model.safetensors")
    ids, mask = tokenize(tokenizer, TEXTS, 32)
    assert torch.equal(alone.eval().encode_caption(ids, mask), whole.encode_caption(ids, mask))


@pytest.mark.parametrize("length", [3, 8, 32])
def test_tokens_are_those_of_open_clip(length):
    theirs, ours = load_clip("kitchen", weights=False).tokenizer, FolderTokenizer(KITCHEN / "tokenizer.json", 32)
    for mine, other in zip(tokenize(ours, TEXTS, length), tokenize(theirs, TEXTS, length), strict=True):
        assert torch.equal(mine, other)


def test_weights_of_the_vision_tower_are_not_read(copy):
    state = load_file(copy / "open_clip_model.safetensors")
    save_file({name: x for name, x in state.items() if "visual" not in name}, copy / "open_clip_model.safetensors")
    assert load_text_tower(copy) is not None


@pytest.mark.parametrize("change", [{"pool_type": "last"}, {"no_causal_mask": True}, {"ls_init_value": 0.1}])
def test_other_towers_are_left_to_open_clip(copy, change):
    settings = json.loads((copy / "open_clip_config.json").read_text())
    settings["model_cfg"]["text_cfg"] |= change
    (copy / "open_clip_config.json").write_text(json.dumps(settings))
    assert load_text_tower(copy) is None


def test_other_tokenizers_are_left_to_open_clip(copy):
    (copy / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    assert load_text_tower(copy) is None


def test_damaged_folders_are_refused(copy):
    state = load_file(copy / "open_clip_model.safetensors")
    state["ln_final.bias"][0] = torch.nan
    save_file(state, copy / "open_clip_model.safetensors")
    with pytest.raises(CheckpointError, match=r"ln_final\.bias"):
        load_text_tower(copy)
    (copy / "open_clip_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=r"open_clip_model\.safetensors"):
        load_text_tower(copy)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        load_text_tower(copy)
