"""What features know: how well simple readers find facts in them, second by second.

A fact is read by a linear classifier (logistic regression) and by the nearest class mean; both are fitted on seconds
of training videos and asked about validation videos. For comparison: the same network with random weights, and pixels.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from minivl.config import S3DPretrainConfig
from minivl.data.schema import load_split
from minivl.data.world.meals import COLORS, CONTAINERS
from minivl.s3d.features import seconds_of_video
from minivl.s3d.model import S3D
from minivl.train.loop import seed_everything

FACTS = ("step", "ingredient", "liquid", "colour", "container", "state")
VIDEOS = 150  # that the readers are fitted on, at most
SEEDS = (0, 1, 2)  # of random weights


def facts(row: dict, seconds: int) -> list[dict]:
    """What can be seen in each second of a narrated video; a second with a change of step shows no single thing.

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


def probe_s3d(net: S3D, folder: Path, config: S3DPretrainConfig) -> dict[str, dict]:
    """Scores of the network, of pixels and of random networks: name -> {fact: (linear, nearest mean)}.

    Percent of seconds, and under "mood" the correlation of a linear regression with what a face shows at the end of
    its clip. `folder` holds the videos as `render_videos` wrote them.
    """
    videos = {
        (name, split): _decode(folder / name, split, config) for name in ("two", "mood") for split in ("train", "val")
    }
    readers = {"trained": _features(net), "pixels": _pixels}
    readers |= {f"random {seed}": _features(_random_network(seed, videos["two", "train"], config)) for seed in SEEDS}
    return {name: _scores(read, videos) for name, read in readers.items()}


def _decode(folder: Path, split: str, config: S3DPretrainConfig) -> list[tuple[dict, np.ndarray]]:
    """Rows of a split, each with the seconds of its video, uint8 (seconds, T, H, W, 3)."""
    rows = list(load_split(folder, split))[:VIDEOS]
    return [
        (
            row,
            np.stack(list(seconds_of_video(row["video"]["path"], config.net.frames_per_second, config.net.image_size))),
        )
        for row in rows
    ]


def _features(net: S3D) -> Callable:
    """A function from seconds (seconds, T, H, W, 3) to their features (seconds, feature_dim)."""

    @torch.no_grad()
    def read(seconds: np.ndarray) -> torch.Tensor:
        return net(net.segments(torch.from_numpy(seconds).flatten(0, 1))).features

    return read


def _pixels(seconds: np.ndarray) -> torch.Tensor:
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


def _scores(read: Callable, videos: dict) -> dict:
    features = {key: [read(seconds) for _, seconds in pairs] for key, pairs in videos.items()}
    scores = {}
    for fact in FACTS:
        train, val = (_examples(fact, videos["two", split], features["two", split]) for split in ("train", "val"))
        scores[fact] = (linear_accuracy(*train, *val), nearest_mean_accuracy(*train, *val))
    train, val = (
        (
            torch.stack([f[-1] for f in features["mood", split]]),
            torch.tensor([row["mood"] for row, _ in videos["mood", split]]),
        )
        for split in ("train", "val")
    )
    scores["mood"] = linear_correlation(*train, *val)
    return scores


def _examples(fact: str, videos, features) -> tuple[torch.Tensor, list[str]]:
    """The seconds that show a fact: their features (N, F) and what they show."""
    shown = [
        (feature, known[fact])
        for (row, seconds), rows in zip(videos, features, strict=True)
        for feature, known in zip(rows, facts(row, len(seconds)), strict=True)
        if fact in known
    ]
    return torch.stack([feature for feature, _ in shown]), [value for _, value in shown]


def linear_accuracy(features, labels, new_features, new_labels) -> float:
    """Percent right of a logistic regression with a little weight decay."""
    x, new = _standardised(features, new_features)
    classes = sorted(set(labels))
    target = torch.tensor([classes.index(label) for label in labels])
    weights = torch.zeros(x.shape[1] + 1, len(classes), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=120, history_size=10, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weights[:-1] + weights[-1], target) + 1e-4 * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return _percent(classes, new @ weights[:-1] + weights[-1], new_labels)


def nearest_mean_accuracy(features, labels, new_features, new_labels) -> float:
    """Percent right of the class whose mean feature is nearest."""
    x, new = _standardised(features, new_features)
    classes = sorted(set(labels))
    means = torch.stack([x[[label == c for label in labels]].mean(0) for c in classes])  # (classes, F)
    return _percent(classes, -torch.cdist(new, means), new_labels)


def linear_correlation(features, values, new_features, new_values) -> float:
    """Correlation between values and their ridge regression."""
    x, new = _standardised(features, new_features)
    weights = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1]), x.T @ (values - values.mean()))
    return float(torch.corrcoef(torch.stack([new @ weights, new_values]))[0, 1])


def _standardised(features, new_features):
    mean, spread = features.mean(0), features.std(0) + 1e-6
    return (features - mean) / spread, (new_features - mean) / spread


def _percent(classes, scores, labels) -> float:
    found = [classes[i] for i in scores.argmax(1).tolist()]
    return 100 * float(np.mean([a == b for a, b in zip(found, labels, strict=True)]))


def report(scores: dict[str, dict]) -> str:
    """The scores as a Markdown table: each cell linear / nearest mean, over the seeds where the weights are random."""
    rows = ["| fact | trained | random weights | pixels |", "|---|---|---|---|"]
    for fact in FACTS:
        random = np.array([scores[f"random {seed}"][fact] for seed in SEEDS])  # (seeds, 2)
        means = " / ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(random.mean(0), random.std(0, ddof=1), strict=True))
        cells = [" / ".join(f"{value:.1f}" for value in scores[name][fact]) for name in ("trained", "pixels")]
        rows.append(f"| {fact} | {cells[0]} | {means} | {cells[1]} |")
    moods = np.array([scores[f"random {seed}"]["mood"] for seed in SEEDS])
    random = f"{moods.mean():.2f} ± {moods.std(ddof=1):.2f}"
    rows.append(f"| mood, correlation | {scores['trained']['mood']:.2f} | {random} | {scores['pixels']['mood']:.2f} |")
    return "\n".join(rows)
