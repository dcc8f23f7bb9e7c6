"""Ablations: every variant with its spread over seeds, and paired differences to one of them."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from minivl.metrics.bootstrap import paired_seeds
from minivl.plots.picture import COLORS, Picture


def ablation_bars(table: pd.DataFrame, scores: list[str], names: dict[str, str] | None = None) -> Picture:
    """Mean, standard deviation and every single seed. table: columns cell, seed and the scores."""
    order = list(dict.fromkeys(table["cell"]))
    figure, axes = plt.subplots(1, len(scores), figsize=(3.6 * len(scores) + 1.5, 0.32 * len(order) + 1.2), sharey=True,
                                squeeze=False)
    words = []
    for axis, score in zip(axes[0], scores, strict=True):
        sns.barplot(table, y="cell", x=score, order=order, color=COLORS[0], alpha=0.6, errorbar="sd", capsize=0.3,
                    ax=axis)
        sns.stripplot(table, y="cell", x=score, order=order, color="black", size=3, ax=axis)
        axis.set(ylabel="", xlabel=(names or {}).get(score, score))
        summary = table.groupby("cell", sort=False)[score].agg(["mean", "std"])
        words.append(f"{score}: " + ", ".join(f"{cell} {row['mean']:.1f} ± {row['std']:.1f}"
                                              for cell, row in summary.iterrows()))
    figure.tight_layout()
    return Picture(figure, "Mean ± standard deviation over seeds. " + "; ".join(words) + ".")


def paired_differences(table: pd.DataFrame, baseline: str, scores: list[str]) -> Picture:
    """Every variant minus the baseline, paired by seed, with 95 % intervals: those that exclude 0 are filled."""
    others = [cell for cell in dict.fromkeys(table["cell"]) if cell != baseline]
    figure, axes = plt.subplots(1, len(scores), figsize=(3.6 * len(scores) + 1.5, 0.32 * len(others) + 1.2),
                                sharey=True, squeeze=False)
    words = []
    for axis, score in zip(axes[0], scores, strict=True):
        wide = table.pivot(index="seed", columns="cell", values=score)
        for lane, cell in enumerate(others):
            result = paired_seeds(wide[cell].to_numpy(), wide[baseline].to_numpy())
            low, high, sure = result["low"], result["high"], result["low"] > 0 or result["high"] < 0
            axis.plot([low, high], [lane, lane], color=COLORS[0])
            axis.plot(result["difference"], lane, "o", color=COLORS[0], fillstyle="full" if sure else "none")
            words.append(f"{cell}, {score}: {result['difference']:+.1f} [{low:+.1f}, {high:+.1f}]")
        axis.axvline(0, color="grey", lw=1)
        axis.set(xlabel=f"{score}, minus {baseline}", yticks=range(len(others)), yticklabels=others)
        axis.invert_yaxis() if axis is axes[0][0] else None
    figure.tight_layout()
    return Picture(figure, f"Differences to {baseline}, paired by seed, with 95 % intervals. " + "; ".join(words) + ".")
