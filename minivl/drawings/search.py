"""Search: how retrieval is scored, and how beam search writes."""

from collections.abc import Sequence

import numpy as np

from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box
from minivl.drawings.style import GREY, INK, LINE, MODULE_COLORS, QUIET, RIGHT, WRONG

VIDEO = MODULE_COLORS["video"]
S = np.array(
    [
        [0.71, 0.32, 0.28, 0.15, 0.22],
        [0.30, 0.64, 0.41, 0.27, 0.19],
        [0.45, 0.52, 0.38, 0.61, 0.12],
        [0.18, 0.25, 0.33, 0.58, 0.36],
        [0.27, 0.55, 0.21, 0.31, 0.49],
    ]
)
QUERY = 2  # the row that is followed


def evaluation_protocol() -> Drawing:
    """Retrieval's protocol: each query ranks the gallery; the rank of its own clip is what is scored."""
    from minivl.metrics.retrieval import retrieval_metrics

    scores = retrieval_metrics(S)["t2v"]
    ranks = 1 + (S > S.diagonal()[:, None]).sum(1)
    page, side, left, top = Canvas(400), 44, 120, 78
    page.text((left + 2.5 * side, 22), "similarity S (N texts, N videos)", 14, bold=True)
    page.film((left + 8, 42), 5, 28, VIDEO, gap=side - 28)
    page.text((left - 14, 56), "gallery", 12, "end", ink=QUIET)
    page.text((left + 5 * side + 36, 56), "rank", 12.5, bold=True)
    for i in range(5):
        y = top + (i + 0.5) * side
        page.text((left - 14, y), f"query {i + 1}", 12.5, "end", bold=i == QUERY)
        for j in range(5):
            cell = Box(left + j * side, top + i * side, side, side)
            page.rect(cell, RIGHT if i == j else GREY, LINE, 0.5 if i == j else 0.08, radius=0, width=0.8)
            page.text(cell.center, f"{S[i, j]:.2f}", 12)
        page.text((left + 5 * side + 36, y), str(ranks[i]), 14, bold=True, ink=INK)
    page.rect(Box(left - 3, top + QUERY * side - 1, 5 * side + 6, side + 2), None, INK, width=2.6)

    x = 430
    page.text((x + 150, 22), f"query {QUERY + 1} ranks the gallery", 14, bold=True)
    order = np.argsort(-S[QUERY])
    for place, video in enumerate(order):
        y, own = 46 + 40 * place, video == QUERY
        page.text((x + 16, y + 16), f"{place + 1}.", 12.5, "end")
        page.film((x + 26, y + 1), 3, 30, RIGHT if own else VIDEO)
        page.rect(Box(x + 136, y + 9, 90 * float(S[QUERY, video]), 14), RIGHT if own else GREY, None, 0.7, radius=2)
        page.text((x + 234, y + 16), f"{S[QUERY, video]:.2f}", 12, "start")
        if own:
            page.text((x + 276, y + 16), "its own", 12, "start", bold=True)
    page.arrow(
        [(left + 5 * side + 56, top + (QUERY + 0.5) * side), (x - 4, top + (QUERY + 0.5) * side)],
        "sort",
        at=(405, top + (QUERY + 0.5) * side - 11),
        anchor="middle",
    )
    page.rect(Box(20, 318, 720, 68), None, LINE, radius=8)
    shown = [
        f"ranks {', '.join(map(str, ranks))}",
        f"R@1 = {scores['R@1']:.0f}% (rank 1)",
        f"R@5 = {scores['R@5']:.0f}% (rank up to 5)",
        f"MedR = {scores['MedR']:g}",
        f"MnR = {scores['MnR']:g}",
    ]
    page.text((34, 338), "  ·  ".join(shown), 12.5, "start", bold=True)
    page.text(
        (34, 364),
        "Green: a query's own clip. Rank: 1 + clips that score higher. For video-to-text, columns are sorted.",
        12,
        "start",
        ink=QUIET,
    )
    alt = (
        f"The protocol of retrieval. {len(S)} queries are compared with a gallery of {len(S)} clips. Query "
        f"{QUERY + 1} sorts the "
        f"gallery and finds its own clip at rank {ranks[QUERY]}. Ranks of all queries: {', '.join(map(str, ranks))}; "
        f"R@1 is {scores['R@1']:.0f} percent, R@5 {scores['R@5']:.0f} percent, the median rank {scores['MedR']:g}, the "
        f"mean rank {scores['MnR']:g}."
    )
    return Drawing(page, "Evaluation of retrieval", alt)


Candidate = tuple[tuple[str, ...], float]


def beam_search(tree: Sequence[Sequence[Candidate]], beams: int) -> Drawing:
    """Beam search step by step: each step sorts all continuations, and keeps the best `beams`.

    tree   for each step (words so far, sum of log-probabilities), best first; more than `beams` may follow: those
           that were given up
    """
    rows = max(map(len, tree))
    wide, high = 740 / (len(tree) + 0.45), 58
    page = Canvas(96 + high * rows)
    start = Box(12, 62 + high * (beams - 1) / 2, 0.45 * wide - 22, 34)
    page.node(start, ["start"], GREY, bold=False)
    places: dict[tuple[str, ...], Box] = {(): start}
    best, alive = tree[-1][0][0], {words[:n] for words, _ in tree[-1][:beams] for n in range(1, len(words) + 1)}
    told, cut = [], 58 + high * beams - 8
    page.arrow([(start.x + start.width + 8, cut), (752, cut)], color=WRONG, head=False, dashed=True)
    for step, candidates in enumerate(tree):
        x = 12 + (0.45 + step) * wide
        page.text((x + wide / 2 - 14, 22), f"step {step + 1}", 14, bold=True)
        page.text((x + wide / 2 - 14, 42), f"sorted by sum of log p, {beams} kept", 12, ink=QUIET)
        now: dict[tuple[str, ...], Box] = {}
        for place, (words, score) in enumerate(candidates):
            kept = place < beams
            color = RIGHT if words == best[: len(words)] else VIDEO if kept and words in alive else GREY
            box = Box(x + 24, 62 + high * place, wide - 44, 40)
            parent = places.get(words[:-1]) or places.get(words)
            if parent:
                page.arrow(
                    [parent.right, box.left],
                    color=color if kept else LINE,
                    width=2.6 if color == RIGHT else 1.4,
                    dashed=not kept,
                )
            page.rect(box, color, color if kept else LINE, 0.22 if kept else 0.05, radius=6, dashed=not kept, width=1.8)
            page.text((box.center[0], box.y + 13), " ".join(words), 13, bold=color == RIGHT)
            page.text((box.center[0], box.y + 29), f"{score:.2f}, p = {np.exp(score):.2f}", 12, ink=QUIET)
            if kept:
                now[words] = box
        told.append(
            "step {}: kept {}, given up {}".format(
                step + 1,
                *(
                    "; ".join(f"“{' '.join(w)}” {s:.2f}" for w, s in part) or "nothing"
                    for part in (candidates[:beams], candidates[beams:])
                ),
            )
        )
        places = now
    page.text(
        (12, page.height - 18),
        f"Below the red line: given up, since {beams} are kept. Green: the caption that is found.",
        12,
        "start",
    )
    return Drawing(
        page, "Beam search", f"Beam search with {beams} beams, sums of log-probabilities. {'. '.join(told)}."
    )
