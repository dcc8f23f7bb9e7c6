"""What DiscoVLA puts into CLIP's attention. Sizes: S frames (B videos of F) of N tokens, h heads of size d, W = h d."""

from collections.abc import Callable

from torch import Tensor

from minivl.course.task import task
from minivl.discovla.ivfusion import attend


def _level(q, k, v, output, frames=1, tokens=slice(None)):
    """Class tokens attend to `tokens` of all `frames` neighbours, of their own frame alone if that is 1 -> (S, W)."""
    S, _, h, d = k.shape
    q, k, v = (x.reshape(S // frames, -1, h, d) for x in (q[:, :1], k[:, tokens], v[:, tokens]))
    return output(attend(q, k, v).reshape(S, h * d))


@task(points=2, gradients=True)
def image_level_attention(q: Tensor, k: Tensor, v: Tensor, output: Callable[[Tensor], Tensor]) -> Tensor:
    """Image level: what the class token of each frame, token 0, sees in its own frame.

        output( softmax(q kᵀ / √d) v ), in each head, the heads joined before `output`

    q, k, v (S, N, h, d); only the class tokens ask, and they look at all N tokens of their frame
    output   CLIP's output projection: (..., W) -> (..., W), W = h * d
    -> (S, W)
    """
    return _level(q, k, v, output)


@image_level_attention.set_cases
def _image_level_cases(draw):
    yield "one frame, one head", _tokens(draw, 1, 3, 1, 4)
    yield "two frames, two heads", _tokens(draw, 2, 3, 2, 4)
    yield "six frames, three heads", _tokens(draw, 6, 4, 3, 2)


@task(points=2, gradients=True)
def video_level_attention(q: Tensor, k: Tensor, v: Tensor, frames: int, output: Callable[[Tensor], Tensor]) -> Tensor:
    """Video level: what the class token of each frame, token 0, sees in all frames of its video.

        output( softmax(q kᵀ / √d) v ), in each head, the heads joined before `output`

    q, k, v (S, N, h, d): S = B * frames, the frames of a video are neighbours; only the class tokens ask, and they look
    at all N tokens of all frames of their video
    output   CLIP's output projection: (..., W) -> (..., W), W = h * d
    -> (S, W)
    """
    return _level(q, k, v, output, frames)


@video_level_attention.set_cases
def _video_level_cases(draw):
    yield "one video of two frames", {**_tokens(draw, 2, 3, 1, 4), "frames": 2}
    yield "two videos of three frames", {**_tokens(draw, 6, 2, 2, 3), "frames": 3}
    yield "three videos of two frames", {**_tokens(draw, 6, 3, 2, 2), "frames": 2}


@task(points=2, gradients=True)
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
    return _level(q, k, v, output, frames) + adapter(_level(q, k, v, output))


@class_token_attention.set_cases
def _class_token_cases(draw):
    yield "one video of one frame", _with_adapter(draw, 1, 1, 3, 1, 4)
    yield "one video of two frames", _with_adapter(draw, 2, 2, 3, 2, 4)
    yield "two videos of three frames", _with_adapter(draw, 6, 3, 2, 2, 3)


def _tokens(draw, S, N, h, d):
    matrix = draw(h * d, h * d)
    q, k, v = (draw(S, N, h, d) for _ in range(3))
    return {"q": q, "k": k, "v": v, "output": lambda x: x @ matrix}


def _with_adapter(draw, S, frames, N, h, d):
    matrix = draw(h * d, h * d)
    return {**_tokens(draw, S, N, h, d), "frames": frames, "adapter": lambda image: (image @ matrix).tanh()}


def _one_head(q, k, v, output, frames):
    q, k, v = (x.flatten(2)[:, :, None] for x in (q, k, v))
    return _level(q, k, v, output, frames)


# Usual mistakes of all three: (name, hint, what is computed in place of `_level`)

WRONG_ATTENTIONS = [
    (
        "unscaled",
        "The scores are not divided by √d, where d is the size of one head.",
        lambda q, k, v, output, frames: _level(q * q.shape[-1] ** 0.5, k, v, output, frames),
    ),
    (
        "heads_not_parted",
        "All heads have the same weights: the scores of a head are products of its own d numbers alone.",
        _one_head,
    ),
    (
        "no_output",
        "`output`, CLIP's output projection, is forgotten.",
        lambda q, k, v, output, frames: _level(q, k, v, lambda x: x, frames),
    ),
    (
        "without_itself",
        "The class token leaves itself out. It attends to all tokens, and it is one of them.",
        lambda q, k, v, output, frames: _level(q, k, v, output, frames, slice(1, None)),
    ),
    (
        "another_token_asks",
        "It is the last token of a frame that asks with you. The class token is token 0.",
        lambda q, k, v, output, frames: _level(q.flip(1), k, v, output, frames),
    ),
]


def _image(attention):
    return lambda q, k, v, output: attention(q, k, v, output, 1)


def _video(attention):
    return lambda q, k, v, frames, output: attention(q, k, v, output, frames)


def _fused(attention=_level, fuse=lambda image, video, adapter: video + adapter(image)):
    def _fuse(q, k, v, frames, output, adapter):
        return fuse(attention(q, k, v, output, 1), attention(q, k, v, output, frames), adapter)

    return _fuse


for _name, _hint, _attention in WRONG_ATTENTIONS:
    image_level_attention.add_mistake(_name, _hint, _image(_attention))
    video_level_attention.add_mistake(_name, _hint, _video(_attention))
    class_token_attention.add_mistake(_name, _hint, _fused(_attention))

image_level_attention.add_mistake(
    "whole_batch",
    "Class tokens look at the tokens of all frames. At the image level each sees its own frame alone.",
    _image(lambda q, k, v, output, _: _level(q, k, v, output, len(q))),
)

# Usual mistakes of the two that know videos


def _class_tokens_alone(q, k, v, output, frames):
    return _level(q, k, v, output, frames, slice(None) if frames == 1 else slice(1))


def _whole_batch(q, k, v, output, frames):
    return _level(q, k, v, output, 1 if frames == 1 else len(q))


WRONG_VIDEOS = [
    (
        "class_tokens_alone",
        "At the video level class tokens attend to *all* tokens of all frames, not to class tokens.",
        _class_tokens_alone,
    ),
    (
        "whole_batch",
        "Frames of other videos are looked at: part the batch into videos of `frames` frames each.",
        _whole_batch,
    ),
]
for _name, _hint, _attention in WRONG_VIDEOS:
    video_level_attention.add_mistake(_name, _hint, _video(_attention))
    class_token_attention.add_mistake(_name, _hint, _fused(_attention))


@video_level_attention.mistake("That is the image level: each class token sees its own frame alone.")
def _own_frame(q, k, v, frames, output):
    return _level(q, k, v, output)


@video_level_attention.mistake(
    "You take the mean of what each frame finds by itself. One softmax has to run over the tokens of all frames."
)
def _mean_of_frames(q, k, v, frames, output):
    found = _level(q, k, v, output).unflatten(0, (-1, frames))  # (B, frames, W)
    return found.mean(1, keepdim=True).expand_as(found).flatten(0, 1)


# Usual ways to fuse the two levels otherwise

WRONG_FUSIONS = [
    (
        "image_level",
        "The image level alone: no class token looks at the other frames of its video.",
        lambda image, video, adapter: image,
    ),
    (
        "video_level",
        "The video level alone: what a frame shows by itself comes back through the adapter.",
        lambda image, video, adapter: video,
    ),
    (
        "adapter_on_video",
        "The adapter is on the wrong level: it lets the *image* level into the video level.",
        lambda image, video, adapter: image + adapter(video),
    ),
    (
        "average",
        'That is the strategy "average". IVFusion is video level + adapter(image level).',
        lambda image, video, adapter: (image + video) / 2,
    ),
]
for _name, _hint, _fuse in WRONG_FUSIONS:
    class_token_attention.add_mistake(_name, _hint, _fused(fuse=_fuse))
