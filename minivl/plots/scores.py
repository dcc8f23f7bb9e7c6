"""Scores of methods, curves, histograms."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from minivl.plots.picture import COLORS, Picture, draw_bars, draw_lines, method_color, panels


def recall_bars(table: pd.DataFrame, columns: list[str]) -> Picture:
    """Mean and every single seed of some scores, one group of bars per score, one colour per method.

    table: one row per run, with columns `method`, `seed` and the scores (percent).
    """
    long = table.melt(id_vars=["method"], value_vars=columns, var_name="score", value_name="percent")
    palette = {name: method_color(name) for name in long["method"].unique()}
    figure, axis = plt.subplots(figsize=(1.1 * len(columns) * len(palette) + 1.5, 3.2))
    seeds = {"hue": "method", "dodge": True, "palette": "dark:black", "legend": False}
    draw_bars(axis, long, seeds, x="score", y="percent", hue="method", palette=palette, capsize=0.15)
    axis.set(xlabel="", ylabel="percent of queries")
    axis.legend(title="", fontsize=8)
    means = long.groupby(["score", "method"], sort=False)["percent"].mean()
    words = "; ".join(f"{score}, {method}: {value:.1f}" for (score, method), value in means.items())
    return Picture(figure, f"Scores in percent, mean over runs. {words}.")


def curves(table: pd.DataFrame, x: str, y: str, hue: str, xlabel: str, ylabel: str) -> Picture:
    """Lines with points and the spread (standard deviation) over repeated rows."""
    palette = {name: method_color(name, COLORS[i]) for i, name in enumerate(table[hue].unique())}
    figure, axis = plt.subplots(figsize=(5, 3.2))
    draw_lines(axis, table, hue, x=x, y=y, palette=palette)
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    axis.legend(title="", fontsize=8)
    means = table.groupby([hue, x], sort=False)[y].mean()
    words = "; ".join(f"{name} at {value:g}: {score:.1f}" for (name, value), score in means.items())
    return Picture(figure, f"{ylabel} against {xlabel}. {words}.")


def curve_panels(
    table: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    ylabel: str,
    guessing: dict[str, float] | None = None,
    log: bool = False,
) -> Picture:
    """A panel for each curve, all on one scale, so that none hides another.

    guessing   name of a curve -> what guessing gives there, a dashed line with its number
    log        a logarithmic scale, on which small values are seen beside large ones
    """
    curves, words = dict(list(table.groupby(hue, sort=False))), []
    figure, axes = panels(len(curves), 1.8 * len(curves), 2.8, sharey=True)
    for axis, (name, rows), color in zip(axes, curves.items(), COLORS, strict=False):
        axis.plot(rows[x], rows[y], marker="o", ms=3, color=method_color(name, color))
        axis.set_title(name, fontsize=9)
        axis.set(xlabel=x)
        values = ", ".join(f"{value:.3g} at {at:g}" for at, value in zip(rows[x], rows[y], strict=True))
        words.append(f"{name}: {values}")
        if guessing:
            axis.axhline(guessing[name], color="black", ls="--", lw=1)
            axis.set_title(f"{name}\ndashed: guessing, {guessing[name]:.2f}", fontsize=9)
            words[-1] += f"; by guessing {guessing[name]:.2f}"
    axes[0].set(ylabel=ylabel, **({"yscale": "log"} if log else {"ylim": (0, None)}))
    scale = ", logarithmic scale" if log else ""
    return Picture(figure, f"{ylabel} against {x}{scale}. " + ". ".join(words) + ".")


def length_histograms(lengths: dict[str, list[int]]) -> Picture:
    """The number of words in texts, one colour per kind of text; bars of the same number stand side by side."""
    table = pd.DataFrame([(kind, n) for kind, values in lengths.items() for n in values], columns=["kind", "words"])
    figure, axis = plt.subplots(figsize=(6, 3))
    share = {"discrete": True, "stat": "probability", "common_norm": False, "multiple": "dodge"}
    sns.histplot(table, x="words", hue="kind", ax=axis, palette=dict(zip(lengths, COLORS, strict=False)), **share)
    axis.set(xlabel="words per text", ylabel="share of texts")
    words = "; ".join(f"{kind}: mean {np.mean(values):.1f}, longest {max(values)}" for kind, values in lengths.items())
    return Picture(figure, f"Number of words. {words}.")


def truth_scatter(truth: np.ndarray, predicted: dict[str, np.ndarray], label: str) -> Picture:
    """Predictions against the truth, one panel per method, with the line on which they would agree. All are (N,)."""
    figure, axes = panels(len(predicted), 3.2 * len(predicted), 3.3, sharey=True)
    low, high, words = float(np.min(truth)), float(np.max(truth)), []
    for axis, (name, values) in zip(axes, predicted.items(), strict=True):
        axis.plot([low, high], [low, high], color="grey", lw=1)
        axis.scatter(truth, values, s=10, color=method_color(name))
        correlation = float(np.corrcoef(truth, values)[0, 1]) if np.ptp(values) else 0.0
        error = float(np.abs(np.asarray(values) - truth).mean())
        axis.set(title=f"{name}\ncorrelation {correlation:.2f}", xlabel=f"true {label}")
        words.append(f"{name}: correlation {correlation:.2f}, mean absolute error {error:.2f}")
    axes[0].set(ylabel=f"predicted {label}")
    return Picture(figure, f"Predicted against true {label}. " + "; ".join(words) + ".")


def amounts(values: dict[str, float], label: str, marked: tuple[str, ...] = ()) -> Picture:
    """Amounts above 0 that differ by powers of ten, as bars with their numbers; `marked` ones have another colour."""
    figure, axis = plt.subplots(figsize=(7, 0.27 * len(values) + 1))
    axis.barh(range(len(values)), list(values.values()), color=[COLORS[1 if name in marked else 0] for name in values])
    for lane, value in enumerate(values.values()):
        axis.text(value, lane, f" {value:.3g}", va="center", fontsize=8)
    axis.set(xscale="log", xlabel=label, xlim=(None, 4 * max(values.values())), ylim=(len(values) - 0.5, -0.5))
    axis.set_yticks(range(len(values)), list(values))
    return Picture(figure, f"{label}: " + "; ".join(f"{name} {value:.3g}" for name, value in values.items()) + ".")
