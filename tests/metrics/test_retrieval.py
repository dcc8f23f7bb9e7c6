"""Retrieval metrics against recorded values of the released code, and against every order of tied candidates."""

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from helpers import RECORDINGS
from minivl.metrics.retrieval import group_metrics, retrieval_metrics, scores_by_video

RECORDED = load_file(RECORDINGS / "retrieval_metrics.safetensors")
RELEASED = json.loads((RECORDINGS / "retrieval_metrics.json").read_text())


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor])
def test_without_ties_the_released_values(convert):
    ours = retrieval_metrics(convert(RECORDED["random.sim"]))
    for direction in ("t2v", "v2t"):
        assert ours[direction] == pytest.approx(RELEASED["random"][direction], abs=1e-9)
    assert ours["R@sum"] == pytest.approx(sum(ours[d][f"R@{k}"] for d in ("t2v", "v2t") for k in (1, 5, 10)))
    json.dumps(ours)


@pytest.mark.parametrize("direction", ["t2v", "v2t"])
def test_with_ties_the_release_weighs_tied_queries_more(direction):
    """The released list of positions holds all positions of a tie; ours is the mean over queries of their mean."""
    scores = RECORDED["tied.sim"] if direction == "t2v" else RECORDED["tied.sim"].T
    positions, sizes = RECORDED[f"tied.{direction}.cols"], (scores == np.diag(scores)[:, None]).sum(1)
    per_query = np.split(positions, np.cumsum(sizes)[:-1])
    ours = retrieval_metrics(RECORDED["tied.sim"])[direction]
    assert ours["MnR"] == pytest.approx(np.mean([p.mean() + 1 for p in per_query]))
    assert ours["R@5"] == pytest.approx(100 * np.mean([(p < 5).mean() for p in per_query]))
    assert positions.mean() + 1 == pytest.approx(RELEASED["tied"][direction]["MnR"])
    assert abs(ours["MnR"] - RELEASED["tied"][direction]["MnR"]) > 0.01


def brute_force(columns_of_scores, right_of_query, ks):
    """Metrics from every order in which ties can be broken; scores[q], right[q]: the right candidates of query q."""
    ranks, recalls = [], {k: [] for k in ks}
    for scores, right in zip(columns_of_scores, right_of_query, strict=True):
        outcomes = []
        for tie_break in itertools.permutations(range(len(scores))):
            order = sorted(range(len(scores)), key=lambda c, s=scores, t=tie_break: (-s[c], t[c]))
            outcomes.append(1 + min(order.index(r) for r in right))
        ranks.append(np.mean(outcomes))
        for k in ks:
            recalls[k].append(np.mean(np.array(outcomes) <= k))
    return {**{f"R@{k}": 100 * np.mean(recalls[k]) for k in ks}, "MedR": np.median(ranks), "MnR": np.mean(ranks)}


@pytest.mark.parametrize("seed", range(12))
def test_every_order_of_the_tied(seed):
    rng = np.random.default_rng(seed)
    ks = (1, 2, 3, 10)
    video_of_text = rng.permutation([0, 0, 0, 1, 1, 2])
    scores = rng.integers(0, 2 + seed % 3, (6, 3))
    ours = retrieval_metrics(scores, video_of_text, ks)
    assert ours["t2v"] == pytest.approx(brute_force(scores, [[v] for v in video_of_text], ks))
    captions = [np.flatnonzero(video_of_text == v) for v in range(3)]
    assert ours["v2t"] == pytest.approx(brute_force(scores.T, captions, ks))


def test_constant_model_gets_chance():
    n = 40
    ours = retrieval_metrics(np.full((n, n), 0.3))
    for direction in ("t2v", "v2t"):
        assert ours[direction] == pytest.approx(
            {"R@1": 100 / n, "R@5": 500 / n, "R@10": 1000 / n, "MedR": (n + 1) / 2, "MnR": (n + 1) / 2}
        )


def test_constant_model_with_several_captions():
    """20 videos with 3 captions each: the first of 3 right ones among 60 in random order."""
    ours = retrieval_metrics(np.zeros((60, 20)), np.repeat(np.arange(20), 3))
    assert ours["t2v"]["R@5"] == pytest.approx(25)
    assert ours["v2t"]["R@1"] == pytest.approx(100 * 3 / 60)
    assert ours["v2t"]["R@5"] == pytest.approx(100 * (1 - (57 * 56 * 55 * 54 * 53) / (60 * 59 * 58 * 57 * 56)))
    assert ours["v2t"]["MnR"] == pytest.approx(61 / 4)


def test_perfect_and_infinite_scores():
    perfect = retrieval_metrics(np.where(np.eye(12) > 0, np.inf, -np.inf))
    assert perfect["R@sum"] == 600 and perfect["t2v"]["MnR"] == perfect["v2t"]["MedR"] == 1


def test_order_of_rows_and_columns_does_not_matter():
    rng = np.random.default_rng(0)
    scores, video_of_text = rng.integers(0, 5, (30, 12)).astype(float), np.arange(30) % 12
    groups = np.array(list("aabbbbccdddd"))
    rows, columns = rng.permutation(30), rng.permutation(12)
    moved, moved_video = scores[rows][:, columns], np.argsort(columns)[video_of_text[rows]]
    before, after = retrieval_metrics(scores, video_of_text), retrieval_metrics(moved, moved_video)
    for direction in ("t2v", "v2t"):
        assert after[direction] == pytest.approx(before[direction])
    assert group_metrics(moved, groups[columns], moved_video) == pytest.approx(
        group_metrics(scores, groups, video_of_text)
    )


def test_groups():
    groups = ["a", "a", "b", "b", "b"]
    assert group_metrics(np.zeros((5, 5)), groups) == pytest.approx(
        {"find group": 100 * (2 * 2 / 5 + 3 * 3 / 5) / 5, "within group": 40, "within-group chance": 40}
    )
    # Text 0 finds its video; text 1 its group, but not the video; text 2 another group, but is best in its own.
    scores = np.array([[9, 1, 1, 1, 1], [9, 8, 1, 1, 1], [9, 0, 3, 1, 3]])
    assert group_metrics(scores, groups, [0, 1, 2]) == pytest.approx(
        {"find group": 200 / 3, "within group": 150 / 3, "within-group chance": 100 * (1 / 2 + 1 / 2 + 1 / 3) / 3}
    )
    # Groups of one: there is nothing to choose within them.
    assert group_metrics(scores[:, :3], [5, 6, 7])["within group"] == 100


NAN = np.eye(4)
NAN[2, 1] = np.nan


@pytest.mark.parametrize(
    "scores, video_of_text, message",
    [
        (NAN, None, r"NaN in 1 rows, the first are \[2\]"),
        (np.ones(3), None, r"got shape \(3,\)"),
        (np.ones((0, 0)), None, r"got shape \(0, 0\)"),
        (np.ones((3, 2)), None, "3 x 2"),
        (np.ones((3, 2)), [0, 1], r"each of the 3 texts.*\(2,\)"),
        (np.ones((2, 2)), [0.0, 1.0], "integer"),
        (np.ones((3, 2)), [0, 1, 2], "text 2 belongs to video 2, but the columns go from 0 to 1"),
        (np.ones((3, 2)), [0, 1, -1], "text 2 belongs to video -1"),
        (np.ones((2, 3)), [0, 1], "1 videos have no caption, the first is column 2"),
    ],
)
def test_errors_say_what_is_wrong(scores, video_of_text, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(scores, video_of_text)


def test_group_labels_must_fit():
    with pytest.raises(ValueError, match="each of the 4 videos"):
        group_metrics(np.eye(4), [0, 0, 1])


def test_large_matrix():
    """1,000 x 1,000, the size of MSR-VTT's test set. No time is asserted; it takes milliseconds."""
    ours = retrieval_metrics(np.random.default_rng(0).normal(size=(1000, 1000)))
    assert 400 < ours["t2v"]["MnR"] < 600


def test_values_of_videos_have_the_scores_as_means():
    """With ties, and with one to three captions per video."""
    rng = np.random.default_rng(0)
    video_of_text = np.array([0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    scores = rng.integers(0, 6, (15, 12)).astype(float)
    found = scores_by_video(scores, video_of_text)
    metrics = retrieval_metrics(scores, video_of_text)
    assert all(values.shape == (12,) for values in found.values())
    assert found.pop("R@sum").mean() == pytest.approx(metrics["R@sum"])
    assert set(found) == {f"{way} {name}" for way in ("t2v", "v2t") for name in ("R@1", "R@5", "R@10", "MnR")}
    for name, values in found.items():
        way, score = name.split()
        assert values.mean() == pytest.approx(metrics[way][score])
