"""Coverage of 95 % intervals for the difference of two methods: how often do they hold the truth, by simulation?

    python benchmarks/interval_coverage.py            # a few minutes; writes benchmarks/interval_coverage.csv

Differences of R@sum per clip are made as world + seed + group + clip + rest, with spreads as in pilots, a true mean of
10 and each clip's own part in steps of 100, as a clip's six recalls are. Then each way to make an interval is tried:

    worlds            Student's t over the means of worlds: `paired_worlds`
    bootstrap         worlds, seeds in them and groups in them drawn again with replacement, the middle 95 %
    bootstrap-t       the same resamples of worlds' means, each with a standard error of its own
    pooled            as worlds, but where worlds seem to differ no more than their runs, runs count as worlds
    runs              all runs of all worlds as independent: t
    seeds             one world: t over its training seeds, `paired_seeds`
    queries           one world: its clips drawn again, `paired_bootstrap` of the mean over seeds
    seeds + queries   one world: both drawn again, `paired_bootstrap`

A row of the CSV is a way in a scenario: share of intervals that hold the truth, its simulation error, mean width.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import f, t
from tqdm import tqdm

from minivl.metrics.bootstrap import paired_bootstrap, paired_worlds

TRUTH, GROUP = 10.0, 4
# Spreads of worlds, seeds, groups, clips and the rest, in points of R@sum; the law of the worlds; the study's sizes.
SCENARIOS = {
    "as in pilots": ((12, 8, 30, 60, 75), "normal", (5, 3, 360)),
    "as in pilots, 10 x 3": ((12, 8, 30, 60, 75), "normal", (10, 3, 360)),
    "as in pilots, 15 x 1": ((12, 8, 30, 60, 75), "normal", (15, 1, 360)),
    "as in pilots, 3 x 3": ((12, 8, 30, 60, 75), "normal", (3, 3, 360)),
    "1,200 clips": ((12, 8, 30, 60, 75), "normal", (5, 3, 1200)),
    "worlds alike": ((0, 8, 30, 60, 75), "normal", (5, 3, 360)),
    "worlds differ a little": ((5, 8, 30, 60, 75), "normal", (5, 3, 360)),
    "worlds differ a lot": ((25, 8, 30, 60, 75), "normal", (5, 3, 360)),
    "worlds with outliers": ((12, 8, 30, 60, 75), "outliers", (5, 3, 360)),
    "lopsided worlds": ((12, 8, 30, 60, 75), "lopsided", (5, 3, 360)),
}
LAWS = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "outliers": lambda rng, size: rng.standard_t(3, size) / np.sqrt(3),
    "lopsided": lambda rng, size: rng.exponential(size=size) - 1,
}


def draw(scenario: str, rng: np.random.Generator) -> np.ndarray:
    """Differences (worlds, seeds, clips) with mean TRUTH."""
    (world, seed, group, clip, rest), law, (worlds, seeds, clips) = SCENARIOS[scenario]
    parts = [
        world * LAWS[law](rng, (worlds, 1, 1)),
        seed * rng.standard_normal((worlds, seeds, 1)),
        _in_steps(np.repeat(group * rng.standard_normal((worlds, 1, clips // GROUP)), GROUP, axis=2), rng),
        _in_steps(clip * rng.standard_normal((worlds, 1, clips)), rng),
        _in_steps(rest * rng.standard_normal((worlds, seeds, clips)), rng),
    ]
    return TRUTH + sum(parts)


def _in_steps(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiples of 100 with these values as means: up or down by chance, so that the mean stays 0."""
    return 100 * np.floor(values / 100 + rng.random(values.shape))


def intervals(drawn: np.ndarray, rng: np.random.Generator, resamples: int) -> dict[str, tuple[float, float]]:
    """Every way's interval of one simulated study."""
    worlds, seeds, _ = drawn.shape
    zeros = np.zeros_like(drawn)
    found = {"worlds": paired_worlds(drawn, zeros), "runs": _t(drawn.mean(2).ravel(), worlds * seeds - 1)}
    found |= {"bootstrap": _bootstrap(drawn, rng, resamples), "bootstrap-t": _bootstrap_t(drawn, rng, resamples)}
    if seeds > 1:
        found["pooled"] = _pooled(drawn)
        found["seeds"] = _t(drawn[0].mean(1), seeds - 1)
        found["seeds + queries"] = paired_bootstrap(drawn[0], zeros[0], resamples)
    found["queries"] = paired_bootstrap(drawn[0].mean(0), zeros[0, 0], resamples)
    return {name: (way["low"], way["high"]) if isinstance(way, dict) else way for name, way in found.items()}


def _t(values: np.ndarray, freedom: int) -> tuple[float, float]:
    reach = t.ppf(0.975, freedom) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - reach, values.mean() + reach


def _pooled(drawn: np.ndarray) -> tuple[float, float]:
    runs = drawn.mean(2)
    worlds, seeds = runs.shape
    ratio = seeds * runs.mean(1).var(ddof=1) / runs.var(axis=1, ddof=1).mean()
    alike = f.sf(ratio, worlds - 1, worlds * (seeds - 1)) > 0.25
    return _t(runs.ravel(), worlds * seeds - 1) if alike else _t(runs.mean(1), worlds - 1)


def _bootstrap(drawn: np.ndarray, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    worlds, seeds, clips = drawn.shape
    groups = drawn.reshape(worlds, seeds, clips // GROUP, GROUP).mean(3)
    total = np.zeros(resamples)
    for _ in range(worlds):  # one drawn world after the other
        chosen = groups[rng.integers(worlds, size=resamples)]  # (resamples, seeds, groups)
        by_run = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
        by_group = rng.multinomial(groups.shape[2], np.full(groups.shape[2], 1 / groups.shape[2]), resamples)
        total += np.einsum("rsg,rs,rg->r", chosen, by_run, by_group) / (seeds * groups.shape[2])
    return tuple(np.quantile(total / worlds, [0.025, 0.975]))


def _bootstrap_t(drawn: np.ndarray, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    means = drawn.mean((1, 2))
    error = means.std(ddof=1) / np.sqrt(len(means))
    again = means[rng.integers(len(means), size=(resamples, len(means)))]
    errors = again.std(axis=1, ddof=1) / np.sqrt(len(means))
    ratios = (again.mean(1) - means.mean())[errors > 0] / errors[errors > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return means.mean() - high * error, means.mean() - low * error


def simulate(scenario: str, studies: int, resamples: int, seed: int = 0) -> pd.DataFrame:
    """A row for each way: its coverage in so many simulated studies."""
    rng = np.random.default_rng([seed, list(SCENARIOS).index(scenario)])
    drawn = [
        intervals(draw(scenario, rng), rng, resamples) for _ in tqdm(range(studies), desc=scenario, mininterval=10)
    ]
    rows = []
    for way in drawn[0]:
        low, high = np.array([study[way] for study in drawn]).T
        share = np.mean((low <= TRUTH) & (high >= TRUTH))
        spreads, law, (worlds, seeds, clips) = SCENARIOS[scenario]
        sizes = {"worlds": worlds, "seeds": seeds, "clips": clips, "sd worlds": spreads[0], "law": law}
        error = 100 * np.sqrt(share * (1 - share) / studies)
        scores = {"coverage": 100 * share, "simulation error": error, "mean width": np.mean(high - low)}
        rows.append({"scenario": scenario, **sizes, "interval": way, **scores, "studies": studies})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    began = time.process_time()
    table = pd.concat([simulate(name, options.studies, options.resamples) for name in SCENARIOS])
    table.to_csv(options.out, index=False, float_format="%.4g")
    print(table.pivot(index="interval", columns="scenario", values="coverage").round(1).to_string())
    print(f"{(time.process_time() - began) / 60:.1f} CPU minutes; {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
