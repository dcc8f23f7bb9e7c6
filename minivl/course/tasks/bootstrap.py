"""Is one model better than the other, or was it luck with the test examples?"""

import torch
from torch import Tensor

from minivl.course.task import task

ENDS = torch.tensor([0.025, 0.975], dtype=torch.double)  # of the middle 95%


@task(points=3)
def paired_bootstrap(a: Tensor, b: Tensor, draws: Tensor) -> tuple[float, float, float, float]:
    """How would mean(a) - mean(b) vary with other test examples? Examples are drawn again, the same for both models.

    a and b (N,): what two models score on the same N examples
    draws (R, N): R resamples with replacement; row r names the N examples that are drawn, from 0 to N - 1
    -> the difference mean(a) - mean(b); low and high, between which the middle 95% of the R resampled differences lie
       (torch.quantile at 0.025 and 0.975); the share of the resampled differences above 0, where 0 itself counts half
    """
    return _summary(a.double().mean() - b.double().mean(), (a - b).double()[draws].mean(1))


@paired_bootstrap.set_cases
def _bootstrap_cases(draw):
    a, b = draw(5), draw(5)
    yield "five examples, four resamples", {"a": a, "b": b, "draws": draw.integers(0, 5, 4, 5)}
    difficulty = 10 * draw(20)  # what makes an example hard for both
    a, b = difficulty + draw(20) + 0.5, difficulty + draw(20)
    yield "examples that are hard for both", {"a": a, "b": b, "draws": draw.integers(0, 20, 200, 20)}
    a, b = draw.integers(0, 2, 6).float(), draw.integers(0, 2, 6).float()
    a[0], b[0] = 1, 0  # else no resample could favour a
    yield "right or wrong, with ties", {"a": a, "b": b, "draws": draw.integers(0, 6, 60, 6)}


def _summary(difference, means, ends=ENDS):
    low, high = means.quantile(ends).tolist()
    return difference.item(), low, high, ((means > 0).double().mean() + (means == 0).double().mean() / 2).item()


def _means(a, b, draws):
    return (a - b).double()[draws].mean(1)


def _difference(a, b):
    return (a - b).double().mean()


@paired_bootstrap.mistake(
    "Only the examples of a are drawn again. Draw the same ones for b: what is hard for both then cancels out."
)
def _a_alone(a, b, draws):
    return _summary(_difference(a, b), a.double()[draws].mean(1) - b.double().mean())


@paired_bootstrap.mistake(
    "a and b are drawn separately, so that luck with easy examples does not cancel out. One draw is for both: paired."
)
def _unpaired(a, b, draws):
    return _summary(_difference(a, b), a.double()[draws].mean(1) - b.double()[draws.roll(1, 0)].mean(1))


@paired_bootstrap.mistake("b minus a: a is better where the difference is above 0.")
def _reversed(a, b, draws):
    return _summary(_difference(b, a), _means(b, a, draws))


@paired_bootstrap.mistake("That is the middle 90%: 5% are cut off at each end. For 95% it is 2.5% at each.")
def _ninety_percent(a, b, draws):
    return _summary(_difference(a, b), _means(a, b, draws), torch.tensor([0.05, 0.95]).double())


@paired_bootstrap.mistake("Low and high are the smallest and the largest difference, which grow apart with R.")
def _extremes(a, b, draws):
    return _summary(_difference(a, b), _means(a, b, draws), torch.tensor([0.0, 1.0]).double())


@paired_bootstrap.mistake(
    "The quantiles are of the examples' differences. They have to be of the *means* of the R resamples: an example "
    "varies much more than a mean."
)
def _of_examples(a, b, draws):
    difference, *_, share = _summary(_difference(a, b), _means(a, b, draws))
    low, high = (a - b).double().quantile(ENDS).tolist()
    return difference, low, high, share


@paired_bootstrap.mistake("A resampled difference of exactly 0 counts as lost. It counts half.")
def _ties_are_lost(a, b, draws):
    means = _means(a, b, draws)
    return *_summary(_difference(a, b), means)[:3], (means > 0).double().mean().item()


@paired_bootstrap.mistake("A resampled difference of exactly 0 counts as won. It counts half.")
def _ties_are_won(a, b, draws):
    means = _means(a, b, draws)
    return *_summary(_difference(a, b), means)[:3], (means >= 0).double().mean().item()


@paired_bootstrap.mistake(
    "The first value is the mean over resamples. The difference is that of the examples themselves."
)
def _mean_of_resamples(a, b, draws):
    means = _means(a, b, draws)
    return _summary(means.mean(), means)
