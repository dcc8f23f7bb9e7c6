"""Is a better than b, or was it luck? For two models scored on the same examples or trained with the same seeds.

Two different kinds of luck: which test examples there happen to be (`paired_bootstrap`), and how training happened
to go (`paired_seeds`). A claim about a method needs the second, with several runs.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK = 500  # resamples at a time, to save memory


def paired_bootstrap(a: ArrayLike, b: ArrayLike, samples: int = 10_000, seed: int = 0) -> dict[str, float]:
    """Compare per-example scores of two models: how would mean(a) - mean(b) vary with other test examples?

    a, b  (N,), or (seeds, N) for several training runs; entry i of both belongs to the same example, row s to the
          same seed. Examples are drawn again with replacement, and so are the runs if there are several

    Returns {"difference": mean(a) - mean(b), "low", "high": the middle 95 % of the resampled differences, "P(a > b)":
    the share of them above 0, ties counted half}. The result is always the same for the same `seed`. With (N,) or a
    single run the interval says nothing about training again; with three runs or so it still is too narrow.

    Raises ValueError if shapes differ or for NaN.
    """
    first, second = _checked(a, b)
    differences = np.atleast_2d(first - second)  # (S, N)
    runs, examples = differences.shape
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, samples, CHUNK):
        size = min(CHUNK, samples - start)
        # How often each run and each example is drawn is all that a mean needs to know.
        run_counts = rng.multinomial(runs, np.full(runs, 1 / runs), size)  # (size, S)
        example_counts = rng.multinomial(examples, np.full(examples, 1 / examples), size)  # (size, N)
        parts.append(((run_counts @ differences) * example_counts).sum(1) / (runs * examples))
    means = np.concatenate(parts)  # (samples,)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "P(a > b)": float((means > 0).mean() + (means == 0).mean() / 2),
    }


def paired_seeds(a: ArrayLike, b: ArrayLike) -> dict[str, float]:
    """Compare the scores of training runs: a[s] and b[s], both (S,), come from runs with the same seed.

    Returns {"difference": mean(a) - mean(b), "low", "high": its 95 % interval by Student's t, which assumes differences
    that are roughly normal, "p", "seeds": S}. p is exact and assumes nothing of that kind: if a and b were alike, each
    difference could as well have the other sign; p is the share of all 2^S choices of signs whose mean is at least
    as far from 0. It cannot be below 2 / 2^S: 0.25 for three seeds, and 0.03 for six. (Beyond 16 seeds it is estimated
    from 2^16 random choices, always the same ones.)

    Raises ValueError if shapes differ, for NaN and for less than two seeds.
    """
    from scipy.stats import permutation_test, ttest_rel

    first, second = _checked(a, b)
    if first.ndim != 1 or len(first) < 2:
        raise ValueError(
            f"scores of shape {first.shape}: give one score per seed, of at least two seeds, as a single run "
            "shows no spread"
        )
    differences = first - second
    difference = float(differences.mean())
    if np.ptp(differences) == 0:
        low = high = difference  # the t interval would be 0/0
    else:
        low, high = ttest_rel(first, second).confidence_interval(0.95)
    p = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=2**16, rng=0).pvalue
    return {"difference": difference, "low": float(low), "high": float(high), "p": float(p), "seeds": len(differences)}


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[NDArray, NDArray]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim not in (1, 2) or not a.size:
        raise ValueError(f"scores of shapes {a.shape} and {b.shape} cannot be paired: both must be (N,) or (seeds, N)")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ValueError("there is NaN among the scores")
    return a, b
