"""Action segmentation with a tiny UniVL on generated features: every step has a direction of its own."""

import numpy as np
import pytest
import torch

from minivl.config import TaskConfig, TrainConfig, UniVLConfig
from minivl.data.features import FeatureError
from minivl.data.schema import SchemaError, make_dataset
from minivl.metrics.segmentation import segmentation_metrics
from minivl.tasks.univl.segmentation import BACKGROUND, Segmentation, frame_labels, step_classes
from minivl.tasks.univl.whole_videos import encode_frames, in_windows
from minivl.train.run_folder import TrainingError
from minivl.univl import UniVL

F, LONGEST = 12, 8
LABELS = ("cut", "fry", "pour", "stir")
SIZES = UniVLConfig(
    vocab_size=20,
    video_dim=F,
    hidden_size=32,
    num_heads=4,
    intermediate_size=64,
    text_layers=1,
    video_layers=1,
    text_positions=16,
    video_positions=LONGEST,
    dropout=0.05,
    parts=(),
)


def config(steps=80, batch_size=8, max_frames=LONGEST):
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
        max_words=8,
        max_frames=max_frames,
    )


def write(folder, name, features):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", features.astype(np.float32))
    return str(folder / f"{name}.npy")


def make_rows(folder, videos, seed=0):
    """`videos`: per video a list of (label or None, seconds); one frame per second, noisy directions of the labels."""
    rng = np.random.default_rng(seed)
    directions = dict(zip((None, *LABELS), np.random.default_rng(9).normal(size=(5, F)), strict=True))
    columns = {"video_id": [], "features": [], "feature_rate": [], "steps": []}
    for number, parts in enumerate(videos):
        clock, steps, frames = 0, [], []
        for label, seconds in parts:
            frames += [directions[label] + 0.3 * rng.normal(size=F) for _ in range(seconds)]
            if label is not None:
                steps.append({"label": label, "start": float(clock), "end": float(clock + seconds)})
            clock += seconds
        columns["video_id"].append(f"v{number}")
        columns["features"].append(write(folder, f"v{number}", np.stack(frames)))
        columns["feature_rate"].append(1.0)
        columns["steps"].append(steps)
    return make_dataset(columns, "test")


def random_videos(count, seed, longest=5):
    rng = np.random.default_rng(seed)
    names = [None, *LABELS]
    return [
        [(names[rng.integers(5)], int(rng.integers(1, longest))) for _ in range(rng.integers(1, 12))]
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("univl")
    UniVL(SIZES).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def train_rows(tmp_path_factory):
    return make_rows(tmp_path_factory.mktemp("train"), random_videos(24, seed=1), seed=1)


@pytest.fixture(scope="module")
def test_rows(tmp_path_factory):
    """One video of a single second, one of exactly a window, one of many windows, one without steps."""
    videos = [[("cut", 1)], [("fry", 5), (None, 3)], [(LABELS[n % 4], 3) for n in range(10)], [(None, 4)]]
    return make_rows(tmp_path_factory.mktemp("test"), videos, seed=2)


@pytest.fixture(scope="module")
def fitted(pretrained, train_rows, tmp_path_factory):
    task = Segmentation.start(pretrained, None, config())
    return task.fit(train_rows, tmp_path_factory.mktemp("run") / "a", progress=False)


def test_frames_have_the_step_that_their_middle_lies_in():
    steps = [{"label": "cut", "start": 1.0, "end": 2.4}, {"label": "fry", "start": 3.5, "end": 4.6}]
    assert frame_labels(steps, 1.0, 6) == [BACKGROUND, "cut", BACKGROUND, "fry", "fry", BACKGROUND]
    assert frame_labels(steps, 2.0, 8) == [BACKGROUND] * 2 + ["cut"] * 3 + [BACKGROUND] * 2 + ["fry"]
    assert frame_labels([], 1.0, 2) == frame_labels(None, 1.0, 2) == [BACKGROUND] * 2
    assert frame_labels([{"label": "cut", "start": 0.0, "end": 99.0}], 1.0, 3) == ["cut"] * 3, "longer than the video"
    assert frame_labels([{"label": "cut", "start": 7.0, "end": 9.0}], 1.0, 3) == [BACKGROUND] * 3


def test_of_overlapping_steps_the_later_one_counts():
    steps = [{"label": "fry", "start": 2.0, "end": 4.0}, {"label": "cut", "start": 0.0, "end": 6.0}]
    assert frame_labels(steps, 1.0, 6) == ["cut", "cut", "fry", "fry", "cut", "cut"]


def test_windows_keep_every_frame_in_order():
    values = torch.arange(14).view(7, 2)
    windows = in_windows(values, 3)
    assert windows.shape == (3, 3, 2) and torch.equal(windows.flatten(0, 1)[:7], values)
    assert not windows[2, 1:].any() and in_windows(values, 7).shape == (1, 7, 2)


def test_it_learns_and_stitches_long_videos(fitted, test_rows, train_rows):
    scores = fitted.evaluate(test_rows, progress=False)
    baselines = Segmentation.baselines(train_rows, test_rows)
    assert scores["frame accuracy"] > 95 and scores["F1@50"] > 90
    assert baselines["majority"]["frame accuracy"] < 50 and baselines["random"]["frame accuracy"] < 60
    assert baselines["nearest centroid"]["frame accuracy"] > 90, "these features need no encoder"
    predicted = fitted.predict(test_rows, progress=False)
    assert [len(labels) for labels in predicted] == [1, 8, 30, 4]
    assert predicted[3] == [BACKGROUND] * 4, "the video without steps"
    fitted.train()
    assert fitted.predict(test_rows, progress=False) == predicted and not fitted.training, "without dropout"


def test_a_window_does_not_see_the_others(fitted):
    features = np.random.default_rng(3).normal(size=(3 * LONGEST + 2, F)).astype(np.float32)
    encoded = encode_frames(fitted.univl, features, LONGEST, batch_size=2)
    assert encoded.shape == (26, 32)
    for first in range(0, 26, LONGEST):
        alone = torch.from_numpy(features[None, first : first + LONGEST])
        expected = fitted.univl.encode_video(alone, torch.ones(alone.shape[:2]))[0]
        torch.testing.assert_close(encoded[first : first + LONGEST], expected, atol=1e-5, rtol=1e-5)
    changed = features.copy()
    changed[LONGEST:] += 5
    torch.testing.assert_close(
        encode_frames(fitted.univl, changed, LONGEST, 2)[:LONGEST], encoded[:LONGEST], atol=1e-6, rtol=1e-6
    )


def test_training_windows_are_those_of_prediction(pretrained, test_rows):
    task = Segmentation.start(pretrained, None, config())
    task.classes = step_classes(test_rows)
    data, seen = task.dataset(test_rows), set()
    features = torch.from_numpy(np.load(test_rows[2]["features"]))
    truth = frame_labels(test_rows[2]["steps"], 1.0, 30)
    torch.manual_seed(0)
    for _ in range(40):
        item = data[2]
        count = int(item["video_mask"].sum())
        first = next(n for n in range(0, 30, LONGEST) if torch.equal(features[n], item["video"][0]))
        assert torch.equal(item["video"][:count], features[first : first + LONGEST]) and count == min(
            LONGEST, 30 - first
        )
        assert [task.classes[n] for n in item["labels"][:count]] == truth[first : first + count]
        assert not item["video"][count:].any() and not item["labels"][count:].any()
        seen.add(first)
    assert seen == {0, 8, 16, 24}


def test_padding_is_not_learned_from(fitted, train_rows):
    torch.manual_seed(0)
    data = fitted.dataset(train_rows)
    batch = torch.utils.data.default_collate([data[number] for number in range(8)])
    assert (batch["video_mask"] == 0).any()
    other = batch | {"labels": torch.where(batch["video_mask"] == 0, 1, batch["labels"])}
    assert fitted.losses(batch)["total"] == fitted.losses(other)["total"]
    loss = fitted.losses(batch | {"video_mask": torch.zeros_like(batch["video_mask"])})["total"]
    assert loss == 0 and loss.requires_grad, "no real frame at all"


def test_the_text_encoder_and_the_start_stay_as_they_are(fitted, pretrained, train_rows):
    fresh = UniVL.from_pretrained(pretrained, parts=())
    assert all(torch.equal(a, b) for a, b in zip(fresh.text.parameters(), fitted.univl.text.parameters(), strict=True))
    assert not torch.equal(fresh.video.project.weight, fitted.univl.video.project.weight)
    fitted.losses(
        {"video": torch.rand(1, 4, F), "video_mask": torch.ones(1, 4).long(), "labels": torch.zeros(1, 4).long()}
    )["total"].backward()
    unused = [name for name, p in fitted.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, "data-parallel training fails with such"
    assert fitted.settings() == {"classes": [BACKGROUND, *LABELS]} == {"classes": step_classes(train_rows)}


def test_a_finished_run_is_read_back(fitted, pretrained, train_rows, test_rows, tmp_path):
    short = config(steps=2)
    first = Segmentation.start(pretrained, None, short, scratch=True).fit(train_rows, tmp_path, progress=False)
    torch.manual_seed(5)
    again = Segmentation.start(pretrained, None, short, scratch=True).fit(train_rows, tmp_path, progress=False)
    assert first.predict(test_rows, progress=False) == again.predict(test_rows, progress=False)
    assert torch.equal(first.classifier.weight, again.classifier.weight)


def test_steps_that_were_never_trained_on_count_as_wrong(fitted, test_rows):
    steps = [
        [{**step, "label": "juggle"} for step in row["steps"]] if number == 1 else row["steps"]
        for number, row in enumerate(test_rows)
    ]
    strange = make_dataset({name: test_rows[name][:] for name in test_rows.column_names} | {"steps": steps}, "test")
    with pytest.warns(UserWarning, match="1 steps were never trained on and count as wrong: juggle"):
        scores = fitted.evaluate(strange, progress=False)
    usual = fitted.evaluate(test_rows, progress=False)
    assert scores["frame accuracy"] <= usual["frame accuracy"] - 100 * 4 / 43
    predicted = fitted.predict(strange, progress=False)
    truth = [frame_labels(row["steps"], 1.0, len(p)) for row, p in zip(strange, predicted, strict=True)]
    assert scores == segmentation_metrics(predicted, truth, BACKGROUND)


def test_what_cannot_work_is_said(fitted, pretrained, test_rows, tmp_path):
    with pytest.raises(TrainingError, match="call fit"):
        Segmentation.start(pretrained, None, config()).predict(test_rows)
    with pytest.raises(SchemaError, match="have no steps"):
        fitted.fit(test_rows.remove_columns("steps"), tmp_path / "run")
    with pytest.raises(SchemaError, match="none of these 1 videos has a step"):
        fitted.fit(test_rows.select([3]), tmp_path / "run")
    broken = np.zeros((4, F))
    broken[2, 1] = np.nan
    for features, reason in ((broken, "NaN or infinite number in row 2"), (np.zeros((4, F + 1)), "13 numbers per row")):
        rows = make_dataset(
            {
                "features": [write(tmp_path, "bad", features)],
                "feature_rate": [1.0],
                "steps": [[{"label": "cut", "start": 0.0, "end": 2.0}]],
            },
            "test",
        )
        with pytest.raises(FeatureError, match=reason):
            fitted.predict(rows, progress=False)
        with pytest.raises(FeatureError, match=reason):
            fitted.dataset(rows)[0]
    too_long = Segmentation.start(pretrained, None, config(max_frames=LONGEST + 1))
    with pytest.raises(ValueError, match="only 8 positions"):
        encode_frames(too_long.univl, np.zeros((20, F), np.float32), LONGEST + 1, 2)
