"""Step localization with a tiny UniVL on generated features and narration; no step of a training video is labelled."""

import numpy as np
import pytest
import torch

from minivl.config import ObjectiveConfig, TaskConfig, TrainConfig, UniVLConfig
from minivl.data.features import FeatureError
from minivl.data.schema import SchemaError, make_dataset
from minivl.data.wordpiece import encode_texts, train_wordpiece
from minivl.metrics.localization import chance_recall, step_recall
from minivl.tasks.univl.localization import Localization, LocatedSteps, descriptions, true_frames
from minivl.univl import UniVL

F, LONGEST, SECONDS = 12, 8, 5
STEPS = ("cut carrot", "fry egg", "pour milk", "stir soup", "add salt", "heat pan")


def config(steps=80, batch_size=16, max_frames=LONGEST):
    return TaskConfig(
        TrainConfig(
            batch_size=batch_size,
            learning_rate=3e-3,
            steps=steps,
            epochs=None,
            weight_decay=0.0,
            checkpoint_every=1000,
            log_every=steps,
        ),
        max_words=12,
        max_frames=max_frames,
    )


def make_rows(folder, count, seed, labelled=True):
    """Videos of three steps of 5 seconds with a silent second before each.

    Labelled ones have one of two tasks. In the others steps are mixed: clips of one video are positives of each other,
    so that steps that only occur together cannot be told apart.
    """
    rng, directions = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(len(STEPS), F))
    rows = []
    for number in range(count):
        task = number % 2
        numbers = [3 * task, 3 * task + 1, 3 * task + 2] if labelled else rng.permutation(len(STEPS))[:3].tolist()
        frames, said, seen = [], [], []
        for step in numbers:
            frames.append(0.3 * rng.normal(size=(1, F)))
            start = float(sum(len(part) for part in frames))
            frames.append(directions[step] + 0.3 * rng.normal(size=(SECONDS, F)))
            said.append({"text": f"now i {STEPS[step]}", "start": start, "end": start + SECONDS})
            seen.append({"label": STEPS[step], "start": start, "end": start + SECONDS})
        np.save(folder / f"{seed}-{number}.npy", np.concatenate(frames).astype(np.float32))
        row = {
            "video_id": f"v{number}",
            "features": str(folder / f"{seed}-{number}.npy"),
            "feature_rate": 1.0,
            "transcript": said,
        }
        truth = {"task": f"task {task}", "steps": seen, "task_steps": [STEPS[n] for n in numbers]}
        rows.append(row | (truth if labelled else {}))
    return make_dataset({name: [row[name] for row in rows] for name in rows[0]}, "test")


def changed(rows, **columns):
    return make_dataset({name: rows[name][:] for name in rows.column_names} | columns, "test")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    sentences = [f"now i {step}" for step in STEPS] * 3
    return train_wordpiece(sentences, 150, tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer):
    """One that was pretrained without Joint, which must not matter here."""
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
    UniVL(sizes, ObjectiveConfig(joint=0.0)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return make_rows(tmp_path_factory.mktemp("test"), 6, seed=2)


@pytest.fixture(scope="module")
def fitted(pretrained, tokenizer, tmp_path_factory):
    train = make_rows(tmp_path_factory.mktemp("train"), 64, seed=1, labelled=False)
    task = Localization.start(pretrained, tokenizer, config())
    return task.fit(train, tmp_path_factory.mktemp("run"), progress=False)


def test_narration_teaches_when_steps_are_shown(fitted, pretrained, tokenizer, rows):
    """The training videos have no step labels at all."""
    scores, untrained = (
        task.evaluate(rows, progress=False)
        for task in (fitted, Localization.start(pretrained, tokenizer, config(), scratch=True))
    )
    chance = Localization.baselines(None, rows)["chance"]
    assert scores.keys() == {"recall", "ordered recall"}
    assert scores["recall"] > 90 and scores["ordered recall"] > 90
    assert chance["recall"] == pytest.approx(100 * 5 / 18)
    assert untrained["recall"] < 75, "this world is not solved by chance"


def test_scores_are_products_of_pooled_steps_and_encoded_frames(fitted, tokenizer, rows):
    located = fitted.predict(rows, progress=False)[1]
    features = torch.from_numpy(np.load(rows[1]["features"]))
    ids, mask = encode_texts(tokenizer, rows[1]["task_steps"], 12)
    with torch.no_grad():
        text = fitted.univl.pool_text(fitted.univl.encode_text(ids, mask), mask)
        for first in range(0, 18, LONGEST):
            window = features[None, first : first + LONGEST]
            video = fitted.univl.encode_video(window, torch.ones(window.shape[:2]))[0]
            expected = torch.stack([video @ step for step in text], dim=1)
            torch.testing.assert_close(
                torch.from_numpy(located.scores[first : first + LONGEST]), expected, atol=1e-4, rtol=1e-4
            )
    assert located.scores.shape == (18, 3) and located.steps == list(STEPS[3:])
    fitted.train()
    assert np.array_equal(fitted.predict(rows, progress=False)[1].scores, located.scores), "without dropout"


def test_evaluate_is_the_metric_of_the_predicted_scores(fitted, rows):
    located = fitted.predict(rows, progress=False)
    truth = [true_frames(row, video.steps, 18) for row, video in zip(rows, located, strict=True)]
    for name, ordered in (("recall", False), ("ordered recall", True)):
        expected = step_recall([video.scores for video in located], truth, rows["task"], ordered)["recall"]
        assert fitted.evaluate(rows, progress=False)[name] == expected
        expected = chance_recall(truth, rows["task"], ordered)["recall"]
        assert Localization.baselines(None, rows)["chance"][name] == expected


def test_chosen_seconds():
    scores = np.array([[0, 9, 0], [5, 0, 0], [4, 8, 0], [0, 0, 3], [0, 0, 9.0]])
    located = LocatedSteps(["a", "b", "c"], scores, rate=2.0)
    assert located.seconds().tolist() == [0.5, 0.0, 2.0]
    assert located.seconds(ordered=True).tolist() == [0.5, 1.0, 2.0]


def test_evenly_spread_steps_know_the_order_only(rows):
    """Of 18 frames the chosen ones are 3, 9 and 15; the steps are shown in frames 1-5, 7-11 and 13-17."""
    assert Localization.baselines(None, rows)["evenly spread"] == {"recall": 100.0, "ordered recall": 100.0}
    late = [
        [{"label": step["label"], "start": step["end"] - 1, "end": step["end"]} for step in row["steps"]]
        for row in rows
    ]
    assert Localization.baselines(None, changed(rows, steps=late))["evenly spread"]["recall"] == 0


def test_training_reads_narrations_and_joint_alone(fitted, rows):
    data = fitted.dataset(rows)
    assert set(data.rows.column_names) == {"features", "feature_rate", "transcript"}
    torch.manual_seed(0)
    batch = torch.utils.data.default_collate([data[0], data[1]])
    assert fitted.losses(batch).keys() == {"joint", "total"}
    empty = batch | {"video_mask": torch.zeros_like(batch["video_mask"])}
    assert fitted.losses(empty)["total"].isfinite(), "no real frame at all"


def test_true_frames_of_overlapping_steps():
    row = {
        "video_id": "v",
        "feature_rate": 1.0,
        "steps": [{"label": "a", "start": 0.0, "end": 2.5}, {"label": "b", "start": 1.5, "end": 3.0}],
    }
    expected = [[1, 0], [1, 1], [1, 1], [0, 0]]
    assert true_frames(row, ["a", "b"], 4).astype(int).tolist() == expected
    with pytest.raises(SchemaError, match="v shows 'b', which is not a step of its task: a, c"):
        true_frames(row, ["a", "c"], 4)


def test_descriptions_come_from_the_task_or_from_the_labels(rows):
    assert descriptions(rows) == rows["task_steps"][:]
    assert descriptions(rows.remove_columns("task_steps")) == rows["task_steps"][:], "in the order of their mean place"
    twisted = [
        [{**step, "start": 20 - step["end"], "end": 20 - step["start"]} for step in steps] for steps in rows["steps"]
    ]
    backwards = changed(rows.remove_columns("task_steps"), steps=twisted)
    assert descriptions(backwards) == [steps[::-1] for steps in rows["task_steps"]]
    with pytest.raises(SchemaError, match="no task_steps, only features"):
        descriptions(rows.select_columns(["features"]))
    with pytest.raises(SchemaError, match="v3 has no step descriptions"):
        descriptions(changed(rows, task_steps=[steps if n != 3 else [] for n, steps in enumerate(rows["task_steps"])]))


def test_videos_that_show_no_step_do_not_count(fitted, rows):
    some = changed(rows, steps=[steps if n != 2 else [] for n, steps in enumerate(rows["steps"])])
    without = rows.select([0, 1, 3, 4, 5])
    assert fitted.evaluate(some, progress=False) == fitted.evaluate(without, progress=False)
    assert Localization.baselines(None, some) == Localization.baselines(None, without)
    assert fitted.predict(some, progress=False)[2].scores.shape == (18, 3)
    with pytest.raises(SchemaError, match="none of these 6 videos shows a step"):
        fitted.evaluate(changed(rows, steps=[[]] * 6), progress=False)


def test_what_cannot_work_is_said(fitted, rows, tmp_path):
    with pytest.raises(ValueError, match="transcript"):
        fitted.fit(rows.remove_columns("transcript"), tmp_path / "run")
    with pytest.raises(SchemaError, match="have no task"):
        fitted.evaluate(rows.remove_columns("task"), progress=False)
    np.save(tmp_path / "nan.npy", np.full((4, F), np.nan, np.float32))
    with pytest.raises(FeatureError, match="NaN or infinite number in row 0"):
        fitted.predict(changed(rows.select([0]), features=[str(tmp_path / "nan.npy")]), progress=False)
    np.save(tmp_path / "short.npy", np.zeros((2, F), np.float32))
    short = changed(rows.select([0]), features=[str(tmp_path / "short.npy")])
    assert fitted.predict(short, progress=False)[0].seconds().shape == (3,)
    with pytest.raises(ValueError, match="3 steps in order need as many frames"):
        fitted.evaluate(short, progress=False)
