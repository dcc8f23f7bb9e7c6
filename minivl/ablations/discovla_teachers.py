"""What AlignDistill could teach at best: its teacher exchanged for one that knows who does what a caption tells.

A cell's settings are those of `minivl.ablations.discovla`, and "oracle": None, or what `alignment_distillation` does
with the truth ("paper", or "shuffled", the control). Captions tell single steps (`clauses`), so several videos of a
batch may do what one says, and the labels call all but one of them wrong.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from minivl.ablations.discovla import BATCH, measured, training_of, world_and_rest, world_clips
from minivl.ablations.runner import Cell, Measured
from minivl.config import Scale, WorldConfig, override
from minivl.data.clips import ClipDataset
from minivl.data.world.language import step_sentence
from minivl.data.world.meals import Step, draw_split
from minivl.discovla import DiscoVLA
from minivl.discovla.aligndistill import alignment_distillation
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.tasks.clip.diagnosis import diagnose
from minivl.tasks.clip.retrieval import without_idle_fusion
from minivl.train.loop import fit, model_losses, seed_everything

PROBES = {  # of validation clips: percent of captions whose own clip comes first in a batch
    "video level": "student right",
    "image level, mean": "teacher right",
    "image level, mean, where video level is wrong": "teacher right where student wrong",
}


def run_teacher(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Adapt as the cell says, with CLIP's own teacher, an oracle or none, and score; also how often each is right."""
    world, chosen = world_and_rest(settings, cell)
    oracle, batch = chosen.pop("oracle", None), chosen.pop("batch_size", BATCH)
    rounds, rate = chosen.pop("rounds", 1), chosen.pop("learning_rate")
    train, val, test = world_clips(settings.inputs, world, None)
    beta = chosen.pop("beta", 0.0)  # of the oracle, or of AlignDistill
    config = without_idle_fusion(override(settings.discovla, **chosen, beta=0.0 if oracle else beta))

    began = time.process_time()
    seed_everything(seed)
    model = DiscoVLA.from_open_clip("kitchen", None, config)
    told = Numbered(with_pseudo_captions(train, rendered_captions(train)))
    losses = Oracle(who_does_it("train", train.captions, world), beta, oracle) if oracle else model_losses
    with TemporaryDirectory() as run_dir:
        training = training_of(settings, len(train), seed, rounds, batch, rate)
        fit(model, told, training, Path(run_dir), losses, progress=False)
    found = measured(model.eval(), world, val, test, time.process_time() - began)
    found.scores.update(how_often_right(model, with_pseudo_captions(val, rendered_captions(val)), training.batch_size))
    return found


def how_often_right(model: Any, val: ClipDataset, batch: int) -> dict[str, float]:
    """`PROBES` of clips with captions of frames, in batches as in training."""
    percent = diagnose(model, val, batch, progress=False).set_index("probe")["percent"]
    return {name: float(percent[probe]) for probe, name in PROBES.items()}


class Delayed:
    """DiscoVLA's losses, without AlignDistill in the first steps: its teacher, which is trained, too, learns first.

    One call is one step.
    """

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = model.losses(batch)
        if self.left > 0:
            losses["total"] = losses["total"] - model.config.beta * losses["distill"]
        self.left -= 1
        return losses


class Numbered(Dataset):
    """Clips that know their numbers: an item has a `number`, too."""

    def __init__(self, data: ClipDataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.data[index] | {"number": torch.tensor(index)}


class Oracle:
    """DiscoVLA's losses with AlignDistill's, whose teacher is the truth: all videos that do what is told, evenly.

        total + beta * alignment_distillation(S, truth)

    At CLIP's own scale, a truth of 1 and 0 becomes the even distribution over the right videos of the batch.

    right       does the video (column) do what the caption (row) tells?  (N, N)
    behaviour   "paper", or "shuffled": as many are called right, the own video and others drawn at random
    """

    def __init__(self, right: NDArray[np.bool_], beta: float, behaviour: str = "paper"):
        self.right, self.beta, self.behaviour = torch.as_tensor(right), beta, behaviour

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        embeddings = model.encode(batch)
        losses, (S, _) = model.losses_of(embeddings), model.alignments(embeddings)
        numbers = batch["number"].cpu()
        truth = self.right[numbers][:, numbers].to(S)  # (B, B)
        losses["distill"] = alignment_distillation(S, truth, model.clip.logit_scale.exp(), self.behaviour)
        losses["total"] = losses["total"] + self.beta * losses["distill"]
        return losses


def who_does_it(split: str, captions: list[str], world: WorldConfig) -> NDArray[np.bool_]:
    """For captions of one step each: which videos of a split (columns) do what is told, (N_text, N_video)."""
    done = [
        {step_sentence(Step(verb, dish)) for dish in meal.dishes for verb in dish.verbs()}
        for _, meal in draw_split(split, getattr(world, f"videos_{split}"), world)
    ]
    right = np.array([[any(caption.endswith(f" {step}") for step in steps) for steps in done] for caption in captions])
    if not right.diagonal().all():
        raise AssertionError("meals are drawn in the order of the clips, and every clip does what its caption tells")
    return right
