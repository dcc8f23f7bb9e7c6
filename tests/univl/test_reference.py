"""Parity with the released UniVL on a tiny random model (values recorded from its code)."""

import json

import pytest
import torch
from safetensors.torch import load_file

from helpers import RECORDINGS
from minivl.config import ObjectiveConfig
from minivl.hub.checkpoints import CheckpointError
from minivl.univl import UniVL, objectives
from minivl.univl.pretraining_step import caption_loss
from minivl.univl.reference import TIES, UNUSED, our_name

RECORD = json.loads((RECORDINGS / "univl.json").read_text())
CONFIG, TOLERANCE = RECORD["config"], RECORD["tolerance"]
TOKENS = CONFIG["tok"]
IDS = {
    "num_heads": CONFIG["heads"],
    "bos_token_id": TOKENS["CLS"],
    "eos_token_id": TOKENS["SEP"],
    "pad_token_id": TOKENS["PAD"],
}
ENCODERS = ("bert.", "visual.", "normalize_video.")
STARTS = {
    "stage1_pretrain": ENCODERS,
    "ft_joint": ENCODERS,
    "ft_align": (*ENCODERS, "cross.", "similarity_dense."),
    "ft_caption": (*ENCODERS, "cross.", "similarity_dense.", "decoder."),
    "stage2_pretrain": ("",),
}
LOSSES = ("cmlm", "cmfm", "joint", "decoder", "align", "total")


@pytest.fixture(scope="module")
def ref():
    return load_file(RECORDINGS / "univl.safetensors")


def state_of(ref, kind="stage2_pretrain"):
    return {
        name.removeprefix("state."): value
        for name, value in ref.items()
        if name.startswith("state.") and name.removeprefix("state.").startswith(STARTS[kind])
    }


@pytest.fixture(scope="module")
def model(ref):
    return UniVL.from_reference(state_of(ref), **IDS)


def inputs(ref, prefix="in."):
    return {
        name.removeprefix(prefix): value
        for name, value in ref.items()
        if name.startswith(prefix) and not name.startswith("in.sim_")
    }


def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE["absolute"], rtol=TOLERANCE["relative"])


@pytest.fixture(scope="module")
def encoded(ref, model):
    """Hidden states of the unmasked and of the masked clips."""
    batch = inputs(ref)
    with torch.no_grad():
        return {
            kind: (
                model.encode_text(batch[ids], batch["attention_mask"]),
                batch["attention_mask"],
                model.encode_video(batch[video], batch["video_mask"]),
                batch["video_mask"],
            )
            for kind, ids, video in (("", "input_ids", "video"), ("_masked", "pairs_masked_text", "masked_video"))
        }


@pytest.mark.parametrize("kind", ["", "_masked"])
@torch.no_grad()
def test_encoders(ref, model, encoded, kind):
    text, _, video, _ = encoded[kind]
    close(text, ref[f"out.text_hidden{kind}"])
    close(video, ref[f"out.video_hidden{kind}"])
    cross, pooled = model.cross_encode(*encoded[kind])
    close(cross, ref[f"out.cross_hidden{kind}"])
    close(pooled, ref[f"out.cross_pooled{kind}"])


@torch.no_grad()
def test_normalised_frames_and_pooling(ref, model, encoded):
    batch = inputs(ref)
    close(model.video.normalise(batch["video"]), ref["out.video_norm"])
    close(model.video.normalise(batch["masked_video"]), ref["out.masked_video_norm"])
    text, text_mask, video, video_mask = encoded[""]
    close(model.pool_text(text, text_mask), ref["out.text_vec"])
    close(model.pool_video(video, video_mask), ref["out.video_vec"])


@torch.no_grad()
def test_similarities(ref, model, encoded):
    close(model.joint_similarity(*encoded[""]), ref["out.joint_sim"])
    close(model.joint_similarity(*encoded[""], normalize=True), ref["out.joint_sim_norm"])
    close(model.align_similarity(*encoded[""]), ref["out.align_sim"])
    close(model.align_similarity(*encoded["_masked"]), ref["out.align_sim_masked"])


@torch.no_grad()
def test_predictions(ref, model, encoded):
    batch = inputs(ref)
    mask = torch.cat([batch["attention_mask"], batch["video_mask"]], dim=1)
    for kind, name in (("_masked", "out.decoder_logits"), ("", "out.decoder_logits_ft")):
        cross, _ = model.cross_encode(*encoded[kind])
        close(model.decode(batch["input_caption_ids"], batch["decoder_mask"], cross, mask), ref[name])
    cross, _ = model.cross_encode(*encoded["_masked"])
    W = batch["input_ids"].shape[1]
    close(model.word_head(cross[:, :W], model.text.embeddings.word_embeddings.weight), ref["out.mlm_logits"])
    close(model.frame_head(cross[:, W:], model.video.project.weight.T), ref["out.mfm_pred"])


def test_stage_two_losses_and_gradients(ref, model):
    model.zero_grad()
    losses = model.losses(inputs(ref))
    assert set(losses) == set(LOSSES)
    for name in LOSSES:
        close(losses[name], ref[f"loss.stage2_{name}"])
    losses["total"].backward()
    parameters, compared = dict(model.named_parameters()), 0
    for name in (name.removeprefix("grad.") for name in ref if name.startswith("grad.")):
        close(parameters[our_name(name)].grad, ref[f"grad.{name}"])
        compared += 1
    assert compared == 14
    model.zero_grad()


def test_three_clips_per_video(ref, model):
    batch = inputs(ref, "in3.")
    close(model.losses(batch)["total"], ref["loss.n3_stage2_total"])
    stage_one = UniVL.from_reference(state_of(ref, "stage1_pretrain"), **IDS)
    losses = stage_one.losses(batch)
    assert set(losses) == {"joint", "total"}
    close(losses["joint"], ref["loss.n3_stage1_milnce"])
    flat = {name: value.flatten(0, 1) for name, value in batch.items()}
    text_mask, video_mask = flat["attention_mask"], flat["video_mask"]
    with torch.no_grad():
        text, video = model.encode_text(flat["input_ids"], text_mask), model.encode_video(flat["video"], video_mask)
        close(model.joint_similarity(text, text_mask, video, video_mask), ref["out.n3_joint_sim"])


def test_stage_one(ref):
    stage_one = UniVL.from_reference(state_of(ref, "stage1_pretrain"), **IDS)
    close(stage_one.losses(inputs(ref))["total"], ref["loss.stage1_milnce_np1"])


def test_losses_of_given_matrices(ref):
    for n in (1, 2, 3):
        close(objectives.mil_nce(ref[f"in.sim_np{n}"], n, "middle"), ref[f"loss.milnce_sim_np{n}"])
    for n in (1, 3):
        close(objectives.align_loss(ref[f"in.sim_np{n}"]), ref[f"loss.crossen_sim_np{n}"])
    for margin in (0.1, 1.0):
        close(objectives.max_margin(ref["in.sim_np1"], margin), ref[f"loss.maxmargin_sim_np1_m{margin}"])
    close(objectives.max_margin(ref["in.sim_np3"], 0.1, 3), ref["loss.maxmargin_sim_np3_m0.1_nonegw"])
    for rate in (0.3, 0.5):
        close(objectives.max_margin(ref["in.sim_np3"], 0.1, 3, rate), ref[f"loss.maxmargin_sim_np3_m0.1_negw_h{rate}"])


@torch.no_grad()
def test_fine_tuning_losses(ref, model, encoded):
    batch, margin = inputs(ref), CONFIG["margin"]
    close(objectives.max_margin(model.joint_similarity(*encoded[""], normalize=True), margin), ref["loss.ft_joint"])
    close(objectives.max_margin(model.align_similarity(*encoded[""]), margin), ref["loss.ft_align"])
    cross, _ = model.cross_encode(*encoded[""])
    mask = torch.cat([batch["attention_mask"], batch["video_mask"]], dim=1)
    close(caption_loss(model, batch, cross, mask), ref["loss.ft_caption"])


@pytest.mark.parametrize("beams", [1, 5])
def test_beam_search(ref, model, beams):
    batch, rows = inputs(ref), CONFIG["beam_rows"]
    found = model.generate(
        *(batch[name][rows] for name in ("input_ids", "attention_mask", "video", "video_mask")),
        num_beams=beams,
        max_length=CONFIG["beam_max_words"],
        stopping="release",
        num_return=beams,
    )
    expected = ref[f"beam.{beams}.tokens"]
    assert torch.equal(found.tokens, expected[..., : found.tokens.shape[-1]])
    assert (expected[..., found.tokens.shape[-1] :] == -1).all()
    torch.testing.assert_close(found.scores, ref[f"beam.{beams}.scores"], atol=TOLERANCE["beam_scores"], rtol=0)
    best = [[token for token in row if token != -1] for row in ref[f"beam.{beams}.best_text_ids"].tolist()]
    assert found.best(TOKENS["SEP"], TOKENS["PAD"]) == best


@pytest.mark.parametrize("kind", STARTS)
def test_all_kinds_of_run_are_read(ref, kind):
    state = state_of(ref, kind)
    assert len(state) == RECORD["state_keys_by_model"][kind]
    model = UniVL.from_reference(state, **IDS)
    ours = model.state_dict()
    assert len(ours) == len([name for name in state if name not in TIES and not name.startswith(UNUSED)])
    for name, tensor in state.items():
        if name not in TIES and not name.startswith(UNUSED):
            assert torch.equal(ours[our_name(name)], tensor)
    assert model.objectives == ObjectiveConfig.release()


def test_old_names_and_files(ref, tmp_path):
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in state_of(ref, "ft_joint").items()
    }
    torch.save(state, tmp_path / "univl.pretrained.bin")
    assert UniVL.from_reference(tmp_path / "univl.pretrained.bin", **IDS).config.parts == ()


def test_every_mismatch_is_reported(ref):
    state = state_of(ref)
    del state["cross.pooler.dense.bias"]
    state["foreign.weight"] = torch.zeros(1)
    state["similarity_dense.weight"] = torch.zeros(2, 2)
    with pytest.raises(CheckpointError) as error:
        UniVL.from_reference(state, **IDS)
    for name in ("cross.pooler.bias", "foreign.weight", "similarity.weight"):
        assert name in str(error.value)
    with pytest.raises(CheckpointError, match="one parameter"):
        UniVL.from_reference({**state_of(ref), "cls.predictions.decoder.weight": torch.zeros(61, 48)}, **IDS)
    with pytest.raises(CheckpointError, match="released UniVL"):
        UniVL.from_reference({"weight": torch.zeros(1)}, **IDS)
    with pytest.raises(CheckpointError, match="num_heads"):
        UniVL.from_reference(state_of(ref), **{**IDS, "num_heads": 5})
