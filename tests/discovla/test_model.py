"""DiscoVLA on small random CLIPs: what is trained, what stays CLIP, saving, errors."""

import json
import sys
import types

import pytest
import torch
from open_clip.model import CLIP

from helpers.small_discovla import CONFIG, CONTEXT, SIZE, TEXT, VISION, captions, small_batch, small_clip, trained
from minivl.config import ConfigError, DiscoVLAConfig
from minivl.discovla import DiscoVLA
from minivl.discovla import model as model_file
from minivl.discovla.backbone import UnsupportedBackbone
from minivl.hub.checkpoints import CheckpointError, read_weights


def test_only_lora_and_adapters_learn():
    model = trained(DiscoVLA(small_clip(), CONFIG))
    model(small_batch())["total"].backward()
    text_adapter = "clip.transformer.resblocks.1.attn.adapter."  # fuses frame captions, which this loss has none of
    for name, p in model.named_parameters():
        learns = ".lora." in name or ".adapter." in name
        assert p.requires_grad == learns, name
        assert (p.grad is not None) == (learns and not name.startswith(text_adapter)), name
        assert p.grad is None or p.grad.abs().sum() > 0, name
    assert not model.clip.logit_scale.requires_grad


@pytest.mark.parametrize(
    "vision, text, fusion, count",
    [
        ({"patch_size": 32}, {}, (4, 2), 561_200),
        ({"patch_size": 16}, {}, (4, 2), 561_200),
        ({"patch_size": 32}, {}, (0, 0), 491_520),
        ({"patch_size": 14, "width": 1024, "layers": 24}, {"width": 768, "heads": 12}, (4, 2), 1_177_136),
    ],
)
def test_number_of_trained_parameters(vision, text, fusion, count):
    with torch.device("meta"):
        model = DiscoVLA(CLIP(512, vision, text), DiscoVLAConfig(8, *fusion))
    assert sum(p.numel() for p in model.trainable_parameters()) == count


def test_fresh_initialisation():
    attention = DiscoVLA(small_clip(), CONFIG).clip.visual.transformer.resblocks[-1].attn
    for zero in (attention.lora.B, attention.adapter.up.weight, attention.adapter.up.bias):
        assert not zero.any()
    assert 0.5 < attention.lora.A.abs().max() * 32**0.5 <= 1
    assert 0 < attention.adapter.down.bias.abs().max() < 1e-5
    assert 0.5 < attention.adapter.down.weight.abs().max() / (6 / (32 + 2)) ** 0.5 <= 1


@torch.no_grad()
def test_a_fresh_text_tower_is_clip():
    clip = small_clip()
    ids, mask = captions(3, CONTEXT, 2, 7)
    torch.testing.assert_close(DiscoVLA(clip, CONFIG).encode_caption(ids, mask), clip.encode_text(ids))


@torch.no_grad()
def test_a_fresh_vision_tower_is_clip_for_single_frames_only():
    clip, frames = small_clip(), torch.randn(3, 4, 3, SIZE, SIZE)
    plain = clip.encode_image(frames.flatten(0, 1)).view(3, 4, -1)
    model = DiscoVLA(clip, CONFIG)
    videos, features = model.encode_video(frames[:, :1])
    torch.testing.assert_close(features, plain[:, :1])
    torch.testing.assert_close(videos, torch.nn.functional.normalize(plain[:, 0], dim=-1))
    assert (model.encode_video(frames)[1] - plain).abs().max() > 1e-3
    unfused = DiscoVLA(clip, DiscoVLAConfig(2, 0, 0))
    torch.testing.assert_close(unfused.encode_video(frames)[1], plain)


@torch.no_grad()
def test_the_given_clip_stays_as_it_is():
    clip, image = small_clip(), torch.randn(2, 3, SIZE, SIZE)
    before = clip.encode_image(image)
    trained(DiscoVLA(clip, CONFIG))
    assert torch.equal(clip.encode_image(image), before)
    assert all(p.requires_grad for p in clip.parameters())


@torch.no_grad()
def test_padding_of_captions_changes_nothing():
    model = trained(DiscoVLA(small_clip(), CONFIG))
    ids, mask = captions(5, 5)
    short = model.encode_caption(ids[:, :5], mask[:, :5])
    torch.testing.assert_close(model.encode_caption(ids, mask), short)
    beside_longer = model.encode_caption(torch.cat([ids, captions(9)[0]]), torch.cat([mask, captions(9)[1]]))[:2]
    torch.testing.assert_close(beside_longer, short)

    fused = model.encode_frame_captions(ids[None, :, :5], mask[None, :, :5])
    torch.testing.assert_close(model.encode_frame_captions(ids[None], mask[None]), fused)
    other = ids.clone()
    other[0, 1] += 1
    assert (model.encode_frame_captions(other[None], mask[None])[0, 1] - fused[0, 1]).abs().max() > 1e-3
    torch.testing.assert_close(model.encode_caption(other, mask)[1], short[1])  # captions of videos never mix


@torch.no_grad()
def test_videos_of_a_batch_do_not_mix():
    model, frames = trained(DiscoVLA(small_clip(), CONFIG)), torch.randn(3, 4, 3, SIZE, SIZE)
    torch.testing.assert_close(model.encode_video(frames)[0][1:2], model.encode_video(frames[1:2])[0])


def test_the_loss_is_over_the_global_batch(monkeypatch):
    model, batch = DiscoVLA(small_clip(), CONFIG), small_batch()
    gathered = []
    monkeypatch.setattr(model_file, "gather_with_gradient", lambda x: gathered.append(x) or x)
    model.losses(batch)
    assert [len(x) for x in gathered] == [3, 3]


def fake_clip_module(monkeypatch, clip):
    loaded = []

    def load_clip(name, pretrained=None):
        loaded.append((name, pretrained))
        return types.SimpleNamespace(model=clip)

    monkeypatch.setitem(sys.modules, "minivl.clip", types.SimpleNamespace(load_clip=load_clip))
    return loaded


def test_save_and_load(tmp_path, monkeypatch):
    loaded = fake_clip_module(monkeypatch, small_clip())
    model, batch = trained(DiscoVLA.from_open_clip("small", "tag", CONFIG)), small_batch()
    model.save_pretrained(tmp_path / "new" / "folder")
    again = DiscoVLA.from_pretrained(tmp_path / "new" / "folder")
    assert loaded == [("small", "tag")] * 2
    assert again.config == CONFIG and again.backbone == model.backbone
    assert torch.equal(model(batch)["total"], again(batch)["total"])
    saved = read_weights(tmp_path / "new" / "folder" / "model.safetensors")
    assert saved.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    card = (tmp_path / "new" / "folder" / "README.md").read_text()
    assert "`small`, weights: tag." in card and 'fusion ("adapter") in the last 2 vision and 1 text' in card


def test_loading_into_another_clip_or_from_elsewhere_is_refused(tmp_path, monkeypatch):
    fake_clip_module(monkeypatch, small_clip())
    DiscoVLA.from_open_clip("small", config=CONFIG).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no model .*nowhere: not a folder"):
        DiscoVLA.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="not the config of a saved model"):
        DiscoVLA.from_pretrained(tmp_path / "empty")
    fake_clip_module(monkeypatch, small_clip(vision=VISION | {"width": 48}))
    with pytest.raises(CheckpointError, match="wrong shape"):
        DiscoVLA.from_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["discovla"]["depth"] = 3
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="depth"):
        DiscoVLA.from_pretrained(tmp_path)


def test_a_clip_without_a_name_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="from_open_clip"):
        DiscoVLA(small_clip(), CONFIG).save_pretrained(tmp_path)


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((2, 4, 1), "last 4 blocks of a tower that has 3"),
        ((2, 2, 3), "last 3 blocks of a tower that has 2"),
        ((2, -1, 1), "-1"),
        ((0, 2, 1), "rank"),
    ],
)
def test_impossible_settings(sizes, message):
    with pytest.raises(ConfigError, match=message):
        DiscoVLA(small_clip(), DiscoVLAConfig(*sizes))


@pytest.mark.parametrize(
    "vision, text, message",
    [
        ({"layers": (1, 1, 1, 1), "image_size": 64, "width": 16}, TEXT, "ModifiedResNet"),
        (VISION | {"attentional_pool": True}, TEXT, "attentional pooling"),
        (VISION | {"pool_type": "avg"}, TEXT, "class token"),
        (VISION | {"qk_norm": True}, TEXT, "ResidualAttentionBlock"),
        (VISION, TEXT | {"pool_type": "last"}, "argmax"),
        (VISION, TEXT | {"no_causal_mask": True}, "causal"),
        (VISION, TEXT | {"embed_cls": True}, "class embedding"),
        (VISION, TEXT | {"proj_bias": True}, "projection"),
    ],
)
def test_other_architectures_are_refused(vision, text, message):
    with pytest.raises(UnsupportedBackbone, match=message):
        DiscoVLA(CLIP(24, vision, text))


def test_wrong_inputs_are_named():
    model, batch = DiscoVLA(small_clip(), CONFIG), small_batch()
    with pytest.raises(ValueError, match=r"\(B, F, 3, 16, 16\), not \(3, 4, 3, 16, 8\)"):
        model.encode_video(batch["video"][..., :8])
    with pytest.raises(ValueError, match=r"\(2, 4\), it must be \(3, 4\)"):
        model.encode_video(batch["video"], batch["video_mask"][:2])
    batch["video_mask"][[0, 2]] = 0
    with pytest.raises(ValueError, match=r"without a valid frame in rows \[0, 2\]"):
        model.losses(batch)
    with pytest.raises(ValueError, match=r"without a valid token in rows \[1\]"):
        model.encode_caption(batch["text_ids"], batch["text_mask"] * torch.tensor([[1], [0], [1]]))
    frame_ids, frame_mask = (x[:, None].repeat(1, 2, 1) for x in captions(3, 4))
    frame_mask[1, 0] = 0
    with pytest.raises(ValueError, match=r"frame caption without a valid token in rows \[\[1, 0\]\]"):
        model.encode_frame_captions(frame_ids, frame_mask)
    with pytest.raises(ValueError, match="12 tokens, but this CLIP reads at most 10"):
        model.encode_caption(*captions(3, context=12))
    with pytest.raises(ValueError, match="12 tokens, but this CLIP reads at most 10"):
        model.encode_frame_captions(*(x[None] for x in captions(3, 4, context=12)))


def released(model):
    """The state dict of a model under the released names."""
    from minivl.discovla.reference import OUR_NAMES

    state = model.state_dict()
    for theirs, ours in OUR_NAMES.items():
        state = {name.replace(ours, theirs): value for name, value in state.items()}
    return state


@pytest.fixture
def wide():
    """A small DiscoVLA with heads of width 64, as in every released CLIP."""
    clip = small_clip(VISION | {"width": 64, "head_width": 64}, TEXT | {"width": 128})
    return trained(DiscoVLA(clip, CONFIG))


def test_released_names_and_files(wide, tmp_path):
    batch = small_batch()
    torch.save(released(wide), tmp_path / "pytorch_model.bin")
    again = DiscoVLA.from_reference(tmp_path / "pytorch_model.bin", 2, 1)
    assert again.config == DiscoVLAConfig(2, 2, 1)
    ids, mask = batch["text_ids"], batch["text_mask"]
    torch.testing.assert_close(
        again.similarity(again.encode_caption(ids, mask), again.encode_video(batch["video"])[0]),
        wide.similarity(wide.encode_caption(ids, mask), wide.encode_video(batch["video"])[0]),
    )


def test_released_weights_that_do_not_fit(wide):
    state = released(wide)
    with pytest.raises(ConfigError, match="last 4 blocks of a tower that has 3"):
        DiscoVLA.from_reference(state)
    with pytest.raises(CheckpointError, match=r"missing[\s\S]*visual.transformer.resblocks.0.attn.adapter.down.weight"):
        DiscoVLA.from_reference(state, 3, 1)
    with pytest.warns(UserWarning, match="resblocks.1.attn.adapter.down.weight"):
        DiscoVLA.from_reference(state, 1, 1)
    with pytest.raises(CheckpointError, match="TVPt_LoRA_a"):
        DiscoVLA.from_reference({name: value for name, value in state.items() if "TVPt" not in name}, 2, 1)
