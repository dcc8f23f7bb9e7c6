"""Ablations: every variant with its spread over seeds, paired differences to one of them, and differences by world."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from minivl.metrics.bootstrap import paired_seeds
from minivl.metrics.verdicts import NOTHING
from minivl.plots.picture import COLORS, Picture, draw_bars, draw_heat_map, draw_lines, method_color, panels


def ablation_bars(table: pd.DataFrame, scores: list[str]) -> Picture:
    """Mean, standard deviation and every single seed. table: columns cell, seed and the scores."""
    order = list(dict.fromkeys(table["cell"]))
    figure, axes = panels(len(scores), 3.6 * len(scores) + 1.5, 0.32 * len(order) + 1.2, sharey=True)
    words = []
    for axis, score in zip(axes, scores, strict=True):
        palette = [method_color(cell) for cell in order]
        look: dict[str, Any] = {"palette": palette, "alpha": 0.6, "capsize": 0.3, "legend": False}
        draw_bars(axis, table, x=score, y="cell", order=order, hue="cell", hue_order=order, **look)
        axis.set(ylabel="", xlabel=score)
        summary = table.groupby("cell", sort=False)[score].agg(["mean", "std"])
        words.append(
            f"{score}: " + ", ".join(f"{cell} {row['mean']:.1f} ± {row['std']:.1f}" for cell, row in summary.iterrows())
        )
    return Picture(figure, "Mean ± standard deviation over seeds. " + "; ".join(words) + ".")


def paired_differences(table: pd.DataFrame, baseline: str, scores: list[str]) -> Picture:
    """Every variant minus the baseline, paired by seed, with 95 % intervals: those that exclude 0 are filled."""
    others = [cell for cell in dict.fromkeys(table["cell"]) if cell != baseline]
    figure, axes = panels(len(scores), 3.6 * len(scores) + 1.5, 0.32 * len(others) + 1.2, sharey=True)
    words = []
    for axis, score in zip(axes, scores, strict=True):
        wide = table.pivot(index="seed", columns="cell", values=score)
        for lane, cell in enumerate(others):
            found, color = difference(wide, cell, baseline), method_color(cell)
            axis.plot([found["low"], found["high"]], [lane, lane], color=color)
            axis.plot(found["difference"], lane, "o", color=color, fillstyle="full" if found["sure"] else "none")
            words.append(f"{cell}, {score}: {found['difference']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]")
        axis.axvline(0, color="grey", lw=1)
        axis.set(xlabel=f"{score}, minus {baseline}", ylim=(len(others) - 0.5, -0.5))
        axis.set_yticks(range(len(others)), others)
    return Picture(figure, f"Differences to {baseline}, paired by seed, with 95 % intervals. " + "; ".join(words) + ".")


def difference(wide: pd.DataFrame, cell: str, baseline: str) -> dict:
    """`paired_seeds` of two columns of a table with a row per seed, and whether the interval excludes 0 (`sure`)."""
    found = paired_seeds(wide[cell].to_numpy(), wide[baseline].to_numpy())
    return {**found, "sure": bool(found["low"] > 0 or found["high"] < 0)}


def regime_differences(
    table: pd.DataFrame, score: str, components: dict[str, tuple[str, str]], regimes: dict[str, str]
) -> pd.DataFrame:
    """The gain of each component in each regime, paired by seed: a row for each of both.

    table        columns cell, seed and the score
    components   name -> (method with it, method without it)
    regimes      name -> its cells, with {} for the method: {"bundled world": "{}", "few videos": "few videos, {}"}

    Columns: regime, component, difference, low, high (95 %), p, seeds, and `sure`: 0 is not in the interval.
    Raises KeyError for a cell that the table does not have.
    """
    wide = table.pivot(index="seed", columns="cell", values=score)
    rows = []
    for regime, cells in regimes.items():
        for component, methods in components.items():
            a, b = (cells.format(method) for method in methods)
            rows.append({"regime": regime, "component": component, **difference(wide[[a, b]].dropna(), a, b)})
    return pd.DataFrame(rows)


def regime_map(differences: pd.DataFrame, score: str, title: str = "") -> Picture:
    """A map of where each component helps (red), does nothing, or hurts (blue): components x regimes.

    differences: what `regime_differences` returned. A star marks what the interval holds apart from 0.
    """

    def grid(values: pd.Series) -> pd.DataFrame:
        return (
            differences.assign(shown=values)
            .pivot(index="component", columns="regime", values="shown")
            .loc[differences["component"].unique(), differences["regime"].unique()]
        )

    marks = [
        f"{row.difference:+.1f}{' *' if row.sure else ''}\n[{row.low:+.0f}, {row.high:+.0f}]"
        for row in differences.itertuples()
    ]
    shown = grid(differences["difference"])
    figure, axis = plt.subplots(figsize=(1.35 * shown.shape[1] + 2.4, 0.62 * shown.shape[0] + 1.9))
    look = {"annot": grid(marks), "fmt": "", "annot_kws": {"fontsize": 8}, "linewidths": 1}
    draw_heat_map(axis, shown, f"{score}: what it adds", center=0, **look)
    axis.set(xlabel="", ylabel="")
    axis.set_title(title, fontsize=10)
    axis.tick_params(axis="x", rotation=25)
    words = "; ".join(
        f"{row.component} in {row.regime}: {row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
        f"{' (excludes 0)' if row.sure else ''}"
        for row in differences.itertuples()
    )
    return Picture(
        figure,
        f"{title} What each component adds to {score}, paired by seed, with 95 % intervals. "
        f"{words}. {int(differences['sure'].sum())} of {len(differences)} intervals exclude 0; if "
        f"nothing had an effect, about {0.05 * len(differences):.1f} would by chance.".strip(),
    )


def across_worlds(runs: pd.DataFrame, judged: pd.DataFrame, sides: Mapping[str, tuple[str, str]]) -> Picture:
    """Differences between two cells in several worlds: a dot per training run, a ring per world, the interval of all.

    runs     columns cell, world, seed and the scores: `runs.csv` of a study
    judged   columns comparison, score, difference, low, high and verdict: its `verdicts.csv`
    sides    comparison -> (cell a, cell b), of which a minus b is taken

    Filled is the mean of a comparison with the verdict "helps" or "hurts". Raises KeyError for a comparison that
    `sides` does not have.
    """
    figure, [axis] = panels(1, 7.0, 0.6 * len(judged) + 1.2)
    words = []
    for lane, row in enumerate(judged.itertuples()):
        a, b = (runs[runs["cell"] == cell].set_index(["world", "seed"])[row.score] for cell in sides[row.comparison])
        of_runs, color = (a - b).reset_index(name="difference"), method_color(sides[row.comparison][0])
        of_worlds = of_runs.groupby("world")["difference"].mean()
        axis.plot(of_runs["difference"], [lane + 0.22] * len(of_runs), ".", color=color, alpha=0.5)
        axis.plot(of_worlds, [lane + 0.22] * len(of_worlds), "o", color=color, fillstyle="none", ms=9)
        shown = "none" if row.verdict == NOTHING else "full"
        axis.errorbar(row.difference, lane - 0.15, xerr=[[row.difference - row.low], [row.high - row.difference]],
                      fmt="o", color=color, fillstyle=shown, capsize=4)  # fmt: skip
        words.append(
            f"{row.comparison}, {row.score}: {row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}], worlds "
            f"{', '.join(f'{value:+.1f}' for value in of_worlds)}: {row.verdict}"
        )
    axis.axvline(0, color="grey", lw=1)
    measures = dict.fromkeys(score.partition(", ")[0] for score in judged["score"])  # "R@1" of "R@1, 30 steps"
    axis.set(xlabel=f"difference in {', '.join(measures)}", ylim=(len(judged) - 0.5, -0.5))
    axis.set_yticks(range(len(judged)), judged["comparison"])
    return Picture(
        figure, "Differences with 95 % intervals over worlds; a ring is a world, a dot a run. " + "; ".join(words) + "."
    )


def shares_of_room(judged: pd.DataFrame) -> Picture:
    """Comparisons of several studies on one axis, in percent of the way from floor to ceiling, the largest on top.

    judged   columns study, comparison, share, "share low", "share high" and verdict: rows of `verdicts.csv`

    Filled is what has the verdict "helps" or "hurts".
    """
    ordered = judged.sort_values("share", ascending=False)
    figure, [axis] = panels(1, 7.0, 0.3 * len(ordered) + 1.2)
    words = []
    for lane, (_, row) in enumerate(ordered.iterrows()):
        low, share, high = row["share low"], row["share"], row["share high"]
        shown = "none" if row["verdict"] == NOTHING else "full"
        axis.errorbar(share, lane, xerr=[[share - low], [high - share]], fmt="o", color=COLORS[0], fillstyle=shown,
                      capsize=3)  # fmt: skip
        words.append(f"{row['comparison']} ({row['study']}) {share:+.1f} [{low:+.1f}, {high:+.1f}]: {row['verdict']}")
    axis.axvline(0, color="grey", lw=1)
    axis.set(xlabel="percent of the way from floor to ceiling", ylim=(len(ordered) - 0.5, -0.5))
    axis.set_yticks(range(len(ordered)), [f"{row.comparison} ({row.study})" for row in ordered.itertuples()])
    return Picture(figure, "Shares of the room with 95 % intervals over worlds. " + "; ".join(words) + ".")


def gain_against(
    runs: pd.DataFrame, judged: pd.DataFrame, sides: Mapping[str, tuple[str, str]], places: pd.DataFrame, variable: str
) -> Picture:
    """Differences between cells against the variable that is meant to matter: a line per question, a dot per world.

    runs, judged, sides   as `across_worlds`
    places     columns comparison, question (the line that it belongs to) and x (its place on the axis), in their order
    variable   what x is, with its unit

    Bars are 95 % intervals; filled is what has the verdict "helps" or "hurts".
    """
    figure, [axis] = panels(1, 6.5, 3.6)
    words = []
    questions = list(dict.fromkeys(places["question"]))
    step = places["x"].drop_duplicates().sort_values().diff().min() / 12  # lines side by side
    for number, question in enumerate(questions):
        here = places[places["question"] == question].merge(judged, on="comparison")
        beside = (number - (len(questions) - 1) / 2) * step
        axis.errorbar(
            here["x"] + beside, here["difference"],
            [here["difference"] - here["low"], here["high"] - here["difference"]],
            capsize=4, label=question, marker="", color=f"C{number}",
        )  # fmt: skip
        for row in here.itertuples():
            a, b = (runs[runs["cell"] == cell].groupby("world")[row.score].mean() for cell in sides[row.comparison])
            shown = "none" if row.verdict == NOTHING else "full"
            axis.plot(row.x + beside, row.difference, "o", color=f"C{number}", fillstyle=shown)
            axis.plot([row.x + beside + step / 3] * len(a), a - b, ".", color=f"C{number}", alpha=0.5)
            words.append(
                f"{question}, {row.x:g}: {row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}], {row.verdict}"
            )
    axis.axhline(0, color="grey", lw=1)
    axis.set(
        xlabel=variable, ylabel=f"difference in {', '.join(judged['score'].unique())}", xticks=places["x"].unique()
    )
    axis.legend()
    return Picture(
        figure, f"Differences against {variable}, with 95 % intervals over worlds. " + "; ".join(words) + "."
    )


def cost_against_frames(table: pd.DataFrame, measures: dict[str, str]) -> Picture:
    """Cost of more frames: a panel per measure, a line per strategy with the spread over repeated rows.

    measures: column -> label with its unit ("seconds": "seconds per step"). Frames are on a logarithmic axis, and so
    are measures that grow at least fourfold: then twice the frames are a step to the right, twice the cost a step up.
    """
    names = list(table["strategy"].unique())
    palette = {name: method_color(name) for name in names}
    figure, axes = panels(len(measures), 3.5 * len(measures) + 0.5, 3.2)
    words = []
    for axis, (column, label) in zip(axes, measures.items(), strict=True):
        draw_lines(axis, table, "strategy", x="frames", y=column, palette=palette, legend=axis is axes[0])
        axis.set_xscale("log", base=2)
        if table[column].max() >= 4 * table[column].min() > 0:
            axis.set_yscale("log", base=2)
            axis.yaxis.set_major_formatter("{x:g}")
        ticks = sorted(table["frames"].unique())
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set(xlabel="frames", ylabel=label)
        means = table.groupby(["strategy", "frames"], sort=False)[column].mean()
        words.append(
            f"{label}: "
            + ", ".join(f"{name} at {count:g} frames {value:.4g}" for (name, count), value in means.items())
        )
    axes[0].legend(title="", fontsize=8)
    return Picture(figure, "Cost against frames. " + "; ".join(words) + ".")
