"""Probes of what retrieval scores don't tell: does a model still know single frames, moments, and their order?"""

from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from minivl.data.clips import ClipDataset
from minivl.data.sampling import frame_indices
from minivl.data.text import tokenize
from minivl.data.video import probe

if TYPE_CHECKING:
    from minivl.discovla.model import DiscoVLA

BATCH = 64  # clips that are encoded together


@torch.inference_mode()
def frame_accuracy(model: "DiscoVLA", data: ClipDataset) -> float:
    """Share of frames that find a caption of their own step among the frame captions of their clip, percent.

    Frames and captions are embedded as for retrieval (`encode_video`, `encode_caption`), so fusion acts on frames.
    Needs the columns `frame_captions` (one per sampled frame) and `steps` of the kitchen world. By chance it is some
    15 %.
    """
    right = [
        labels[similarity.argmax(1).cpu().numpy()] == labels for similarity, labels in _frames_and_captions(model, data)
    ]
    return float(100 * np.concatenate(right).mean())


@torch.inference_mode()
def moment_scores(model: "DiscoVLA", data: ClipDataset, shown: Sequence[Set[str]]) -> np.ndarray:
    """How well single moments are found: for each clip the share of its moments whose best clip is right, percent.

    The moments of a clip are those of its `frame_captions` that stand in `shown`: of each clip, all captions that a
    moment of it can have. Every one is a query for all clips (text to video), and any clip that shows it is right.
    Returns (N,), NaN for a clip without moments.
    """
    videos = [model.encode_video(*clips)[0] for clips in _clips(model, data)]
    told = [[c for c in own if c in can] for own, can in zip(data.rows["frame_captions"], shown, strict=True)]
    sentences = sorted({sentence for own in told for sentence in own})
    texts = normalize(embed_texts(model, data, sentences), dim=-1)
    best = (texts @ normalize(torch.cat(videos), dim=-1).T).argmax(1).tolist()
    right = {sentence: sentence in shown[video] for sentence, video in zip(sentences, best, strict=True)}
    return np.array([100 * np.mean([right[sentence] for sentence in own]) if own else np.nan for own in told])


@torch.inference_mode()
def order_scores(model: "DiscoVLA", data: ClipDataset, in_other_order: Callable[[str], str | None]) -> torch.Tensor:
    """Cosines (N, 2, 2), on the CPU, of clips as recorded and run backwards with "A then B" and "B then A".

    [i, 0, 0] is clip i with its own caption, [i, 1, 1] the clip run backwards with the caption in the other order.
    Captions for which `in_other_order` gives None, because they tell one thing only, are left out.
    """
    turned = [in_other_order(caption) for caption in data.captions]
    told = [i for i, other in enumerate(turned) if other is not None]
    both_ways = []
    for video, mask in _clips(model, data):
        ways = [model.encode_video(video, mask)[0], model.encode_video(video.flip(1), mask.flip(1))[0]]
        both_ways.append(torch.stack(ways, dim=1))  # (B, 2, D)
    videos = torch.cat(both_ways)[torch.as_tensor(data.video_of_text)[told]]  # (N, 2, D)
    as_told, other_way = [data.captions[i] for i in told], [other for other in turned if other is not None]
    captions = torch.stack([embed_texts(model, data, texts) for texts in (as_told, other_way)], dim=1)
    return (normalize(videos, dim=-1) @ normalize(captions, dim=-1).transpose(1, 2)).cpu()


def order_accuracy(model: "DiscoVLA", data: ClipDataset, in_other_order: Callable[[str], str | None]) -> float:
    """Share of clips that prefer their caption "A then B", and run backwards "B then A", percent.

    Both are asked of every clip, so a liking for one of two sentences gains nothing: a model that does not see the
    order of frames is right once and wrong once, exactly 50. Ties count half.
    """
    scores = order_scores(model, data, in_other_order)
    margins = torch.cat([scores[:, 0, 0] - scores[:, 0, 1], scores[:, 1, 1] - scores[:, 1, 0]])
    return float(100 * ((margins.sign() + 1) / 2).double().mean())


@torch.inference_mode()
def embed_texts(model: Any, data: ClipDataset, texts: Sequence[str]) -> Tensor:
    """Texts as retrieval reads captions (`encode_caption`), (N, D), on the device of the model."""
    device = next(model.parameters()).device
    ids, mask = (part.to(device) for part in tokenize(data.clip.tokenizer, list(texts), data.inputs.max_words))
    return torch.cat([model.encode_caption(*part) for part in zip(ids.split(256), mask.split(256), strict=True)])


def _clips(model, data):
    """Videos (B, F, 3, H, W) and masks (B, F) of all clips, in batches, on the device of the model."""
    device = next(model.parameters()).device
    for batch in data.video_batches(BATCH, progress=False):
        yield batch["video"].to(device), batch["video_mask"].to(device)


def _frames_and_captions(model, data):
    """For each clip cosines of frames and captions (F, F), and the steps that both belong to (F,)."""
    clip = 0
    for clips in _clips(model, data):
        frames = normalize(model.encode_video(*clips)[1], dim=-1)  # (B, F, D)
        told = data.rows.select(range(clip, clip + len(frames)))["frame_captions"]
        captions = embed_texts(model, data, [text for own in told for text in own])
        captions = normalize(captions, dim=-1).view_as(frames)  # (B, F, D)
        for own_frames, own_captions in zip(frames, captions, strict=True):
            yield own_frames @ own_captions.T, _step_labels(data, clip)
            clip += 1


def _step_labels(data, clip):
    """The step that is done at each sampled frame of a clip, as text; "" where nothing is done."""
    video, steps = probe(data.paths[clip]), data.rows[clip]["steps"]
    indices, _ = frame_indices(video.num_frames, video.fps, data.inputs.max_frames, data.inputs.frames_per_second)
    return np.array([next((s["label"] for s in steps if s["start"] <= i / video.fps < s["end"]), "") for i in indices])
