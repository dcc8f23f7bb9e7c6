"""Every figure of the lessons: one palette, labelled axes, and a text that says what the picture shows.

A function returns a `Picture`: the figure together with its alternative text, which carries the
numbers behind it. In a notebook a `Picture` displays itself and prints that text below.
"""

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

# One colour for one thing, in every lesson; from seaborn's palette for colour-blind readers.
_COLORS = sns.color_palette("colorblind")
METHOD_COLORS = {"zero-shot": _COLORS[7], "LoRA": _COLORS[0], "LoRA + IVFusion": _COLORS[2]}
MATCHING, OTHER = _COLORS[2], _COLORS[3]


@dataclass
class Picture:
    """A figure and what it shows in words."""

    figure: Figure
    alt: str

    def save(self, path: Path) -> Path:
        """Write the figure as PNG, with the alternative text in the file's description."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Description": self.alt})
        return path

    def _ipython_display_(self):
        from IPython.display import Image, display
        from PIL import Image as PilImage

        drawn, small = io.BytesIO(), io.BytesIO()
        self.figure.savefig(drawn, format="png", dpi=80, bbox_inches="tight")
        plt.close(self.figure)
        # 128 colours take a third of the bytes, and notebooks are committed with their pictures.
        PilImage.open(drawn).convert("RGB").quantize(128).save(small, format="png", optimize=True)
        display(Image(small.getvalue(), alt=self.alt))
        print(self.alt)


def separation(similarity: np.ndarray) -> dict[str, float]:
    """How well matching pairs (the diagonal) stand out from the others.

    similarity: (N, N). Returns the two means, and `auc`: the chance that a random matching pair scores
    higher than a random other pair (50 is no better than a coin; percent).
    """
    matching = np.diag(similarity)
    others = similarity[~np.eye(len(similarity), dtype=bool)]
    ranks = np.searchsorted(np.sort(others), matching, "left") + np.searchsorted(np.sort(others), matching, "right")
    return {"matching": float(matching.mean()), "other": float(others.mean()),
            "auc": float(100 * ranks.mean() / 2 / len(others))}


def alignment_distributions(similarities: dict[str, np.ndarray]) -> Picture:
    """Densities of the cosine of matching and of non-matching pairs, one panel for each model.

    similarities: name -> (N, N) cosines whose diagonal are the matching pairs.
    """
    figure, axes = plt.subplots(1, len(similarities), figsize=(4.2 * len(similarities), 3.2), squeeze=False)
    words = []
    for axis, (name, matrix) in zip(axes[0], similarities.items(), strict=True):
        off = matrix[~np.eye(len(matrix), dtype=bool)]
        for values, color, style, label in ((off, OTHER, "-", "other pairs"),
                                            (np.diag(matrix), MATCHING, "--", "matching pairs")):
            sns.kdeplot(x=values, ax=axis, fill=True, color=color, linestyle=style, label=label, clip=(-1, 1),
                        warn_singular=False)
        numbers = separation(matrix)
        axis.set(title=f"{name}\nmatching above other: {numbers['auc']:.0f} %", xlabel="cosine of caption and video",
                 ylabel="density")
        axis.legend(fontsize=8)
        words.append(f"{name}: matching {numbers['matching']:.3f}, other {numbers['other']:.3f}, "
                     f"a matching pair scores higher in {numbers['auc']:.1f} % of comparisons")
    figure.tight_layout()
    return Picture(figure, "Cosine similarity of matching and other caption-video pairs. " + "; ".join(words) + ".")


def recall_bars(table: pd.DataFrame, columns: list[str]) -> Picture:
    """Mean and every single seed of some scores, one group of bars per score, one colour per method.

    table: one row per run, with columns `method`, `seed` and the scores (percent).
    """
    long = table.melt(id_vars=["method"], value_vars=columns, var_name="score", value_name="percent")
    palette = {name: METHOD_COLORS.get(name, _COLORS[4]) for name in long["method"].unique()}
    figure, axis = plt.subplots(figsize=(1.1 * len(columns) * len(palette) + 1.5, 3.2))
    sns.barplot(long, x="score", y="percent", hue="method", palette=palette, errorbar="sd", capsize=0.15, ax=axis)
    sns.stripplot(long, x="score", y="percent", hue="method", dodge=True, palette="dark:black", size=3, legend=False,
                  ax=axis)
    axis.set(xlabel="", ylabel="percent of queries")
    axis.legend(title="", fontsize=8)
    figure.tight_layout()
    means = long.groupby(["score", "method"], sort=False)["percent"].mean()
    words = "; ".join(f"{score}, {method}: {value:.1f}" for (score, method), value in means.items())
    return Picture(figure, f"Scores in percent, mean over runs. {words}.")


def film_strips(strips: list[np.ndarray], titles: list[str], heading: str = "") -> Picture:
    """Clips as rows of frames. strips: list of uint8 (F, H, W, 3); a title for each."""
    frames = max(len(strip) for strip in strips)
    wrapped = [textwrap.fill(title, 17 * frames) for title in titles]
    lines = max(title.count("\n") + 1 for title in wrapped)
    height = (1.1 + 0.16 * lines) * len(strips) + (0.3 if heading else 0)
    figure, axes = plt.subplots(len(strips), 1, figsize=(1.05 * frames, height), squeeze=False)
    for axis, strip, title in zip(axes[:, 0], strips, wrapped, strict=True):
        gap = np.full((strip.shape[1], max(1, strip.shape[2] // 24), 3), 255, np.uint8)
        axis.imshow(np.concatenate([piece for frame in strip for piece in (frame, gap)], axis=1))
        axis.set_title(title, fontsize=8, loc="left")
        axis.axis("off")
    if heading:
        figure.suptitle(heading, fontsize=9, x=0.01, ha="left")
    figure.tight_layout()
    count = f"{len(strips)} film strip{'s' * (len(strips) > 1)}:"
    return Picture(figure, " ".join([heading, count, "; ".join(titles)]).strip() + ".")


def gallery(query: str, right: str, rankings: dict[str, list[tuple[str, float, np.ndarray]]], ranks: dict[str, float],
            top: int = 3) -> Picture:
    """The first answers of several models to one query; the right clip has a green frame.

    right: the name of the right clip. rankings: model -> (name, cosine, frames (F, H, W, 3)), best first.
    ranks: model -> rank of the right clip.
    """
    figure, axes = plt.subplots(top, len(rankings), figsize=(5.6 * len(rankings), 1.0 * top + 0.8), squeeze=False)
    words = []
    for column, (model, hits) in enumerate(rankings.items()):
        for row, (name, score, frames) in enumerate(hits[:top]):
            axis = axes[row, column]
            axis.imshow(np.concatenate(list(frames), axis=1))
            axis.set(xticks=[], yticks=[])
            mark = "right: " if name == right else ""
            axis.set_title(f"{row + 1}. {mark}{name}, cosine {score:.3f}", fontsize=7, loc="left", pad=2)
            for spine in axis.spines.values():
                spine.set(color=MATCHING if name == right else "lightgrey", linewidth=4 if name == right else 1)
        words.append(f"{model}: the right clip is number {ranks[model]:g}")
    figure.suptitle(f"“{query}”\n" + "   |   ".join(words), fontsize=8)
    figure.tight_layout()
    return Picture(figure, f"Query: {query}. " + "; ".join(words) + ".")


def clip_timeline(steps: list[dict], transcript: list[dict], duration: float) -> Picture:
    """When things are said and when they are done, in seconds: one line per sentence, then the steps."""
    said = len(transcript)
    figure, axis = plt.subplots(figsize=(9, 1.4 + 0.24 * said))
    for i, step in enumerate(steps):
        lane = said + 0.5 + 0.9 * (i % 2)
        axis.barh(lane, step["end"] - step["start"], left=step["start"], height=0.8, color=_COLORS[2])
        axis.text(step["start"], lane, step["label"], fontsize=7, va="center")
    for i, sentence in enumerate(transcript):
        axis.barh(i, sentence["end"] - sentence["start"], left=sentence["start"], height=0.8, color=_COLORS[1])
        axis.text(sentence["start"], i, sentence["text"], fontsize=7, va="center")
    axis.invert_yaxis()
    axis.set(xlim=(0, duration), yticks=[(said - 1) / 2, said + 1], yticklabels=["said", "done"], xlabel="seconds")
    figure.tight_layout()
    words = [f"{s['label']} {s['start']:.1f} to {s['end']:.1f} s" for s in steps]
    words += [f"“{t['text']}” {t['start']:.1f} to {t['end']:.1f} s" for t in transcript]
    return Picture(figure, f"Done: {', '.join(words[:len(steps)])}. Said: {', '.join(words[len(steps):])}.")


def curves(table: pd.DataFrame, x: str, y: str, hue: str, xlabel: str, ylabel: str) -> Picture:
    """Lines with points and the spread (standard deviation) over repeated rows."""
    palette = {name: METHOD_COLORS.get(name, _COLORS[i]) for i, name in enumerate(table[hue].unique())}
    figure, axis = plt.subplots(figsize=(5, 3.2))
    sns.lineplot(table, x=x, y=y, hue=hue, style=hue, markers=True, palette=palette, errorbar="sd", ax=axis)
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    axis.legend(title="", fontsize=8)
    figure.tight_layout()
    means = table.groupby([hue, x], sort=False)[y].mean()
    words = "; ".join(f"{name} at {value:g}: {score:.1f}" for (name, value), score in means.items())
    return Picture(figure, f"{ylabel} against {xlabel}. {words}.")


def length_histograms(lengths: dict[str, list[int]]) -> Picture:
    """How many words texts have, one colour per kind of text."""
    table = pd.DataFrame([(kind, n) for kind, values in lengths.items() for n in values], columns=["kind", "words"])
    figure, axis = plt.subplots(figsize=(6, 3))
    sns.histplot(table, x="words", hue="kind", discrete=True, stat="probability", common_norm=False, ax=axis,
                 palette=dict(zip(lengths, _COLORS, strict=False)), element="step")
    axis.set(xlabel="words per text", ylabel="share of texts")
    figure.tight_layout()
    words = "; ".join(f"{kind}: mean {np.mean(values):.1f}, longest {max(values)}" for kind, values in lengths.items())
    return Picture(figure, f"Number of words. {words}.")
