"""Sharing: every model is saved, read back, described and uploaded in one way; data, too."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from typer.testing import CliRunner

from helpers.fake_hub import fake_hub
from minivl.cli import app
from minivl.clip import load_clip
from minivl.config import BUNDLED, DiscoVLAConfig, S3DConfig, UniVLConfig
from minivl.data.card import data_card
from minivl.data.online import hub_answers
from minivl.data.schema import load_split
from minivl.discovla import DiscoVLA
from minivl.hub.checkpoints import CheckpointError
from minivl.hub.folders import ShareError, describe, push_folder, sections
from minivl.s3d import S3D
from minivl.tasks.clip.retrieval import load_model
from minivl.univl import UniVL

ABOUT = {
    "data": "Sixteen clips.",
    "command": "minivl adapt",
    "scores": {"R@1": [10.84, 0.7], "MedR": 4},
    "limits": "Knows one kitchen.",
}


def discovla():
    torch.manual_seed(0)
    return DiscoVLA.from_open_clip("kitchen", config=DiscoVLAConfig(vision_fusion_layers=1, text_fusion_layers=0))


def univl():
    return UniVL(
        UniVLConfig(
            vocab_size=30,
            video_dim=8,
            hidden_size=16,
            num_heads=2,
            intermediate_size=16,
            text_layers=1,
            video_layers=1,
            cross_layers=1,
            decoder_layers=1,
        )
    )


def s3d():
    return S3D(S3DConfig(width=0.0625, feature_dim=16, embed_dim=8, image_size=16, frames_per_second=4))


def clip():
    return load_clip("kitchen")


def state(model):
    return getattr(model, "model", model).state_dict()


MODELS = [
    (discovla, DiscoVLA.from_pretrained),
    (univl, UniVL.from_pretrained),
    (s3d, S3D.from_pretrained),
    (clip, lambda name: load_clip(str(name))),
]
NAMES = [make.__name__ for make, _ in MODELS]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    return fake_hub(tmp_path / "hub", monkeypatch)


def minivl(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.mark.parametrize("make, read", MODELS, ids=NAMES)
def test_a_model_comes_back_from_the_hub(make, read, hub):
    model = make()
    assert model.push_to_hub("owner/model", private=False, card=sections(**ABOUT)) == "hub/owner/model"
    assert hub.kinds == {"owner/model": ("model", False)}
    again = state(read("hf-hub:owner/model" if make is clip else "owner/model"))
    assert again.keys() == state(model).keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in state(model).items())
    card = (hub.folder / "owner/model/README.md").read_text()
    assert card.startswith("---\n") and "library_name:" in card
    assert "## Training data\n\nSixteen clips.\n" in card and "    minivl adapt\n" in card
    assert "| R@1 | 10.84 ± 0.7 |\n| MedR | 4 |\n" in card and "over seeds" in card and "## Limits\n\nKnows" in card


def test_models_of_the_hub_can_be_searched_with(hub):
    discovla().push_to_hub("owner/adapted")
    clip().push_to_hub("owner/clip")
    assert load_model("hf-hub:owner/adapted")[1].config.vision_fusion_layers == 1
    loaded = load_model("hf-hub:owner/clip")
    assert loaded[1].config.vision_fusion_layers == 0 and loaded[0].image_size == 48


def test_an_architecture_of_open_clip_is_saved_whole(tmp_path):
    """With open_clip's own tokenizer, which is no file, and OpenAI's activation."""
    import open_clip

    name = "ViT-B-32"
    small = open_clip.get_model_config(name)
    small["vision_cfg"] |= {"layers": 1, "width": 64, "head_width": 32}
    small["text_cfg"] |= {"layers": 1, "width": 32, "heads": 1}
    made = load_clip("kitchen")
    made.name, made.pretrained, made.tokenizer = name, "openai", open_clip.get_tokenizer(name)
    made.image_size = 224
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip, "get_model_config", lambda _: json.loads(json.dumps(small)))
        made.model = open_clip.CLIP(**{key: small[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}).eval()
        made.save_pretrained(tmp_path / "clip")
    assert not (tmp_path / "clip" / "tokenizer.json").exists()
    again = load_clip(str(tmp_path / "clip"))
    assert json.loads((tmp_path / "clip" / "open_clip_config.json").read_text())["model_cfg"]["quick_gelu"]
    assert torch.equal(again.tokenizer(["a red pot"]), made.tokenizer(["a red pot"]))
    assert all(torch.equal(again.model.state_dict()[key], value) for key, value in made.model.state_dict().items())
    assert again.mean == pytest.approx(made.mean)


def test_what_is_known_replaces_what_was_said(tmp_path):
    s3d().save_pretrained(tmp_path, card=sections(data="Old.", limits="Many."))
    assert describe(tmp_path) == ["Command", "Scores"]
    assert describe(tmp_path, data="New.", scores={"R@1": 7}) == ["Command"]
    card = (tmp_path / "README.md").read_text()
    assert "Old." not in card and card.count("## Training data\n\nNew.\n") == 1 and card.count("## Limits") == 1
    assert "| R@1 | 7 |" in card and "no spread" in card
    assert describe(tmp_path, command="minivl x", limits="Few.") == [] == describe(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.count("\n## ") == 4 and "Many." not in card and "Few." in card
    with pytest.raises(CheckpointError, match="has no card"):
        describe(tmp_path / "nowhere")


# Failures


def test_without_a_network_nothing_is_lost(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub_answers.cache_clear()
    s3d().save_pretrained(tmp_path / "net")
    with pytest.raises(ShareError, match="could not be uploaded as owner/net(.|\n)*complete on this disk(.|\n)*hf a"):
        push_folder(tmp_path / "net", "owner/net")
    for read in (DiscoVLA.from_pretrained, S3D.from_pretrained, lambda name: load_clip(f"hf-hub:{name}")):
        with pytest.raises(CheckpointError, match="is no folder here, and on the hub it cannot be looked up"):
            read("owner/net")


@pytest.mark.parametrize("name", ["net", "a/b/c", "../net", "owner/a b", "owner/a--b", ""])
def test_names_that_the_hub_does_not_have(name, tmp_path, hub):
    with pytest.raises(ShareError, match="expected owner/name"):
        push_folder(tmp_path, name)
    assert not hub.kinds


@pytest.mark.parametrize("make, read", MODELS[:3], ids=NAMES[:3])
def test_settings_that_somebody_broke(make, read, tmp_path):
    """What a downloaded config.json says is checked before a model is built by it."""
    make().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    name = next(iter(settings))
    first = next(iter(settings[name]))
    for broken in ([], {}, {**settings[name], "code": "run me"}, {**settings[name], first: {"a": 1}}):
        (tmp_path / "config.json").write_text(json.dumps({**settings, name: broken}))
        with pytest.raises(CheckpointError, match="config.json is not of a model of this version"):
            read(tmp_path)


@pytest.mark.parametrize("make, read", MODELS, ids=NAMES)
def test_pickled_weights_are_not_read(make, read, tmp_path):
    """A folder whose weights are a pickle has no weights, even if the pickle would be harmless."""
    model = make()
    model.save_pretrained(tmp_path)
    weights = next(tmp_path.glob("*.safetensors"))
    for name in ("pytorch_model.bin", "open_clip_pytorch_model.bin"):
        torch.save(state(model), tmp_path / name)
    weights.unlink()
    with pytest.raises(ValueError, match=f"no weights file|{weights.name} is missing"):
        read(tmp_path)


# The command


def test_push_completes_the_card(tmp_path, hub):
    discovla().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "secret.env").write_text("token")
    (tmp_path / "scores.json").write_text(json.dumps({"R@sum": [213.5, 2.7]}))
    answer = minivl("push", tmp_path / "model", "me/model", "--data", "Clips.", "--scores", tmp_path / "scores.json")
    assert answer.exit_code == 0 and "uploaded: hub/me/model" in answer.output, answer.output
    assert "says nothing under Command, Limits" in answer.output
    assert hub.kinds == {"me/model": ("model", True)}
    assert {path.name for path in (hub.folder / "me/model").iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert "| R@sum | 213.5 ± 2.7 |" in (hub.folder / "me/model/README.md").read_text()


def test_push_of_data(tmp_path, hub):
    folder = shutil.copytree(BUNDLED / "kitchen", tmp_path / "kitchen", ignore=shutil.ignore_patterns("test", "READ*"))
    (folder / "train" / "notes.py").write_text("print()")
    answer = minivl("push", folder, "me/kitchen", "--public", "--command", "minivl world kitchen", "--limits", "Drawn.")
    assert answer.exit_code == 0 and hub.kinds == {"me/kitchen": ("dataset", False)}, answer.output
    there = hub.folder / "me/kitchen"
    assert load_split(there, "val")["caption"][:] == load_split(folder, "val")["caption"][:]
    assert not (there / "train" / "notes.py").exists() and (there / "world.json").exists()
    card = (there / "README.md").read_text()
    assert "16 train, 8 val rows" in card and "| `caption` | what can be seen, in words |" in card
    assert "  - split: train\n    path: train/*\n  - split: val" in card and "    minivl world kitchen" in card
    assert "seed = 0" in card and "Drawn." in card and 'load_split("this folder", "train")' in card


def test_a_card_that_was_written_by_hand_stays(tmp_path, hub):
    folder = shutil.copytree(BUNDLED / "opinion_features", tmp_path / "features")
    before = (folder / "README.md").read_text()
    answer = minivl("push", folder, "me/features", "--dry-run")
    assert "nothing was uploaded" in answer.output and not hub.kinds
    assert (folder / "README.md").read_text() == before


def test_a_card_of_features(tmp_path):
    card = data_card(BUNDLED / "narrated")
    assert "pretrain, " in card and card.index("pretrain") < card.index("test") and "`feature_rate`" in card
    with pytest.raises(FileNotFoundError, match="holds no data"):
        data_card(tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{broken", "not valid JSON"),
        ('["a"]', "must hold"),
        ('{"a": "b"}', "must hold"),
        ('{"a": [1, "b"]}', "must hold"),
    ],
)
def test_scores_that_are_none(tmp_path, content, message):
    s3d().save_pretrained(tmp_path)
    (tmp_path / "scores.json").write_text(content)
    answer = minivl("push", tmp_path, "me/net", "--scores", tmp_path / "scores.json")
    assert message in str(answer.exception)


def test_folders_that_nobody_else_could_use(tmp_path, hub):
    assert "neither a model" in str(minivl("push", tmp_path, "me/x").exception)
    made = DiscoVLA.from_open_clip(
        str(shutil.copytree(BUNDLED / "clip_kitchen", tmp_path / "own_clip")),
        config=DiscoVLAConfig(vision_fusion_layers=0, text_fusion_layers=0),
    )
    made.save_pretrained(tmp_path / "model")
    answer = minivl("push", tmp_path / "model", "me/model")
    assert "a folder that others do not have: push that one first" in str(answer.exception) and not hub.kinds


@pytest.mark.parametrize("name", ["univl_kitchen", "univl_kitchen_captions", "s3d_kitchen", "clip_kitchen"])
def test_push_of_what_is_bundled(tmp_path, hub, name):
    folder = shutil.copytree(BUNDLED / name, tmp_path / name)
    answer = minivl("push", folder, f"me/{name}")
    assert answer.exit_code == 0, answer.output
    assert f"uploaded: hub/me/{name}" in answer.output
