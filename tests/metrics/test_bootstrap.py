"""Paired comparisons: known intervals, pairing that matters, the same answer twice, few seeds."""

import itertools
import json

import numpy as np
import pytest
from scipy.stats import norm

from minivl.metrics.bootstrap import paired_bootstrap, paired_seeds, paired_worlds, planned_error


def test_interval_is_that_of_the_mean():
    """For many examples the bootstrap interval is difference ± 1.96 standard errors."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    b = a - 0.1 + rng.normal(size=400)
    ours = paired_bootstrap(a, b)
    error = (a - b).std() / 20
    assert ours["difference"] == pytest.approx((a - b).mean())
    assert ours["low"] == pytest.approx(ours["difference"] - 1.96 * error, abs=0.06 * error)
    assert ours["high"] == pytest.approx(ours["difference"] + 1.96 * error, abs=0.06 * error)
    assert ours == paired_bootstrap(a, b) != paired_bootstrap(a, b, seed=1)
    json.dumps(ours)


def test_pairs_are_kept():
    """A small gain on each example is clear although examples differ a lot."""
    scores = np.random.default_rng(0).normal(scale=10, size=50)
    assert paired_bootstrap(scores + 0.1, scores)["low"] == pytest.approx(0.1)
    assert paired_bootstrap(scores + 0.1, np.roll(scores, 1))["low"] < -1


def test_all_resamples_of_three_examples():
    """3^3 equally likely resamples of (1, 0, -2): the share with a mean above 0, ties counted half."""
    means = [np.mean(draw) for draw in itertools.product([1, 0, -2], repeat=3)]
    expected = np.mean([(m > 0) + (m == 0) / 2 for m in means])
    assert paired_bootstrap([1, 0, -2], [0, 0, 0], samples=40_000)["P(a > b)"] == pytest.approx(expected, abs=0.01)
    assert paired_bootstrap([1, 2], [1, 2])["P(a > b)"] == 0.5


def test_p_is_small_where_hardly_a_resample_is_on_the_other_side_and_never_0():
    """2 (0 + 1) / 101 where all 100 resamples are above 0; 1 where half of them are on either side."""
    sure = paired_bootstrap([1, 2, 3], [0, 0, 0], samples=100, clusters=["a", "a", "b"])
    assert (sure["p"], sure["examples"]) == (pytest.approx(2 / 101), 2)
    assert paired_bootstrap([1, -1], [0, 0])["p"] == 1 == paired_bootstrap([1, 1], [1, 1])["p"]
    rng = np.random.default_rng(4)
    found = paired_bootstrap(rng.normal(size=400) + 0.1, np.zeros(400))
    assert found["standard error"] == pytest.approx(0.05, rel=0.1)
    assert found["p"] == pytest.approx(2 * norm.sf(found["difference"] / found["standard error"]), rel=0.3)


def test_runs_are_drawn_again_too():
    """Two runs that disagree on every example: the examples alone would say that the difference is exactly 0."""
    a = np.array([np.ones(30), -np.ones(30)])
    ours = paired_bootstrap(a, np.zeros((2, 30)))
    assert (ours["difference"], ours["low"], ours["high"]) == (0, -1, 1)
    assert ours["P(a > b)"] == pytest.approx(0.5, abs=0.02)
    one = paired_bootstrap(a[:1], np.zeros((1, 30)), samples=100)
    assert (one["low"], one["high"], one["P(a > b)"]) == (1, 1, 1)


def test_clusters_are_drawn_whole():
    """Segments of a video that are all alike say no more than one of them, and an uneven video weighs as it is long."""
    rng = np.random.default_rng(2)
    videos = rng.normal(size=40)
    labels = np.repeat([f"video {number:02d}" for number in range(40)], 5)
    segments = videos.repeat(5)
    zeros = np.zeros(200)
    whole = paired_bootstrap(segments, zeros, clusters=labels)
    assert whole == pytest.approx(paired_bootstrap(videos, np.zeros(40)))
    alone = paired_bootstrap(segments, zeros)
    assert (whole["high"] - whole["low"]) / (alone["high"] - alone["low"]) == pytest.approx(5**0.5, rel=0.05)
    uneven = paired_bootstrap([1, 1, 1, 0], [0, 0, 0, 0], clusters=["a", "a", "a", "b"], samples=1000)
    assert (uneven["difference"], uneven["low"], uneven["high"]) == (0.75, 0, 1)


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        ours = paired_bootstrap(rng.normal(0.5, 1, 60), np.zeros(60), samples=300)
        covered += ours["low"] <= 0.5 <= ours["high"]
    assert 180 <= covered <= 199


def test_as_many_resamples_as_were_asked_for():
    """Their number is the denominator of the share above 0, also where they are not computed in equal chunks."""
    share = paired_bootstrap([1, 0, -2, 1], [0, 0, 0, 0], samples=701)["P(a > b)"]
    assert share * 2 * 701 == pytest.approx(round(share * 2 * 701), abs=1e-6) and 0 < share < 1


def test_seeds_by_hand():
    """Differences 2, 3, 2: mean 7/3, standard error 1/3, t with 2 degrees of freedom 4.3027."""
    ours = paired_seeds([3, 5, 4], [1, 2, 2])
    assert ours == pytest.approx(
        {
            "difference": 7 / 3,
            "low": 7 / 3 - 4.30265 / 3,
            "high": 7 / 3 + 4.30265 / 3,
            "standard error": 1 / 3,
            "t p": 0.0198,
            "p": 2 / 8,
            "seeds": 3,
        },
        abs=1e-4,
    )
    json.dumps(ours)


@pytest.mark.parametrize("seed", range(4))
def test_p_counts_all_choices_of_signs(seed):
    differences = np.random.default_rng(seed).normal(0.5, 1, 6)
    means = [abs(np.mean(differences * signs)) for signs in itertools.product([1, -1], repeat=6)]
    expected = np.mean(np.array(means) >= abs(differences.mean()) - 1e-12)
    assert paired_seeds(differences, np.zeros(6))["p"] == pytest.approx(expected)


def test_equal_differences_have_no_spread():
    ours = paired_seeds([2, 3], [1, 2])
    assert (ours["difference"], ours["low"], ours["high"], ours["t p"], ours["p"]) == (1, 1, 1, 0, 0.5)
    same = paired_seeds([2, 3], [2, 3])
    assert same["p"] == same["t p"] == 1


def test_many_seeds_are_deterministic():
    a = np.random.default_rng(0).normal(0.4, 1, 25)
    assert paired_seeds(a, np.zeros(25)) == paired_seeds(a, np.zeros(25))


@pytest.mark.parametrize(
    "function, a, b, message",
    [
        (paired_bootstrap, [1, 2], [1], r"shapes \(2,\) and \(1,\)"),
        (paired_bootstrap, [], [], "cannot be paired"),
        (paired_bootstrap, [1, np.nan], [1, 2], "NaN"),
        (paired_bootstrap, [[[1]]], [[[1]]], r"\(N,\) or \(seeds, N\)"),
        (paired_seeds, [1, 2], [1, np.nan], "NaN"),
        (paired_seeds, [1], [2], r"shape \(1,\).*at least two seeds"),
        (paired_seeds, [[1, 2]], [[2, 3]], r"shape \(1, 2\)"),
    ],
)
def test_errors_say_what_is_wrong(function, a, b, message):
    with pytest.raises(ValueError, match=message):
        function(a, b)


def test_every_example_needs_a_cluster():
    with pytest.raises(ValueError, match=r"clusters of shape \(1,\) for 2 examples"):
        paired_bootstrap([1, 2], [0, 0], clusters=["a"])


def worlds_of(rng, spreads=(12, 8, 60, 75), shape=(5, 3, 400), truth=10.0):
    """Differences with such spreads of worlds, seeds, examples and the rest."""
    worlds, seeds, examples = shape
    shapes = ((worlds, 1, 1), (worlds, seeds, 1), (worlds, 1, examples), shape)
    return truth + sum(spread * rng.standard_normal(part) for spread, part in zip(spreads, shapes, strict=True))


def test_worlds_by_hand():
    """Worlds' means 1, 2 and 6, from ragged numbers of seeds and examples: mean 3, standard error sqrt(7 / 3)."""
    a = [np.array([[1.0, 1.0]]), np.array([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]), np.array([5.0, 7.0])]
    ours = paired_worlds(a, [np.zeros_like(runs) for runs in a])
    assert ours["difference"] == pytest.approx(3) and ours["standard error"] == pytest.approx(np.sqrt(7 / 3))
    assert [ours["low"], ours["high"]] == pytest.approx([3 - 4.302653 * np.sqrt(7 / 3), 3 + 4.302653 * np.sqrt(7 / 3)])
    assert (ours["worlds"], ours["seeds"], ours["examples"]) == (3, pytest.approx(4 / 3), pytest.approx(7 / 3))
    json.dumps(ours)


def test_p_belongs_to_the_interval():
    rng = np.random.default_rng(0)
    for truth in (0, 8, 12, 16, 20):
        drawn = worlds_of(rng, truth=truth)
        ours = paired_worlds(drawn, np.zeros_like(drawn))
        assert (ours["p"] < 0.05) == (not ours["low"] <= 0 <= ours["high"])
    same = paired_worlds([[1, 2], [3, 4]], [[1, 2], [3, 4]])
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
    assert paired_worlds([[1, 2], [3, 4]], [[0, 1], [2, 3]])["p"] == 0


def test_interval_over_worlds_covers_and_those_that_leave_worlds_out_do_not():
    """`benchmarks/interval_coverage.py` in small: five worlds of three seeds."""
    rng, covered = np.random.default_rng(5), np.zeros(3)
    for _ in range(200):
        drawn = worlds_of(rng, shape=(5, 3, 100))
        ways = (
            paired_worlds(drawn, np.zeros_like(drawn)),
            paired_seeds(drawn[0].mean(1), np.zeros(3)),
            paired_bootstrap(drawn[0], np.zeros((3, 100)), samples=60),
        )
        covered += [way["low"] <= 10 <= way["high"] for way in ways]
    ours, seeds, examples = covered / 2
    assert 91.5 <= ours <= 98.5, "within two and a half simulation errors of 95 %"
    assert seeds < 87 and examples < 75


def test_spreads_are_told_apart():
    drawn = worlds_of(np.random.default_rng(1), (20, 15, 100, 50), (150, 4, 300))
    ours = paired_worlds(drawn, np.zeros_like(drawn))
    assert ours["sd worlds"] == pytest.approx(20, rel=0.2) and ours["sd seeds"] == pytest.approx(15, rel=0.1)
    assert ours["sd examples"] == pytest.approx(100, rel=0.05) and ours["sd rest"] == pytest.approx(50, rel=0.05)
    assert planned_error(ours, 150, 4, 300) == pytest.approx(ours["standard error"])
    expected = np.sqrt((20**2 + 15**2 / 2 + 100**2 / 1000 + 50**2 / 2000) / 10)
    assert planned_error(ours, 10, 2, 1000) == pytest.approx(expected, rel=0.15)


def test_with_one_seed_its_spread_is_in_that_of_worlds():
    drawn = worlds_of(np.random.default_rng(2), (20, 15, 100, 50), (400, 1, 300))
    ours = paired_worlds(drawn, np.zeros_like(drawn))
    assert ours["sd seeds"] == ours["sd rest"] == 0 and ours["sd worlds"] == pytest.approx(25, rel=0.15)
    assert planned_error(ours, 400, 1, 300) == pytest.approx(ours["standard error"])


def test_clusters_of_examples_are_one_draw():
    """Four copies of an example are no more than one: the spread of clusters is theirs, the interval stays."""
    drawn = worlds_of(np.random.default_rng(3), shape=(6, 2, 50))
    copies, labels = np.repeat(drawn, 4, axis=2), [np.repeat(np.arange(50), 4)] * 6
    one, copied = paired_worlds(drawn, np.zeros_like(drawn)), paired_worlds(copies, np.zeros_like(copies), labels)
    assert copied == pytest.approx(one)
    assert paired_worlds(copies, np.zeros_like(copies))["examples"] == 200
    ragged = [np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 5.0, 9.0]])]
    ours = paired_worlds(ragged, [np.zeros((1, 3))] * 2, [["a", "a", "b"], ["c", "d", "d"]])
    assert ours["difference"] == 4 and ours["examples"] == 2


@pytest.mark.parametrize(
    "a, b, clusters, message",
    [
        ([[1, 2]], [[1, 2]], None, "a single world shows no spread"),
        ([[1, 2], [1, 2]], [[1, 2]], None, "scores of 2 and 1 worlds"),
        ([[1, 2], [1, 2]], [[1, 2], [1, 2, 3]], None, r"shapes \(2,\) and \(3,\)"),
        ([[1, 2], [1, np.nan]], [[1, 2], [1, 2]], None, "NaN"),
        ([[1, 2], [1, 2]], [[1, 2], [1, 2]], [[0, 1], [0, 1, 2]], r"clusters of shape \(3,\) for 2 examples"),
    ],
)
def test_worlds_that_cannot_be_compared(a, b, clusters, message):
    with pytest.raises(ValueError, match=message):
        paired_worlds(a, b, clusters)
