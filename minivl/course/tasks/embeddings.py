"""What UniVL's video encoder and cross encoder read: embeddings with positions and types.

Sizes: N clips of W words and T frames, F numbers per frame, hidden size D, P positions.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from minivl.course.task import task


@task(points=2, gradients=True)
def embed_frames(
    features: Tensor,
    frame_norm: Callable[[Tensor], Tensor],
    project: Callable[[Tensor], Tensor],
    positions: Tensor,
    norm: Callable[[Tensor], Tensor],
) -> Tensor:
    """What the video encoder reads: frame features as hidden states that know their place.

        x_t = norm( project( frame_norm(feature_t) ) + position_t )

    features (N, T, F); positions (P, D), the first frame of each clip has the first one
    frame_norm, project, norm   layers of the model: LayerNorm of F numbers, F -> D, LayerNorm of D numbers
    -> (N, T, D)
    """
    return norm(project(frame_norm(features)) + positions[: features.shape[1]])


@embed_frames.set_cases
def _embed_cases(draw):
    yield "one clip of two frames", {"features": draw(1, 2, 3), **_video_layers(draw, 3, 4, places=2)}
    yield "more positions than frames", {"features": 3 * draw(2, 3, 5), **_video_layers(draw, 5, 4, places=6)}
    yield "more clips than frames", {"features": draw(4, 2, 4), **_video_layers(draw, 4, 4, places=5)}


def _video_layers(draw, F, D, places):
    project = draw(D, F)
    return {
        "frame_norm": _layer_norm(draw, F),
        "project": lambda x: x @ project.T,
        "positions": draw(places, D),
        "norm": _layer_norm(draw, D),
    }


def _layer_norm(draw, size):
    """A LayerNorm that was trained, and refuses what it was not made for."""
    weight, bias = draw(size), draw(size)
    return lambda x: layer_norm(x, (size,), weight, bias)


@embed_frames.mistake("There are no positions: attention would not know one order of the frames from another.")
def _no_positions(features, frame_norm, project, positions, norm):
    return norm(project(frame_norm(features)))


@embed_frames.mistake("The first frame has the second position: count from 0.")
def _positions_from_one(features, frame_norm, project, positions, norm):
    shifted = positions[torch.arange(1, features.shape[1] + 1) % len(positions)]
    return norm(project(frame_norm(features)) + shifted)


@embed_frames.mistake("All frames have the same position. Frame t has position t.")
def _one_position_for_all(features, frame_norm, project, positions, norm):
    return norm(project(frame_norm(features)) + positions[0])


@embed_frames.mistake("The position is the clip's number in the batch. It has to be the frame's number in its clip.")
def _number_of_the_clip(features, frame_norm, project, positions, norm):
    return norm(project(frame_norm(features)) + positions[torch.arange(len(features)) % len(positions)][:, None])


@embed_frames.mistake("`frame_norm` is not used: features of a frame differ in size by orders of magnitude.")
def _features_as_they_are(features, frame_norm, project, positions, norm):
    return norm(project(features) + positions[: features.shape[1]])


@embed_frames.mistake("The positions are added after `norm`. They belong inside: norm( projected + position ).")
def _positions_after_norm(features, frame_norm, project, positions, norm):
    return norm(project(frame_norm(features))) + positions[: features.shape[1]]


@embed_frames.mistake("The last `norm` is missing: what the first layer reads is normalised.")
def _norm_forgotten(features, frame_norm, project, positions, norm):
    return project(frame_norm(features)) + positions[: features.shape[1]]


@task(points=3, gradients=True)
def cross_input(
    text: Tensor,
    text_mask: Tensor,
    video: Tensor,
    video_mask: Tensor,
    positions: Tensor,
    types: Tensor,
    norm: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """What the cross encoder reads: all places for words, behind them all frames, as one sequence.

        x = norm( [text ; video] + position + type )

    Positions are counted through: the first frame has position W, whatever of the text is padding. Words are of type
    0, frames of type 1.

    text (N, W, D), video (N, T, D), what the two encoders made; masks (N, W) and (N, T); positions (P, D); types (2, D)
    norm   LayerNorm of D numbers
    -> x (N, W+T, D), and the mask of the sequence (N, W+T)
    """
    x = torch.cat([text + types[0], video + types[1]], 1)
    return norm(x + positions[: x.shape[1]]), torch.cat([text_mask, video_mask], 1)


@cross_input.set_cases
def _cross_cases(draw):
    yield "one clip of two words and one frame", _pair(draw, [2], [1])
    yield "padding", _pair(draw, [4, 2, 3], [1, 3, 2])
    yield "as many words as frames", _pair(draw, [3, 2], [2, 3])


def _pair(draw, words, frames):
    sizes = {"text": words, "video": frames}
    inputs = {}
    for name, lengths in sizes.items():
        inputs[name] = draw(len(lengths), max(lengths), 4)
        inputs[f"{name}_mask"] = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {**inputs, "positions": draw(9, 4), "types": draw(2, 4), "norm": _layer_norm(draw, 4)}


def _joined(parts, masks, positions, types, norm):
    """norm( parts + positions + types ), and the masks, joined; positions and types of each part (..., D)."""
    x = [part + place + kind for part, place, kind in zip(parts, positions, types, strict=True)]
    return norm(torch.cat(x, 1)), torch.cat(masks, 1)


def _places(positions, text, video):
    """Positions of words and of frames."""
    W, T = text.shape[1], video.shape[1]
    return positions[:W], positions[W : W + T]


@cross_input.mistake(
    "The frames come first. Words come first, as [CLS] stands at place 0, where the pooled output is read."
)
def _frames_first(text, text_mask, video, video_mask, positions, types, norm):
    parts, masks = [video, text], [video_mask, text_mask]
    return _joined(parts, masks, _places(positions, video, text), types.flip(0), norm)


@cross_input.mistake("The types are swapped: words are of type 0 and frames of type 1.")
def _types_swapped(text, text_mask, video, video_mask, positions, types, norm):
    return _joined([text, video], [text_mask, video_mask], _places(positions, text, video), types.flip(0), norm)


@cross_input.mistake(
    "Words and frames get no type. (If you add the *numbers* 0 and 1: LayerNorm takes out again what is added to all D "
    "numbers alike. types[0] and types[1] are vectors.)"
)
def _no_types(text, text_mask, video, video_mask, positions, types, norm):
    return _joined([text, video], [text_mask, video_mask], _places(positions, text, video), 0 * types, norm)


@cross_input.mistake("Positions start again at 0 with the first frame. They are counted through: it has position W.")
def _positions_start_again(text, text_mask, video, video_mask, positions, types, norm):
    places = positions[: text.shape[1]], positions[: video.shape[1]]
    return _joined([text, video], [text_mask, video_mask], places, types, norm)


@cross_input.mistake(
    "The first frame has the position after the last real word. It has position W in each clip, padding included."
)
def _after_the_last_word(text, text_mask, video, video_mask, positions, types, norm):
    behind = text_mask.sum(1, keepdim=True) + torch.arange(video.shape[1])  # (N, T)
    places = positions[: text.shape[1]], positions[behind]
    return _joined([text, video], [text_mask, video_mask], places, types, norm)


@cross_input.mistake("There are no positions: the order of the words is lost.")
def _positions_forgotten(text, text_mask, video, video_mask, positions, types, norm):
    return _joined([text, video], [text_mask, video_mask], _places(0 * positions, text, video), types, norm)


@cross_input.mistake("The mask is all ones: padding of the text now stands in the middle of the sequence, as if real.")
def _padding_is_real(text, text_mask, video, video_mask, positions, types, norm):
    masks = [torch.ones_like(text_mask), torch.ones_like(video_mask)]
    return _joined([text, video], masks, _places(positions, text, video), types, norm)


@cross_input.mistake("`norm` is missing: what the first layer reads is normalised.")
def _not_normalised(text, text_mask, video, video_mask, positions, types, norm):
    return _joined([text, video], [text_mask, video_mask], _places(positions, text, video), types, lambda x: x)
