"""UniVL's downstream tasks: which modules each of them reads, through which head, and what is compared with what.

The model stands at the left as in `univl_modules`, what a task leaves unread is faint, and the comparison is at the
right. What is said of parts and heads is tested against `minivl.tasks.univl`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box, text_width
from minivl.drawings.style import GREY, INK, LINE, QUIET, RIGHT, WRONG
from minivl.drawings.univl import CROSS, DECODER, TEXT, VIDEO, bars, shown

LOCALIZED = np.array(  # scores (K, T) of three steps in eight seconds
    [
        [0.2, 0.9, 0.7, 0.3, 0.2, 0.1, 0.2, 0.1],
        [0.1, 0.3, 0.4, 0.5, 0.8, 0.3, 0.4, 0.1],
        [0.1, 0.2, 0.7, 0.3, 0.3, 0.5, 0.6, 0.4],
    ]
)
SHOWN = ((1, 2), (3, 5), (6, 7))  # first and last second that show each step
LABELLED = "––AAABBB"  # seconds of a video: background, step A, step B
PREDICTED = "–AAAABBB"


@dataclass(frozen=True)
class Reading:
    """What a task reads, and what it does with it."""

    title: str
    words: str  # what the text encoder gets, "" if nothing
    parts: tuple[str, ...]  # of UniVL, beyond the two encoders
    new: str  # what begins at random
    compared: tuple[str, str]  # two lines
    draw: Callable[[Canvas], None]  # from the model to the comparison
    video: str = "S3D (N, T, F)"


# Where the boxes of the model are
AT_TEXT, AT_VIDEO = Box(14, 84, 170, 38), Box(200, 84, 170, 38)
AT_CROSS, AT_DECODER = Box(14, 172, 356, 36), Box(14, 252, 356, 36)
MEANS = 147  # height of the way from the text encoder to the comparison, between the encoders and the cross encoder
NAMES = {"cross": "cross encoder", "decoder": "decoder"}
HEAD = 470  # left edge of heads


def univl_task(name: str) -> Drawing:
    """The way of one task's data through UniVL, and what is compared at its end (section 4.3 of the paper).

    name   "joint" or "align" (retrieval), "captioning", "segmentation", "localization" or "sentiment"
    """
    task = TASKS[name]
    page = Canvas(402 if "decoder" in task.parts else 358)
    page.pen = (INK, 2.2)
    _model(page, task)
    task.draw(page)
    encoders = ["text encoder", "video encoder"] if task.words else ["video encoder"]
    read = f"Read: {_listed([*encoders, *(NAMES[part] for part in task.parts)])}. New: {task.new}."
    for number, line in enumerate((read, *task.compared)):
        page.text((14, page.height - 54 + 18 * number), line, 12, "start", bold=number == 0)
    goes_in = f"{task.words} and {task.video}" if task.words else f"{task.video} and no text"
    alt = f"{task.title} with UniVL. What goes in: {goes_in}. {read} {' '.join(task.compared)}"
    return Drawing(page, f"UniVL: {task.title}", alt)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# The model


def _model(page: Canvas, task: Reading) -> None:
    """UniVL with the inputs of a task; what the task does not read is faint."""
    if task.words:
        page.text((AT_TEXT.center[0], 18), task.words, 12.5)
        words = ["[CLS]", "heat", "…", "[SEP]"]
        wide = sum(text_width(word, 12) + 10 for word in words) + 5 * (len(words) - 1)
        page.chips((AT_TEXT.center[0] - wide / 2, 31), words, TEXT)
        page.arrow([(AT_TEXT.center[0], 54), AT_TEXT.top])
    page.text((AT_VIDEO.center[0], 18), task.video, 12.5)
    page.film((AT_VIDEO.center[0] - 77.5, 30), 5, 27, VIDEO)
    page.arrow([(AT_VIDEO.center[0], 57), AT_VIDEO.top])
    with shown(page, bool(task.words)):
        page.node(AT_TEXT, ["Text encoder"], TEXT)
    page.node(AT_VIDEO, ["Video encoder"], VIDEO)
    crosses, writes = "cross" in task.parts, "decoder" in task.parts
    with shown(page, crosses):
        for x, shape in ((60, "(N, W, D)"), (AT_VIDEO.center[0], "(N, T, D)")):
            page.arrow([(x, 122), (x, AT_CROSS.y)], shape if crosses else "")
        page.node(AT_CROSS, ["Cross encoder"], CROSS)
    with shown(page, writes):
        page.arrow([AT_CROSS.bottom, AT_DECODER.top], "(N, W+T, D)" if writes else "")
        page.node(AT_DECODER, ["Decoder"], DECODER)


def _from_video(page: Canvas, shape: str) -> None:
    y = AT_VIDEO.center[1]
    page.arrow([AT_VIDEO.right, (HEAD, y)], shape, at=(420, y - 12), anchor="middle")


def _from_text(page: Canvas, shape: str) -> None:
    page.arrow([(140, 122), (140, MEANS), (HEAD, MEANS)], shape, at=(420, MEANS - 12), anchor="middle")


def _from_cross(page: Canvas, shape: str) -> None:
    y = AT_CROSS.center[1]
    page.arrow([AT_CROSS.right, (HEAD, y)], shape, at=(420, y - 12), anchor="middle")


# What is compared


def _similarities(page: Canvas, left: float, top: float) -> None:
    """The matrix of texts and videos, in which each right pair has to win."""
    box = Box(left, top, 110, 110)
    page.matrix(box, 5, 5, [(i, i) for i in range(5)], RIGHT)
    page.text((box.center[0], top + 124), "S (N, N)", 12, ink=QUIET)
    page.text((box.center[0], top + 141), "rows: texts, columns: videos", 12, ink=QUIET)


def _joint(page: Canvas) -> None:
    _from_video(page, "mean (N, D)")
    _from_text(page, "mean (N, D)")
    node = page.node(Box(HEAD, 85, 84, 80), ["cosine"], GREY, bold=False)
    page.arrow([node.right, (590, 125)])
    _similarities(page, 596, 70)


def _align(page: Canvas) -> None:
    _from_cross(page, "[CLS] (N·N, D)")
    node = page.node(Box(HEAD, 172, 92, 36), ["Linear to 1"], CROSS, bold=False)
    page.arrow([node.right, (590, 190)])
    _similarities(page, 596, 110)


def _localization(page: Canvas) -> None:
    _from_video(page, "each (T, D)")
    _from_text(page, "mean (K, D)")
    node = page.node(Box(HEAD, 85, 84, 80), ["product"], GREY, bold=False)
    page.arrow([node.right, (590, 125)])
    side, left, top = 18, 597, 86
    for step, scores in enumerate(LOCALIZED):
        y = top + 28 * step
        for second, score in enumerate(scores):
            page.rect(Box(left + side * second, y, side, 22), VIDEO, LINE, 0.7 * float(score), radius=0, width=0.8)
        first, last = SHOWN[step]
        page.rect(Box(left + side * first, y - 2, side * (last - first + 1), 26), None, RIGHT, width=3)
        best = int(scores.argmax())
        right = first <= best <= last
        page.circle((left + side * (best + 0.5), y + 11), 5, INK if right else WRONG)
    page.text((left + 4 * side, 72), "scores (T, K)", 12, ink=QUIET)
    page.text((748, top + 100), "rows: steps, columns: seconds", 12, "end", ink=QUIET)


def _segmentation(page: Canvas) -> None:
    _from_video(page, "(N, T, D)")
    node = page.node(Box(HEAD, 83, 92, 40), ["Linear to C", "new"], VIDEO, bold=False)
    page.arrow([node.right, (594, 103)])
    fills = {"–": None, "A": TEXT, "B": CROSS}
    for y, labels, name in ((90, PREDICTED, "predicted, of (N, T, C)"), (142, LABELLED, "true (N, T)")):
        page.text((672, y - 13), name, 12, ink=QUIET)
        for second, label in enumerate(labels):
            cell = Box(600 + 18 * second, y, 18, 26)
            page.rect(cell, fills[label], LINE, 0.35, radius=0, width=0.8)
            page.text(cell.center, label, 12)
    for second, (label, truth) in enumerate(zip(PREDICTED, LABELLED, strict=True)):
        if label != truth:
            page.rect(Box(600 + 18 * second - 1, 89, 20, 28), None, WRONG, width=3)


def _sentiment(page: Canvas) -> None:
    _from_cross(page, "[CLS] (N, D)")
    node = page.node(Box(HEAD, 170, 92, 40), ["Linear to 1", "new"], CROSS, bold=False)
    page.arrow([node.right, (594, 190)])
    left, right, y = 604, 740, 190
    page.arrow([(left, y), (right, y)], color=LINE, head=False)

    def at(score: float) -> float:
        return left + (right - left) * (score + 3) / 6

    for tick in (-3, 0, 3):
        page.arrow([(at(tick), y - 4), (at(tick), y + 4)], color=LINE, head=False)
        page.text((at(tick), y + 18), f"{tick:+d}" if tick else "0", 12, ink=QUIET)
    page.arrow([(at(-0.4), y), (at(1.7), y)], color=WRONG, head=False, width=4)
    for score, name, color in ((-0.4, "predicted", INK), (1.7, "true", RIGHT)):
        page.circle((at(score), y), 6, color)
        page.text((at(score), y - 20), name, 12)


def _captioning(page: Canvas) -> None:
    y = AT_DECODER.center[1]
    page.arrow([AT_DECODER.right, (594, y)], "next word (N, C, V)", at=(482, y - 12), anchor="middle")
    bars(page, Box(604, y - 36, 120, 72))
    page.chips((60, 312), ["[CLS]", "heat", "the"], DECODER)
    page.arrow([(110, 312), (110, 288)])
    page.text((190, 323.5), "words so far (N, C)", 12, "start", ink=QUIET)


TASKS = {
    "joint": Reading(
        "FT-Joint",
        "captions (N, W)",
        (),
        "nothing",
        (
            "Compared: every caption's mean with every segment's mean, each encoded once. The right pairs (green) have",
            "to win by a margin, against the rest of their row and the rest of their column.",
        ),
        _joint,
    ),
    "align": Reading(
        "FT-Align",
        "captions (N, W)",
        ("cross",),
        "nothing",
        (
            "Compared: every caption with every segment, each pair through the cross encoder and the layer that Align",
            "has trained. The right pairs (green) have to win by a margin, in their rows and in their columns.",
        ),
        _align,
    ),
    "captioning": Reading(
        "Captioning",
        "transcripts (N, W)",
        ("cross", "decoder"),
        "nothing",
        (
            "Compared: at each place of the caption, the scores of all V words with the word that comes next (green).",
            "Nothing is masked.",
        ),
        _captioning,
    ),
    "segmentation": Reading(
        "Segmentation",
        "",
        (),
        "one linear layer",
        (
            "Compared: at every second, the scores of C labels with the step that it shows (cross-entropy).",
            "A, B: steps; –: background; framed: wrong.",
        ),
        _segmentation,
    ),
    "localization": Reading(
        "Localization",
        "K steps (K, W)",
        (),
        "nothing; no step is ever labelled",
        (
            "Compared: the mean of each step's words with every second. Dot: a step's best second, which is right",
            "inside of the green frame, where the step is truly shown.",
        ),
        _localization,
        video="S3D (T, F)",
    ),
    "sentiment": Reading(
        "Sentiment",
        "opinions (N, W)",
        ("cross",),
        "one linear layer",
        (
            "Compared: one number for each opinion with its label, from -3 to 3 (mean absolute error). It is made",
            "from the cross encoder's output at the place of [CLS], after its own tanh(Linear).",
        ),
        _sentiment,
    ),
}
