"""Predictions along a video beside the truth."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from minivl.metrics.segmentation import segments
from minivl.plots.picture import COLORS, Picture


def segmentation_timeline(truth: list[str], predicted: dict[str, list[str]], title: str = "") -> Picture:
    """One label per second, as bars: the truth above, predictions below. predicted: name -> labels as long as truth."""
    rows = {"truth": truth, **predicted}
    labels = list(dict.fromkeys(label for row in rows.values() for label in row))
    color = dict(zip(labels, sns.color_palette("husl", len(labels)), strict=True))
    color |= {"background": (0.88, 0.88, 0.88)}  # seconds without a step, as action segmentation calls them
    figure, axis = plt.subplots(figsize=(10, 0.6 * len(rows) + 1.3))
    for lane, row in enumerate(rows.values()):
        for label, start, end in segments(row):
            axis.barh(lane, end - start, left=start, height=0.8, color=color[label], edgecolor="white")
            if len(label) < 160 * (end - start) / len(truth):  # else there is no room for it
                axis.text(start + 0.15, lane, label, fontsize=6.5, va="center", clip_on=True)
    axis.invert_yaxis()
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel="seconds", xlim=(0, len(truth)))
    axis.set_title(title, fontsize=9)
    right = {name: 100 * np.mean([a == b for a, b in zip(truth, row, strict=True)]) for name, row in predicted.items()}
    words = "; ".join(f"{name}: {share:.0f} % of seconds right" for name, share in right.items())
    steps = ", ".join(f"{label} {start} to {end} s" for label, start, end in segments(truth))
    return Picture(figure, f"{title} Truth: {steps}. {words}.".strip())


def localization_map(
    scores: np.ndarray, steps: list[str], truth: np.ndarray, chosen: np.ndarray, title: str = ""
) -> Picture:
    """The fit of each second with each step: scores (T, K), truth (T, K) of 0 and 1, chosen (K,) seconds.

    The truth is framed, the chosen second has a dot.
    """
    figure, axis = plt.subplots(figsize=(10, 0.35 * len(steps) + 1.5))
    shown = (scores - scores.min(0)) / np.maximum(np.ptp(scores, axis=0), 1e-9)  # each step on its own scale
    axis.imshow(shown.T, aspect="auto", cmap="cividis", extent=(0, len(scores), len(steps) - 0.5, -0.5))
    for step in range(len(steps)):
        for inside, start, end in segments(truth[:, step].astype(bool).tolist()):
            if inside:
                axis.add_patch(plt.Rectangle((start, step - 0.45), end - start, 0.9, fill=False, lw=2, color=COLORS[3]))
    axis.plot(np.asarray(chosen) + 0.5, range(len(steps)), "o", color="white", markeredgecolor="black")
    axis.set(yticks=range(len(steps)), yticklabels=steps, xlabel="seconds")
    axis.set_title(title, fontsize=9)
    hits = [bool(truth[second, step]) for step, second in enumerate(chosen)]
    words = ", ".join(
        f"{name} at {second} s {'right' if hit else 'wrong'}"
        for name, second, hit in zip(steps, chosen, hits, strict=True)
    )
    return Picture(figure, f"{title} {sum(hits)} of {len(hits)} steps found: {words}.".strip())
