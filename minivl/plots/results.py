"""Figures of `--out`: recall against k, scores with their intervals, what changed between two results."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from minivl.plots.picture import ANY_METHOD, COLORS, TEXT, VIDEO, Picture, panels
from minivl.results.scores import Score

WAYS = {"t2v": ("captions that find their clip", TEXT), "v2t": ("clips that find a caption", VIDEO)}


def recall_curves(queries: pd.DataFrame) -> Picture:
    """R@k for every k, in both directions, beside chance. queries: see `minivl.results.queries.retrieval_table`."""
    figure, axis = plt.subplots(figsize=(6, 3.6))
    words = []
    for way, (label, color) in WAYS.items():
        ranks = queries.loc[queries["way"] == way, "rank"].to_numpy()
        count = (queries["way"] != way).sum()  # candidates of this direction are the queries of the other
        ks = np.unique(np.geomspace(1, count, 60).astype(int))
        recalls = [100 * (ranks <= k).mean() for k in ks]
        axis.step(ks, recalls, where="post", color=color, label=f"{way}: {label}")
        few = {k: 100 * (ranks <= k).mean() for k in (1, 5, 10) if k <= count}
        words.append(f"{way}: " + ", ".join(f"{value:.1f} at k = {k}" for k, value in few.items()))
    clips = int((queries["way"] == "v2t").sum())
    ks = np.unique(np.geomspace(1, clips, 60).astype(int))
    axis.plot(ks, 100 * ks / clips, color="grey", ls=":", label="chance, t2v")
    axis.set(xscale="log", xlabel="k", ylabel="right answer among the k best, %", ylim=(0, 102))
    axis.legend(title="", fontsize=8)
    text = f"Recall against k over {clips} clips. " + "; ".join(words)
    return Picture(figure, f"{text}; chance at k = 1: {100 / clips:.1f}.")


def score_intervals(scores: Mapping[str, Score]) -> Picture:
    """Each score as a dot with its interval, if it has one, and crosses for ways of guessing; a panel for each."""
    figure, axes = plt.subplots(len(scores), 1, figsize=(6, 0.62 * len(scores) + 0.8), squeeze=False)
    ways = list(dict.fromkeys(way for score in scores.values() for way in score.guessing))
    words = []
    for axis, (name, score) in zip(axes[:, 0], scores.items(), strict=True):
        if score.low is not None:
            axis.plot([score.low, score.high], [0, 0], color=COLORS[0], lw=3, alpha=0.5)
        axis.plot(score.value, 0, "o", color=COLORS[0])
        for way, value in score.guessing.items():
            axis.plot(value, 0, "x", color=COLORS[1 + ways.index(way)])
        axis.set_yticks([0], [name])
        axis.set_ylim(-1, 1)
        interval = "" if score.low is None else f" [{score.low:.2f}, {score.high:.2f}]"
        guessed = ", ".join(f"{way} {value:.2f}" for way, value in score.guessing.items())
        words.append(f"{name} {score.value:.2f}{interval}" + (f" ({guessed})" if guessed else ""))
    if ways:
        handles = [Line2D([], [], ls="", marker="x", color=COLORS[1 + number]) for number in range(len(ways))]
        figure.legend(handles, ways, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(ways), fontsize=8)
    return Picture(figure, "Scores with 95 % intervals over test examples, and guessing. " + "; ".join(words) + ".")


def probes(diagnosis: pd.DataFrame, title: str) -> Picture:
    """Each probe of `minivl.tasks.clip.diagnosis.diagnose` as a dot with its interval; a cross is guessing."""
    figure, axis = plt.subplots(figsize=(7, 0.34 * len(diagnosis) + 1.2))
    words = []
    for lane, row in enumerate(diagnosis.itertuples()):
        axis.plot([row.low, row.high], [lane, lane], color=COLORS[0], lw=3, alpha=0.5)
        axis.plot(row.percent, lane, "o", color=COLORS[0])
        axis.plot(row.guessing, lane, "x", color=COLORS[1])  # nothing where it is not a number
        words.append(f"{row.probe} {row.percent:.0f} % [{row.low:.0f}, {row.high:.0f}]")
    axis.set_yticks(range(len(diagnosis)), diagnosis["probe"])
    axis.set(xlabel="percent, with 95 % intervals over clips; cross: guessing", xlim=(0, 100))
    axis.set_ylim(len(diagnosis) - 0.5, -0.5)
    axis.set_title(title, fontsize=10)
    return Picture(figure, f"{title}. " + "; ".join(words) + ".")


def score_changes(differences: pd.DataFrame, changes: pd.DataFrame) -> Picture:
    """Differences B minus A with their intervals; for retrieval also each query's rank in A against that in B.

    The tables are those of `minivl.results.comparison.Comparison`.
    """
    shown = differences[~differences["score"].str.endswith("MnR")]  # ranks have another scale
    ranked = "rank A" in changes
    figure, axes = panels(2 if ranked else 1, 10.5 if ranked else 5.5, max(3.0, 0.34 * len(shown) + 1.2))
    for lane, row in enumerate(shown.itertuples()):
        sure = row.low > 0 or row.high < 0
        axes[0].plot([row.low, row.high], [lane, lane], color=ANY_METHOD)
        axes[0].plot(row.difference, lane, "o", color=ANY_METHOD, fillstyle="full" if sure else "none")
    axes[0].axvline(0, color="grey", lw=1)
    axes[0].set(xlabel="B minus A", ylim=(len(shown) - 0.5, -0.5))
    axes[0].set_yticks(range(len(shown)), shown["score"])
    words = "; ".join(
        f"{row.score} {row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" for row in shown.itertuples()
    )
    text = f"B minus A with paired 95 % intervals; filled where 0 is outside. {words}."
    if ranked:
        text += _draw_ranks(axes[1], changes)
    return Picture(figure, text)


def _draw_ranks(axis, changes: pd.DataFrame) -> str:
    """Ranks of captions in A and B, and the words for them."""
    texts = changes[changes["way"] == "t2v"]
    axis.scatter(texts["rank A"], texts["rank B"], s=9, alpha=0.5, color=TEXT)
    end = float(texts[["rank A", "rank B"]].to_numpy().max())
    axis.plot([1, end], [1, end], color="grey", lw=1)
    axis.set(xscale="log", yscale="log", xlabel="rank in A", ylabel="rank in B", title="captions")
    better, worse = (texts["rank B"] < texts["rank A"]).sum(), (texts["rank B"] > texts["rank A"]).sum()
    return f" Of {len(texts)} captions {better} rank higher in B and {worse} lower."
