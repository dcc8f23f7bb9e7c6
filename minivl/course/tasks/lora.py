"""LoRA, a small module that learns beside a frozen one."""

import math

import torch
from torch import Tensor, nn

from minivl.course.task import task
from minivl.discovla import lora


def _use(answer, width, rank, A, B, x):
    """A fresh module on x, and the same with other weights."""
    torch.manual_seed(0)
    module = answer(width, rank)
    if not isinstance(module, nn.Module):
        raise TypeError(f"LoRA(width, rank) must be an nn.Module, and is a {type(module).__name__}")
    parts = [getattr(module, name, None) for name in "AB"]
    if not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"self.A and self.B must be nn.Parameter, not {' and '.join(type(p).__name__ for p in parts)}")
    fresh = module(x)
    found = {"shape of A": list(module.A.shape), "shape of B": list(module.B.shape)}
    found |= {
        "answer to 'are A and B parameters?'": isinstance(module.A, nn.Parameter) and isinstance(module.B, nn.Parameter)
    }
    found |= {
        "answer to 'does A start at random?'": bool(module.A.any()),
        "result of a fresh module": fresh.detach() if isinstance(fresh, Tensor) else fresh,
    }
    if found["shape of A"] == list(A.shape) and found["shape of B"] == list(B.shape):
        module.A, module.B = nn.Parameter(A.detach()), nn.Parameter(B.detach())
    return found | {"result with other weights": module(x)}


class _LoRA(lora.LoRA):
    """LoRA: the low-rank change (x Aᵀ) Bᵀ of CLIP's query, key and value projections, which are one matrix.

    A and B are parameters; A starts at random and B at 0, so that a fresh LoRA changes nothing and still learns.

    LoRA(width, rank): A (rank, width), B (3 * width, rank); called with x (..., width) -> (..., 3 * width)
    """


LoRA = task(points=2, call=_use)(_LoRA)


@LoRA.set_cases
def _lora_cases(draw):
    yield "width 4, rank 2", {"width": 4, "rank": 2, "A": draw(2, 4), "B": draw(12, 2), "x": draw(3, 4)}
    yield "two frames of three tokens", {"width": 6, "rank": 1, "A": draw(1, 6), "B": draw(18, 1), "x": draw(2, 3, 6)}


class _Answer(nn.Module):
    def __init__(self, width: int, rank: int):
        super().__init__()
        self.A = nn.Parameter(torch.randn(rank, width) / math.sqrt(width))
        self.B = nn.Parameter(torch.zeros(3 * width, rank))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.A.T @ self.B.T


@LoRA.mistake(
    "B is random, so a fresh LoRA disturbs the pretrained model before it has learned anything. Start B at 0."
)
class _RandomB(_Answer):
    def __init__(self, width: int, rank: int):
        super().__init__(width, rank)
        nn.init.normal_(self.B)


@LoRA.mistake(
    "A and B are both 0: then the gradient of each is 0, too, and nothing is ever learned. Start A at random."
)
class _BothZero(_Answer):
    def __init__(self, width: int, rank: int):
        super().__init__(width, rank)
        nn.init.zeros_(self.A)


@LoRA.mistake("B has `width` rows, and there are three projections: query, key and value. Give it 3 * width.")
class _OneProjection(_Answer):
    def __init__(self, width: int, rank: int):
        super().__init__(width, rank)
        self.B = nn.Parameter(torch.zeros(width, rank))


@LoRA.mistake("x itself is part of the result. LoRA is the change alone; the frozen projection is added outside of it.")
class _WithX(_Answer):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.cat([x, x, x], -1)


@LoRA.mistake("A and B are plain tensors, which no optimizer sees: make them nn.Parameter.")
class _PlainTensors(nn.Module):
    def __init__(self, width: int, rank: int):
        super().__init__()
        self.A, self.B = torch.randn(rank, width), torch.zeros(3 * width, rank)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.A.T @ self.B.T


@LoRA.mistake("The result is divided by the rank. The LoRA paper has such a factor; DiscoVLA has none.")
class _DividedByRank(_Answer):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / len(self.A)
