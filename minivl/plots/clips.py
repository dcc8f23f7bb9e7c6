"""Clips as film strips, search results, time lines of what is said and done."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from minivl.plots.picture import COLORS, MATCHING, Picture


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
    count = f"{len(strips)} film strip{'s' * (len(strips) > 1)}:"
    return Picture(figure, " ".join([heading, count, "; ".join(titles)]).strip() + ".")


def gallery(
    query: str,
    right: str,
    rankings: dict[str, list[tuple[str, float, np.ndarray]]],
    ranks: dict[str, float],
    top: int = 3,
) -> Picture:
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
    return Picture(figure, f"Query: {query}. " + "; ".join(words) + ".")


def clip_timeline(steps: list[dict], transcript: list[dict], duration: float) -> Picture:
    """The times at which things are said and done, in seconds: one line per sentence, then the steps."""
    said = len(transcript)
    figure, axis = plt.subplots(figsize=(9, 1.4 + 0.24 * said))
    for i, step in enumerate(steps):
        lane = said + 0.5 + 0.9 * (i % 2)
        axis.barh(lane, step["end"] - step["start"], left=step["start"], height=0.8, color=COLORS[2])
        axis.text(step["start"], lane, step["label"], fontsize=7, va="center")
    for i, sentence in enumerate(transcript):
        axis.barh(i, sentence["end"] - sentence["start"], left=sentence["start"], height=0.8, color=COLORS[1])
        axis.text(sentence["start"], i, sentence["text"], fontsize=7, va="center")
    axis.invert_yaxis()
    axis.set(xlim=(0, duration), yticks=[(said - 1) / 2, said + 1], yticklabels=["said", "done"], xlabel="seconds")
    words = [f"{s['label']} {s['start']:.1f} to {s['end']:.1f} s" for s in steps]
    words += [f"“{t['text']}” {t['start']:.1f} to {t['end']:.1f} s" for t in transcript]
    return Picture(figure, f"Done: {', '.join(words[: len(steps)])}. Said: {', '.join(words[len(steps) :])}.")
