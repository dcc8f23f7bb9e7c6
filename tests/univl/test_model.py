"""UniVL against a plain computation of the same, its choices one by one, and its mistakes."""

import dataclasses
import subprocess
import sys

import pytest
import torch

import minivl.univl.model
from helpers import HELPERS
from helpers.univl_processes import (
    CONFIG,
    C,
    T,
    W,
    assert_same_gradients,
    gradients,
    gradients_of,
    in_videos,
    random_batch,
    small_model,
)
from helpers.written_out import mil_nce_of
from minivl.config import ConfigError, ObjectiveConfig
from minivl.config.settings import OBJECTIVES
from minivl.univl import UniVL
from minivl.univl.layers import used_length

SCRIPT = HELPERS / "univl_processes.py"
LENGTHS = ([9, 4, 2, 6, 3, 7], [5, 7, 1, 2, 7, 4], [8, 3, 1, 6, 2, 5])  # of texts, videos and captions, none to the end


def close(found, expected, tolerance=1e-5):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def encode(model, batch, masked=False):
    """Arguments of the similarities and of the cross encoder."""
    ids, video = ("pairs_masked_text", "masked_video") if masked else ("input_ids", "video")
    return (
        model.encode_text(batch[ids], batch["attention_mask"]),
        batch["attention_mask"],
        model.encode_video(batch[video], batch["video_mask"]),
        batch["video_mask"],
    )


# The objectives, plainly


def surprise(scores, index):
    return -torch.log(scores.exp()[index] / scores.exp().sum())


def mean(values):
    return sum(values) / len(values) if values else torch.tensor(0.0)


def plain_losses(model, batch, n):
    """The five objectives of a flat batch, pair by pair and word by word, with all padding left where it is."""
    choices, words = model.objectives, model.text.embeddings.word_embeddings.weight
    N = len(batch["input_ids"])
    shown = [choices.contrast_hidden_texts or not hidden for hidden in batch["text_hidden"]]
    text, text_mask, video, video_mask = encode(model, batch)
    texts = [torch.stack([text[i, w] for w in range(1, W) if text_mask[i, w]]).mean(0) for i in range(N)]
    videos = [
        torch.stack([video[i, t] for t in range(T) if video_mask[i, t]] or [video[i, 0] * 0]).mean(0) for i in range(N)
    ]
    S = torch.stack([torch.stack([t @ v for v in videos]) for t in texts])
    losses = {"joint": mil_nce_with_gradient(S, n, choices.anchors, shown)}

    masked = encode(model, batch, masked=True)
    cross, _ = model.cross_encode(*masked)
    labels, frame_labels = batch["pairs_token_labels"], batch["video_labels_index"]
    losses["cmlm"] = mean(
        [
            surprise(model.word_head(cross[i, w], words), labels[i, w])
            for i in range(N)
            for w in range(W)
            if labels[i, w] != -1
        ]
    )
    real = [(i, t) for i in range(N) for t in range(T) if video_mask[i, t]]
    targets = [model.video.frame_norm(batch["video"][i, t]) for i, t in real]
    targets = torch.stack([target.detach() if choices.detach_frames else target for target in targets])
    losses["cmfm"] = mean(
        [
            surprise(targets @ model.frame_head(cross[i, W + t], model.video.project.weight.T), real.index((i, t)))
            for i, t in real
            if frame_labels[i, t] != -1
        ]
    )
    matrix = [
        torch.cat(
            [
                model.similarity(
                    model.cross_encode(*(x[i : i + 1] for x in masked[:2]), *(x[j : j + 1] for x in masked[2:]))[1]
                )[0]
                for j in range(N)
            ]
        )
        for i in range(N)
    ]
    losses["align"] = mean([surprise(matrix[i], i) for i in range(N) if shown[i]])
    logits = model.decode(
        batch["input_caption_ids"], batch["decoder_mask"], cross, torch.cat([text_mask, video_mask], 1)
    )
    losses["decoder"] = mean(
        [
            surprise(logits[i, c], batch["output_caption_ids"][i, c])
            for i in range(N)
            for c in range(C)
            if choices.count_padding or batch["decoder_mask"][i, c]
        ]
    )
    losses["total"] = sum(getattr(choices, name) * losses[name] for name in OBJECTIVES)
    return losses


def mil_nce_with_gradient(S, n, anchors, shown):
    """As `mil_nce_of`, whose value it must have, on tensors."""
    losses = []
    for a in range(len(S)):
        if shown[a] and (anchors == "all" or a % n == n // 2):
            own = [S[j, a].exp() for j in range(len(S)) if shown[j] and j // n == a // n]
            other = [S[j, a].exp() for j in range(len(S)) if shown[j] and j // n != a // n]
            videos = [S[a, j].exp() for j in range(len(S)) if j // n != a // n]
            losses.append(-torch.log(sum(own) / sum(own + other + videos)))
    loss = mean(losses)
    assert loss.item() == pytest.approx(mil_nce_of(S.detach().double(), n, anchors, shown), rel=1e-3, abs=1e-4)
    return loss


CHOICES = {
    "paper": ObjectiveConfig(),
    "release": ObjectiveConfig.release(),
    "shown texts only": ObjectiveConfig(contrast_hidden_texts=False),
    "weighted": ObjectiveConfig(joint=0.5, cmlm=2.0, cmfm=0.3, align=1.5, decoder=0.7),
}


@pytest.mark.parametrize(
    "choices, n, layers",
    [
        ("paper", 1, 2),
        ("paper", 3, 1),
        ("release", 2, 3),
        ("release", 3, 2),
        ("shown texts only", 2, 2),
        ("weighted", 1, 2),
    ],
)
def test_losses_and_gradients_are_those_of_the_plain_computation(choices, n, layers):
    model = small_model(CHOICES[choices], seed=n, cross_layers=layers)
    flat = random_batch(*LENGTHS, seed=n)
    expected = plain_losses(model, flat, n)
    expected["total"].backward()
    expected_gradients = gradients(model)

    model.zero_grad()
    losses = model.losses(in_videos(flat, n) if n > 1 else flat)
    losses["total"].backward()
    assert set(losses) == {name for name in OBJECTIVES if getattr(CHOICES[choices], name)} | {"total"}
    for name, loss in losses.items():
        close(loss, expected[name], 1e-4)
    assert_same_gradients(gradients(model), expected_gradients, tolerance=3e-4)


def test_padding_changes_nothing():
    """The place of the first frame depends on the padded length of a text, so words are not added."""
    model, batch = small_model(), random_batch(*LENGTHS)
    loss, expected = gradients_of(model, batch)
    places = {
        "video": 3,
        "masked_video": 3,
        "video_mask": 3,
        "video_labels_index": 3,
        "decoder_mask": 4,
        "input_caption_ids": 4,
        "output_caption_ids": 4,
    }
    padded = dict(batch)
    for name, more in places.items():
        value = {"video_labels_index": -1, "input_caption_ids": 7}.get(name, 0)
        shape = (0, 0, 0, more) if batch[name].ndim == 3 else (0, more)
        padded[name] = torch.nn.functional.pad(batch[name], shape, value=value)
    longer, found = gradients_of(model, padded)
    close(longer, loss)
    assert_same_gradients(found, expected)


def test_used_length():
    assert used_length(torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]])) == 3
    assert used_length(torch.tensor([[0, 1, 0], [0, 0, 0]])) == 2
    assert used_length(torch.zeros(2, 5)) == used_length(torch.zeros(0, 5)) == 1


def test_clips_without_any_frame_and_a_single_clip():
    model = small_model()
    some, none = random_batch([5, 6, 4], [3, 0, 2], [3, 4, 2]), random_batch([5, 6], [0, 0], [3, 4])
    for batch in (some, none, random_batch([5], [4], [3]), {k: v[:1] for k, v in none.items()}):
        loss, found = gradients_of(model, batch)
        assert loss.isfinite() and all(gradient.isfinite().all() for gradient in found.values())
    _, _, video, mask = encode(model, none)
    assert (model.pool_video(video, mask) == 0).all()


def test_nothing_masked_gives_zero_and_no_gradient():
    model, batch = small_model(), random_batch(*LENGTHS, masked=0.0)
    for name in ("cmlm", "cmfm"):
        loss, found = gradients_of(model, batch, name)
        assert loss == 0 and all((gradient == 0).all() for gradient in found.values())
    assert model.losses(batch)["total"].isfinite()


# The choices between paper and release


def differing(choices, batch, **changes):
    """What changes when objectives change: names of losses, and of parameters by their gradient of the total."""
    results = []
    for objectives in (choices, ObjectiveConfig(**{**vars(choices), **changes})):
        model = small_model(objectives)
        losses = model.losses(batch)
        losses["total"].backward()
        results.append((losses, gradients(model)))
    (losses, before), (changed, after) = results
    return (
        {name for name in losses if abs(losses[name] - changed[name]) > 1e-4} - {"total"},
        {name for name in before if (before[name] - after[name]).abs().max() > 1e-4},
    )


def test_each_choice_changes_what_it_should():
    paper, batch = ObjectiveConfig(), in_videos(random_batch(*LENGTHS), 3)
    assert differing(paper, batch, anchors="middle")[0] == {"joint"}
    assert differing(paper, batch, count_padding=True)[0] == {"decoder"}
    assert differing(paper, batch, contrast_hidden_texts=False)[0] == {"joint", "align"}
    assert differing(paper, batch, detach_frames=False) == (set(), {"video.frame_norm.weight"})
    assert differing(paper, batch, global_negatives=False) == (set(), set())  # one process
    assert differing(paper, random_batch(*LENGTHS), anchors="middle") == (set(), set())  # a single clip is the middle
    assert differing(paper, batch, cmlm_reads="text")[0] == {"cmlm"}
    assert differing(paper, batch, cmfm_reads="video")[0] == {"cmfm"}
    assert differing(paper, batch, cmfm_reads="encoder")[0] == {"cmfm"}
    unhidden = {name: value for name, value in batch.items() if name != "text_hidden"}
    assert differing(paper, unhidden, contrast_hidden_texts=False) == (set(), set())


def test_what_a_masked_objective_may_not_read_does_not_matter_to_it():
    """Each in its control, with the other modality exchanged: the same loss; as the paper has it, another one."""
    batch, model = in_videos(random_batch(*LENGTHS), 3), small_model().eval()
    others = {"cmlm": "masked_video", "cmfm": "pairs_masked_text"}
    for name, reads in (("cmlm", "text"), ("cmfm", "video")):
        exchanged = batch | {others[name]: batch[others[name]].flip(0)}
        for choice, same in ((reads, True), ("both", False)):
            model.objectives = dataclasses.replace(ObjectiveConfig(), **{f"{name}_reads": choice})
            before, after = (model.losses(some)[name].item() for some in (batch, exchanged))
            assert (abs(before - after) < 1e-6) is same
    with pytest.raises(ConfigError, match="cmfm_reads"):
        ObjectiveConfig(cmfm_reads="text")


def test_what_cmfm_trains_of_the_model_in_its_controls():
    """In the paper's way both encoders and the cross encoder; "encoder": not the latter; "frozen": that alone."""
    batch, trained, losses = in_videos(random_batch(*LENGTHS), 3), {}, {}
    for reads in ("both", "encoder", "frozen"):
        model = small_model(ObjectiveConfig(cmfm_reads=reads)).eval()
        losses[reads], found = gradients_of(model, batch, "cmfm")
        trained[reads] = {name.split(".")[0] for name, gradient in found.items() if gradient.abs().max() > 0}
    assert trained["both"] == {"text", "video", "cross", "frame_head"}
    torch.testing.assert_close(losses["frozen"], losses["both"])
    assert trained["encoder"] == {"video", "frame_head"} and trained["frozen"] == {"cross", "frame_head"}


def test_objectives_that_are_not_wanted_are_not_computed():
    batch = random_batch(*LENGTHS)
    joint_fields = ("input_ids", "attention_mask", "video", "video_mask")
    stage_one = small_model(parts=())
    assert set(stage_one.losses({name: batch[name] for name in joint_fields})) == {"joint", "total"}
    assert set(small_model(parts=("cross",)).losses(batch)) == {"joint", "align", "total"}
    captioner = small_model(parts=("cross", "decoder"))
    assert set(captioner.losses(batch)) == {"joint", "align", "decoder", "total"}
    without = small_model(ObjectiveConfig(joint=0.0, align=0.0)).losses(batch)
    assert set(without) == {"cmlm", "cmfm", "decoder", "total"}
    only_joint = small_model(ObjectiveConfig(cmlm=0.0, cmfm=0.0, align=0.0, decoder=0.0))
    close(only_joint.losses(batch)["total"], small_model().losses(batch)["joint"])
    with pytest.raises(ConfigError, match="nothing to train"):
        small_model(ObjectiveConfig(joint=0.0), parts=()).losses(batch)
    with pytest.raises(ValueError, match="must have masked_video, video_labels_index, too"):
        small_model().losses({k: v for k, v in batch.items() if k not in ("masked_video", "video_labels_index")})


def test_other_fields_of_a_batch_do_not_matter():
    batch = in_videos(random_batch(*LENGTHS), 2)
    close(
        small_model().losses({**batch, "video_id": ["a", "b", "c"], "clip": torch.arange(3)})["total"],
        small_model().losses(batch)["total"],
    )


# Pairs


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("side", [2, 16])
def test_pairs_are_those_of_the_cross_encoder(monkeypatch, layers, side):
    monkeypatch.setattr(minivl.univl.model, "SIDE", side)
    model, batch = small_model(cross_layers=layers), random_batch(*LENGTHS)
    batch["video_mask"][2] = 0
    text, text_mask, video, video_mask = encode(model, batch)
    A, B = 3, 5
    found = model.align_similarity(text[:A], text_mask[:A], video[:B], video_mask[:B])
    assert found.shape == (A, B)
    rows, columns = torch.arange(A).repeat_interleave(B), torch.arange(B).repeat(A)
    pairs = (text[rows], text_mask[rows], video[columns], video_mask[columns])
    expected = model.similarity(model.cross_encode(*pairs)[1]).squeeze(-1)
    close(found, expected.view(A, B))
    close(model.align_pairs(*pairs), expected)
    cut = (text[:, :9], text_mask[:, :9], video, video_mask)
    close(model.align_pairs(*cut, frame_position=W), model.align_pairs(text, text_mask, video, video_mask))

    weights = torch.randn(A * B)
    (model.align_similarity(text[:A], text_mask[:A], video[:B], video_mask[:B]).flatten() @ weights).backward(
        retain_graph=True
    )
    of_pairs = gradients(model)
    model.zero_grad()
    (expected @ weights).backward()
    assert_same_gradients(of_pairs, gradients(model))


def test_no_texts_or_no_videos():
    model, batch = small_model(), random_batch([3, 4], [2, 3], [2, 2])
    text, text_mask, video, video_mask = encode(model, batch)
    for A, B in ((0, 2), (2, 0)):
        arguments = (text[:A], text_mask[:A], video[:B], video_mask[:B])
        assert model.joint_similarity(*arguments).shape == model.align_similarity(*arguments).shape == (A, B)
    assert model.align_pairs(text[:0], text_mask[:0], video[:0], video_mask[:0]).shape == (0,)


def test_dropout_is_active_in_training_only():
    model, batch = small_model(dropout=0.5), random_batch(*LENGTHS)
    for training in (True, False):
        model.train(training)
        a, b = model.losses(batch), model.losses(batch)
        assert all((a[name] == b[name]) != training for name in a)


# Numbers


def test_joint_similarity_by_hand():
    text = torch.tensor([[[9.0, 9.0], [1.0, 0.0], [3.0, 4.0], [7.0, 7.0]]])  # [CLS], two words, padding
    video = torch.tensor([[[1.0, 2.0], [3.0, 2.0]], [[0.0, 5.0], [8.0, 8.0]]])
    arguments = text, torch.tensor([[1, 1, 1, 0]]), video, torch.tensor([[1, 1], [1, 0]])
    close(UniVL.joint_similarity(UniVL, *arguments), torch.tensor([[8.0, 10.0]]))  # (2, 2) with (2, 2) and (0, 5)
    close(UniVL.joint_similarity(UniVL, *arguments, normalize=True), torch.tensor([[1.0, 0.5**0.5]]))


def test_mixed_precision():
    model, batch = small_model(), random_batch(*LENGTHS)
    expected = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.losses(batch)
    losses["total"].backward()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())
    for name, loss in expected.items():
        assert losses[name].dtype == torch.float32
        torch.testing.assert_close(losses[name], loss, rtol=0.1, atol=0.2)


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_features_of_another_type(kind):
    model, batch = small_model(), random_batch(*LENGTHS)
    batch = {name: value.half() if value.is_floating_point() else value for name, value in batch.items()}
    other = {name: value.to(kind) if value.is_floating_point() else value for name, value in batch.items()}
    close(model.losses(other)["total"], model.losses(batch)["total"])


def test_a_padding_token_among_the_words_is_trained_like_any_other():
    """Random replacement may put it there; the release has no word without a gradient either."""
    model, batch = small_model(parts=()), random_batch([5, 5], [3, 3], [2, 2])
    batch["input_ids"][:, 2] = CONFIG.pad_token_id
    _, found = gradients_of(model, batch)
    assert (found["text.embeddings.word_embeddings.weight"][CONFIG.pad_token_id] != 0).any()


def test_weights_start_as_those_of_bert():
    torch.manual_seed(0)
    model = UniVL(dataclasses.replace(CONFIG, hidden_size=240))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name.lower():
            assert (parameter == 1).all(), name
        else:
            assert abs(parameter.std() - 0.02) < 0.004 and abs(parameter.mean()) < 0.004, name
    assert (model.text.embeddings.word_embeddings.weight[CONFIG.pad_token_id] != 0).all()


# Mistakes


def test_inputs_that_do_not_fit():
    model, batch = small_model(), random_batch(*LENGTHS)
    ids, mask, video, video_mask = (batch[name] for name in ("input_ids", "attention_mask", "video", "video_mask"))
    with pytest.raises(ValueError, match=r"must be \(N, T, 7\), not \(6, 8, 5\)"):
        model.encode_video(video[..., :5], video_mask)
    with pytest.raises(ValueError, match="mask has shape"):
        model.encode_video(video, video_mask[:, :3])
    with pytest.raises(ValueError, match="16 video features per clip, but there are only 12 positions"):
        model.encode_video(video.repeat(1, 2, 1), video_mask.repeat(1, 2))
    for value in (float("nan"), float("inf")):
        broken = video.clone()
        broken[3, 1, 2] = broken[5, 0, 0] = value
        with pytest.raises(ValueError, match=r"clips \[3, 5\] are NaN or infinite"):
            model.encode_video(broken, video_mask)
    with pytest.raises(ValueError, match="texts of 22 tokens.* at most 16: lower max_words"):
        model.encode_text(ids.repeat(1, 2), mask.repeat(1, 2))
    with pytest.raises(ValueError, match="token id 37.* has 37 words: use the tokenizer"):
        model.encode_text(ids.masked_fill(ids == ids[0, 0], 37), mask)
    text, _, encoded, _ = encode(model, batch)
    with pytest.raises(ValueError, match="positions"):
        model.cross_encode(text, mask, encoded, video_mask, frame_position=25)
    cross, _ = model.cross_encode(text, mask, encoded, video_mask)
    with pytest.raises(ValueError, match="captions of 22 tokens"):
        model.decode(ids.repeat(1, 2), mask.repeat(1, 2), cross, torch.cat([mask, video_mask], 1))


def test_missing_parts():
    batch = random_batch([3], [2], [2])
    stage_one = small_model(parts=())
    encoded = encode(stage_one, batch)
    for call in (stage_one.cross_encode, stage_one.align_similarity, stage_one.align_pairs):
        with pytest.raises(ConfigError, match="no cross"):
            call(*encoded)
    aligned = small_model(parts=("cross",))
    inputs = [batch[name] for name in ("input_ids", "attention_mask", "video", "video_mask")]
    with pytest.raises(ConfigError, match=r"no decoder: its parts are \['cross'\]"):
        aligned.generate(*inputs)
    with pytest.raises(ConfigError, match="no decoder"):
        aligned.decode(batch["input_caption_ids"], batch["decoder_mask"], encoded[0], encoded[1])
    for parts in (("decoder",), ("cross", "heads", "tail"), ("heads",)):
        with pytest.raises(ConfigError, match="parts are cross, decoder and heads"):
            small_model(parts=parts)


# Processes


def test_two_processes_compute_what_one_does(tmp_path):
    result = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
