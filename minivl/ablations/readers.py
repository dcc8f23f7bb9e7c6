"""Ways to find the video of a caption without any training: by CLIP as it is, and by the true facts of the videos.

A caption becomes questions, each in one or more wordings, and a video is as good an answer as the questions are met on
average. What the readers know beyond CLIP differs, see `READERS`: the weakest knows nothing, the strongest everything.
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

from minivl.clip import load_clip
from minivl.data.clips import ClipDataset
from minivl.data.text import tokenize
from minivl.data.world.language import moment_sentences, told_dishes
from minivl.data.world.meals import COLORS, CONTAINERS, Dish, Meal, Step
from minivl.tasks.clip.retrieval import Embeddings, embeddings, zero_shot

Questions = list[list[str]]  # each in all its wordings, of which the best one counts


def whole(caption: str) -> Questions:
    """The caption is the only question."""
    return [[caption]]


def pieces_of(caption: str) -> Questions:
    """The caption cut at every "then" and "and"; nothing is put into other words."""
    return [[piece] for piece in re.split(r" then | and ", caption)]


def claims_of(caption: str) -> Questions:
    """The three claims about each dish of a caption as captions of single frames, in all wordings of the world.

    This knows what the dishes are made of by their names, and that any vessel will do where the caption names none.
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
    """What CLIP is asked for a caption, and what the answer is compared with.

    ask          caption -> questions
    best_frame   each question meets the frame that fits it best, else the mean of the frames
    one_vector   the questions become one vector, the mean of their embeddings
    """

    ask: Callable[[str], Questions]
    best_frame: bool = False
    one_vector: bool = False


READERS = {
    "caption, best frame": Reader(whole, best_frame=True),
    "pieces, mean": Reader(pieces_of),
    "pieces, best frame": Reader(pieces_of, best_frame=True),
    "claims in one vector, mean": Reader(claims_of, one_vector=True),
    "claims, mean": Reader(claims_of),
    "claims, best frame": Reader(claims_of, best_frame=True),
}


@torch.inference_mode()
def seen_similarities(test: ClipDataset, reader: Reader) -> NDArray:
    """(N_text, N_video): how well the questions about a caption are met on average, in cosines of CLIP as it is."""
    clips, asked = _embedded(test), [reader.ask(caption) for caption in test.captions]
    wordings = sorted({wording for questions in asked for ways in questions for wording in ways})
    texts, row = _embed(test, wordings), {wording: number for number, wording in enumerate(wordings)}
    if reader.one_vector:
        vectors = torch.stack(
            [_in_one([texts[[row[way] for way in ways]] for ways in questions]) for questions in asked]
        )
        return (vectors @ normalize(clips.videos, dim=-1).T).numpy()
    if reader.best_frame:
        shown = clips.frame_mask[None] > 0  # (1, N_video, F)
        cosines = torch.einsum("sd,nfd->snf", texts, normalize(clips.frames, dim=-1))
        met = cosines.masked_fill(~shown, -1).amax(-1).numpy()  # (N_wording, N_video)
    else:
        met = (texts @ normalize(clips.videos, dim=-1).T).numpy()
    return np.stack([np.mean([met[[row[way] for way in ways]].max(0) for ways in questions], 0) for questions in asked])


def _in_one(questions: list[Tensor]) -> Tensor:
    """One vector (D,) for questions, each (wordings, D): the mean over questions of the means of their wordings."""
    return normalize(torch.stack([normalize(ways.mean(0), dim=-1) for ways in questions]).mean(0), dim=-1)


def _embed(test: ClipDataset, texts: list[str]) -> Tensor:
    tokens = tokenize(test.clip.tokenizer, texts, test.inputs.max_words)
    return normalize(zero_shot(load_clip("kitchen")).encode_caption(*tokens), dim=-1)


@lru_cache(maxsize=2)  # the readers of a world follow each other
def _embedded(test: ClipDataset) -> Embeddings:
    return embeddings(zero_shot(load_clip("kitchen")), test, progress=False)


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
