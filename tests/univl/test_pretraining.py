"""Pretraining of UniVL: stages as settings, resuming in the middle, and what the microscope sees."""

from dataclasses import replace

import pytest
import torch

from minivl.config import NARRATED, ConfigError, NarrationConfig, ObjectiveConfig, scale
from minivl.data.narration import NarratedDataset
from minivl.data.wordpiece import load_tokenizer
from minivl.tasks.univl.data import UNIVL, pretraining_videos, task_rows
from minivl.train.loop import TrainingError, make_optimizer
from minivl.univl import UniVL, microscope, pretraining
from minivl.univl.saving import load_parts

SMALL = scale("small")


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(UNIVL)


@pytest.fixture(scope="module")
def videos():
    return pretraining_videos(SMALL, 8)


def tiny(tokenizer, **changes):
    config = SMALL.univl_pretrain
    train = replace(config.stage_two, batch_size=2, steps=4, checkpoint_every=2, log_every=1)
    config = replace(config, stage_one=train, stage_two=train, **changes)
    model = replace(
        config.model,
        hidden_size=32,
        num_heads=2,
        intermediate_size=32,
        text_layers=1,
        video_layers=1,
        decoder_layers=1,
        dropout=0.1,
    )
    return pretraining.sized_for(replace(config, model=model), tokenizer, 96)


def maker(videos, tokenizer):
    return lambda narration, masked: NarratedDataset(videos, tokenizer, narration, masked, keep_features=True)


def test_strategies_are_settings():
    config = SMALL.univl_pretrain
    first, second = pretraining.stages(config)
    assert first.parts == () and first.narration.hide_text == 0
    assert second.parts == ("cross", "decoder", "heads") and second.narration.hide_text == 0.15
    (only,) = pretraining.stages(replace(config, staged=False, narration=replace(config.narration, hide_text=0.0)))
    assert only.name == "stage-two" and only.narration.hide_text == 0


def test_full_scale_is_the_released_recipe():
    config = scale("full").univl_pretrain
    assert config.objectives == ObjectiveConfig.release() and config.model.hidden_size == 768
    one, two = config.stage_one, config.stage_two
    assert one.batch_size * one.gradient_accumulation == 1920 and two.batch_size * two.gradient_accumulation == 960
    assert dict(one.lr_multipliers) == {"text.": 0.1} and not two.lr_multipliers
    assert one.learning_rate == two.learning_rate == 1e-4 and one.epochs == two.epochs == 50
    assert config.narration == NarrationConfig(hide_text=0.15)


def test_both_stages_run_and_the_second_starts_where_the_first_ended(tokenizer, videos, tmp_path):
    config = tiny(tokenizer)
    trained = pretraining.pretrain(config, maker(videos, tokenizer), tmp_path, progress=False)
    assert trained.config.parts == ("cross", "decoder", "heads")
    assert {p.name for p in tmp_path.iterdir()} == {"stage-one", "stage-two"}
    # A second stage that does not move (rate 0) still has the encoders of the first.
    frozen = replace(config, stage_two=replace(config.stage_two, learning_rate=0.0))
    still = pretraining.pretrain(frozen, maker(videos, tokenizer), tmp_path / "still", progress=False)
    first = UniVL(replace(config.model, parts=()), config.objectives)
    from safetensors.torch import load_file

    saved = load_file(next((tmp_path / "still/stage-one/checkpoints").glob("step-000004")) / "model.safetensors")
    load_parts(first, saved, set())
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, still.state_dict()[name]), name


def test_resumes_in_the_middle_of_stage_two(tokenizer, videos, tmp_path, monkeypatch):
    config = tiny(tokenizer)
    whole = pretraining.pretrain(config, maker(videos, tokenizer), tmp_path / "whole", progress=False)
    losses, calls = UniVL.losses, []

    def stops(self, batch):
        calls.append(1)
        if len(calls) == 7:  # step 3 of stage two
            raise KeyboardInterrupt
        return losses(self, batch)

    monkeypatch.setattr(UniVL, "losses", stops)
    with pytest.raises(KeyboardInterrupt):
        pretraining.pretrain(config, maker(videos, tokenizer), tmp_path / "cut", progress=False)
    monkeypatch.setattr(UniVL, "losses", losses)
    resumed = pretraining.pretrain(config, maker(videos, tokenizer), tmp_path / "cut", progress=False)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_other_settings_do_not_continue_a_run(tokenizer, videos, tmp_path):
    config = tiny(tokenizer, staged=False)
    pretraining.pretrain(config, maker(videos, tokenizer), tmp_path, progress=False)
    other = replace(config, objectives=replace(config.objectives, joint=10.0))
    with pytest.raises(TrainingError, match="joint"):
        pretraining.pretrain(other, maker(videos, tokenizer), tmp_path, progress=False)


def test_berts_parameter_groups(tokenizer):
    config = tiny(tokenizer)
    model = UniVL(config.model)
    train = replace(config.stage_one, lr_multipliers=(("text.", 0.1),))
    optimizer, _ = make_optimizer(model, train, 10)
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for name in (names[id(p)] for p in group["params"]):
            norm_or_bias = "bias" in name or "norm.weight" in name.lower()
            decays = name == "video.frame_norm.weight" or not norm_or_bias  # the one norm that decays, as released
            assert (group["weight_decay"] > 0) == decays, name
            assert group["initial_lr"] == pytest.approx(train.learning_rate * (0.1 if name.startswith("text.") else 1))


def test_the_rate_falls_in_a_straight_line(tokenizer):
    model = torch.nn.Linear(2, 2)
    optimizer, schedule = make_optimizer(model, replace(SMALL.univl_pretrain.stage_two, learning_rate=1.0), 20)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:3] == pytest.approx([0, 0.5, 1]) and rates[-1] == pytest.approx(1 / 18)
    assert [a - b for a, b in zip(rates[2:], rates[3:], strict=False)] == pytest.approx([1 / 18] * 17)


def test_microscope_takes_the_gradient_apart(tokenizer, videos):
    config = tiny(tokenizer)
    model = UniVL(config.model).eval()
    data = NarratedDataset(videos, tokenizer, config.narration)
    torch.manual_seed(0)
    batch = torch.utils.data.default_collate([data[i] for i in range(3)])
    losses = model.losses(batch)
    apart = microscope.objective_gradients(model, losses)
    losses["total"].backward()
    for name, parameter in model.named_parameters():
        total = sum(gradients[name] for gradients in apart.values())
        torch.testing.assert_close(total, parameter.grad, atol=1e-5, rtol=1e-4)
    norms = microscope.module_norms(apart)
    assert norms.loc["joint", ["cross encoder", "decoder", "heads"]].sum() == 0
    assert (norms["decoder"] > 0).tolist() == [name == "decoder" for name in norms.index]
    scope = microscope.Microscope(every=2)
    for _ in range(3):
        scope(model, batch)
    assert set(scope.table["step"]) == {1, 3} and (scope.table["measure"] == "cosine").sum() == 2 * 10
    assert scope.table[scope.table["measure"] == "cosine"]["value"].abs().max() < 1 + 1e-5


def test_bundled_data_come_from_the_splits_of_the_world():
    for split, first in (
        ("train", "narrated-train-01000"),
        ("val", "narrated-val-00000"),
        ("test", "narrated-test-00000"),
    ):
        # Meals of different splits of the world have no content in common.
        assert task_rows("localization", split, SMALL)[0]["video_id"] == first
    assert not set(pretraining_videos(SMALL)["video_id"]) & set(task_rows("localization", "train", SMALL)["video_id"])
    captions = task_rows("retrieval", "test", SMALL)["caption"]
    assert len(set(captions)) == len(captions)
    assert (NARRATED / "README.md").is_file()


def test_a_text_encoder_is_not_started_from_half_a_bert(tmp_path):
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    from minivl.hub.checkpoints import CheckpointError

    model = UniVL.from_pretrained(UNIVL)
    bert = BertModel(
        BertConfig(
            vocab_size=model.config.vocab_size,
            hidden_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=384,
            max_position_embeddings=64,
        ),
        add_pooling_layer=False,
    )
    bert.save_pretrained(tmp_path)
    pretraining.load_bert(model, tmp_path)
    whole = bert.state_dict()
    assert torch.equal(
        model.text.state_dict()["embeddings.word_embeddings.weight"], whole["embeddings.word_embeddings.weight"]
    )
    half = {name: tensor for name, tensor in whole.items() if "layer.1." not in name}
    save_file(half, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="no whole BERT: 16 of its tensors are missing"):
        pretraining.load_bert(model, tmp_path)


def test_what_the_data_fix_is_not_overwritten_silently(tokenizer):
    config = tiny(tokenizer)
    again = pretraining.sized_for(config, tokenizer, 96)
    assert again == config and again.model.vocab_size == len(tokenizer)
    for changes in ({"vocab_size": 7}, {"video_dim": 7}, {"pad_token_id": 7}):
        with pytest.raises(ConfigError, match=f"{next(iter(changes))} is .* not 7"):
            pretraining.sized_for(replace(config, model=replace(config.model, **changes)), tokenizer, 96)


def test_another_vocabulary_does_not_continue_a_run(tokenizer, videos, tmp_path):
    config = tiny(tokenizer, staged=False)
    pretraining.pretrain(config, maker(videos, tokenizer), tmp_path, progress=False)
    with pytest.raises(TrainingError, match="tokenizer"):
        pretraining.pretrain(replace(config, vocabulary=77), maker(videos, tokenizer), tmp_path, progress=False)
