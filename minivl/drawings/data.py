"""The one schema of all corpora, drawn along the time of a clip."""

from collections.abc import Sequence

from minivl.data.schema import COLUMNS
from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box
from minivl.drawings.style import GREY, LINE, MODULE_COLORS, QUIET, RIGHT

TEXT, VIDEO, STEP = MODULE_COLORS["text"], MODULE_COLORS["video"], MODULE_COLORS["decoder"]
LEFT, RIGHT_EDGE = 176, 740
STEPS = ((0.0, 0.3, "take onion"), (0.3, 0.68, "cut onion"), (0.68, 1.0, "heat pot"))
LATE = 0.11  # of the clip's length: speech rarely comes when its step does


def data_schema() -> Drawing:
    """All columns of the schema: what belongs to a moment, to a stretch of time, and to the clip as a whole."""
    page = Canvas(530)
    written: list[str] = []

    def name(y: float, columns: Sequence[str], below: str = "") -> None:
        """The names of columns in front of their lane."""
        written.extend(columns)
        page.text((14, y), ", ".join(columns), 12.5, "start", bold=True)
        if below:
            page.text((14, y + 17), below, 12, "start", ink=QUIET)

    def lane(y: float, pieces: Sequence[tuple[float, float, str]], color: str) -> None:
        for first, last, words in pieces:
            box = Box(_x(first) + 1, y - 12, _x(last) - _x(first) - 2, 24)
            page.rect(box, color, color, 0.22, radius=3, width=1.2)
            page.text(box.center, words, 12)

    name(30, ["start", "end"], "of the clip, in its file")
    for x, words, side in ((_x(0), "start, seconds", "start"), (_x(1), "end, seconds", "end")):
        page.text((x, 24), words, 12, side, ink=QUIET)
    page.arrow([(_x(0) + 110, 24), (_x(1) - 100, 24)])
    name(76, ["video"], "a file")
    page.rect(Box(_x(0), 50, _x(1) - _x(0), 56), GREY, LINE, 0.1, radius=3)
    frames = page.film((_x(0) + 19, 56), 6, 44, VIDEO, gap=52)
    name(130, ["features"], "(T, F), a reference")
    name(172, ["feature_rate"], "")
    for n in range(16):
        page.rect(Box(_x(n / 16) + 2, 124, _x(1 / 16) - _x(0) - 4, 20), VIDEO, VIDEO, 0.22, radius=2, width=1)
    page.text((_x(0), 160), "feature_rate of them per second", 12, "start", ink=QUIET)
    name(208, ["frame_captions"], "one per sampled frame")
    for box, words in zip(frames, ("an onion", "an onion", "a knife", "a knife", "a pot", "a pot"), strict=True):
        page.arrow([(box.center[0], 178), (box.center[0], 194)], head=False)
        tag = Box(box.center[0] - 40, 196, 80, 24)
        page.rect(tag, TEXT, TEXT, 0.22, radius=3, width=1.2)
        page.text(tag.center, words, 12)
    name(252, ["steps"], "{label, start, end}")
    lane(256, STEPS, STEP)
    name(294, ["step_captions"], "a sentence per step")
    lane(
        298,
        [(a, b, f"a cook {words.split()[0]}s {'an onion' if 'onion' in words else 'a pot'}") for a, b, words in STEPS],
        TEXT,
    )
    name(336, ["transcript"], "{text, start, end}")
    lane(
        340,
        [
            (a + LATE, min(b + LATE, 1.0), words)
            for (a, b, _), words in zip(STEPS[:2], ("so we need an onion", "chop it nicely"), strict=True)
        ],
        TEXT,
    )
    page.text((_x(0.02), 340), "late", 12, "start", ink=QUIET)
    name(378, ["caption"], "of the whole clip")
    lane(382, [(0, 1, "someone prepares an onion soup")], TEXT)
    name(420, ["captions"], "or several of it")
    lane(417, [(0, 1, "a person cooks soup")], TEXT)
    lane(445, [(0, 1, "onions are cut and boiled")], TEXT)
    whole = (
        ("video_id", "its name"),
        ("split", "train, val, test"),
        ("task", "onion soup"),
        ("task_steps", "all steps' labels"),
        ("sentiment", "from -3 to 3"),
    )
    for n, (column, words) in enumerate(whole):
        box = Box(14 + 147 * n, 472, 138, 46)
        page.rect(box, RIGHT if column == "sentiment" else GREY, LINE, 0.15, radius=5)
        page.text((box.center[0], 487), column, 12.5, bold=True)
        page.text((box.center[0], 504), words, 12, ink=QUIET)
        written.append(column)
    assert set(written) == set(COLUMNS), set(written) ^ set(COLUMNS)
    told = "; ".join(f"{column}: {COLUMNS[column].meaning}" for column in COLUMNS)
    return Drawing(page, "The schema", f"The columns of the one schema along the time of a clip. {told}.")


def _x(share: float) -> float:
    return LEFT + share * (RIGHT_EDGE - LEFT)
