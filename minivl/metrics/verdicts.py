"""Verdicts on the comparisons of a study: one rule for all of them, and how small an effect it could have seen."""

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05  # chance of at least one wrong "helps" or "hurts" among all comparisons of a study
POWER = 0.8
HELPS, HURTS, NOTHING = "helps", "hurts", "nothing shown"


def verdicts(
    comparisons: Mapping[str, Mapping[str, float]], floor: float | None = None, ceiling: float | None = None
) -> pd.DataFrame:
    """A table of all comparisons of one study, a row each, with the verdict on each.

    comparisons     name -> what `paired_worlds` returned, or `paired_seeds`, or `paired_bootstrap`, of all the same one
    floor, ceiling  of the score that is compared: what costs nothing, and what can be had at best

    Columns, beside those of the comparisons: "Holm p": p corrected for the number of comparisons; "detectable": the
    smallest effect that the study would have called by its name in 80 of 100 repetitions, see `detectable`; "verdict":
    "helps" or "hurts" where the corrected p is below 0.05, else "nothing shown". Given both, "share" with "share low"
    and "share high": the difference and its interval in percent of the way from floor to ceiling.

    The intervals are those of each comparison alone: one that excludes 0 may come with "nothing shown", if there were
    many comparisons. p is the one that goes with the interval; of `paired_seeds` that is "t p", as the exact one can't
    become small enough with a few seeds. What seeds or examples alone show holds for the one world that they are of.
    Raises ValueError for no comparison, and for a ceiling that is not above the floor.
    """
    if not comparisons:
        raise ValueError("there are no comparisons to judge")
    table = pd.DataFrame.from_dict(comparisons, orient="index").rename_axis("comparison").reset_index()
    if "t p" in table:
        table = table.drop(columns="p").rename(columns={"t p": "p"})
    units = table[next(name for name in ("worlds", "seeds", "examples") if name in table)]
    corrected = holm(table["p"])
    table.insert(table.columns.get_loc("p") + 1, "Holm p", corrected)
    table["detectable"] = [
        detectable(error, int(count) - 1, LEVEL / len(table))
        for error, count in zip(table["standard error"], units, strict=True)
    ]
    words = np.where(table["difference"] > 0, HELPS, HURTS)
    table["verdict"] = np.where(corrected < LEVEL, words, NOTHING)
    if floor is not None and ceiling is not None:
        if not ceiling > floor:
            raise ValueError(f"the ceiling {ceiling} must be above the floor {floor}")
        for name, column in (("share", "difference"), ("share low", "low"), ("share high", "high")):
            table[name] = 100 * table[column] / (ceiling - floor)
    return table


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `verdicts` as they are shown: difference, interval, corrected p, what was detectable, and the word."""
    return pd.DataFrame(
        {
            "difference": table["difference"].map("{:+.2f}".format),
            "95 % interval": [f"[{row.low:+.2f}, {row.high:+.2f}]" for row in table.itertuples()],
            "Holm p": table["Holm p"].map("{:.3f}".format),
            "detectable": table["detectable"].map("{:.1f}".format),
            "verdict": table["verdict"],
        }
    ).set_axis(table["comparison"])


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P values corrected for their number m, by Holm: the k-th smallest times m - k + 1, never below the one before.

    If nothing had an effect, the chance that any of them is below 0.05 is at most 0.05, however they depend on each
    other.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return corrected


def detectable(error: float, freedom: int, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest true effect that a t test finds with so much power, two-sided, from a standard error.

    The test finds an effect when it is more than `needed` estimated standard errors away from 0; the chance of that is
    the mean of a normal probability over how wrong that estimate can be (the non-central t distribution), and is solved
    for the effect. For m comparisons, level = 0.05 / m is what the first of Holm's steps asks for.
    """
    return _detectable_in_errors(freedom, level, power) * error


@functools.cache
def _detectable_in_errors(freedom: int, level: float, power: float) -> float:
    """`detectable` in standard errors, which is the same for all comparisons of a study."""
    from scipy.optimize import brentq
    from scipy.stats import chi2, norm, t

    quantiles = (np.arange(1000) + 0.5) / 1000
    needed = t.ppf(1 - level / 2, freedom) * np.sqrt(chi2.ppf(quantiles, freedom) / freedom)
    return float(brentq(lambda effect: norm.cdf(effect - needed).mean() - power, 0, needed.max() + 5))
