"""What DiscoVLA puts into CLIP's attention. Sizes: S frames (B videos of F) of N tokens, h heads of size d, W = h d."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from minivl.course.task import task
from minivl.discovla import lora
from minivl.discovla.ivfusion import attend


def _use(answer, width, rank, A, B, x):
    """A fresh module on x, and the same with other weights."""
    torch.manual_seed(0)
    module = answer(width, rank)
    if not isinstance(module.A, Tensor) or not isinstance(module.B, Tensor):
        raise TypeError(f"A and B must be nn.Parameter, not {type(module.A).__name__} and {type(module.B).__name__}")
    fresh = module(x).detach()
    found = {"shape of A": list(module.A.shape), "shape of B": list(module.B.shape)}
    found |= {
        "answer to 'are A and B parameters?'": isinstance(module.A, nn.Parameter) and isinstance(module.B, nn.Parameter)
    }
    found |= {"answer to 'does A start at random?'": bool(module.A.any()), "result of a fresh module": fresh}
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


@task(points=3, gradients=True)
def class_token_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: int,
    output: Callable[[Tensor], Tensor],
    adapter: Callable[[Tensor], Tensor],
) -> Tensor:
    """IVFusion: what the class token of each frame, token 0, becomes: video level + adapter(image level).

        image level: it attends to all tokens of its own frame
        video level: it attends to all tokens of all frames of its video
        both:        output( softmax(q kᵀ / √d) v ), in each head, the heads joined before `output`

    q, k, v (S, N, h, d): S = B * frames, the frames of a video are neighbours
    output, adapter   CLIP's output projection and the fusion adapter: (..., W) -> (..., W), W = h * d
    -> (S, W)
    """
    S, N, h, d = k.shape
    image = output(attend(q[:, :1], k, v).squeeze(1))  # (S, W)
    q, k, v = (x.reshape(S // frames, -1, h, d) for x in (q[:, :1], k, v))
    return output(attend(q, k, v).reshape(S, h * d)) + adapter(image)


@class_token_attention.set_cases
def _class_token_cases(draw):
    yield "one video of one frame", _tokens(draw, 1, 1, 3, 1, 4)
    yield "one video of two frames", _tokens(draw, 2, 2, 3, 2, 4)
    yield "two videos of three frames", _tokens(draw, 6, 3, 2, 2, 3)


def _tokens(draw, S, frames, N, h, d):
    first, second = draw(h * d, h * d), draw(h * d, h * d)
    q, k, v = (draw(S, N, h, d) for _ in range(3))
    layers = {"output": lambda x: x @ first, "adapter": lambda image: (image @ second).tanh()}
    return {"q": q, "k": k, "v": v, "frames": frames, **layers}


def _levels(q, k, v, frames, output, tokens=None):
    """Image level, video level: (S, W) each. tokens: of each frame, those that the video level attends to."""
    S, N, h, d = k.shape
    image = output(attend(q[:, :1], k, v).squeeze(1))
    q, k, v = (x.reshape(S // frames, -1, h, d) for x in (q[:, :1], k[:, :tokens], v[:, :tokens]))
    return image, output(attend(q, k, v).reshape(S, h * d))


@class_token_attention.mistake("The image level alone: no class token looks at the other frames of its video.")
def _image_level(q, k, v, frames, output, adapter):
    return _levels(q, k, v, frames, output)[0]


@class_token_attention.mistake("The video level alone: what a frame shows by itself comes back through the adapter.")
def _video_level(q, k, v, frames, output, adapter):
    return _levels(q, k, v, frames, output)[1]


@class_token_attention.mistake("The adapter is on the wrong level: it lets the *image* level into the video level.")
def _adapter_on_video(q, k, v, frames, output, adapter):
    image, video = _levels(q, k, v, frames, output)
    return image + adapter(video)


@class_token_attention.mistake('That is the strategy "average". IVFusion is video level + adapter(image level).')
def _average(q, k, v, frames, output, adapter):
    return sum(_levels(q, k, v, frames, output)) / 2


@class_token_attention.mistake(
    "At the video level class tokens attend to *all* tokens of all frames, not to class tokens."
)
def _class_tokens_alone(q, k, v, frames, output, adapter):
    image, video = _levels(q, k, v, frames, output, tokens=1)
    return video + adapter(image)


@class_token_attention.mistake(
    "Frames of other videos are looked at: part the batch into videos of `frames` frames each."
)
def _whole_batch(q, k, v, frames, output, adapter):
    image, video = _levels(q, k, v, len(q), output)
    return video + adapter(image)


@class_token_attention.mistake("The scores are not divided by √d, where d is the size of one head.")
def _unscaled(q, k, v, frames, output, adapter):
    image, video = _levels(q * q.shape[-1] ** 0.5, k, v, frames, output)
    return video + adapter(image)


@class_token_attention.mistake("`output`, CLIP's output projection, is forgotten: both levels go through it.")
def _no_output(q, k, v, frames, output, adapter):
    image, video = _levels(q, k, v, frames, lambda x: x)
    return video + adapter(image)
