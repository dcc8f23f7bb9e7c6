"""Is a better than b, or was it luck? For two models scored on the same examples or trained with the same seeds.

Three kinds of luck: which test examples there happen to be (`paired_bootstrap`), how training happened to go
(`paired_seeds`), and which world all of this was drawn from (`paired_worlds`, which holds the other two). A claim about
a method needs the last: what holds for one data set, with every seed, may be the reverse on the next.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 500  # resamples at a time, to save memory


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, samples: int = 10_000, seed: int = 0, clusters: ArrayLike | None = None
) -> dict[str, float]:
    """Compare per-example scores of two models: how would mean(a) - mean(b) vary with other test examples?

    a, b      (N,), or (seeds, N) for several training runs; entry i of both belongs to the same example, row s to the
              same seed. Examples are drawn again with replacement, and so are the runs if there are several
    clusters  (N,) labels: examples of one label belong together (segments of a video) and are drawn together, all or
              none of them. To draw them one by one would pretend that there was more to learn from

    Returns {"difference": mean(a) - mean(b), "low", "high": the middle 95 % of the resampled differences, "P(a > b)":
    the share of them above 0, ties counted half, "p": twice the share on the rarer side of 0, where ties count whole
    and one resample is added, so that it is never 0; "standard error": their standard deviation, "examples": how many
    there are to draw from, or clusters}. The result is always the same for the same `seed`. With (N,) or a single run
    the interval says nothing about training again; with three runs or so it still is too narrow.

    Raises ValueError if shapes differ or for NaN.
    """
    first, second = _checked(a, b)
    differences = np.atleast_2d(first - second)  # (S, N)
    runs, examples = differences.shape
    count, places = _places(np.arange(examples) if clusters is None else clusters, examples)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, samples, CHUNK):
        size = min(CHUNK, samples - start)
        # How often each run and each example is drawn is all that a mean needs to know.
        run_counts = rng.multinomial(runs, np.full(runs, 1 / runs), size)  # (size, S)
        example_counts = rng.multinomial(count, np.full(count, 1 / count), size)[:, places]  # (size, N)
        sums = ((run_counts @ differences) * example_counts).sum(1)
        parts.append(sums / (runs * example_counts.sum(1)))  # clusters differ in size, so the number drawn varies
    means = np.concatenate(parts)  # (samples,)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "P(a > b)": float((means > 0).mean() + (means == 0).mean() / 2),
        "p": min(1.0, 2 * (min((means <= 0).sum(), (means >= 0).sum()) + 1) / (samples + 1)),
        "standard error": float(means.std(ddof=1)),
        "examples": count,
    }


def paired_seeds(a: ArrayLike, b: ArrayLike) -> dict[str, float]:
    """Compare the scores of training runs: a[s] and b[s], both (S,), come from runs with the same seed.

    Returns {"difference": mean(a) - mean(b), "low", "high": its 95 % interval by Student's t, which assumes differences
    that are roughly normal, "t p" that goes with the interval, "standard error", "p", "seeds": S}. p is exact and
    assumes nothing of that kind: if a and b were alike, each difference could as well have the other sign; p is the
    share of all 2^S choices of signs whose mean is at least as far from 0. It cannot be below 2 / 2^S: 0.25 for three
    seeds, and 0.03 for six, so corrected for many comparisons it shows nothing, whatever happened. (Beyond 16 seeds it
    is estimated from 2^16 random choices, always the same ones.)

    Raises ValueError if shapes differ, for NaN and for less than two seeds.
    """
    from scipy.stats import permutation_test

    first, second = _checked(a, b)
    if first.ndim != 1 or len(first) < 2:
        raise ValueError(
            f"scores of shape {first.shape}: give one score per seed, of at least two seeds, as a single run "
            "shows no spread"
        )
    found = _student(first - second)
    test = permutation_test((first - second,), np.mean, permutation_type="samples", n_resamples=2**16, rng=0)
    return {**found, "t p": found["p"], "p": float(test.pvalue), "seeds": len(first)}


def paired_worlds(
    a: Sequence[ArrayLike], b: Sequence[ArrayLike], clusters: Sequence[ArrayLike] | None = None
) -> dict[str, float]:
    """Compare per-example scores of two methods over worlds, training seeds and test examples together.

    a, b      of each world an array (S, N): its training runs and its test examples, whose numbers may differ from
              world to world. Entry i of both belongs to the same example, row s to the same seed
    clusters  of each world labels (N,): examples of one label were drawn together (segments of a video, clips of
              a group). They only matter for "sd examples"

    Returns {"difference": the mean of the worlds' means d_w of a - b, "low", "high": its 95 % interval, "p" that goes
    with the interval, "standard error", "worlds": W}, and what the luck consists of, see `_spreads`: {"sd worlds",
    "sd seeds", "sd examples", "sd rest", "seeds", "examples": per world}.

    The interval is Student's t over d_1 ... d_W, with W - 1 degrees of freedom. Nothing is resampled: with a new world
    come new examples and new runs, so the spread of d_w has all three kinds of luck in it, whatever the share of each,
    and the quantile of t pays for how few worlds there are (2.78 standard errors with five). Resampling worlds, seeds
    and examples within each other gives too narrow intervals with so few: `benchmarks/interval_coverage.py`. It is
    right only where each world has training seeds of its own, and for d_w that are roughly normal.

    Raises ValueError if shapes differ, for NaN and for less than two worlds.
    """
    if not len(a) == len(b) == len(clusters if clusters is not None else a) or len(a) < 2:
        raise ValueError(
            f"scores of {len(a)} and {len(b)} worlds: give both for the same worlds, and at least two of them, as a "
            "single world shows no spread"
        )
    differences = [np.atleast_2d(np.subtract(*_checked(*pair))) for pair in zip(a, b, strict=True)]
    means = np.array([runs.mean() for runs in differences])
    return {**_student(means), "worlds": len(means), **_spreads(differences, clusters)}


def planned_error(found: dict[str, float], worlds: int, seeds: int, examples: int) -> float:
    """Standard error that a study of this size would have, from the spreads that another one found.

    found     what `paired_worlds` returned; the numbers of seeds and of examples (clusters) are those of each world

        error^2 = (world^2 + (seed^2 + rest^2 / examples) / seeds + example^2 / examples) / worlds
    """
    world, seed, example, rest = (found[f"sd {name}"] ** 2 for name in ("worlds", "seeds", "examples", "rest"))
    return float(np.sqrt((world + (seed + rest / examples) / seeds + example / examples) / worlds))


def _student(values: NDArray) -> dict[str, float]:
    """Mean of independent values with its 95 % interval by Student's t, the p of that test, and the standard error."""
    from scipy.stats import t

    error, freedom = float(values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1
    difference, reach = float(values.mean()), float(t.ppf(0.975, freedom)) * error
    certain = float(difference == 0)  # without any spread t would be 0/0
    return {
        "difference": difference,
        "low": difference - reach,
        "high": difference + reach,
        "p": float(2 * t.sf(abs(difference) / error, freedom)) if error else certain,
        "standard error": error,
    }


def _spreads(differences: list[NDArray], clusters: Sequence[ArrayLike] | None) -> dict[str, float]:
    """Standard deviations of the parts of difference = mean + world + seed + example + rest, by their mean squares.

    "sd worlds": of what is the same in a whole world; "sd seeds": of runs in one world; "sd examples": of examples, or
    clusters of them, in one world; "sd rest": of an example from run to run. A part that would be below 0 is 0; with
    one seed per world, what belongs to seeds can't be told from worlds and examples, and is in these.
    """
    if clusters is not None:
        differences = [_clustered(*pair) for pair in zip(differences, clusters, strict=True)]
    seeds, examples = (np.array([runs.shape[axis] for runs in differences]) for axis in (0, 1))
    rest, seed, example = 0.0, 0.0, 0.0
    several = [runs for runs in differences if min(runs.shape) > 1]
    if several:
        rest = float(np.mean([_interaction(runs) for runs in several]))
        seed = float(np.mean([runs.mean(1).var(ddof=1) - rest / runs.shape[1] for runs in several]))
    wide = [runs for runs in differences if runs.shape[1] > 1]
    if wide:
        example = float(np.mean([runs.mean(0).var(ddof=1) - rest / len(runs) for runs in wide]))
    seed, example = max(seed, 0.0), max(example, 0.0)
    inside = np.mean((seed + rest / examples) / seeds + example / examples)
    world = max(np.var([runs.mean() for runs in differences], ddof=1) - inside, 0.0)
    parts = {"sd worlds": world, "sd seeds": seed, "sd examples": example, "sd rest": rest}
    sizes = {"seeds": float(seeds.mean()), "examples": float(examples.mean())}
    return {name: float(np.sqrt(variance)) for name, variance in parts.items()} | sizes


def _interaction(runs: NDArray) -> float:
    """Mean square of what neither the run (row) nor the example (column) says."""
    rest = runs - runs.mean(1, keepdims=True) - runs.mean(0) + runs.mean()
    return float((rest**2).sum() / np.prod(np.subtract(rest.shape, 1)))


def _clustered(runs: NDArray, labels: ArrayLike) -> NDArray:
    """A column per cluster, its sum times clusters / examples: the mean over clusters is that over examples."""
    count, places = _places(labels, runs.shape[1])
    sums = np.zeros((len(runs), count))
    np.add.at(sums.T, places, runs.T)
    return sums * count / runs.shape[1]


def _places(labels: ArrayLike, examples: int) -> tuple[int, NDArray]:
    """How many clusters there are, and the number (N,) of that of each example."""
    names, places = np.unique(np.asarray(labels), return_inverse=True)
    if places.shape != (examples,):
        raise ValueError(f"clusters of shape {np.shape(labels)} for {examples} examples: give a label for each")
    return len(names), places


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[NDArray, NDArray]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim not in (1, 2) or not a.size:
        raise ValueError(f"scores of shapes {a.shape} and {b.shape} cannot be paired: both must be (N,) or (seeds, N)")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("there is NaN among the scores")
    return a, b
