"""Sentiment with a tiny UniVL: what words say plus what frames show, so that neither alone is enough."""

import numpy as np
import pytest
import torch

from minivl.config import ConfigError, TaskConfig, TrainConfig, UniVLConfig
from minivl.data.features import FeatureError
from minivl.data.schema import SchemaError, make_dataset
from minivl.data.wordpiece import train_wordpiece
from minivl.metrics.sentiment import sentiment_metrics
from minivl.tasks.univl.sentiment import Sentiment
from minivl.univl import UniVL

F, LONGEST = 6, 4
WORDS = {"bad": -1.5, "okay": 0.0, "good": 1.5}


def config(steps=120):
    return TaskConfig(
        TrainConfig(
            batch_size=16,
            learning_rate=3e-3,
            steps=steps,
            epochs=None,
            weight_decay=0.0,
            checkpoint_every=1000,
            log_every=steps,
        ),
        max_words=10,
        max_frames=LONGEST,
    )


def make_rows(folder, count, seed):
    """sentiment = word + face, face in [-1.5, 1.5] being what the frames show; the captions are to be ignored."""
    rng, (calm, direction) = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(2, F))
    columns = {name: [] for name in ("video_id", "features", "feature_rate", "transcript", "sentiment", "caption")}
    for number in range(count):
        word, face = list(WORDS)[number % 3], float(rng.uniform(-1.5, 1.5))
        frames = rng.normal(size=(int(rng.integers(1, 7)), F)) * 0.1 + calm + face * direction
        np.save(folder / f"{seed}-{number}.npy", frames.astype(np.float32))
        for name, value in (
            ("video_id", f"v{number}"),
            ("features", str(folder / f"{seed}-{number}.npy")),
            ("feature_rate", 1.0),
            ("sentiment", WORDS[word] + face),
            ("caption", "a cook"),
            ("transcript", [{"text": f"i think it is {word}", "start": 0.0, "end": 2.0}]),
        ):
            columns[name].append(value)
    return make_dataset(columns, "test")


def changed(rows, **columns):
    return make_dataset({name: rows[name][:] for name in rows.column_names} | columns, "test")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_wordpiece([f"i think it is {word}" for word in WORDS] * 3, 150, tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("univl")
    sizes = UniVLConfig(
        vocab_size=len(tokenizer),
        video_dim=F,
        hidden_size=32,
        num_heads=4,
        intermediate_size=64,
        text_layers=1,
        video_layers=1,
        cross_layers=1,
        text_positions=16,
        video_positions=LONGEST,
        cross_positions=32,
        dropout=0.05,
        parts=("cross",),
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    UniVL(sizes).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def train_rows(tmp_path_factory):
    return make_rows(tmp_path_factory.mktemp("train"), 96, seed=1)


@pytest.fixture(scope="module")
def test_rows(tmp_path_factory):
    return make_rows(tmp_path_factory.mktemp("test"), 48, seed=2)


@pytest.fixture(scope="module")
def fitted(pretrained, tokenizer, train_rows, tmp_path_factory):
    """One task per choice of modalities."""
    choices = (("text", "video"), ("text",), ("video",))
    return {
        choice: Sentiment.start(pretrained, tokenizer, config(), modalities=choice).fit(
            train_rows, tmp_path_factory.mktemp("run"), progress=False
        )
        for choice in choices
    }


def test_words_and_frames_together_tell_the_sentiment(fitted, train_rows, test_rows):
    both, text, video = (task.evaluate(test_rows, progress=False) for task in fitted.values())
    baselines = Sentiment.baselines(train_rows, test_rows)
    assert both["MAE"] < 0.6 and both["correlation"] > 0.88
    assert both["MAE"] < 0.85 * min(text["MAE"], video["MAE"])
    assert max(text["MAE"], video["MAE"]) < 0.95 * baselines["mean"]["MAE"]


def test_a_modality_that_is_left_out_does_not_matter(fitted, test_rows, tmp_path):
    np.save(tmp_path / "other.npy", np.full((3, F), 2.0, np.float32))
    other_video = changed(test_rows, features=[str(tmp_path / "other.npy")] * len(test_rows))
    other_text = changed(test_rows, transcript=[[{"text": "bad", "start": 0.0, "end": 1.0}]] * len(test_rows))
    both, text, video = fitted.values()
    for task, rows, same in (
        (text, other_video, True),
        (video, other_text, True),
        (text, other_text, False),
        (video, other_video, False),
        (both, other_text, False),
        (both, other_video, False),
    ):
        before, after = task.predict(test_rows, progress=False), task.predict(rows, progress=False)
        assert np.array_equal(before, after) == same
    assert (
        video.predict(test_rows.remove_columns("transcript"), progress=False)
        == video.predict(test_rows, progress=False)
    ).all()


def test_predictions_are_cut_to_the_scale(fitted, test_rows):
    task = fitted["text", "video"]
    usual = task.predict(test_rows, progress=False)
    task.train()
    assert np.array_equal(task.predict(test_rows, progress=False), usual), "without dropout"
    bias = task.regressor.bias.data
    try:
        bias += 4.0
        np.testing.assert_allclose(task.predict(test_rows, progress=False), np.clip(usual + 4, -3, 3), atol=1e-5)
    finally:
        bias -= 4.0
    assert usual.dtype == np.float32 and usual.shape == (48,)
    expected = sentiment_metrics(usual, test_rows["sentiment"])
    assert task.evaluate(test_rows, progress=False) == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_l1_over_opinions_and_not_captions(fitted, train_rows):
    task = fitted["text", "video"]
    data = task.dataset(train_rows)
    assert len(data) == 96 and "input_caption_ids" not in data[0]
    batch = torch.utils.data.default_collate([data[number] for number in range(5)])
    with torch.no_grad():
        errors = (task.scores(batch) - torch.tensor(train_rows["sentiment"][:5])).abs()
        torch.testing.assert_close(task.losses(batch)["total"], errors.mean())
        empty = batch | {"video_mask": torch.zeros_like(batch["video_mask"])}
        assert task.losses(empty)["total"].isfinite(), "no real frame at all"


def test_only_what_is_used_is_trained(pretrained, tokenizer, train_rows):
    for choice in (("text", "video"), ("text",), ("video",)):
        task = Sentiment.start(pretrained, tokenizer, config(), modalities=choice)
        data = task.dataset(train_rows)
        task.losses(torch.utils.data.default_collate([data[0], data[1]]))["total"].backward()
        unused = [name for name, p in task.named_parameters() if p.requires_grad and p.grad is None]
        assert not unused, "data-parallel training fails with such"


def test_baselines_by_hand(train_rows):
    train = changed(train_rows.select(range(4)), sentiment=[-1.0, -0.5, -0.3, 3.0])
    test = changed(train_rows.select(range(3)), sentiment=[-2.0, 1.0, -1.0])
    baselines = Sentiment.baselines(train, test)
    assert baselines["mean"]["MAE"] == pytest.approx((2.3 + 0.7 + 1.3) / 3) and baselines["mean"]["correlation"] == 0
    assert baselines["majority sign"]["MAE"] == pytest.approx((1 + 2 + 0) / 3), "-1, although the mean is positive"
    assert baselines["majority sign"]["acc-2 positive"] == pytest.approx(200 / 3)
    assert baselines["random"]["MAE"] > 0


def test_what_cannot_work_is_said(fitted, pretrained, tokenizer, test_rows, train_rows, tmp_path):
    task = fitted["text", "video"]
    for wrong in (None, 3.5, float("nan")):
        rows = changed(test_rows, sentiment=[wrong if n == 7 else 1.0 for n in range(48)])
        for use in (task.dataset, task.evaluate, lambda rows: Sentiment.baselines(train_rows, rows)):
            with pytest.raises(SchemaError, match=f"v7 has the sentiment {wrong}"):
                use(rows)
    assert len(task.predict(test_rows.remove_columns("sentiment"), progress=False)) == 48
    with pytest.raises(SchemaError, match="have no sentiment"):
        task.dataset(test_rows.remove_columns("sentiment"))
    with pytest.raises(SchemaError, match="have no transcript"):
        task.predict(test_rows.remove_columns("transcript"))
    for wrong in ((), ("audio",), ("text", "audio")):
        with pytest.raises(ConfigError, match="text, video or both"):
            Sentiment.start(pretrained, tokenizer, config(), modalities=wrong)
    np.save(tmp_path / "nan.npy", np.full((4, F), np.nan, np.float32))
    with pytest.raises(FeatureError, match="NaN or infinite number in row 0"):
        task.predict(changed(test_rows.select([0]), features=[str(tmp_path / "nan.npy")]), progress=False)
