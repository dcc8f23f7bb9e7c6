"""Verdicts: Holm by hand, power by simulation, words that follow from the corrected p."""

import numpy as np
import pytest
from scipy.stats import t

from minivl.metrics.bootstrap import paired_bootstrap, paired_seeds, paired_worlds
from minivl.metrics.verdicts import detectable, holm, readable, verdicts


def compared(*means):
    """`paired_worlds` of two methods that differ by so much in each world."""
    return paired_worlds([[[mean, mean]] for mean in means], [[[0, 0]]] * len(means))


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1; the third would be 0.06 anyway, the last stays."""
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9]) and holm([0.6, 0.6]) == pytest.approx([1, 1])
    assert holm([0.01, 0.011]) == pytest.approx([0.02, 0.02]), "never below the one before"
    assert holm([0.04]) == pytest.approx([0.04])


def test_holm_keeps_its_promise():
    """Eight comparisons without any effect: at least one is called in no more than about 5 % of the studies."""
    p = np.random.default_rng(0).random((2000, 8))
    called = np.mean([(holm(row) < 0.05).any() for row in p])
    assert 0.035 < called < 0.065 < (p < 0.05).any(1).mean()


@pytest.mark.parametrize("worlds, level", [(5, 0.05), (5, 0.01), (12, 0.05)])
def test_what_is_detectable_is_found_in_four_of_five_studies(worlds, level):
    effect = detectable(1 / np.sqrt(worlds), worlds - 1, level)  # worlds' means with a spread of 1
    means = effect + np.random.default_rng(1).standard_normal((4000, worlds))
    ratios = means.mean(1) / (means.std(axis=1, ddof=1) / np.sqrt(worlds))
    assert np.mean(np.abs(ratios) > t.ppf(1 - level / 2, worlds - 1)) == pytest.approx(0.8, abs=0.02)
    assert detectable(2, worlds - 1, level) == pytest.approx(2 * np.sqrt(worlds) * effect)
    assert detectable(0.0, worlds - 1, level) == 0


def test_words_follow_from_the_corrected_p():
    """The last is below 0.05 alone, and not with two others beside it."""
    table = verdicts(
        {"up": compared(9, 10, 11, 10), "down": compared(-9, -10, -11, -10), "maybe": compared(2, 9, 5, 4)}
    )
    assert table["comparison"].tolist() == ["up", "down", "maybe"]
    assert table["verdict"].tolist() == ["helps", "hurts", "helps"], (
        "what is surer comes first and needs no place again"
    )
    assert table["low"][2] > 0 and table["p"][2] == table["Holm p"][2] > 0.04
    none = {"a": compared(1, -1, 2, -2), "b": compared(2, -1, 0, -1)}
    alone, among = (verdicts({"maybe": compared(2, 9, 5, 4), **others}) for others in ({}, none))
    assert (alone["verdict"][0], among["verdict"][0]) == ("helps", "nothing shown")
    assert among["Holm p"][0] == pytest.approx(3 * alone["p"][0])
    assert among["detectable"][0] > alone["detectable"][0], "more comparisons ask for more"


def test_examples_of_one_world_are_judged_by_the_p_of_the_bootstrap():
    scores = np.random.default_rng(0).normal(1, 1, (3, 100))
    compared = {"up": paired_bootstrap(scores, 0 * scores), "none": paired_bootstrap(scores, scores[:, ::-1])}
    table = verdicts(compared)
    assert table["verdict"].tolist() == ["helps", "nothing shown"]
    assert table["p"].tolist() == [found["p"] for found in compared.values()]
    assert readable(table).loc["up", "95 % interval"] == f"[{table['low'][0]:+.2f}, {table['high'][0]:+.2f}]"


def test_seeds_of_one_world_are_judged_by_the_p_of_their_interval():
    """As if each seed were a world; the exact p of five seeds could not fall below 0.0625."""
    gains = {"up": (9, 10, 11, 10, 10), "none": (1, -1, 2, -2, 0)}
    ours = verdicts({name: paired_seeds(gain, [0] * 5) for name, gain in gains.items()})
    expected = verdicts({name: compared(*gain) for name, gain in gains.items()})
    columns = ["comparison", "difference", "low", "p", "Holm p", "detectable", "verdict"]
    assert ours[columns].to_dict() == expected[columns].to_dict()
    assert ours["verdict"].tolist() == ["helps", "nothing shown"]


def test_shares_of_the_way_from_floor_to_ceiling():
    table = verdicts({"a": compared(9, 10, 11, 10)}, floor=100, ceiling=180)
    row = table.iloc[0]
    assert row["share"] == pytest.approx(12.5)
    assert [row["share low"], row["share high"]] == pytest.approx([row["low"] / 0.8, row["high"] / 0.8])
    assert "share" not in verdicts({"a": compared(9, 10)}) and "share" not in verdicts({"a": compared(9, 10)}, floor=1)
    with pytest.raises(ValueError, match="ceiling 5 must be above the floor 5"):
        verdicts({"a": compared(9, 10)}, floor=5, ceiling=5)
    with pytest.raises(ValueError, match="no comparisons"):
        verdicts({})
