"""Parity with the released DiscoVLA on a tiny random model (values recorded from its code)."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from helpers import RECORDINGS
from minivl.clip.contrastive import symmetric_contrastive
from minivl.discovla import DiscoVLA
from minivl.discovla.aligndistill import alignment_distillation
from minivl.discovla.pimgalign import cosines, image_level_similarity, largest, weighted_sum
from minivl.discovla.reference import our_name

RECORD = json.loads((RECORDINGS / "discovla.json").read_text())
CONFIG, TOLERANCE = RECORD["config"], RECORD["tolerance"]
H_V, H_L = CONFIG["H_V"], CONFIG["H_L"]


@pytest.fixture(scope="module")
def ref():
    return load_file(RECORDINGS / "discovla.safetensors")


def released_state(ref):
    return {name.removeprefix("state."): value for name, value in ref.items() if name.startswith(("clip.", "state."))}


def fresh_state(ref):
    zero = ("TVPt_LoRA_b", "TVPt_up_weight", "TVPt_up_bias")
    return {
        name: torch.zeros_like(value) if name.endswith(zero) else value for name, value in released_state(ref).items()
    }


@pytest.fixture(scope="module")
def model(ref):
    return DiscoVLA.from_reference(released_state(ref), H_V, H_L)


def unfused(state):
    with pytest.warns(UserWarning, match="adapters"):
        return DiscoVLA.from_reference(state, 0, 0)


def batch_of(ref, video_mask="in.video_mask"):
    return {
        "video": ref["in.video"],
        "video_mask": ref[video_mask],
        "text_ids": ref["in.text_ids"],
        "text_mask": ref["in.text_mask"],
        "f_text_ids": ref["in.f_text_ids"],
        "f_text_mask": ref["in.f_text_mask"],
    }


def assert_features(actual, expected):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE["features"], rtol=0)


def assert_cosines(actual, expected):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE["cosines"], rtol=0)


def assert_loss(actual, expected):
    torch.testing.assert_close(actual, expected, atol=0, rtol=TOLERANCE["losses_relative"])


def assert_losses(actual, ref, prefix):
    for name, recorded in (("video", "video"), ("image", "frame"), ("distill", "distill"), ("total", "total")):
        assert_loss(actual[name].detach(), ref[f"{prefix}loss.{recorded}"])
    assert actual.keys() == {"video", "image", "distill", "total"}


def assert_gradient(actual, expected, name):
    bound = TOLERANCE["gradients_relative_to_largest"] * expected.abs().max().item()
    torch.testing.assert_close(actual.to(expected.dtype), expected, atol=bound, rtol=0, msg=lambda m: f"{name}: {m}")


@torch.no_grad()
def encode(model, ref, video_mask="in.video_mask"):
    """video_L, framevideo_V, frame_V, frame_L."""
    videos, frames = model.encode_video(ref["in.video"], ref[video_mask])
    return (
        model.encode_caption(ref["in.text_ids"], ref["in.text_mask"]),
        videos,
        frames,
        model.encode_frame_captions(ref["in.f_text_ids"], ref["in.f_text_mask"]),
    )


@torch.no_grad()
def outputs_of(modules, run):
    """What the modules return while `run()` runs."""
    outputs = []
    handles = [module.register_forward_hook(lambda _, __, out: outputs.append(out)) for module in modules]
    run()
    for handle in handles:
        handle.remove()
    return outputs


def test_vision_blocks(model, ref):
    visual = model.clip.visual
    tokens, *blocks = outputs_of(
        [visual.ln_pre, *visual.transformer.resblocks],
        lambda: model.encode_video(ref["in.video"], ref["in.video_mask"]),
    )
    assert_features(tokens, ref["out.vision_ln_pre"])
    *earlier, last = blocks
    assert len(earlier) == CONFIG["v_layers"] - 1
    for i, block in enumerate(earlier):
        assert_features(block, ref[f"out.vision_block.{i}"])
    assert_features(last, ref[f"out.vision_block.{len(earlier)}"][:, :1])


@pytest.mark.parametrize("kind, encode", [("text", "encode_caption"), ("caption", "encode_frame_captions")])
def test_text_blocks(model, ref, kind, encode):
    prefix = {"text": "in.", "caption": "in.f_"}[kind]
    ids, mask = ref[prefix + "text_ids"], ref[prefix + "text_mask"]
    *earlier, last = outputs_of(model.clip.transformer.resblocks, lambda: getattr(model, encode)(ids, mask))
    assert len(earlier) == CONFIG["t_layers"] - 1
    for i, block in enumerate(earlier):  # padded positions inside the longest caption included
        assert_features(block, ref[f"out.{kind}_block.{i}"][:, : block.shape[1]])
    end = ids.flatten(0, -2).argmax(dim=-1)
    expected = ref[f"out.{kind}_block.{len(earlier)}"]
    assert_features(last[:, 0], expected[torch.arange(len(end)), end])


def test_features(model, ref):
    captions, videos, frames, frame_captions = encode(model, ref)
    assert_features(captions, ref["out.video_L"])
    assert_features(captions, ref["out.eval_text"])
    assert_features(videos, ref["out.framevideo_V"])
    assert_features(videos, ref["out.eval_video"])
    assert_features(frames, ref["out.frame_V"])
    assert_features(frame_captions, ref["out.frame_L"])


def test_similarity_and_loss(model, ref):
    captions, videos, *_ = encode(model, ref)
    scale = model.clip.logit_scale.exp()
    similarity = model.similarity(captions, videos)
    assert_cosines(similarity, ref["out.sim_video"])
    assert_cosines(similarity, ref["out.eval_logits"] / scale)

    nll = -(scale * similarity).log_softmax(1).diag(), -(scale * similarity).log_softmax(0).diag()
    assert_loss(nll[0].mean(), ref["loss.video_t2v"])
    assert_loss(nll[1].mean(), ref["loss.video_v2t"])
    assert_loss(symmetric_contrastive(similarity, scale), ref["loss.video"])
    assert_losses(model.losses(batch_of(ref)), ref, "")


def test_image_level_similarity(model, ref):
    *_, frames, captions = encode(model, ref)
    scale = model.clip.logit_scale.exp()
    K = cosines(normalize(captions, dim=-1), normalize(frames, dim=-1))
    m1, m2 = largest(K, 3), largest(K, 2)
    assert_cosines(K, ref["out.sim_full"])
    assert_cosines(m1, ref["out.sim_max_t2v"])
    assert_cosines(m2, ref["out.sim_max_v2t"])
    assert_features((scale * m1).softmax(-1), ref["out.weight_t2v"])
    assert_features((scale * m2).softmax(-1), ref["out.weight_v2t"])
    assert_cosines(weighted_sum(m1, scale), ref["out.sim_frame_t2v"])
    assert_cosines(weighted_sum(m2, scale), ref["out.sim_frame_v2t"])
    image = image_level_similarity(captions, frames, scale)
    assert_cosines(image, ref["out.sim_frame"])
    nll = -(scale * image).log_softmax(1).diag(), -(scale * image).log_softmax(0).diag()
    assert_loss(nll[0].mean(), ref["loss.frame_t2v"])
    assert_loss(nll[1].mean(), ref["loss.frame_v2t"])
    assert_loss(symmetric_contrastive(image, scale), ref["loss.frame"])


def test_distillation_and_its_gradients(model, ref):
    video, image = (ref[name].clone().requires_grad_() for name in ("out.sim_video", "out.sim_frame"))
    scale = model.clip.logit_scale.exp()
    for S, I, name in ((video, image, "t2v"), (video.T, image.T, "v2t")):
        p, q = (scale * I).softmax(1), (scale * S).softmax(1)
        assert_loss((100 * (p * (p / q).log()).mean()).detach(), ref[f"loss.distill_{name}"])
    loss = alignment_distillation(video, image, scale)
    assert_loss(loss.detach(), ref["loss.distill"])
    loss.backward()
    assert_gradient(video.grad, ref["grad.sim_video_from_distill"], "video")
    assert_gradient(image.grad, ref["grad.sim_frame_from_distill"], "image")


def test_gradients_of_the_total_loss(model, ref):
    model.zero_grad()
    model.losses(batch_of(ref))["total"].backward()
    ours = dict(model.named_parameters())
    norms = RECORD["gradient_norms"]
    assert len(norms) == len(model.trainable_parameters())
    for name, norm in norms.items():
        assert ours[our_name(name)].grad.norm().item() == pytest.approx(norm, rel=1e-4), name
    recorded = [key.removeprefix("grad.") for key in ref if key.startswith("grad.clip.")]
    assert len(recorded) == 11
    for name in recorded:
        assert_gradient(ours[our_name(name)].grad, ref["grad." + name], name)


def test_padded_frames_leave_the_mean_but_are_attended_to(model, ref):
    captions, videos, frames, _ = encode(model, ref, "masked.in.video_mask")
    assert_features(videos, ref["masked.out.framevideo_V"])
    assert_features(videos, ref["masked.out.eval_video"])
    assert_features(frames, ref["out.frame_V"])
    similarity = model.similarity(captions, videos)
    assert_cosines(similarity, ref["masked.out.sim_video"])
    assert_cosines(similarity, ref["masked.out.eval_logits"] / model.clip.logit_scale.exp())
    assert_losses(model.losses(batch_of(ref, "masked.in.video_mask")), ref, "masked.")


def test_without_fusion(ref):
    baseline = unfused(released_state(ref))
    captions, videos, frames, frame_captions = encode(baseline, ref)
    assert_features(captions, ref["baseline.eval_text"])
    assert_features(videos, ref["baseline.eval_video"])
    assert_features(frames, ref["baseline.frame_V"])
    assert_features(frame_captions, ref["baseline.frame_L"])
    assert_cosines(baseline.similarity(captions, videos), ref["baseline.sim_video"])
    assert_cosines(baseline.similarity(captions, videos), ref["baseline.eval_logits"] / baseline.clip.logit_scale.exp())
    image = image_level_similarity(frame_captions, frames, baseline.clip.logit_scale.exp())
    assert_cosines(image, ref["baseline.sim_frame"])
    assert_losses(baseline.losses(batch_of(ref)), ref, "baseline.")


def test_fresh_model_and_plain_clip(ref):
    fresh, plain = DiscoVLA.from_reference(fresh_state(ref), H_V, H_L), unfused(fresh_state(ref))
    for name, built in (("init", fresh), ("plain", plain)):
        captions, videos, frames, frame_captions = encode(built, ref)
        assert_features(captions, ref[f"{name}.eval_text"])
        assert_features(videos, ref[f"{name}.eval_video"])
        assert_features(frames, ref[f"{name}.frame_V"])
        assert_features(frame_captions, ref[f"{name}.frame_L"])
    assert_losses(fresh.losses(batch_of(ref)), ref, "init.")


def test_order_of_frames_does_not_matter(model, ref):
    _, videos, frames, frame_captions = encode(model, ref)
    order = ref["invariance.perm"]
    rows = torch.arange(len(order))[:, None]
    names = ("in.video", "in.f_text_ids", "in.f_text_mask")
    _, shuffled, frames_shuffled, captions_shuffled = encode(model, ref | {n: ref[n][rows, order] for n in names})
    torch.testing.assert_close(shuffled, videos, atol=1e-6, rtol=0)
    torch.testing.assert_close(frames_shuffled, frames[rows, order], atol=1e-5, rtol=0)
    torch.testing.assert_close(captions_shuffled, frame_captions[rows, order], atol=1e-5, rtol=0)
    for shuffled_inputs in (["in.video"], names[1:], names):  # caption i is not tied to frame i
        assert_losses(model.losses(batch_of(ref | {n: ref[n][rows, order] for n in shuffled_inputs})), ref, "")


def test_gradients_of_the_video_loss(model, ref):
    """Against an independent derivation, written out below on the released names, in double precision."""
    weights = {name: value.double().requires_grad_("TVPt" in name) for name, value in released_state(ref).items()}
    loss = derived_video_loss(weights, ref)
    loss.backward()
    assert_loss(loss.float(), ref["loss.video"])

    model.zero_grad()
    model.losses(batch_of(ref))["video"].backward()
    ours = dict(model.named_parameters())
    trained = [name for name, weight in weights.items() if weight.requires_grad]
    assert len(trained) == sum(p.requires_grad for p in ours.values())
    for name in trained:
        expected, actual = weights[name].grad, ours[our_name(name)].grad
        if ".transformer" in name and ".visual." not in name and ("down" in name or "up" in name):
            assert expected is None and actual is None  # the video loss does not reach the text adapters
            continue
        assert_gradient(actual, expected, name)


def derived_video_loss(w, ref):
    (B, F), size = ref["in.video"].shape[:2], CONFIG["patch"]
    grid = ref["in.video"].double().unfold(3, size, size).unfold(4, size, size)
    patches = torch.einsum("bfcyxuv,wcuv->bfyxw", grid, w["clip.visual.conv1.weight"]).flatten(2, 3)
    tokens = torch.cat([w["clip.visual.class_embedding"].expand(B, F, 1, -1), patches], 2)
    x = layer_norm(w, "clip.visual.ln_pre", tokens + w["clip.visual.positional_embedding"])
    for i in range(CONFIG["v_layers"]):
        x = derived_block(
            w,
            f"clip.visual.transformer.resblocks.{i}.",
            x,
            CONFIG["v_heads"],
            None,
            fuses=i >= CONFIG["v_layers"] - H_V,
        )
    g = layer_norm(w, "clip.visual.ln_post", x[:, :, 0]) @ w["clip.visual.proj"]
    v = (g / g.norm(dim=-1, keepdim=True)).mean(1)

    ids, mask = ref["in.text_ids"], ref["in.text_mask"].bool()
    L = ids.shape[1]
    hidden = torch.zeros(B, 1, 1, L, L).double()
    hidden.masked_fill_(torch.ones(L, L).triu(1).bool() | ~mask[:, None, None, None], float("-inf"))
    x = (w["clip.token_embedding.weight"][ids] + w["clip.positional_embedding"][:L])[:, None]
    for i in range(CONFIG["t_layers"]):
        x = derived_block(w, f"clip.transformer.resblocks.{i}.", x, CONFIG["t_heads"], hidden, fuses=False)
    t = layer_norm(w, "clip.ln_final", x[torch.arange(B), 0, ids.argmax(1)]) @ w["clip.text_projection"]

    cosine = (t / t.norm(dim=1, keepdim=True)) @ (v / v.norm(dim=1, keepdim=True)).T
    scores = w["clip.logit_scale"].exp() * cosine
    return -(scores.log_softmax(1).diag().mean() + scores.log_softmax(0).diag().mean()) / 2


def derived_block(w, block, x, heads, hidden, fuses):
    """x (B, F, N, W); attention as explicit sums over b(atch), f, g (frames), n, m (tokens), h(eads), d."""
    B, F, N, W = x.shape
    attn = block + "attn."
    y = layer_norm(w, block + "ln_1", x)
    joint = w[attn + "in_proj_weight"] + w[attn + "TVPt_LoRA_b"] @ w[attn + "TVPt_LoRA_a"]
    q, k, v = (y @ joint.T + w[attn + "in_proj_bias"]).reshape(B, F, N, 3, heads, W // heads).unbind(3)
    q = q / (W // heads) ** 0.5

    def project(z):
        return z @ w[attn + "out_proj.weight"].T + w[attn + "out_proj.bias"]

    scores = torch.einsum("bfnhd,bfmhd->bfhnm", q, k)
    scores = scores if hidden is None else scores + hidden
    out = project(torch.einsum("bfhnm,bfmhd->bfnhd", scores.softmax(-1), v).flatten(-2))
    if fuses:
        scores = torch.einsum("bfhd,bgmhd->bfhgm", q[:, :, 0], k).flatten(-2).softmax(-1).unflatten(-1, (F, N))
        video = project(torch.einsum("bfhgm,bgmhd->bfhd", scores, v).flatten(-2))
        low = out[:, :, 0] @ w[attn + "TVPt_down_weight"].T + w[attn + "TVPt_down_bias"]
        image = quick_gelu(low) @ w[attn + "TVPt_up_weight"].T + w[attn + "TVPt_up_bias"]
        out = torch.cat([(video + image)[:, :, None], out[:, :, 1:]], 2)
    x = x + out
    y = quick_gelu(layer_norm(w, block + "ln_2", x) @ w[block + "mlp.c_fc.weight"].T + w[block + "mlp.c_fc.bias"])
    return x + y @ w[block + "mlp.c_proj.weight"].T + w[block + "mlp.c_proj.bias"]


def layer_norm(w, name, x):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + CONFIG["ln_eps"]).sqrt() * w[name + ".weight"] + w[name + ".bias"]


def quick_gelu(x):
    return x / (1 + (-1.702 * x).exp())
