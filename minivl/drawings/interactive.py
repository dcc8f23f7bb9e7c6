"""Pieces of a lesson that answer to clicks: a matrix whose losses follow, masking by hand, a slider through drawings.

Each is a page of its own, inside a frame, with everything that it needs: no kernel has to run, and nothing is fetched.
Own JavaScript, some dozens of lines each: Bokeh, which the explorer uses, would bring a megabyte into the notebook for
a table and a slider. Viewers that show no frames, GitHub among them, show the still picture above it, which the page
hides where it runs.
"""

import html
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing, as_source
from minivl.drawings.geometry import Box
from minivl.drawings.style import GREY, LINE, MODULE_COLORS, QUIET, RIGHT, WRONG

PAGES = Path(__file__).parent / "pages"
HIDE = "if (frameElement) frameElement.previousElementSibling.hidden = true;"  # the still picture, where scripts run


@dataclass
class Interactive:
    """A page that answers, and a picture of how it begins. A notebook shows both, and where there is no HTML, words."""

    name: str  # of its files in pages/
    title: str
    still: Drawing
    given: dict[str, Any]  # constants of its script
    height: int  # of its frame, in pixels
    libraries: tuple[str, ...] = ()

    @property
    def alt(self) -> str:
        return self.still.alt

    def page(self) -> str:
        """The page as HTML that needs nothing else."""
        constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in self.given.items())
        scripts = [constants, *(_file(f"{name}.js") for name in (*self.libraries, self.name)), HIDE]
        code = "\n".join(script.replace('"use strict";\n', "") for script in scripts).replace("</", "<\\/")
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f"<style>{_file('page.css')}</style><main>{_file(f'{self.name}.html')}</main>"
            f'<script>"use strict";\n{code}</script></html>'
        )

    def _repr_html_(self) -> str:
        frame = (
            f'<iframe title="{html.escape(self.title)}" srcdoc="{html.escape(self.page())}" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )
        return f"{self.still.html()}{frame}"

    def __repr__(self) -> str:
        return self.alt


def _file(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def editable_matrix(similarity: Sequence[Sequence[float]]) -> Interactive:
    """A similarity matrix to change by hand; InfoNCE, MIL-NCE and their gradients follow. similarity: (N, N)."""
    from minivl.univl.objectives import mil_nce

    S = torch.tensor(similarity, dtype=torch.float64, requires_grad=True)
    loss = mil_nce(S, 2)
    (gradient,) = torch.autograd.grad(loss, S)
    page, side = Canvas(80 + 52 * len(S), 480), 72
    page.text((60 + side * len(S) / 2, 18), "similarities, and the gradient of MIL-NCE", 13.5, bold=True)
    for i, row in enumerate(S.tolist()):
        page.text((58, 64 + 52 * i), f"text {i + 1}", 12, "end", ink=QUIET)
        page.text((66 + side * (i + 0.5), 36), f"video {i + 1}", 12, ink=QUIET)
        for j, value in enumerate(row):
            slope = float(gradient[i, j])
            cell = Box(66 + side * j, 46 + 52 * i, side, 52)
            page.rect(cell, RIGHT if slope < 0 else WRONG if slope else GREY, LINE, min(0.6, abs(slope) * 2), radius=0)
            page.text((cell.center[0], cell.y + 18), f"{value:g}", 13, bold=True)
            page.text((cell.center[0], cell.y + 37), f"{slope:+.3f}", 12)
    page.text((66, 62 + 52 * len(S)), f"MIL-NCE of two clips per video: {loss.item():.4f}", 12.5, "start")
    alt = (
        f"A similarity matrix of {len(S)} texts and {len(S)} videos whose numbers can be changed where scripts run. "
        "It begins "
        f"with MIL-NCE, two clips per video, at {loss.item():.4f}; its gradient is negative (pulled up) where text and "
        "video are of the same video, and positive (pushed down) elsewhere."
    )
    return Interactive(
        "matrix",
        "Losses of a similarity matrix",
        Drawing(page, "Losses of a matrix", alt),
        {"START": S.tolist()},
        440,
        ("losses",),
    )


def masking_by_click(words: Sequence[str], seconds: int) -> Interactive:
    """A sentence and its seconds, to be masked by hand; what CMLM and CMFM ask then is said.

    words   tokens between [CLS] and [SEP]
    """
    tokens, page = ["[CLS]", *words, "[SEP]"], Canvas(150)
    chosen = 1 + len(words) // 2
    page.chips(
        (16, 16),
        [("[MASK]" if n == chosen else word) for n, word in enumerate(tokens)],
        MODULE_COLORS["text"],
        [chosen],
    )
    page.film((16, 52), seconds, 44, MODULE_COLORS["video"], [seconds // 2])
    page.text((16, 116), f"CMLM: which of V words stood at [MASK]? “{tokens[chosen]}”.", 12.5, "start")
    page.text(
        (16, 136), f"CMFM: which of the K real seconds of the batch was at 0? Second {seconds // 2 + 1}.", 12.5, "start"
    )
    alt = (
        f"A sentence, {' '.join(tokens)}, and {seconds} seconds, to be masked by clicks where scripts run. Here "
        f"“{tokens[chosen]}” "
        f"and second {seconds // 2 + 1} are masked: CMLM asks which word of the vocabulary was there, CMFM which of "
        "all real "
        "seconds of the batch."
    )
    return Interactive(
        "masking",
        "Masking by click",
        Drawing(page, "Masking", alt),
        {"WORDS": tokens, "FRAMES": _seconds(seconds)},
        360,
    )


def _seconds(count: int) -> list[str]:
    """Small drawings of seconds, as images."""
    images = []
    for number in range(count):
        page = Canvas(48, 48)
        page.film((2 - 60 * number, 2), number + 1, 44, MODULE_COLORS["video"], gap=16)
        images.append(
            f'<img alt="" width="48" height="48" src="{as_source(page.svg("second", f"second {number + 1}"))}">'
        )
    return images


def slider(name: str, stops: Mapping[str, Drawing], begin: int = 0) -> Interactive:
    """A slider called `name` through drawings that were made before: value -> drawing. It begins at number `begin`."""
    given = [{"value": value, "image": as_source(made.svg), "words": made.alt} for value, made in stops.items()]
    first = list(stops.values())[begin]
    height = int(max(made.canvas.height for made in stops.values())) + 90
    return Interactive("slider", name, first, {"NAME": name, "STOPS": given, "BEGIN": begin}, height)


def levels(title: str, shares: Mapping[str, float], note: str = "") -> Drawing:
    """Bars of percentages, name -> percent, and a sentence below them."""
    page, left, wide = Canvas(96 + 40 * len(shares)), 130, 540
    page.text((14, 20), title, 14, "start", bold=True)
    for row, (name, share) in enumerate(shares.items()):
        y = 44 + 40 * row
        page.text((left - 10, y + 13), name, 12.5, "end")
        page.rect(Box(left, y, wide, 26), None, LINE, radius=2, width=0.8)
        page.rect(Box(left, y, wide * share / 100, 26), MODULE_COLORS["video"], None, 0.6, radius=2)
        page.text((left + wide + 14, y + 13), f"{share:.0f}%", 13, "start", bold=True)
    for row, line in enumerate(textwrap.wrap(note, 96)[:2]):
        page.text((14, 60 + 40 * len(shares) + 18 * row), line, 12, "start")
    told = ", ".join(f"{name} {share:.0f} percent" for name, share in shares.items())
    return Drawing(page, title, f"{title}: {told}. {note}".strip())
