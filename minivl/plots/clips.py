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
    """The times at which things are said and done, in seconds: a line for each sentence, then one for each step.

    Words stand beside their bar, on the side with more room, so that the bars alone show the times.
    """
    said = len(transcript)
    rows = [(s["text"], s, COLORS[1]) for s in transcript] + [(s["label"], s, COLORS[2]) for s in steps]
    lanes = [lane + (lane >= said) for lane in range(len(rows))]  # an empty one between what is said and done
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.2 * len(rows)))
    for lane, (words, time, color) in zip(lanes, rows, strict=True):
        start, end = time["start"], time["end"]
        axis.barh(lane, end - start, left=start, height=0.8, color=color)
        place, aside, side = (end, 3, "left") if duration - end > start else (start, -3, "right")
        axis.annotate(
            words, (place, lane), (aside, 0), textcoords="offset points", fontsize=8, ha=side, va="center_baseline"
        )
    axis.invert_yaxis()
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    middles = [(said - 1) / 2, said + 1 + (len(steps) - 1) / 2]
    axis.set(xlim=(0, duration), yticks=middles, yticklabels=["said", "done"], xlabel="seconds")
    words = [f"{s['label']} {s['start']:.1f} to {s['end']:.1f} s" for s in steps]
    words += [f"“{t['text']}” {t['start']:.1f} to {t['end']:.1f} s" for t in transcript]
    return Picture(figure, f"Done: {', '.join(words[: len(steps)])}. Said: {', '.join(words[len(steps) :])}.")
