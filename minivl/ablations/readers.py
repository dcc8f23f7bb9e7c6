"""Ways to find the video of a caption without any training: by CLIP as it is, and by the true facts of the videos.

A caption becomes questions, each in one or more wordings. READERS ask CLIP, with the caption alone or with what can be
told of it; TRUE_READERS look up the answers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from minivl.data.clips import ClipDataset
from minivl.data.world.language import moment_sentences, told_dishes
from minivl.data.world.meals import COLORS, CONTAINERS, Dish, Meal, Step
from minivl.discovla.beyond.probes import embed_texts
from minivl.tasks.clip.retrieval import Embeddings, embeddings, zero_shot

Questions = list[list[str]]  # each in all its wordings


def whole(caption: str) -> Questions:
    """The caption is the only question."""
    return [[caption]]


def pieces_of(caption: str) -> Questions:
    """The caption cut at every "then" and "and", between which this world's captions tell one thing each."""
    return [[piece] for piece in re.split(r" then | and ", caption)]


def claims_of(caption: str) -> Questions:
    """The three claims about each dish of a caption as captions of single frames, in all wordings of the world.

    These are the sentences that CLIP was pretrained on. They say what a dish is made of by its name, and leave every
    vessel possible where the caption names none.
    """
    claims = []
    for told in told_dishes(caption):
        vessels = [told["vessel"].split()] if "vessel" in told else list(product(COLORS, CONTAINERS))
        sliced = told["state"] == "sliced"
        dishes = [Dish(told["ingredient"], sliced, told["liquid"], told["treatment"], *vessel) for vessel in vessels]
        for verb in ("add", "pour", told["treatment"]):
            claims.append([sentence for dish in dishes for sentence in moment_sentences(Step(verb, dish))])
    return claims


@dataclass(frozen=True)
class Reader:
    """What CLIP is asked for a caption, and what is compared with it.

    ask          caption -> questions; a video is worth the mean of their cosines, each in the wording that fits best
    best_frame   each question meets the frame that fits it best, else the mean of the frames
    one_vector   instead, the questions become one vector, see `_in_one`, which meets the mean of the frames
    """

    ask: Callable[[str], Questions]
    best_frame: bool = False
    one_vector: bool = False


READERS = {
    "caption, mean": Reader(whole),  # zero-shot retrieval
    "caption, best frame": Reader(whole, best_frame=True),
    "pieces in one vector, mean": Reader(pieces_of, one_vector=True),
    "pieces, mean": Reader(pieces_of),
    "pieces, best frame": Reader(pieces_of, best_frame=True),
    "claims in one vector, mean": Reader(claims_of, one_vector=True),
    "claims, mean": Reader(claims_of),
    "claims, best frame": Reader(claims_of, best_frame=True),
}


@torch.inference_mode()
def seen_similarities(test: ClipDataset, reader: Reader) -> NDArray:
    """(N_text, N_video): how well what a reader asks for a caption is met by a video, in cosines of CLIP as it is."""
    clips, asked = _embedded(test), [reader.ask(caption) for caption in test.captions]
    wordings = sorted({wording for questions in asked for ways in questions for wording in ways})
    texts, row = _embed(test, wordings), {wording: number for number, wording in enumerate(wordings)}
    if reader.one_vector:
        vectors = torch.stack(
            [_in_one([texts[[row[way] for way in ways]] for ways in questions]) for questions in asked]
        )
        return (vectors @ normalize(clips.videos, dim=-1).T).cpu().numpy()
    if reader.best_frame:
        shown = clips.frame_mask[None] > 0  # (1, N_video, F)
        cosines = torch.einsum("sd,nfd->snf", texts, normalize(clips.frames, dim=-1))
        met = cosines.masked_fill(~shown, -1).amax(-1).cpu().numpy()  # (N_wording, N_video)
    else:
        met = (texts @ normalize(clips.videos, dim=-1).T).cpu().numpy()
    return np.stack([np.mean([met[[row[way] for way in ways]].max(0) for ways in questions], 0) for questions in asked])


def _in_one(questions: list[Tensor]) -> Tensor:
    """One vector (D,) for questions, each (wordings, D): the mean over questions of the means of their wordings."""
    return normalize(torch.stack([normalize(ways.mean(0), dim=-1) for ways in questions]).mean(0), dim=-1)


def _embed(test: ClipDataset, texts: list[str]) -> Tensor:
    return normalize(embed_texts(zero_shot(test.clip), test, texts), dim=-1)


@lru_cache(maxsize=2)  # the readers of a world follow each other
def _embedded(test: ClipDataset) -> Embeddings:
    return embeddings(zero_shot(test.clip), test, progress=False)


TRUE_READERS = {"facts": False, "facts, linked": True}  # name -> linked, see `true_similarities`
FACTS = (("state", "ingredient"), ("liquid",), ("treatment",))  # with a vessel, each is what one frame shows


def true_similarities(captions: list[str], meals: list[Meal], linked: bool) -> NDArray:
    """(N_text, N_video): the share of a caption's claims that are true of a video; with links, up to 1 more.

    The claims are those of `claims_of`. Each is looked for by itself, with its vessel where the caption names one. With
    links, the share of dishes is added for which one vessel makes all three claims true.
    """
    shown = {  # each (N_video, dishes)
        name: np.array([[getattr(dish, name) for dish in meal.dishes] for meal in meals])
        for name in ("state", "ingredient", "liquid", "treatment", "vessel")
    }
    return np.stack([_true_of(told_dishes(caption), shown, linked) for caption in captions])


def _true_of(dishes: list[dict[str, str]], shown: dict[str, NDArray], linked: bool) -> NDArray:
    """What a caption's claims are worth for each video, (N_video,)."""
    worth = np.zeros(len(shown["vessel"]))
    for told in dishes:
        there = shown["vessel"] == told["vessel"] if "vessel" in told else np.full(shown["vessel"].shape, True)
        true = np.stack(
            [np.logical_and.reduce([there, *(shown[name] == told[name] for name in fact)]) for fact in FACTS]
        )  # (facts, N_video, dishes)
        worth += true.any(-1).mean(0) + linked * true.all(0).any(-1)
    return worth / len(dishes)
