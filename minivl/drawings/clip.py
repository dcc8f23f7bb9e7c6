"""CLIP on videos: how it finds them, what is missing there, and when a gap between texts and videos matters."""

import numpy as np

from minivl.drawings.canvas import Canvas
from minivl.drawings.discovla import STUDENT, TEACHER
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box, text_width
from minivl.drawings.style import GREY, INK, LINE, MODULE_COLORS, PART_COLORS, QUIET, RIGHT

TEXT, VIDEO = MODULE_COLORS["text"], MODULE_COLORS["video"]
FUSION = PART_COLORS["IVFusion"]


def clip_on_videos() -> Drawing:
    """Text-video retrieval with CLIP, zero-shot or with LoRA and IVFusion: from frames and words to one cosine."""
    page = Canvas(318)
    page.text((100, 22), "F frames of a clip", 12.5)
    page.film((22, 40), 4, 36, VIDEO)
    page.arrow([(188, 58), (278, 58)], "(F, 3, H, W)", at=(232, 46), anchor="middle")
    page.rect(Box(278, 26, 150, 64), VIDEO, VIDEO, 0.2, radius=7, width=2)
    page.text((353, 44), "Vision tower", 13.5, bold=True)
    last = Box(288, 60, 130, 22)
    page.rect(last, FUSION, None, 0.35)
    page.text(last.center, "last: IVFusion", 12)
    page.arrow([(428, 58), (502, 58)], "(F, D)", at=(464, 46), anchor="middle")
    page.node(Box(502, 40, 76, 36), ["mean"], GREY, bold=False)
    page.arrow([(578, 58), (652, 58), (652, 116)], "video (D)", at=(660, 88))
    page.node(Box(592, 116, 120, 40), ["cosine"], RIGHT)
    page.text((100, 184), "a caption", 12.5)
    words = ["[SOT]", "someone", "…", "[EOT]"]
    wide = sum(text_width(word, 12) + 10 for word in words) + 15
    page.chips((100 - wide / 2, 202), words, TEXT)
    page.arrow([(194, 213), (278, 213)], "words (L)", at=(234, 201), anchor="middle")
    page.node(Box(278, 191, 150, 44), ["Text tower"], TEXT)
    page.arrow([(428, 213), (652, 213), (652, 156)], "caption (D)", at=(660, 188))
    page.lines_of_text(
        (14, 262),
        [
            "Zero-shot: each frame goes through the tower on its own, and the cosine ranks the clips for a caption.",
            "IVFusion (green): in the last blocks the class token of a frame also reads all other frames.",
            "LoRA: a small change in every attention of both towers. Everything else stays as CLIP is.",
        ],
        12,
        anchor="start",
    )
    alt = (
        "Retrieval of videos with CLIP. F frames of a clip go through the vision tower to (F, D) and are averaged "
        "to one video (D); a caption goes through the text tower to (D); their cosine ranks the clips. Zero-shot, "
        "each frame is on its own. With IVFusion, in the tower's last blocks, the class token of a frame also "
        "reads all other frames; LoRA changes every attention of both towers a little."
    )
    return Drawing(page, "CLIP on videos", alt)


def discrepancies() -> Drawing:
    """The three discrepancies between CLIP's pretraining, image level, and retrieval of videos, video level."""
    page = Canvas(440)
    _level(page, 10, "Pretraining: image level", 1, ("a tomato in a pan", "says what is seen"))
    _cosines(page, 170, TEACHER, ["trained:", "own pairs high"])
    _level(page, 430, "Retrieval: video level", 5, ("someone makes a tomato salad", "tells what came of it"))
    _cosines(page, 590, STUDENT, ["never trained"])
    for y, name in ((66, "vision"), (224, "alignment"), (383, "language")):
        page.text((380, y - 14), name, 13, bold=True)
        page.arrow([(380, y), (426, y)], color=INK)
        page.arrow([(380, y), (334, y)], color=INK)
    alt = (
        "The three discrepancies. Left, CLIP's pretraining: one image goes through the vision tower, a caption "
        "that says what is seen through the text tower, and the cosines S of a batch were trained so that own "
        "pairs are high. Right, retrieval: the mean of F frames and a text that tells what came of it meet in a "
        "matrix S that was never trained, whose own pairs stand out less. Between them: vision, one image against "
        "many; language, what is seen against what came of it; alignment, the trained distributions against those "
        "that nothing has pulled apart."
    )
    return Drawing(page, "Three discrepancies", alt)


def _level(page: Canvas, x: float, title: str, frames: int, said: tuple[str, str]) -> None:
    """From frames, above, and from a text, below, to where they are compared."""
    middle, (words, how) = x + 160, said
    page.rect(Box(x, 10, 320, 420), None, LINE, radius=10)
    page.text((middle, 30), title, 14, bold=True)
    page.film((middle - (41 * frames - 5) / 2, 48), frames, 36, VIDEO)
    page.arrow([(middle, 86), (middle, 104)])
    page.node(Box(middle - 75, 104, 150, 34), ["Vision tower"], VIDEO)
    page.arrow([(middle, 138), (middle, 172)], "one image (B, D)" if frames == 1 else "mean of F frames (B, D)")
    page.arrow([(middle, 310), (middle, 276)], "(B, D)")
    page.node(Box(middle - 75, 310, 150, 34), ["Text tower"], TEXT)
    page.arrow([(middle, 370), (middle, 344)])
    wide = text_width(words, 12.5) + 20
    tag = page.rect(Box(middle - wide / 2, 370, wide, 26), TEXT, TEXT, 0.2, width=1.2)
    page.text(tag.center, words, 12.5)
    page.text((middle, 412), how, 12, ink=QUIET)


def _cosines(page: Canvas, middle: float, S: np.ndarray, told: list[str]) -> None:
    """S (texts, videos) as shades, and what was done for it."""
    side = 32
    for i, j in np.ndindex(*S.shape):
        cell = Box(middle - 48 + side * j, 176 + side * i, side, side)
        page.rect(cell, RIGHT if i == j else GREY, LINE, float(S[i, j]), radius=0, width=0.8)
    page.text((middle - 58, 224), "S (B, B)", 12, "end", ink=QUIET)
    page.lines_of_text((middle + 58, 216), told, 12, anchor="start", ink=QUIET)


def _directions(*degrees: float) -> np.ndarray:
    """Unit vectors (n, 3) in the plane of the first two axes."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles), np.zeros(len(angles))], axis=1)


VIDEOS, TEXTS = _directions(10, 85, 160), _directions(35, 105, 135)
SHIFTS = {  # d, as long as the embeddings
    "as they are": np.zeros(3),
    "d orthogonal to the videos": np.array([0.0, 0.0, 1.0]),
    "d along the videos": VIDEOS[1],
}


def choices(S: np.ndarray) -> tuple[list[int], list[int]]:
    """Of products S (texts, videos): the video that each text ranks first, and the text that each video does."""
    return S.argmax(1).tolist(), S.argmax(0).tolist()


def constant_shift() -> Drawing:
    """What the same shift d of all texts does to their products with the videos, orthogonal to these and along them."""
    page, told = Canvas(412), []
    for number, (name, d) in enumerate(SHIFTS.items()):
        left = 8 + 251 * number
        page.rect(Box(left, 8, 242, 348), None, LINE, radius=10)
        page.text((left + 121, 28), name, 13, bold=True)
        _clouds(page, left, d)
        S = (TEXTS + d) @ VIDEOS.T
        _products(page, left + 70, 220, S)
        by_text, by_video = choices(S)
        chosen = [", ".join(str(place + 1) for place in choice) for choice in (by_text, by_video)]
        page.text((left + 121, 326), f"texts choose videos {chosen[0]}", 12)
        page.text((left + 121, 344), f"videos choose texts {chosen[1]}", 12)
        told.append(f"{name}: texts 1, 2, 3 choose videos {chosen[0]}, and videos 1, 2, 3 choose texts {chosen[1]}")
    page.lines_of_text(
        (14, 374),
        [
            "Videos v span the plane. Numbers: (t + d) · v. Orange: the video that a text chooses. Blue: the text that",
            "a video chooses. Height above the plane does not count; along the plane, v2 gains most, with every text.",
        ],
        12,
        anchor="start",
    )
    alt = (
        "Three texts and three videos, and the same shift d of all texts. The videos span a plane. Products "
        f"(t + d) · v, {'; '.join(told)}. Lifted above the plane, the texts keep every product. Along the plane, "
        "video 2 gains most, with every text, and so all texts choose it, while every video still chooses the same "
        "text as before."
    )
    return Drawing(page, "A constant shift of all texts", alt)


def _clouds(page: Canvas, left: float, d: np.ndarray) -> None:
    """The plane of the videos seen from the side, videos on it, and texts before and after the shift."""

    def at(point: np.ndarray) -> tuple[float, float]:
        a, b, up = (float(value) for value in point)
        return left + 80 + 60 * a + 42 * b, 178 - 34 * b - 62 * up

    corners = [at(np.array(corner)) for corner in ((-1.1, 0, 0), (1.1, 0, 0), (1.1, 2.1, 0), (-1.1, 2.1, 0))]
    page.shape("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z", GREY, 0.15)
    for number, video in enumerate(VIDEOS):
        x, y = at(video)
        page.circle((x, y), 5, VIDEO)
        page.text((x, y + 14), f"v{number + 1}", 12)
    for number, text in enumerate(TEXTS):
        before, (x, y) = at(text), at(text + d)
        if d.any():
            page.circle(before, 3.5, TEXT, opacity=0.5)
            page.arrow([before, (x, y)], color=TEXT, width=1.4, dashed=d[2] != 0)
        page.circle((x, y), 5, TEXT)
        page.text((x, y - 13), f"t{number + 1}", 12)


def _products(page: Canvas, left: float, top: float, S: np.ndarray) -> None:
    """S (texts, videos) with what each of both chooses."""
    wide, high = 46, 30
    by_text, by_video = choices(S)
    for i, j in np.ndindex(*S.shape):
        cell = Box(left + wide * j, top + high * i, wide, high)
        page.rect(cell, GREY, LINE, 0.1, radius=0, width=0.8)
        page.text(cell.center, f"{S[i, j]:.2f}", 12, bold=j == by_text[i] or i == by_video[j])
        if j == by_text[i]:
            page.rect(Box(cell.x + 1.5, cell.y + 1.5, wide - 3, high - 3), None, TEXT, width=2.4)
        if i == by_video[j]:
            page.rect(Box(cell.x + 5, cell.y + 5, wide - 10, high - 10), None, VIDEO, width=2.4)
    for n in range(3):
        page.text((left + wide * (n + 0.5), top - 9), f"v{n + 1}", 12, ink=QUIET)
        page.text((left - 8, top + high * (n + 0.5)), f"t{n + 1}", 12, "end", ink=QUIET)
