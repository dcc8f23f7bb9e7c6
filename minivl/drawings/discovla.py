"""DiscoVLA: which token reads which, how captions find frames, and who teaches whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box
from minivl.drawings.style import GREY, LINE, MODULE_COLORS, PART_COLORS, QUIET, RIGHT

TEXT, VIDEO = MODULE_COLORS["text"], MODULE_COLORS["video"]
# Cosines of four captions with four frames, and CLIP's scale made small enough to see
SAYS = ["takes an onion", "heats a pot", "cuts it", "cuts it fine"]
K = np.array([[0.82, 0.35, 0.30, 0.11], [0.05, 0.16, 0.24, 0.57], [0.25, 0.70, 0.58, 0.15], [0.22, 0.66, 0.62, 0.20]])
SCALE = 5.0


def matching(cosines: np.ndarray, scale: float) -> dict[str, Any]:
    """What PImgAlign makes of the cosines K (T, F) of one pair: best matches, their weights, and I."""
    of_captions, of_frames = cosines.max(1), cosines.max(0)
    weights = {}
    for name, best in (("captions", of_captions), ("frames", of_frames)):
        e = np.exp(scale * (best - best.max()))
        weights[name] = e / e.sum()
    I = float((weights["captions"] @ of_captions + weights["frames"] @ of_frames) / 2)
    return {"m1": of_captions, "w1": weights["captions"], "m2": of_frames, "w2": weights["frames"], "I": I}


def caption_frame_matching() -> Drawing:
    """PImgAlign: every caption looks for its best frame, every frame for its best caption; good matches count most."""
    page, found, side = Canvas(452), matching(K, SCALE), 58
    left, top = 190, 92
    page.text((left + 2 * side, 20), "cosines K (T, F)", 14, bold=True)
    for f, box in enumerate(page.film((left + 10, 38), 4, 38, VIDEO, gap=side - 38)):
        page.text((box.center[0], 84), f"frame {f + 1}", 12, ink=QUIET)
    for t, words in enumerate(SAYS):
        page.text((left - 12, top + (t + 0.5) * side), words, 12.5, "end")
    for t in range(4):
        for f in range(4):
            cell = Box(left + f * side, top + t * side, side, side)
            page.rect(cell, VIDEO, LINE, float(K[t, f]) ** 2 * 0.6, radius=0, width=0.8)
            page.text(
                (cell.center[0], cell.center[1]), f"{K[t, f]:.2f}", 12.5, bold=K[t, f] in (K[t].max(), K[:, f].max())
            )
            if K[t, f] == K[t].max():
                page.rect(Box(cell.x + 3, cell.y + 3, side - 6, side - 6), None, TEXT, width=3)
            if K[t, f] == K[:, f].max():
                page.rect(Box(cell.x + 8, cell.y + 8, side - 16, side - 16), None, VIDEO, width=3)
    right, low = left + 4 * side, top + 4 * side
    page.lines_of_text((right + 78, 62), ["best cosine ·", "weight (T,)"], 12, ink=QUIET)
    for t in range(4):
        y = top + (t + 0.5) * side
        page.arrow([(right + 6, y), (right + 30, y)], color=TEXT)
        _weight(page, Box(right + 36, y - 18, 84, 36), float(found["m1"][t]), float(found["w1"][t]), TEXT)
    page.lines_of_text((left - 12, low + 44), ["best cosine ·", "weight (F,)"], 12, anchor="end", ink=QUIET)
    for f in range(4):
        x = left + (f + 0.5) * side
        page.arrow([(x, low + 6), (x, low + 26)], color=VIDEO)
        _weight(page, Box(x - 27, low + 30, 54, 42), float(found["m2"][f]), float(found["w2"][f]), VIDEO)
    node = Box(right + 180, low - 8, 128, 62)
    page.node(node, ["I of this pair", f"{found['I']:.2f}"], PART_COLORS["PImgAlign"])
    page.arrow(
        [(right + 124, top + 2 * side), (node.x + 64, top + 2 * side), (node.x + 64, node.y)],
        "sum",
        at=(right + 150, top + 2 * side - 12),
        anchor="middle",
    )
    page.arrow(
        [(right + 4, low + 51), (right + 100, low + 51), (right + 100, node.center[1]), node.left],
        "sum",
        at=(right + 60, low + 39),
        anchor="middle",
    )
    page.lines_of_text((node.x + 64, node.y + 80), ["one cell of I (B, B)", "mean of both sums"], 12, ink=QUIET)
    page.text(
        (20, 438),
        f"Orange: a caption's best frame. Blue: a frame's best caption. Weights: softmax of the best "
        f"cosines at scale {SCALE:g}.",
        12,
        "start",
    )
    best = ", ".join(
        f"“{w}” frame {int(K[t].argmax()) + 1} ({K[t].max():.2f}, weight {found['w1'][t]:.2f})"
        for t, w in enumerate(SAYS)
    )
    alt = (
        f"PImgAlign's matching of four captions and four frames. Best frame of each caption: {best}. Each frame "
        "looks for "
        f"its best caption in the same way. The mean of both weighted sums is the image-level similarity I = "
        f"{found['I']:.2f}. "
        "Caption and frame of the same number are not tied to each other."
    )
    return Drawing(page, "PImgAlign", alt)


def _weight(page: Canvas, box: Box, best: float, weight: float, color: str) -> None:
    """A best cosine and its weight, the second also as a bar."""
    page.rect(box, None, LINE, radius=3, width=0.8)
    page.rect(Box(box.x, box.y + box.height - 6, box.width * weight, 6), color, None, 0.8, radius=1)
    wide = box.width > 60
    if wide:
        page.text((box.center[0], box.y + 14), f"{best:.2f} · {weight:.2f}", 12)
    else:
        page.lines_of_text((box.center[0], box.y + 10), [f"{best:.2f}", f"· {weight:.2f}"], 12, step=1.2)


TEACHER = np.array([[0.62, 0.20, 0.31], [0.25, 0.58, 0.22], [0.36, 0.18, 0.55]])
STUDENT = np.array([[0.41, 0.36, 0.33], [0.30, 0.44, 0.37], [0.34, 0.28, 0.46]])
ROW_SCALE = 8.0


def divergences(teacher: np.ndarray, student: np.ndarray, scale: float) -> np.ndarray:
    """KL from the student's to the teacher's softmax of each row, (N,)."""
    from minivl.plots.alignment import row_divergence

    return row_divergence(teacher, student, scale)


def distillation() -> Drawing:
    """AlignDistill: the image-level matrix I as teacher of the video-level matrix S, row by row and column by "
    "column."""
    from minivl.plots.alignment import row_softmax

    page, color = Canvas(350), PART_COLORS["AlignDistill"]
    rows = divergences(TEACHER, STUDENT, ROW_SCALE)
    for x, matrix, name, from_, shade in (
        (34, TEACHER, "teacher I (B, B)", ["captions of frames", "with frames (PImgAlign)"], PART_COLORS["PImgAlign"]),
        (496, STUDENT, "student S (B, B)", ["caption of the video", "with the mean of frames"], VIDEO),
    ):
        page.text((x + 115, 24), name, 14.5, bold=True)
        page.lines_of_text((x + 115, 46), from_, 12, ink=QUIET)
        p = row_softmax(matrix, ROW_SCALE)
        for i in range(3):
            for j in range(3):
                cell = Box(x + 24 + 62 * j, 84 + 62 * i, 62, 62)
                page.rect(cell, None, LINE, radius=0, width=0.8)
                bar = 34 * p[i, j]
                page.rect(Box(cell.x + 8, cell.y + 42 - bar, 46, bar), RIGHT if i == j else shade, None, 0.75, radius=1)
                page.text((cell.center[0], cell.y + 52), f"{p[i, j]:.2f}", 12)
        page.text((x + 117, 288), "videos", 12, ink=QUIET)
    page.text((52, 177), "texts", 12, "end", ink=QUIET)
    for i, kl in enumerate(rows):
        y = 84 + 62 * (i + 0.5)
        page.arrow([(254, y), (512, y)], color=color, width=3)
        page.text((383, y - 14), f"KL of row {i + 1}: {kl:.2f}", 13)
    page.arrow([(151, 300), (151, 316), (613, 316), (613, 300)], color=color, dashed=True, width=2)
    page.text((382, 334), "and the same for columns: videos choose texts", 12, ink=QUIET)
    values = ", ".join(f"{kl:.2f}" for kl in rows)
    alt = (
        f"AlignDistill. Each row of the teacher's matrix I and of the student's matrix S is a softmax over the "
        "videos at scale "
        f"{ROW_SCALE:g}; arrows lead from each row of I to the same row of S with the divergence that is to become "
        "small: "
        f"{values}. The teacher's rows are sharper than the student's. The same is done for columns."
    )
    return Drawing(page, "AlignDistill", alt)


def discovla_modules() -> Drawing:
    """DiscoVLA on one page: what is encoded by which tower, and the three losses."""
    page = Canvas(408)
    fusion, kept = PART_COLORS["IVFusion"], GREY
    rows: Sequence[tuple[float, str, str, str, str]] = (
        (56, "caption of the video", "Text tower", "never fuses", "(B, L)"),
        (176, "F frames", "Vision tower", "last blocks fuse", "(B, F, 3, H, W)"),
        (322, "F captions of frames", "Text tower", "last blocks fuse", "(B, F, L)"),
    )
    for y, name, tower, fuses, shape in rows:
        color = VIDEO if tower == "Vision tower" else TEXT
        page.text((74, y - 14), name, 12.5)
        if tower == "Vision tower":
            page.film((24, y - 1), 4, 22, VIDEO, gap=4)
        else:
            page.chips((14, y - 2), ["[SOT]", "…", "[EOT]"], TEXT, gap=4)
        page.arrow([(140, y + 10), (246, y + 10)], shape, at=(192, y - 5), anchor="middle")
        page.rect(Box(246, y - 20, 130, 62), color, color, 0.2, radius=7, width=2)
        page.text((311, y - 2), tower, 13.5, bold=True)
        last = Box(254, y + 14, 114, 20)
        page.rect(last, fusion if "last" in fuses else kept, None, 0.35)
        page.text(last.center, fuses, 12)
    page.node(Box(606, 96, 140, 54), ["S (B, B)", "video level"], VIDEO)
    page.node(Box(606, 256, 140, 54), ["I (B, B)", "image level"], PART_COLORS["PImgAlign"])
    page.arrow([(376, 66), (640, 66), (640, 96)], "text (B, D)", at=(500, 53), anchor="middle")
    page.arrow([(376, 178), (470, 178), (470, 130), (606, 130)], "mean (B, D)", at=(540, 117), anchor="middle")
    page.arrow([(376, 194), (470, 194), (470, 276), (606, 276)], "frames (B, F, D)", at=(538, 263), anchor="middle")
    page.arrow([(376, 344), (640, 344), (640, 310)], "captions (B, F, D)", at=(500, 331), anchor="middle")
    page.arrow([(676, 256), (676, 150)], color=PART_COLORS["AlignDistill"], width=4)
    page.text((668, 203), "AlignDistill", 12.5, "end", bold=True)
    page.text((702, 326), "PImgAlign", 12.5, bold=True)
    page.rect(Box(14, 382, 14, 14), fusion, None, 0.35)
    page.text(
        (36, 389),
        "IVFusion: class tokens read all frames (or all captions). LoRA in every attention. Lowest row: training only.",
        12,
        "start",
    )
    alt = (
        "DiscoVLA on one page. The caption of the video goes through the text tower, which never fuses, to (B, D); F "
        "frames go "
        "through the vision tower, whose last blocks fuse, to frame features (B, F, D) and their mean (B, D): their "
        "cosines "
        "are S, the video level. In training only, F captions of frames go through the text tower with fusion to (B, "
        "F, D) "
        "and meet the frame features in I, the image level, which is PImgAlign. AlignDistill leads from I to S. LoRA "
        "is in "
        "every attention."
    )
    return Drawing(page, "DiscoVLA", alt)
