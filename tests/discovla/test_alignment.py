"""PImgAlign and AlignDistill by hand, what they refuse, and several processes."""

import copy
import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.functional import normalize

from helpers.small_discovla import aligned_batch, build, small_batch
from minivl.clip.contrastive import symmetric_contrastive
from minivl.discovla import DiscoVLA, pimgalign
from minivl.discovla.aligndistill import alignment_distillation, shuffle_wrong_answers
from minivl.discovla.pimgalign import image_level_similarity


def in_loops(captions, frames, s, caption_mask, frame_mask):
    """The equations of `image_level_similarity`, over what is real only."""
    I = torch.zeros(len(captions), len(frames))
    for a in range(len(captions)):
        for b in range(len(frames)):
            c, g = captions[a][caption_mask[a].bool()], frames[b][frame_mask[b].bool()]
            K = [[torch.cosine_similarity(x, y, dim=0).item() for y in g] for x in c]
            halves = []
            for m in ([max(row) for row in K], [max(column) for column in zip(*K, strict=True)]):
                weights = [math.exp(s * value) for value in m]
                halves.append(sum(w * value for w, value in zip(weights, m, strict=True)) / sum(weights))
            I[a, b] = sum(halves) / 2
    return I


def test_image_level_similarity_in_loops(monkeypatch):
    torch.manual_seed(0)
    captions, frames = torch.randn(5, 3, 6), torch.randn(4, 2, 6)
    caption_mask, frame_mask = torch.ones(5, 3), torch.ones(4, 2)
    expected = in_loops(captions, frames, 7.0, caption_mask, frame_mask)
    torch.testing.assert_close(image_level_similarity(captions, frames, 7.0), expected)
    torch.testing.assert_close(image_level_similarity(captions, frames, 7.0, caption_mask, frame_mask), expected)

    caption_mask[1, 2] = caption_mask[3, 0] = caption_mask[3, 1] = frame_mask[2, 0] = 0
    masked = image_level_similarity(captions, frames, 7.0, caption_mask, frame_mask)
    torch.testing.assert_close(masked, in_loops(captions, frames, 7.0, caption_mask, frame_mask))
    assert ((masked - expected).abs() > 1e-4).any(dim=1).tolist() == [True] * 5  # column 2 moves in every row
    for at_once in (1, 50):  # one and two caption sets at a time
        monkeypatch.setattr(pimgalign, "COSINES_AT_ONCE", at_once)
        torch.testing.assert_close(image_level_similarity(captions, frames, 7.0, caption_mask, frame_mask), masked)


def test_a_scale_of_zero_pools_by_the_mean():
    """Captions and frames are unit vectors: m1 = m2 = (1, 0.8), of which larger scales prefer 1."""
    captions, frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]]), torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    assert image_level_similarity(captions, frames, 0.0).item() == pytest.approx(0.9)
    assert image_level_similarity(captions, frames, 5.0).item() > 0.92


def test_pooling_as_configured():
    """0 is a scale as others are (a plain mean of the maxima), and not None, which takes CLIP's own."""
    batch = aligned_batch()
    for pool_scale in (None, 0.0, 5.0):
        model = build(pool_scale=pool_scale)
        embeddings = model.encode(batch)
        s = model.clip.logit_scale.exp().item() if pool_scale is None else pool_scale
        expected = image_level_similarity(embeddings["frame caption"], embeddings["frame"], s)
        torch.testing.assert_close(model.alignments(embeddings)[1], expected)
        if pool_scale == 0:
            captions, frames = (normalize(embeddings[name], dim=-1) for name in ("frame caption", "frame"))
            K = torch.einsum("atd,bfd->abtf", captions, frames)
            torch.testing.assert_close(expected, (K.amax(3).mean(2) + K.amax(2).mean(2)) / 2)


def test_gradients_do_not_depend_on_how_many_cosines_are_computed_at_once(monkeypatch):
    torch.manual_seed(0)
    captions, frames = torch.randn(5, 3, 6, requires_grad=True), torch.randn(5, 2, 6, requires_grad=True)
    whole = torch.autograd.grad(image_level_similarity(captions, frames, 7.0).logsumexp(1).sum(), (captions, frames))
    monkeypatch.setattr(pimgalign, "COSINES_AT_ONCE", 50)
    parts = torch.autograd.grad(image_level_similarity(captions, frames, 7.0).logsumexp(1).sum(), (captions, frames))
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)


def test_distillation_by_hand():
    """Two pairs: the teacher is sure (0.9 against 0.1), the student is not."""
    s, teacher, student = 2.0, torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.full((2, 2), 0.5)
    p = 1 / (1 + math.exp(-2 * 0.8))
    divergence = p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5)  # of each row, and of each column
    assert alignment_distillation(student, teacher, s, "paper").item() == pytest.approx(divergence, rel=1e-5)
    assert alignment_distillation(student, teacher, s).item() == pytest.approx(100 / 4 * 2 * divergence, rel=1e-5)
    uneven = torch.tensor([[0.9, 0.1], [0.8, 0.9]])
    assert alignment_distillation(uneven, uneven.T, s, "paper").item() == pytest.approx(
        alignment_distillation(uneven.T, uneven, s, "paper").item(), rel=1e-5
    )  # both directions count the same


@pytest.mark.parametrize("batch, ratio", [(4, 25.0), (32, 100 / 32), (128, 100 / 128)])
def test_the_releases_distillation_weighs_more_in_small_batches(batch, ratio):
    torch.manual_seed(0)
    S, I = torch.rand(batch, batch), torch.rand(batch, batch)
    release, paper = (alignment_distillation(S, I, 5.0, kind) for kind in ("release", "paper"))
    assert (release / paper).item() == pytest.approx(ratio, rel=1e-5)


def test_only_the_releases_teacher_learns_from_the_student():
    S, I = torch.rand(3, 3, requires_grad=True), torch.rand(3, 3, requires_grad=True)
    alignment_distillation(S, I, 5.0, "paper").backward()
    assert S.grad.abs().max() > 0 and I.grad is None
    alignment_distillation(S, I, 5.0, "release").backward()
    assert I.grad.abs().max() > 0


def test_losses_of_weight_zero_are_not_computed(monkeypatch):
    batch, full = aligned_batch(), build().losses(aligned_batch())
    assert list(full) == ["video", "image", "distill", "total"]
    torch.testing.assert_close(full["total"], full["video"] + 0.3 * full["image"] + full["distill"])
    image_only, distill_only = build(beta=0).losses(batch), build(alpha=0, beta=0.5).losses(batch)
    assert list(image_only) == ["video", "image", "total"] and list(distill_only) == ["video", "distill", "total"]
    torch.testing.assert_close(image_only["total"], full["video"] + 0.3 * full["image"])
    torch.testing.assert_close(distill_only["total"], full["video"] + 0.5 * full["distill"])
    model = build(alpha=0, beta=0)
    monkeypatch.setattr(model, "encode_frame_captions", None)
    assert torch.equal(model.losses(batch)["total"], full["video"])


def test_a_shuffled_teacher_is_as_right_and_as_sure():
    torch.manual_seed(0)
    I = torch.randn(6, 6)
    shuffled = shuffle_wrong_answers(I)
    assert torch.equal(shuffled.diagonal(), I.diagonal()) and not torch.equal(shuffled, I)
    torch.testing.assert_close(shuffled.sort(dim=1).values, I.sort(dim=1).values)
    S = torch.eye(6).requires_grad_()  # a student that knows the labels alone: to it all wrong answers are alike
    control = alignment_distillation(S, I.requires_grad_(), 5.0, "shuffled")
    torch.testing.assert_close(control, alignment_distillation(S, I, 5.0, "paper"))
    control.backward()
    assert I.grad is None and S.grad is not None


def test_distillation_as_configured():
    batch, release, paper = aligned_batch(), build(), build(distill="paper")
    a, b = release.losses(batch)["distill"], paper.losses(batch)["distill"]
    torch.testing.assert_close(a, b * 100 / 3)
    assert not torch.isclose(build(distill="paper", distill_scale=5.0).losses(batch)["distill"], b, rtol=0.1)
    scale = release.clip.logit_scale.exp().item()
    torch.testing.assert_close(build(distill_scale=scale).losses(batch)["distill"], a)


def test_every_trained_parameter_gets_a_gradient():
    model = build()
    model.losses(aligned_batch())["total"].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.trainable_parameters())


def test_padded_frames_leave_all_losses_if_asked():
    def losses(fill, **changes):
        batch = aligned_batch()
        batch["video"][1, 3], batch["f_text_ids"][1, 3, 1] = fill, 1 + int(fill)
        batch["video_mask"][1, 3] = 0
        return build(**changes).losses(batch)

    for name in ("video", "image", "distill", "total"):
        released, masked = (
            [losses(fill, mask_padding=asked)[name].item() for fill in (0.0, 3.0)] for asked in (False, True)
        )
        assert released[0] != pytest.approx(released[1], rel=1e-4), name
        assert masked[0] == pytest.approx(masked[1], rel=1e-5), name
        assert masked[0] != pytest.approx(released[0], rel=1e-4), name


# What is refused


def test_frame_captions_that_are_missing_or_too_many():
    model, batch = build(), aligned_batch()
    with pytest.raises(ValueError, match="alpha 0.3 and beta 1 need frame captions: give f_text_ids"):
        model.losses(small_batch())
    for wrong in (batch["f_text_ids"][:, :3], batch["f_text_ids"].repeat(1, 2, 1)):
        with pytest.raises(
            ValueError, match=f"one caption per frame, but the batch has {wrong.shape[1]} captions for 4 frames"
        ):
            model.losses(batch | {"f_text_ids": wrong})
    with pytest.raises(ValueError, match="2 and 3 videos"):
        model.losses(batch | {"f_text_ids": batch["f_text_ids"][:2]})


def test_a_row_without_valid_frames():
    batch = aligned_batch()
    batch["video_mask"][1] = 0
    with pytest.raises(ValueError, match=r"video without a valid frame in rows \[1\]"):
        build(mask_padding=True).losses(batch)


@pytest.mark.parametrize(
    "poisoned, message",
    [
        ("video", r"video 1; frame \[1, 0\], \[1, 1\], \[1, 2\], \[1, 3\] \(counted"),
        ("weights", r"caption 0, 1, 2; video 0, 1, 2; .*frame \[0, 0\], .*\[1, 0\] and 7 more"),
    ],
)
def test_embeddings_that_are_not_finite_are_named(poisoned, message):
    model, batch = build(), aligned_batch()
    if poisoned == "video":
        batch["video"][1, 2, 0, 3, 3] = torch.nan
        assert model.encode_video(batch["video"])[0].isnan().any(dim=1).tolist() == [False, True, False]
    else:
        with torch.no_grad():
            model.clip.text_projection[0, 0] = model.clip.visual.proj[0, 0] = torch.inf
    with pytest.raises(ValueError, match=f"embeddings that are NaN or infinite: {message}"):
        model.losses(batch)


# Several processes


def half_batch_gradients(rank, model, batch, folder):
    """One of two data-parallel processes: its half of the batch, then gradients averaged over both."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = {name: values[2 * rank : 2 * rank + 2] for name, values in batch.items()}
    losses = model.losses(half)
    losses["total"].backward()
    for p in model.trainable_parameters():
        dist.all_reduce(p.grad)
        p.grad /= 2
    torch.save(
        ({name: loss.detach() for name, loss in losses.items()}, [p.grad for p in model.trainable_parameters()]),
        f"{folder}/{rank}.pt",
    )
    dist.destroy_process_group()


def test_two_processes_compute_the_losses_and_gradients_of_one(tmp_path):
    model, batch = build(mask_padding=True), aligned_batch(videos=4)
    batch["video_mask"][3, 2:] = 0
    mp.spawn(half_batch_gradients, (copy.deepcopy(model), batch, str(tmp_path)), nprocs=2)
    expected = model.losses(batch)
    expected["total"].backward()
    for rank in range(2):
        losses, gradients = torch.load(tmp_path / f"{rank}.pt")
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name].detach())
        for gradient, p in zip(gradients, model.trainable_parameters(), strict=True):
            torch.testing.assert_close(gradient, p.grad, rtol=1e-4, atol=1e-5 * p.grad.abs().max().item())


def test_cosines_keep_their_precision_in_mixed_precision():
    """A hundred times a cosine is what the softmax sees: rounded to 16 bits, clips that are nearly alike would tie."""
    torch.manual_seed(0)
    alike = torch.randn(64)
    captions, videos = alike + 0.1 * torch.randn(32, 64), alike + 0.1 * torch.randn(32, 64)
    exact = DiscoVLA.similarity(captions.double(), videos.double())
    with torch.autocast("cpu", torch.bfloat16):
        S = DiscoVLA.similarity(captions, videos)
        I = image_level_similarity(captions[:, None], videos[:, None], 100.0)
        loss = symmetric_contrastive(S, torch.tensor(100.0))
    for found in (S, I):
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)
    assert loss.item() == pytest.approx(symmetric_contrastive(exact, 100.0).item(), rel=1e-3)
