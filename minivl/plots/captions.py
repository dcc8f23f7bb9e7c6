"""The search for a caption, and captions beside what was shown and said."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from minivl.plots.picture import COLORS, MATCHING, OTHER, Picture

DEAD_END = (0.65, 0.65, 0.65)


def beam_tree(tree: list[list[tuple[tuple[str, ...], float]]], beams: int, title: str = "") -> Picture:
    """The captions that beam search considered, as a tree: words from left to right, each with its probability.

    tree: for each step (words so far, sum of log-probabilities), best first. The first `beams` of them were kept, more
    may follow. Branches that were given up are grey; those that are alive at the end are blue, the best one is green.
    """
    scores = {words: score for step in tree for words, score in step}
    last = tree[-1][:beams]
    best, alive = last[0][0], {words[:n] for words, _ in last for n in range(1, len(words) + 1)}
    places = _places(scores, tree)
    lanes = len({lane for _, lane in places.values()})
    longest = max(map(len, places))
    figure, axis = plt.subplots(figsize=(0.85 * longest + 1.5, 0.31 * lanes + 1))
    for words, (x, y) in places.items():
        color = MATCHING if words == best[: len(words)] else COLORS[0] if words in alive else DEAD_END
        before, above = places.get(words[:-1], (0, places[best[:1]][1]))
        axis.plot([before, x], [above, y], color=color, lw=2.5 if color == MATCHING else 1, zorder=1)
        probability = np.exp(scores[words] - scores.get(words[:-1], 0.0))
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": color}
        axis.text(x, y, f"{words[-1]}\n{probability:.2f}", ha="center", va="center", fontsize=6.5, bbox=box)
    axis.set(xlabel="words written", xticks=range(longest + 1), yticks=[])
    axis.set(xlim=(-0.3, longest + 0.6), ylim=(lanes - 0.3, -0.7))
    axis.set_title(textwrap.fill(title, 22 * max(4, len(best))), fontsize=9)
    kept = "; ".join(f"“{' '.join(words)}” {score:.2f}" for words, score in last)
    given_up = sum(words not in alive for words in places)
    return Picture(
        figure,
        f"{title} Captions at the end with their log-probability: {kept}. {given_up} of "
        f"{len(places)} words in the tree were given up.".strip(),
    )


def _places(scores, tree):
    """(column, lane) of each prefix; the best caption is on the uppermost lane, a branch below what it leaves."""
    rank = {words: place for step in tree for place, (words, _) in enumerate(step)}
    places, lane = {}, 0
    final = {
        words[:n]: place for place, (words, _) in reversed(list(enumerate(tree[-1]))) for n in range(1, len(words) + 1)
    }

    def visit(words: tuple[str, ...], column: int) -> None:
        nonlocal lane
        if words:
            places[words] = (column, lane)
        children = [other for other in scores if other[:-1] == words and len(other) == len(words) + 1]
        children.sort(key=lambda other: (final.get(other, len(scores)), rank[other]))
        for number, child in enumerate(children):
            lane += number > 0
            visit(child, column + 1)

    visit((), 0)
    return places


def caption_gallery(
    strips: list[np.ndarray], truths: list[str], said: list[str], captions: list[dict[str, str]], heading: str = ""
) -> Picture:
    """Segments as film strips with what was said, the true caption, and what each model wrote: green if it is right.

    strips: uint8 (F, H, W, 3) each; captions: per segment, model -> caption.
    """
    lines = 2 + max(len(written) for written in captions)
    figure, axes = plt.subplots(
        len(strips), 2, figsize=(11, (0.22 * lines + 0.35) * len(strips) + 0.4), squeeze=False, width_ratios=[0.8, 1]
    )
    words = []
    for (left, right), strip, truth, speech, written in zip(axes, strips, truths, said, captions, strict=True):
        left.imshow(np.concatenate(list(strip), axis=1))
        left.axis("off")
        right.axis("off")
        told = [("said", speech or "(nothing)", "black"), ("truth", truth, "black")]
        told += [(name, text, MATCHING if text == truth else OTHER) for name, text in written.items()]
        for place, (name, text, color) in enumerate(told):
            mark = "" if color == "black" else " ✓" if color == MATCHING else " ✗"
            line = f"{name}: {textwrap.shorten(text, 88)}{mark}"
            right.text(0, 1 - (place + 0.5) / lines, line, fontsize=7.5, color=color, va="center")
        words.append(
            f"said “{speech}”, truth “{truth}”, "
            + ", ".join(f"{name} {'right' if text == truth else f'“{text}”'}" for name, text in written.items())
        )
    if heading:
        figure.suptitle(heading, fontsize=9, x=0.01, ha="left")
    return Picture(figure, f"{heading} {'; '.join(words)}.".strip())
