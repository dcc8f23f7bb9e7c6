"""What kind of data is this? Measured on some clips with captions, before anything is trained.

The parts of DiscoVLA answer to properties of data: what one frame shows, whether captions of frames are a better
teacher than the caption of the video, how many wrong answers of a batch are not wrong. `docs/evidence.md` says which
part was seen to help under which condition; a diagnosis says where data stands.
"""

import re
from collections import Counter

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import hypergeom
from torch import Tensor
from torch.nn.functional import normalize

from minivl.data.clips import ClipDataset
from minivl.data.text import tokenize
from minivl.discovla import DiscoVLA
from minivl.discovla.pimgalign import image_level_similarity
from minivl.discovla.zero_shot import ZeroShot
from minivl.tasks.clip.retrieval import embeddings

ALIKE = 0.5  # captions that share this much of their words could stand for each other
RESAMPLES = 2000
GUESSED = ("video level", "middle frame", "best frame", "image level", "image level, mean")  # one of a batch is right


def diagnose(model: DiscoVLA | ZeroShot, data: ClipDataset, batch: int = 32, progress: bool = True) -> pd.DataFrame:
    """One row for each probe: percent, its 95% interval over clips, and what guessing would give.

    Of each clip the first caption is read. What is said of a batch is its expectation over all batches of so many of
    these clips, which is computed, not drawn. Captions of frames are looked at if `data` has some.

    Raises ValueError for fewer than two clips.
    """
    shown, first = np.unique(data.video_of_text, return_index=True)  # clips with captions, and the first one of each
    if len(first) < 2:
        raise ValueError("a diagnosis compares clips with captions: there must be two, better a hundred")
    batch = min(batch, len(first))
    captions = [data.captions[i] for i in first]
    found = embeddings(model, data, progress=progress)
    texts, frames = normalize(found.texts[first], dim=-1), normalize(found.frames[shown], dim=-1)
    mask = found.frame_mask[shown].bool()

    video_level = rivals(model.similarity(texts, found.videos[shown]))
    rows = {
        "video level": right_in_batch(video_level, batch),
        **{name: right_in_batch(rivals(S), batch) for name, S in _one_frame(texts, frames, mask).items()},
        "a caption like it in the batch": 1 - right_in_batch(_alike(captions), batch),
    }
    if data.frame_captions is not None:
        told = [data.frame_captions[i] for i in first]
        rows |= _of_frame_captions(model, data, told, frames, mask, video_level, batch) | _words(captions, told)
    guessing = dict.fromkeys(GUESSED, 100 / batch)
    return pd.DataFrame(
        [{"probe": name, **_share(values), "guessing": guessing.get(name, np.nan)} for name, values in rows.items()]
    )


def rivals(similarity: Tensor) -> NDArray[np.bool_]:
    """Which wrong videos (columns) are at least as similar to a text (row) as its own, (N, N)."""
    ahead = (similarity >= similarity.diagonal()[:, None]).cpu().numpy()
    np.fill_diagonal(ahead, False)
    return ahead


def right_in_batch(rivals: NDArray[np.bool_], batch: int) -> NDArray[np.float64]:
    """For each text the chance that none of its rivals (N, N) is among batch - 1 others drawn from all -> (N,)."""
    N = len(rivals)
    return hypergeom.pmf(0, N - 1, rivals.sum(1), batch - 1)


def _one_frame(texts: Tensor, frames: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Similarities (N, N) to a single frame: the one in the middle, and for each text the one that fits best."""
    every = torch.einsum("ad,bfd->abf", texts, frames).masked_fill(~mask, -torch.inf)  # (N, N, F)
    middle = (mask.sum(1) // 2)[None, :, None].expand(len(texts), -1, 1)
    return {"middle frame": every.gather(2, middle)[..., 0], "best frame": every.max(2).values}


def _of_frame_captions(model, data, told, frames, mask, video_level, batch):
    """Probes of the image level, at which captions of frames, `told` (N lists of F), look for frames (N, F, D)."""
    (N, F), device = mask.shape, frames.device
    ids, real = tokenize(data.clip.tokenizer, [caption for own in told for caption in own], data.inputs.max_words)
    with torch.inference_mode():
        parts = [
            model.encode_caption(some.to(device), seen.to(device))
            for some, seen in zip(ids.split(256), real.split(256), strict=True)
        ]
    captions = normalize(torch.cat(parts), dim=-1).view(N, F, -1)
    scale = model.clip.logit_scale.exp()
    weighted, mean = (rivals(image_level_similarity(captions, frames, s, mask, mask)) for s in (scale, 0.0))
    student, teacher, both = (right_in_batch(some, batch) for some in (video_level, mean, video_level | mean))
    return {
        "image level": right_in_batch(weighted, batch),
        "image level, mean": teacher,
        "image level, mean, where video level is wrong": (teacher - both, 1 - student),
        "frame finds its caption": _frames_right(captions, frames, mask, told),
    }


def _frames_right(captions: Tensor, frames: Tensor, mask: Tensor, told: list[list[str]]) -> NDArray[np.float64]:
    """For each clip the share of its real frames that find their own caption, or one that says the same -> (N,)."""
    chosen = (frames @ captions.transpose(1, 2)).argmax(2).cpu().numpy()  # (N, F)
    right = [
        [own[place] == own[frame] for frame, place in enumerate(places)]
        for own, places in zip(told, chosen, strict=True)
    ]
    real = mask.cpu().numpy()
    return (np.array(right) & real).sum(1) / real.sum(1)


def _words(captions: list[str], told: list[list[str]]) -> dict[str, NDArray[np.float64]]:
    """What share of a caption's words no frame's caption has, and what share even the best single one lacks."""
    own, common = _rare(captions)
    said = [[_split(text) - common for text in frames] for frames in told]
    asked = [i for i, words in enumerate(own) if words]
    nowhere = [len(own[i] - set().union(*said[i])) / len(own[i]) for i in asked]
    not_together = [min(len(own[i] - words) for words in said[i]) / len(own[i]) for i in asked]
    return {"words no frame shows": np.array(nowhere), "words no single frame shows": np.array(not_together)}


def _alike(captions: list[str]) -> NDArray[np.bool_]:
    """Which captions share half of their words or more with another one, (N, N)."""
    own = _rare(captions)[0]
    shared = np.array([[len(a & b) / max(len(a | b), 1) for b in own] for a in own]) >= ALIKE
    shared |= np.array(captions)[:, None] == np.array(captions)
    np.fill_diagonal(shared, False)
    return shared


def _rare(captions: list[str]) -> tuple[list[set[str]], set[str]]:
    """The words of each caption, without those that more than half of all captions have; and these."""
    words = [_split(caption) for caption in captions]
    common = {word for word, count in Counter(w for own in words for w in own).items() if count > len(captions) / 2}
    return [own - common for own in words], common


def _split(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _share(values: NDArray | tuple[NDArray, NDArray]) -> dict[str, float]:
    """A mean (or the ratio of two) in percent, and the middle 95% of what it is when clips are drawn again."""
    over, under = values if isinstance(values, tuple) else (values, np.ones(len(values)))
    drawn = np.random.default_rng(0).integers(len(over), size=(RESAMPLES, len(over)))
    with np.errstate(invalid="ignore"):  # 0 / 0 where nothing is wrong
        again = over[drawn].sum(1) / under[drawn].sum(1)
        share = over.sum() / under.sum()
    low, high = np.nanquantile(again, [0.025, 0.975]) if np.isfinite(again).any() else (np.nan, np.nan)
    return {"percent": 100 * share, "low": 100 * low, "high": 100 * high}
