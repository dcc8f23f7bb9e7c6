"""Probes: how well simple classifiers read facts from the features of S3D, second by second.

A fact is read by logistic regression and by the nearest class mean; both are fitted on seconds of training videos and
asked about validation videos. For comparison: the same network with random weights, and pixels. The scores in the card
of `data_samples/s3d_kitchen` are of an earlier solver of the same problems; elsewhere the two agreed within 1 %.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minivl.config import S3DPretrainConfig
from minivl.data.schema import load_split
from minivl.data.world.meals import COLORS, CONTAINERS
from minivl.s3d.features import seconds_of_video
from minivl.s3d.model import S3D
from minivl.train.loop import seed_everything

FACTS = ("step", "ingredient", "liquid", "colour", "container", "state")
VIDEOS = 150  # that the probes are fitted on, at most
SEEDS = (0, 1, 2)  # of random weights


def facts(row: dict, seconds: int) -> list[dict]:
    """Facts that can be seen in each second of a narrated video; a second with a change of step shows no single thing.

    The keys are those of FACTS that apply: an opaque container hides its ingredient.
    """
    shown: list[dict] = [{} for _ in range(seconds)]
    for step, caption in zip(row["steps"], row["step_captions"], strict=True):
        verb, thing = (step["label"].split() + [None])[:2]
        fact = {"step": step["label"]}
        if verb in ("slice", "add"):
            fact["ingredient"] = thing
        if verb == "pour":
            fact["liquid"] = thing
        if verb == "add":
            fact["state"] = "sliced" if " sliced " in caption else "whole"
        if vessel := re.search(f"({'|'.join(COLORS)}) ({'|'.join(CONTAINERS)})", caption):
            fact["colour"], fact["container"] = vessel.groups()
        for second in range(int(np.ceil(step["start"])), min(seconds, int(step["end"]))):
            shown[second] = fact
    return shown


def probe_s3d(net: S3D, folder: Path, config: S3DPretrainConfig) -> dict[str, dict[str, Any]]:
    """Scores of the network, of pixels and of random networks: name -> {fact: (linear, nearest mean)}.

    Percent of seconds, and under "mood" the correlation of a linear regression with what a face shows at the end of
    its clip. `folder` holds the videos as `render_videos` wrote them.
    """
    videos = {
        (name, split): _decode(folder / name, split, config) for name in ("two", "mood") for split in ("train", "val")
    }
    encoders = {"trained": _features(net), "pixels": _pixels}
    encoders |= {f"random {seed}": _features(_random_network(seed, videos["two", "train"], config)) for seed in SEEDS}
    return {name: _scores(encode, videos) for name, encode in encoders.items()}


def _decode(folder: Path, split: str, config: S3DPretrainConfig) -> list[tuple[dict, np.ndarray]]:
    """Rows of a split, each with the seconds of its video, uint8 (seconds, T, H, W, 3)."""
    rows, net = list(load_split(folder, split))[:VIDEOS], config.net
    videos = (seconds_of_video(row["video"]["path"], net.frames_per_second, net.image_size) for row in rows)
    return [(row, np.stack(list(seconds))) for row, seconds in zip(rows, videos, strict=True)]


def _features(net: S3D) -> Callable[[np.ndarray], Tensor]:
    """A function from seconds (seconds, T, H, W, 3) to their features (seconds, feature_dim)."""

    @torch.no_grad()
    def encode(seconds: np.ndarray) -> Tensor:
        return net(net.segments(torch.from_numpy(seconds).flatten(0, 1))).features

    return encode


def _pixels(seconds: np.ndarray) -> Tensor:
    """The mean picture of each second, 12 x 12: (seconds, 432)."""
    mean = torch.from_numpy(seconds).float().mean(dim=1).permute(0, 3, 1, 2) / 255  # (seconds, 3, H, W)
    return F.adaptive_avg_pool2d(mean, 12).flatten(1)


def _random_network(seed: int, videos, config: S3DPretrainConfig) -> S3D:
    """Random weights, and batch norms that know what these videos make of them."""
    seed_everything(seed)
    net = S3D(config.net)
    for _, seconds in videos[:30]:
        _features(net)(seconds)
    return net.eval()


def _scores(encode: Callable[[np.ndarray], Tensor], videos: dict) -> dict[str, Any]:
    features = {key: [encode(seconds) for _, seconds in pairs] for key, pairs in videos.items()}
    scores: dict[str, Any] = {}
    for fact in FACTS:
        train, val = (_examples(fact, videos["two", split], features["two", split]) for split in ("train", "val"))
        scores[fact] = (linear_accuracy(*train, *val), nearest_mean_accuracy(*train, *val))
    ends = {split: torch.stack([rows[-1] for rows in features["mood", split]]) for split in ("train", "val")}
    moods = {split: torch.tensor([row["mood"] for row, _ in videos["mood", split]]) for split in ("train", "val")}
    scores["mood"] = linear_correlation(ends["train"], moods["train"], ends["val"], moods["val"])
    return scores


def _examples(fact: str, videos: list[tuple[dict, np.ndarray]], features: list[Tensor]) -> tuple[Tensor, list[str]]:
    """The seconds that show a fact: their features (N, F) and what they show."""
    shown = [
        (feature, known[fact])
        for (row, seconds), rows in zip(videos, features, strict=True)
        for feature, known in zip(rows, facts(row, len(seconds)), strict=True)
        if fact in known
    ]
    return torch.stack([feature for feature, _ in shown]), [value for _, value in shown]


def linear_accuracy(x: Tensor, labels: Sequence[str], new_x: Tensor, new_labels: Sequence[str]) -> float:
    """Percent right of a logistic regression, fitted on features (N, F) and asked about new ones.

    It minimises the mean cross-entropy plus 1e-4 |W|^2, for standardised features.
    """
    from sklearn.linear_model import LogisticRegression

    return _percent_right(LogisticRegression(C=1 / (2e-4 * len(x)), max_iter=1000), x, labels, new_x, new_labels)


def nearest_mean_accuracy(x: Tensor, labels: Sequence[str], new_x: Tensor, new_labels: Sequence[str]) -> float:
    """Percent right of the class whose mean feature is nearest, for standardised features."""
    from sklearn.neighbors import NearestCentroid

    return _percent_right(NearestCentroid(), x, labels, new_x, new_labels)


def _percent_right(
    classifier: Any, x: Tensor, labels: Sequence[str], new_x: Tensor, new_labels: Sequence[str]
) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "self.within_class_std_dev_")  # features that are constant within a class
        fitted = _fitted(classifier, x, labels)
    return 100 * float(fitted.score(new_x.numpy(), new_labels))


def _fitted(model: Any, x: Tensor, targets: Sequence | np.ndarray) -> Any:
    """One of sklearn's models, fitted on standardised features."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model).fit(x.numpy(), targets)


def linear_correlation(x: Tensor, values: Tensor, new_x: Tensor, new_values: Tensor) -> float:
    """Correlation between new values (N,) and their ridge regression on standardised features (N, F)."""
    from sklearn.linear_model import Ridge

    fitted = _fitted(Ridge(alpha=10), x, values.numpy())
    return float(np.corrcoef(fitted.predict(new_x.numpy()), new_values.numpy())[0, 1])


def report(scores: dict[str, dict]) -> str:
    """The scores as a Markdown table: each cell linear / nearest mean, over the seeds where the weights are random."""
    rows = ["| fact | trained | random weights | pixels |", "|---|---|---|---|"]
    for fact in FACTS:
        random = np.array([scores[f"random {seed}"][fact] for seed in SEEDS])  # (seeds, linear and nearest mean)
        means = " / ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(random.mean(0), random.std(0, ddof=1), strict=True))
        cells = [" / ".join(f"{value:.1f}" for value in scores[name][fact]) for name in ("trained", "pixels")]
        rows.append(f"| {fact} | {cells[0]} | {means} | {cells[1]} |")
    moods = np.array([scores[f"random {seed}"]["mood"] for seed in SEEDS])
    trained, pixels = (f"{scores[name]['mood']:.2f}" for name in ("trained", "pixels"))
    rows.append(f"| mood, correlation | {trained} | {moods.mean():.2f} ± {moods.std(ddof=1):.2f} | {pixels} |")
    return "\n".join(rows)
