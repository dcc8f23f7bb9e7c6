"""S3D: parity with the released network on recorded values, other sizes, gradients, saving."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from helpers import RECORDINGS
from minivl.config import ConfigError, S3DConfig, UniVLConfig
from minivl.hub.checkpoints import CheckpointError
from minivl.s3d import S3D
from minivl.univl import UniVL

RECORD = json.loads((RECORDINGS / "s3d.json").read_text())
SMALL = S3DConfig(width=0.125, feature_dim=32, embed_dim=16, image_size=32, frames_per_second=4)


def recorded_weights():
    """The released names and shapes, filled as the recipe in the record says."""
    generator, weights = torch.Generator().manual_seed(RECORD["weight_seed"]), {}
    for name in sorted(RECORD["keys"]):
        shape = RECORD["keys"][name]
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(0)
        elif name.endswith("running_var") or ".bn" in name and name.endswith("weight"):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        elif name.endswith(("running_mean", "bias")):
            weights[name] = 0.1 * torch.randn(shape, generator=generator)
        else:
            fan_in = torch.Size(shape[1:]).numel()
            weights[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
    return weights


@pytest.fixture(scope="module")
def ref():
    return load_file(RECORDINGS / "s3d.safetensors")


@pytest.fixture(scope="module")
def weights(ref):
    weights = recorded_weights()
    first = weights["conv1.conv1.weight"].flatten()[:8]
    torch.testing.assert_close(first, ref["check.conv1.conv1.weight.first8"])
    return weights


@pytest.fixture
def small():
    """With statistics in its batch norms that fit: without them, deep features of random weights are near 0."""
    torch.manual_seed(0)
    net = S3D(SMALL)
    for _ in range(30):
        net(torch.rand(4, 3, 4, 32, 32))
    return net.eval()


@torch.no_grad()
def test_recorded_values(ref, weights):
    net = S3D.from_reference(weights)
    features, embedding = net(ref["in.video"])
    torch.testing.assert_close(features, ref["out.mixed_5c"], atol=2e-6, rtol=0)
    torch.testing.assert_close(embedding, ref["out.video_embedding"], atol=2e-6, rtol=0)


def test_released_names_and_shapes():
    assert {name: list(tensor.shape) for name, tensor in S3D().state_dict().items()} == RECORD["keys"]


def test_text_tower_of_a_released_file_is_left_out(weights, tmp_path):
    file = tmp_path / "s3d_howto100m.pth"
    torch.save(weights | {"text_module.fc1.weight": torch.zeros(2048, 300)}, file)
    assert torch.equal(S3D.from_reference(file).fc.weight, weights["fc.weight"])


def test_every_mismatch_is_reported(weights):
    wrong = weights | {"surplus": torch.zeros(1), "fc.bias": torch.zeros(3)}
    del wrong["mixed_4d.gating_b2.fc.bias"]
    with pytest.raises(CheckpointError) as error:
        S3D.from_reference(wrong)
    for part in ("mixed_4d.gating_b2.fc.bias", "surplus", r"fc.bias: (3,), the model has (512,)"):
        assert part in str(error.value)


@pytest.mark.parametrize("size", [(2, 16, 16), (4, 48, 48), (6, 34, 50), (8, 64, 30)])
def test_any_even_size(small, size):
    features, embedding = small(torch.rand(2, 3, *size))
    assert features.shape == (2, 32) and embedding.shape == (2, 16)
    assert features.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 3, 3, 16, 16), (1, 3, 4, 16, 15), (1, 4, 4, 16, 16), (3, 4, 16, 16)])
def test_shapes_that_do_not_work(small, shape):
    with pytest.raises(ValueError, match="even T, H and W"):
        small(torch.rand(shape))


def test_settings_that_do_not_work():
    for wrong in ({"feature_dim": 100}, {"image_size": 47}, {"frames_per_second": 5}):
        with pytest.raises(ConfigError, match="multiple of 8"):
            dataclasses.replace(SMALL, **wrong)


@torch.no_grad()
def test_clips_do_not_depend_on_their_batch_but_on_the_order_of_frames(small):
    clips = torch.rand(3, 3, 4, 32, 32)
    together = small(clips).features
    torch.testing.assert_close(small(clips[1:2]).features, together[1:2], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(small(clips.flip(2)).features, together, atol=1e-4)


def test_segments(small):
    frames = torch.randint(0, 256, (10, 32, 32, 3), dtype=torch.uint8)
    video = small.segments(frames)
    assert video.shape == (3, 3, 4, 32, 32)
    assert torch.equal(video[1, :, 2], frames[6].permute(2, 0, 1) / 255)
    assert torch.equal(video[2, :, 1:], (frames[9].permute(2, 0, 1) / 255)[:, None].expand(-1, 3, -1, -1))
    assert torch.equal(small.segments(frames / 255), video)
    assert len(small.segments(frames[:8])) == 2
    with pytest.raises(ValueError, match="F, H, W, 3"):
        small.segments(frames.permute(0, 3, 1, 2))


def test_end_to_end(small):
    """A loss of UniVL reaches the pixels, and trains the unfrozen backbone."""
    univl = UniVL(
        UniVLConfig(
            vocab_size=20,
            video_dim=32,
            hidden_size=16,
            num_heads=2,
            intermediate_size=16,
            text_layers=1,
            video_layers=1,
            text_positions=8,
            video_positions=8,
            dropout=0,
            parts=(),
        )
    )
    ids, mask = torch.tensor([[1, 5, 6, 2], [3, 7, 8, 4]]), torch.ones(2, 4, dtype=torch.long)
    frames = torch.rand(2, 12, 1, 1, 3).expand(-1, -1, 32, 32, -1).clone().requires_grad_()
    video_mask = torch.ones(2, 3, dtype=torch.long)
    before, losses = small.conv1.conv1.weight.detach().clone(), []
    optimizer = torch.optim.Adam([*small.parameters(), *univl.parameters()], lr=3e-3)
    small.train()
    for _ in range(40):
        segments = torch.stack([small.segments(clip) for clip in frames])  # (2, 3, 3, T, H, W)
        features = small(segments.flatten(0, 1)).features.unflatten(0, (2, 3))  # (2, 3, F)
        video, text = univl.encode_video(features, video_mask), univl.encode_text(ids, mask)
        similarity = univl.joint_similarity(text, mask, video, video_mask)
        loss = torch.nn.functional.cross_entropy(similarity, torch.arange(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert frames.grad.abs().sum() > 0
    assert (small.conv1.conv1.weight - before).abs().max() > 3e-3
    assert max(losses[-5:]) < losses[0] / 2


@torch.no_grad()
def test_save_and_load(small, tmp_path):
    small.save_pretrained(tmp_path, card="## Scores")
    loaded = S3D.from_pretrained(tmp_path)
    clip = torch.rand(1, 3, 4, 32, 32)
    assert loaded.config == SMALL and not loaded.training
    assert torch.equal(loaded(clip).embedding, small(clip).embedding)
    assert "## Scores" in (tmp_path / "README.md").read_text()


def test_folder_without_a_network(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="config.json"):
        S3D.from_pretrained(tmp_path)
