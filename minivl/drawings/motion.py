"""Drawings that move, where motion explains. Who asked for less motion sees their first moment, which stands alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from minivl.drawings.attention import FRAMES, TOKENS, tokens_read
from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box
from minivl.drawings.style import GREY, INK, LINE, MODULE_COLORS, QUIET, RIGHT, STRATEGY_COLORS, WRONG

TEXT, VIDEO = MODULE_COLORS["text"], MODULE_COLORS["video"]


class Film:
    """Moments that are shown one after the other, over and over, on one page."""

    def __init__(self, page: Canvas, moments: int, seconds: float):
        self.page, self.moments, self.seconds = page, moments, seconds
        share = 100 / moments
        page.css = (
            f".m{{opacity:0}}.m0{{opacity:1}}@media (prefers-reduced-motion: no-preference){{"
            f".m{{animation:m {moments * seconds:g}s step-end infinite}}"
            + "".join(f".m{n}{{animation-delay:{n * seconds:g}s}}" for n in range(1, moments))
            + f"@keyframes m{{0%{{opacity:1}}{share:.4g}%{{opacity:0}}100%{{opacity:0}}}}}}"
        )

    @contextmanager
    def moment(self, number: int) -> Iterator[None]:
        """What is drawn inside is seen at this moment only; the first is there without style and motion, too."""
        attributes = {"class": f"m m{number}"} | ({} if number == 0 else {"opacity": "0"})
        with self.page.group(attributes, moment=str(number)):
            yield


def candidate_bag() -> Drawing:
    """MIL-NCE under shifted speech: whichever way speech is off, the text that fits is in the bag of candidates."""
    page = Canvas(330)
    film = Film(page, 3, 2.4)
    shifts = (
        (0, "Speech in time: the own text fits."),
        (1, "Speech a clip late: the next text is about what is seen."),
        (-1, "Speech a clip early: the text before is about what is seen."),
    )
    steps, wide = ["take the onion", "cut it fine", "heat the pot"], 186
    left = 136
    page.text((14, 96), "video", 13, "start", bold=True)
    page.lines_of_text((14, 114), ["3 clips (3, D)"], 12, anchor="start", ink=QUIET)
    for clip, words in enumerate(steps):
        x = left + clip * (wide + 10)
        page.film((x + 34, 72), 3, 36, VIDEO)
        page.rect(Box(x, 62, wide, 72), None, INK if clip == 1 else LINE, width=2.6 if clip == 1 else 1.2, radius=7)
        page.text((x + wide / 2, 122), f"shows: {words}", 12)
        page.text((x + wide / 2, 48), f"clip {clip + 1}" + (", the anchor" if clip == 1 else ""), 12.5, bold=clip == 1)
    page.text((14, 226), "texts", 13, "start", bold=True)
    page.lines_of_text((14, 244), ["3 texts (3, D)"], 12, anchor="start", ink=QUIET)
    page.rect(Box(left - 8, 196, 3 * wide + 36, 62), RIGHT, RIGHT, 0.1, radius=12, width=2.4, dashed=True)
    page.text(
        (left + 1.5 * wide + 10, 276),
        "the bag: the texts of all three clips stand above the line, every other text below it",
        12,
        ink=QUIET,
    )
    for number, (shift, told) in enumerate(shifts):
        with film.moment(number):
            for clip in range(3):
                # What is said within clip i: with late speech it is about the clip before.
                about = clip - shift
                words = steps[about] if 0 <= about < 3 else "(chat)"
                box = Box(left + clip * (wide + 10), 206, wide, 42)
                fits = about == 1
                page.rect(
                    box, RIGHT if fits else TEXT, RIGHT if fits else TEXT, 0.5 if fits else 0.18, radius=6, width=1.6
                )
                page.text(box.center, f"“{words}”", 12.5, bold=fits)
            fitting = left + (1 + shift) * (wide + 10) + wide / 2
            page.arrow([(left + wide + 10 + wide / 2, 134), (fitting, 204)], color=RIGHT, width=3.4)
            page.text((14, 306), told, 13, "start", bold=True)
            page.text((14, 22), f"shift: {'none' if not shift else f'{shift:+d} clip'}", 13, "start", bold=True)
    alt = (
        "Moving picture of MIL-NCE's bag. A video of three clips, with three texts; the middle clip is the anchor. "
        "Three "
        "moments: speech in time, and the anchor's own text fits; speech one clip late, and the text of the next "
        "clip fits; "
        "speech one clip early, and the text of the clip before fits. In each of them the fitting text is among the "
        "three "
        "of the bag, which count as right together."
    )
    return Drawing(page, "MIL-NCE's bag of candidates", alt)


def class_tokens_read() -> Drawing:
    """IVFusion, frame by frame: what each class token reads, by the package's own attention."""
    page = Canvas(322)
    film = Film(page, FRAMES, 1.8)
    reads, side, gap = tokens_read("adapter"), 40, 12
    color = STRATEGY_COLORS["adapter"]
    places = []
    for frame in range(FRAMES):
        x = 26 + 246 * frame
        page.rect(Box(x - 12, 176, 228, 98), None, LINE, radius=8)
        page.text((x + 102, 262), f"frame {frame + 1}: N tokens (N, W)", 12, ink=QUIET)
        for token in range(TOKENS):
            box = Box(x + 24 + token * (side + gap), 192, side, side)
            page.rect(box, GREY, LINE, 0.1)
            page.text(box.center, "cls" if token == 0 else f"p{token}", 12.5, bold=token == 0)
            places.append(box)
    for frame in range(FRAMES):
        with film.moment(frame):
            reader = Box(26 + 246 * frame + 24, 66, 160, 40)
            page.node(reader, [f"class token, frame {frame + 1}"], color, size=12)
            for token, box in enumerate(places):
                if reads[frame * TOKENS, token]:
                    own = token // TOKENS == frame
                    page.rect(box, color, color, 0.45, width=2)
                    page.arrow(
                        [box.top, (reader.center[0] + 16 * (token - 4), 108)], color=color, width=2.6 if own else 1.4
                    )
            page.text(
                (14, 24),
                f"Class token {frame + 1} of {FRAMES} asks: it reads {int(reads[frame * TOKENS].sum())} tokens "
                f"(F·N), a patch only the {int(reads[frame * TOKENS + 1].sum())} of its frame",
                13,
                "start",
                bold=True,
            )
    page.text(
        (14, 302),
        "Thick: its own frame, also read at image level, through the adapter. Each moment is one query: F in all.",
        12,
        "start",
    )
    alt = (
        f"Moving picture of IVFusion, {FRAMES} moments. In each the class token of one frame reads all "
        f"{FRAMES * TOKENS} tokens "
        f"of all {FRAMES} frames, patches and class tokens; those of its own frame also reach it through the "
        "adapter. A patch "
        f"reads only the {TOKENS} tokens of its own frame."
    )
    return Drawing(page, "Class tokens read across frames", alt)


def distributions_through(table: pd.DataFrame) -> Drawing:
    """The cosines of matching and of other pairs while a model trains.

    table   columns step, pairs ("matching" or "other"), from (where a bin begins) and count; all bins are equally wide
    """
    counts = table.pivot_table("count", ["step", "pairs"], "from")
    shares = counts.div(counts.sum(axis=1), axis=0)
    page = Canvas(330)
    film = Film(page, shares.index.get_level_values("step").nunique(), 1.2)
    left, low, wide, high = 60, 268, 660, 190
    begins, bar = shares.columns.to_numpy(), wide / shares.shape[1]
    first, last = begins[0], begins[-1] + begins[1] - begins[0]
    page.arrow([(left, low), (left + wide + 12, low)])
    page.text((left + wide / 2, low + 38), "cosine of caption and video", 12.5)
    for tick in np.linspace(first, last, 5):
        page.text((left + wide * (tick - first) / (last - first), low + 16), f"{tick:.1f}", 12, ink=QUIET)
    page.text((14, 50), "share of pairs", 12, "start", ink=QUIET)
    for x, words, color in ((480, "matching pairs", RIGHT), (630, "other pairs", WRONG)):
        page.rect(Box(x, 15, 14, 14), color, None, 0.6)
        page.text((x + 20, 22), words, 12.5, "start")
    told = []
    for number, (step, both) in enumerate(shares.groupby("step")):
        pairs = both.droplevel("step")
        with film.moment(number):
            for name, color in (("matching", RIGHT), ("other", WRONG)):
                heights = high * pairs.loc[name] / shares.to_numpy().max()
                steps = (f"V{low - h:.1f}H{left + (n + 1) * bar:.1f}" for n, h in enumerate(heights))
                page.shape(f"M{left} {low}{''.join(steps)}V{low}Z", color, 0.5)
            overlap = pairs.min().sum()
            page.text((14, 22), f"step {step}: overlap {overlap:.0%}", 14, "start", bold=True)
            told.append(f"step {step}: {100 * overlap:.0f} %")
    alt = (
        f"Moving picture: cosines of matching and other pairs through training. Overlap of the two: {'; '.join(told)}."
    )
    return Drawing(page, "Distributions through training", alt)
