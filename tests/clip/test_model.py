"""The bundled small CLIP is a real open_clip model, and what its card says can be computed again."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from minivl.assets.clip_pretraining import ImageTextContrast, draw_pictures, image_text_retrieval, pretrain_clip
from minivl.cli import clip_names
from minivl.clip import ModelError, load_clip
from minivl.clip.model import KITCHEN
from minivl.config import scale
from minivl.data.text import tokenize
from minivl.hub.checkpoints import CheckpointError


@pytest.fixture(scope="module")
def kitchen():
    return load_clip("kitchen")


def test_it_is_open_clip_s_own_class_and_opens_without_minivl(kitchen):
    import open_clip

    assert type(kitchen.model) is open_clip.CLIP
    theirs = open_clip.create_model(f"local-dir:{KITCHEN}")
    assert all(
        torch.equal(a, b)
        for a, b in zip(theirs.state_dict().values(), kitchen.model.state_dict().values(), strict=True)
    )


def test_scores_of_the_card_are_those_of_the_weights(kitchen):
    settings = scale("small")
    pictures = draw_pictures("test", settings.clip_pretrain.held_out, settings.world, distinct=True)
    scores = image_text_retrieval(kitchen, pictures)
    committed = json.loads((KITCHEN / "scores.json").read_text())
    card = (KITCHEN / "README.md").read_text()
    for direction in ("t2v", "v2t"):
        assert scores[direction] == pytest.approx(committed[direction], abs=0.6)  # at most two near-ties fall otherwise
        for name in ("R@1", "R@5"):
            assert f"{committed[direction][name]:.1f}" in card
    assert scores["t2v"]["R@1"] > 20 * 100 / len(pictures), "far above chance"


def test_a_text_ends_at_its_largest_id_and_any_word_can_be_written(kitchen):
    ids, mask = tokenize(kitchen.tokenizer, ["a Red pot", "quinoa!", "", "x " * 100], 32)
    assert (ids.argmax(1) == mask.sum(1) - 1).all() and ids.max() == kitchen.model.vocab_size - 1
    unknown = kitchen.tokenizer.tokenizer.unk_token_id
    assert not (ids == unknown).any()
    assert torch.equal(tokenize(kitchen.tokenizer, ["a red pot"], 32)[0][0], ids[0]), "case does not matter"


def test_full_scale_takes_the_same_path():
    clip = load_clip("ViT-B-32", weights=False)
    assert clip.image_size == 224 and clip.tokenizer("a").shape == (1, 77)


def test_names_that_do_not_exist():
    with pytest.raises(ModelError, match="unknown model 'ViT-Q-99'.*'kitchen'.*folder"):
        load_clip("ViT-Q-99")
    with pytest.raises(ModelError, match="ViT-B-32 has no weights 'no-such-tag'.*openai"):
        load_clip("ViT-B-32", "no-such-tag")


def test_weights_that_cannot_be_downloaded(monkeypatch):
    import open_clip

    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", no_network)
    monkeypatch.setattr("minivl.clip.model.hub_answers", lambda: True)
    with pytest.raises(ModelError, match="'openai' of ViT-B-32 could not be had.*no network(.|\n)*path of a weights"):
        load_clip("ViT-B-32", "openai")


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(KITCHEN, tmp_path / "clip")


def test_weights_that_do_not_fit_are_listed_in_one_message(copy):
    file = copy / "open_clip_model.safetensors"
    state = load_file(file)
    state["visual.proj"] = torch.zeros(3, 3)
    state["stranger"] = torch.zeros(1)
    del state["ln_final.bias"]
    save_file(state, file)
    with pytest.raises(CheckpointError) as error:
        load_clip(str(copy))
    assert all(word in str(error.value) for word in ("visual.proj", "(3, 3)", "stranger", "ln_final.bias"))


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_weights_that_are_something_else(copy, content):
    (copy / "open_clip_model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="open_clip_model.safetensors"):
        load_clip(str(copy))


def test_folders_that_are_not_open_clip_s(copy, tmp_path):
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="tokenizer.json is missing"):
        load_clip(str(copy))
    (copy / "open_clip_config.json").write_text('{"model_cfg": {"embed_dim": 8}}')
    with pytest.raises(ModelError, match="open_clip_config.json"):
        load_clip(str(copy))


def test_pretraining_runs_end_to_end(tmp_path):
    settings = scale("tiny")
    scores = pretrain_clip(tmp_path / "clip", tmp_path / "run", settings.clip_pretrain, settings.world, progress=False)
    assert scores["t2v"]["R@10"] > 0
    clip = load_clip(str(tmp_path / "clip"))
    assert not clip.model.training
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["contrastive"] == lines[-1]["total"]


def test_the_objective_reaches_both_towers_and_the_temperature(kitchen):
    import copy as copying

    model = ImageTextContrast(copying.deepcopy(kitchen.model))
    batch = {"image": torch.randn(4, 3, 48, 48), "text_ids": tokenize(kitchen.tokenizer, ["a", "b", "c", "d"], 32)[0]}
    model.losses(batch)["total"].backward()
    for parameter in (model.clip.visual.conv1.weight, model.clip.token_embedding.weight, model.clip.logit_scale):
        assert parameter.grad.abs().sum() > 0


def test_names_are_known_without_importing_open_clip():
    import open_clip

    here = clip_names.architectures()  # other tests add some of their own to open_clip
    assert here <= set(open_clip.list_models()) and {name for name, _ in open_clip.list_pretrained()} <= here
    assert all(tag in clip_names.tags_of(name) for name, tag in open_clip.list_pretrained())
    assert clip_names.tags_of("RN50") == tuple(open_clip.list_pretrained_tags_by_model("RN50"))
