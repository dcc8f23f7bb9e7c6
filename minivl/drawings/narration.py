"""Speech that comes too early or too late: a slider over narrated videos."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box
from minivl.drawings.interactive import Interactive, slider
from minivl.drawings.style import GREY, LINE, MODULE_COLORS, QUIET, RIGHT

STEPS_SHOWN = 4


def step_meant(sentence: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> int | None:
    """Number of the step that a sentence is about: all words of its label are said. The nearest of several; or None."""
    said = set(sentence["text"].split())
    meant = [n for n, step in enumerate(steps) if set(step["label"].split()) <= said]
    return min(meant, key=lambda n: abs(steps[n]["start"] - sentence["start"])) if meant else None


def fits(rows: Iterable[Mapping[str, Any]], shift: float) -> tuple[float, float]:
    """Shares of sentences about a step whose middle, `shift` seconds later, is in this step; in it or a neighbour."""
    own = near = count = 0
    for row in rows:
        steps = row["steps"]
        for sentence in row["transcript"]:
            if (meant := step_meant(sentence, steps)) is None:
                continue
            middle = (sentence["start"] + sentence["end"]) / 2 + shift
            around = steps[max(meant - 1, 0)]["start"], steps[min(meant + 1, len(steps) - 1)]["end"]
            own += steps[meant]["start"] <= middle < steps[meant]["end"]
            near += around[0] <= middle < around[1]
            count += 1
    return own / count, near / count


def shifted_speech(rows: Sequence[Mapping[str, Any]], shifts: Sequence[float]) -> Interactive:
    """A slider that moves the speech of narrated videos: the first one is drawn, the shares are those of all `rows`.

    rows   with steps and transcript; shifts in seconds, in which 0 is the speech as it is
    """
    stops = {f"{shift:+g} s" if shift else "as spoken": _moved(rows, shift) for shift in shifts}
    return slider("Speech moved by", stops, list(shifts).index(0))


def _moved(rows: Sequence[Mapping[str, Any]], shift: float) -> Drawing:
    steps, page = rows[0]["steps"], Canvas(236)
    shown = steps[:STEPS_SHOWN]
    own, near = fits(rows, shift)
    left, scale = 76, 664 / shown[-1]["end"]
    page.text((14, 60), "steps", 13, "start", bold=True)
    page.text((14, 120), "speech", 13, "start", bold=True)
    for number, step in enumerate(shown):
        box = Box(left + step["start"] * scale, 40, (step["end"] - step["start"]) * scale - 2, 40)
        page.rect(box, MODULE_COLORS["video"], MODULE_COLORS["video"], 0.2, width=1.2)
        page.text(box.center, str(number + 1), 13, bold=True)
    for sentence in rows[0]["transcript"]:
        first, last = sentence["start"] + shift, sentence["end"] + shift
        if first < 0 or last > shown[-1]["end"]:
            continue
        meant = step_meant(sentence, steps)
        right = meant is not None and steps[meant]["start"] <= (first + last) / 2 < steps[meant]["end"]
        box = Box(left + first * scale, 100, (last - first) * scale - 2, 40)
        color = RIGHT if right else GREY if meant is None else MODULE_COLORS["text"]
        page.rect(box, color, color, 0.35 if right else 0.15, width=1.2, radius=3)
        page.text(box.center, "…" if meant is None else f"{meant + 1}", 13, bold=right)
    names = ", ".join(f"{number + 1} {step['label']}" for number, step in enumerate(shown))
    page.text((left, 20), names, 12, "start", ink=QUIET)
    page.text((left, 158), "numbers: the step that is named, … names none; green: said while it is done", 12,
              "start", ink=QUIET)  # fmt: skip
    for row, (words, share, color) in enumerate(
        (("in its own step", own, RIGHT), ("in it or a neighbour", near, GREY))
    ):
        y = 182 + 26 * row
        page.text((214, y + 9), words, 12.5, "end")
        page.rect(Box(224, y, 420 * share, 18), color, LINE, 0.6, radius=2, width=0.8)
        page.text((660, y + 9), f"{share:.0%} of all", 12.5, "start", bold=True)
    alt = (
        f"Speech of narrated videos moved by {shift:g} seconds. Of the sentences about a step, {own:.0%} are said "
        "while their "
        f"own step is done, {near:.0%} during it or the step before or after."
    )
    return Drawing(page, "Shifted speech", alt)
