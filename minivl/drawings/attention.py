"""The four attention strategies of DiscoVLA as grids, which the attention itself fills."""

from functools import cache

import numpy as np
import torch

from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box
from minivl.drawings.style import INK, LINE, QUIET, STRATEGY_COLORS

FRAMES, TOKENS = 3, 3  # of the grids: a class token and two patches per frame
EXPLAINED = {
    "image": ("image", "every token reads its own frame"),
    "video": ("video", "every token reads all frames"),
    "average": ("average", "class tokens: mean of both levels"),
    "adapter": ("adapter (IVFusion)", "video level + adapter(image level)"),
}


@cache
def _attention(strategy: str):
    """The package's attention with a strategy, small, in double precision, every weight at random."""
    from minivl.discovla.ivfusion import IVFusionAttention

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        attention = IVFusionAttention(torch.nn.MultiheadAttention(8, 2, batch_first=True), 2, strategy).double()
        for parameter in attention.parameters():
            torch.nn.init.normal_(parameter, std=0.3)  # LoRA and adapter begin at zero and would hide what they read
    return attention


def tokens_read(strategy: str) -> np.ndarray:
    """Which token reads which, by the attention itself: bool (F*N, F*N), row = reader, column = what is read.

    A token reads another if its output changes with the other's keys and values, which the gradient tells.
    """
    from minivl.discovla.ivfusion import Layout, first_tokens

    attention = _attention(strategy)
    x = torch.randn(FRAMES, TOKENS, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layout = Layout(first_tokens(x), frames=FRAMES)
    jacobian = torch.autograd.functional.jacobian(lambda x: attention(x, layout), x)  # (F, N, W, F, N, W)
    return (jacobian.abs().sum((2, 5)) > 0).reshape(FRAMES * TOKENS, FRAMES * TOKENS).numpy()


def attention_strategies() -> Drawing:
    """The four attention strategies (figure 3 of the paper) as grids: which token reads which."""
    page, told, side = Canvas(506), [], 17
    size = FRAMES * TOKENS
    for number, (strategy, (name, words)) in enumerate(EXPLAINED.items()):
        x, y = 24 + 380 * (number % 2), 20 + 240 * (number // 2)
        color, reads = STRATEGY_COLORS[strategy], tokens_read(strategy)
        page.rect(Box(x - 10, y - 10, 352, 230), None, LINE, radius=10)
        page.rect(Box(x + 2, y + 1, 14, 14), color, LINE, radius=3)
        page.text((x + 24, y + 8), name, 14, "start", bold=True)
        left, top = x + 70, y + 47
        cells = [(int(i), int(j)) for i, j in zip(*np.nonzero(reads), strict=True)]
        page.matrix(Box(left, top, side * size, side * size), size, size, cells, color)
        for frame in range(FRAMES):
            middle = (frame + 0.5) * TOKENS * side
            page.text((left + middle, top - 11), f"frame {frame + 1}", 12, ink=QUIET)
            page.text((left - 22, top + middle), f"frame {frame + 1}", 12, "end", ink=QUIET)
            for at in (
                Box(left + frame * TOKENS * side + 4, top + size * side + 3, side - 8, side - 8),
                Box(left - 15, top + frame * TOKENS * side + 4, side - 8, side - 8),
            ):
                page.rect(at, INK, None, radius=1)
            if frame:
                edge = frame * TOKENS * side
                page.arrow([(left + edge, top), (left + edge, top + size * side)], color=INK, head=False, width=1.6)
                page.arrow([(left, top + edge), (left + size * side, top + edge)], color=INK, head=False, width=1.6)
        page.lines_of_text((left + size * side + 16, top + 8), _wrapped(words), 12, anchor="start")
        counts = [int(reads[token].sum()) for token in (0, 1)]
        page.lines_of_text(
            (left + size * side + 16, top + 84),
            ["reads", f"class: {counts[0]}", f"patch: {counts[1]}"],
            12,
            anchor="start",
            ink=QUIET,
        )
        told.append(f"{name}: {words}; a class token reads {counts[0]} of {size} tokens, a patch {counts[1]}")
    page.rect(Box(24, 487, 9, 9), INK, None, radius=1)
    page.text(
        (40, 492),
        f"class token. Rows read columns: F = {FRAMES} frames of N = {TOKENS} tokens, one grid (F·N, F·N)",
        12,
        "start",
    )
    alt = (
        f"The four attention strategies as grids of {FRAMES} frames with a class token and {TOKENS - 1} patches each. "
    )
    return Drawing(page, "Four attention strategies", alt + "; ".join(told) + ".")


def _wrapped(words: str) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) > 12 and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
