"""What class tokens see: the four attention strategies, padded frames, the order of frames."""

import dataclasses

import pytest
import torch

from helpers.small_discovla import CONFIG, SIZE, VOCABULARY, captions, small_clip, trained
from minivl.config import STRATEGIES, ConfigError, DiscoVLAConfig
from minivl.discovla import DiscoVLA
from minivl.discovla.ivfusion import IVFusionAttention, Layout, token_index

B, F, N, W, HEADS = 2, 3, 5, 32, 2


def build(seed=0, **changes):
    model = DiscoVLA(small_clip(), dataclasses.replace(CONFIG, **changes))
    torch.manual_seed(seed)
    return trained(model)


def attention(strategy):
    torch.manual_seed(0)
    module = IVFusionAttention(torch.nn.MultiheadAttention(W, HEADS, batch_first=True), 2, strategy)
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(std=0.3)
    return module


def by_hand(module, x, class_at, own, shared):
    """The table in IVFusionAttention's docstring, one token after the other. own (S, N, N), shared (S, N)."""
    weight = module.in_proj_weight + module.lora.B @ module.lora.A
    q, k, v = (x @ weight.T + module.in_proj_bias).view(B, F, N, 3, HEADS, W // HEADS).unbind(3)
    own, shared = own.view(B, F, N, N), shared.view(B, F, N)

    def look(query, keys, values):  # (h, d), (K, h, d) twice -> (W,)
        weights = torch.einsum("hd,khd->hk", query, keys).div((W // HEADS) ** 0.5).softmax(-1)
        return module.out_proj(torch.einsum("hk,khd->hd", weights, values).flatten())

    def image(b, f, n):
        seen = own[b, f, n]
        return look(q[b, f, n], k[b, f, seen], v[b, f, seen])

    def video(b, f, n, class_token):
        seen = shared[b].clone()
        if not class_token:
            seen[f] &= own[b, f, n]
        return look(q[b, f, n], k[b][seen], v[b][seen])

    out = torch.zeros(B, F, N, W)
    for b in range(B):
        for f in range(F):
            for n in range(N):
                is_class = n == class_at[b * F + f]
                out[b, f, n] = video(b, f, n, is_class) if module.strategy == "video" else image(b, f, n)
                if is_class and module.strategy == "average":
                    out[b, f, n] = (image(b, f, n) + video(b, f, n, True)) / 2
                if is_class and module.strategy == "adapter":
                    out[b, f, n] = video(b, f, n, True) + module.adapter(image(b, f, n))
    return out.view(B * F, N, W)


@torch.no_grad()
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("masked", [False, True])
def test_each_strategy_token_by_token(strategy, masked):
    """Unmasked as in the vision tower; masked as in the text tower: causal, padded, one padded caption."""
    module, x = attention(strategy), torch.randn(B * F, N, W)
    class_at = torch.tensor([3, 2, 4, 1, 4, 3]) if masked else torch.zeros(B * F, dtype=torch.long)
    real = torch.arange(N) <= class_at[:, None] if masked else torch.ones(B * F, N, dtype=torch.bool)
    own = real[:, None] & torch.ones(N, N, dtype=torch.bool).tril() if masked else torch.ones(B * F, N, N).bool()
    shared = real.clone()
    if masked:
        shared[1] = False  # the second caption of the first video is padding
    expected = by_hand(module, x, class_at, own, shared)
    layout = Layout(
        token_index(class_at), F, image_mask=own if masked else None, video_tokens=shared if masked else None
    )
    rows = real if strategy != "video" else real & shared  # what else a padded caption's words see is nobody's concern
    torch.testing.assert_close(module(x, layout)[rows], expected[rows], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        module(x, layout, class_only=True), expected[token_index(class_at)], atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_captions_of_videos_are_images_to_every_strategy():
    ids, mask = captions(4, 6)
    features = [build(strategy=strategy).encode_caption(ids, mask) for strategy in ("image", "video", "average")]
    for other in features[1:]:
        assert torch.equal(other, features[0])


@torch.no_grad()
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frames_look_at_each_other_unless_image_level(strategy):
    model, frames = build(strategy=strategy), torch.randn(2, 4, 3, SIZE, SIZE)
    frame_ids, frame_mask = (x.view(1, 2, -1) for x in captions(4, 6))
    video, text = model.encode_video(frames)[1], model.encode_frame_captions(frame_ids, frame_mask)
    frames[0, 3], frame_ids[0, 1, 1] = 0.0, VOCABULARY // 2
    for change in (model.encode_video(frames)[1] - video, model.encode_frame_captions(frame_ids, frame_mask) - text):
        assert (change[0, 0].abs().max() > 1e-4) == (strategy != "image")
    assert torch.equal(model.encode_video(frames)[1][1], video[1])


def test_only_the_adapter_adds_parameters():
    counts = {
        strategy: sum(p.numel() for p in build(strategy=strategy).trainable_parameters()) for strategy in STRATEGIES
    }
    assert counts["image"] == counts["video"] == counts["average"] < counts["adapter"]
    with torch.device("meta"):
        from open_clip.model import CLIP

        model = DiscoVLA(CLIP(512, {"patch_size": 32}, {}), DiscoVLAConfig(strategy="average"))
    assert sum(p.numel() for p in model.trainable_parameters()) == 491_520


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"strategy": "fusion"}, "image, video, average, adapter, not 'fusion'"),
        ({"distill": "both"}, "release, paper"),
        ({"alpha": -1}, "at least 0"),
        ({"temporal": -1}, "at least 0"),
    ],
)
def test_settings_that_do_not_exist(changes, message):
    with pytest.raises(ConfigError, match=message):
        DiscoVLAConfig(**changes)


# Padded frames


def padded(model, fill):
    """Features of one video with two real and two padded frames, filled with something."""
    torch.manual_seed(0)
    frames, (ids, mask) = torch.randn(1, 4, 3, SIZE, SIZE), captions(3, 5, 4, 6)
    frames[:, 2:] = fill
    ids[2:, 1] = int(fill) + 1
    frame_mask = torch.tensor([[1, 1, 0, 0]])
    video, features = model.encode_video(frames, frame_mask)
    return video, features[:, :2], model.encode_frame_captions(ids[None], mask[None], frame_mask)[:, :2]


@torch.no_grad()
@pytest.mark.parametrize("strategy", ("video", "average", "adapter"))
def test_padded_frames_take_part_as_released_unless_masked(strategy):
    release, masking = build(strategy=strategy), build(strategy=strategy, mask_padding=True)
    for free, masked in zip(
        *(zip(padded(model, 0.0), padded(model, 3.0), strict=True) for model in (release, masking)), strict=True
    ):
        assert (free[0] - free[1]).abs().max() > 1e-3  # what stands in padding moves the result
        torch.testing.assert_close(masked[0], masked[1])
        assert masked[0].isfinite().all()


@torch.no_grad()
def test_masked_padding_is_as_if_it_were_not_there():
    model = build(mask_padding=True)
    video, features, text = padded(model, 1.0)
    torch.manual_seed(0)
    frames, (ids, mask) = torch.randn(1, 4, 3, SIZE, SIZE)[:, :2], captions(3, 5, 4, 6)
    short = *model.encode_video(frames), model.encode_frame_captions(ids[None, :2], mask[None, :2])
    for actual, expected in zip((video, features, text), short, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


# The order of frames


def with_places(places, **changes):
    """A model whose temporal embedding has learned something."""
    model = build(temporal=places, **changes)
    torch.nn.init.normal_(model.temporal.W, std=0.3)
    return model


@torch.no_grad()
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("places", [0, 6])
def test_only_a_temporal_embedding_sees_the_order_of_frames(strategy, places):
    model = with_places(places, strategy=strategy) if places else build(strategy=strategy)
    frames = torch.randn(2, 4, 3, SIZE, SIZE)
    (video, features), (shuffled, _) = model.encode_video(frames), model.encode_video(frames[:, [2, 0, 3, 1]])
    assert ((video - shuffled).abs().max() > 1e-3) == bool(places)
    if not places:
        torch.testing.assert_close(video, shuffled, atol=1e-6, rtol=0)
    assert features.shape == (2, 4, video.shape[-1])


def test_a_fresh_temporal_embedding_changes_nothing_and_learns():
    torch.manual_seed(0)
    model = DiscoVLA(small_clip(), dataclasses.replace(CONFIG, temporal=6))
    torch.manual_seed(0)
    without = DiscoVLA(small_clip(), CONFIG)
    frames = torch.randn(2, 4, 3, SIZE, SIZE)
    torch.testing.assert_close(model.encode_video(frames)[0], without.encode_video(frames)[0])
    model.encode_video(frames)[0][:, 0].sum().backward()
    assert model.temporal.W.grad[0].abs().min() > 0 and not model.temporal.W.grad[1:].any()
    assert not model.temporal.e.grad.any(), "only once W has moved"
    trained = {id(p) for p in model.trainable_parameters()}
    assert {id(model.temporal.W), id(model.temporal.e)} <= trained


@torch.no_grad()
def test_the_place_of_a_frame_weighs_what_it_adds():
    """The video's embedding by hand, for a video with a padded frame."""
    model, frames, mask = with_places(6), torch.randn(2, 4, 3, SIZE, SIZE), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    torch.nn.init.normal_(model.temporal.e)
    video, features = model.encode_video(frames, mask)
    for b, count in enumerate((4, 3)):
        total = 0
        for f in range(count):
            g = features[b, f] / features[b, f].norm()
            total = total + g + model.temporal.W @ (model.temporal.e[f] * g)
        torch.testing.assert_close(video[b], total / count, atol=1e-5, rtol=1e-4)


def test_more_frames_than_places():
    with pytest.raises(ValueError, match="4 frames, but the temporal embedding has 3 places"):
        build(temporal=3).encode_video(torch.randn(1, 4, 3, SIZE, SIZE))
