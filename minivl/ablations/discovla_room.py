"""The room that a method has: what readers of the true facts find, and what training all weights of CLIP reaches.

A cell's settings are those of `minivl.ablations.discovla`, and

    reader   no training: a way of READERS to look up what captions claim
    weights  "all": every weight of CLIP is trained, beside LoRA
"""

import time
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from minivl.ablations.discovla import BATCH, BY_VIDEO, hash_of, measured, run_cell, world_clips, world_of
from minivl.ablations.runner import Cell, Measured
from minivl.clip import load_clip
from minivl.config import Scale, override
from minivl.data.clips import ClipDataset
from minivl.data.text import tokenize
from minivl.data.world.language import moment_sentences, told_dishes
from minivl.data.world.meals import COLORS, CONTAINERS, Dish, Meal, Step, draw_split
from minivl.discovla import DiscoVLA
from minivl.metrics.retrieval import group_metrics, retrieval_metrics, scores_by_video
from minivl.tasks.clip.retrieval import Embeddings, embeddings, without_idle_fusion, zero_shot
from minivl.train.loop import fit, seed_everything

READERS = {
    "caption, best frame": "the caption is compared with the frame that fits it best, by CLIP as it is",
    "claims, mean": "each claim of the caption is compared with the mean of a video's frames, by CLIP as it is",
    "claims, best frame": "each claim is compared with the frame that fits it best, by CLIP as it is",
    "facts": "each claim is looked up among the true facts of a video",
    "facts, linked": "the same, and whether one vessel makes all claims about a dish true",
}
FACTS = (("state", "ingredient"), ("liquid",), ("treatment",))  # with the vessel, each is what one frame shows


def run_room(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Score a reader, train all weights, or run a cell as other studies do."""
    chosen = dict(cell.settings)
    if reader := chosen.pop("reader", None):
        return _read(settings, cell, reader)
    if chosen.pop("weights", None) == "all":
        return _train_all(settings, replace(cell, settings=chosen), seed)
    return run_cell(settings, cell, seed)


def true_similarities(captions: list[str], meals: list[Meal], linked: bool) -> NDArray:
    """(N_text, N_video): the share of what a caption claims that is true of a video.

    Of each dish a caption claims three facts, each of which single frames show: an ingredient in its state comes into a
    vessel, a liquid is poured into a vessel, a vessel is treated. Without links each fact is looked for alone. With
    links a dish counts for as much again where one vessel makes all three true.
    """
    shown = {  # each (N_video, dishes)
        name: np.array([[getattr(dish, name) for dish in meal.dishes] for meal in meals])
        for name in ("state", "ingredient", "liquid", "treatment", "vessel")
    }
    return np.stack([_true_of(told_dishes(caption), shown, linked) for caption in captions])


def _true_of(told: list[dict[str, str]], shown: dict[str, NDArray], linked: bool) -> NDArray:
    """What a caption's claims are worth for each video, (N_video,)."""
    worth = np.zeros(len(shown["vessel"]))
    for dish in told:
        there = shown["vessel"] == dish["vessel"] if "vessel" in dish else np.full(shown["vessel"].shape, True)
        true = np.stack(
            [np.logical_and.reduce([there, *(shown[name] == dish[name] for name in fact)]) for fact in FACTS]
        )  # (facts, N_video, dishes)
        worth += true.any(-1).mean(0) + linked * true.all(0).any(-1)
    return worth / len(told)


@torch.inference_mode()
def seen_similarities(test: ClipDataset, claims: bool, best_frame: bool) -> NDArray:
    """(N_text, N_video): how well a caption, or what it claims on average, fits what CLIP sees; cosines.

    A claim is put into words as the caption of a single frame, in all ways there are, of which the best counts; the
    vessel may be any where the caption names none.
    """
    model = zero_shot(load_clip("kitchen"))
    found = _embedded(test)
    frames = normalize(found.frames if best_frame else found.videos[:, None], dim=-1)  # (N_video, F or 1, D)
    told = [claims_of(caption) if claims else [[caption]] for caption in test.captions]
    asked = sorted({sentence for claimed in told for sentences in claimed for sentence in sentences})
    tokens = tokenize(test.clip.tokenizer, asked, test.inputs.max_words)
    texts = normalize(model.encode_caption(*tokens), dim=-1)  # (N_sentence, D)
    best = dict(zip(asked, torch.einsum("sd,nfd->snf", texts, frames).amax(-1).numpy(), strict=True))
    return np.stack(
        [np.mean([np.max([best[s] for s in ways], axis=0) for ways in claimed], axis=0) for claimed in told]
    )


@lru_cache(maxsize=2)  # the readers of a world follow each other
def _embedded(test: ClipDataset) -> Embeddings:
    return embeddings(zero_shot(load_clip("kitchen")), test, progress=False)


def claims_of(caption: str) -> list[list[str]]:
    """The three claims about each dish of a caption as captions of single frames, each in all ways."""
    claims = []
    for told in told_dishes(caption):
        vessels = [told["vessel"].split()] if "vessel" in told else list(product(COLORS, CONTAINERS))
        sliced = told["state"] == "sliced"
        dishes = [Dish(told["ingredient"], sliced, told["liquid"], told["treatment"], *vessel) for vessel in vessels]
        for verb in ("add", "pour", told["treatment"]):
            claims.append([sentence for dish in dishes for sentence in moment_sentences(Step(verb, dish))])
    return claims


def _read(settings: Scale, cell: Cell, reader: str) -> Measured:
    world = world_of(settings, cell)
    test = world_clips(settings.inputs, world, None)[2]
    if reader.startswith("facts"):
        meals = [meal for _, meal in draw_split("test", world.videos_test, world)]
        found = true_similarities(test.captions, meals, linked="linked" in reader)
    else:
        found = seen_similarities(test, "claims" in reader, "best frame" in reader)
    groups = np.asarray(test.rows["group"])
    scores = {"R@sum": retrieval_metrics(found)["R@sum"], **group_metrics(found, groups)}
    by_video = scores_by_video(found)
    examples = {name: by_video[name].astype(np.float32) for name in BY_VIDEO if name in by_video}
    return Measured(scores, examples, groups, hash_of(test))


def _train_all(settings: Scale, cell: Cell, seed: int) -> Measured:
    world = world_of(settings, cell)
    chosen = {name: value for name, value in cell.settings.items() if not hasattr(world, name)}
    steps = max(1, int(chosen.pop("rounds", 1) * settings.adapt.steps))
    batch, rate = chosen.pop("batch_size", BATCH), chosen.pop("learning_rate")
    train, val, test = world_clips(settings.inputs, world, chosen.pop("videos", None))
    began = time.process_time()
    seed_everything(seed)
    model = DiscoVLA.from_open_clip("kitchen", None, without_idle_fusion(override(settings.discovla, **chosen)))
    model.requires_grad_(True)
    model.clip.logit_scale.requires_grad_(False)  # as in adaptation
    training = replace(
        settings.adapt,
        steps=steps,
        batch_size=min(batch, len(train)),
        learning_rate=rate,
        seed=seed,
        checkpoint_every=10_000,
    )
    with TemporaryDirectory() as run_dir:
        fit(model, train, training, Path(run_dir), progress=False)
    return measured(model.eval(), world, val, test, time.process_time() - began)
