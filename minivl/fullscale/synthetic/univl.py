"""UniVL and its tasks at a recipe's size, and batches as pretraining and the tasks read them."""

import torch
from torch import nn

from minivl.fullscale.recipes import Recipe
from minivl.tasks.univl.finetuning import KINDS
from minivl.tasks.univl.segmentation import Segmentation
from minivl.univl import UniVL

STEPS_OF_COIN = 778  # kinds of steps, beside the background


def build_model(recipe: Recipe) -> nn.Module:
    """UniVL, or a task on it, with random weights."""
    sections = recipe.sections
    univl = UniVL(sections["model"], sections["objectives"])
    if recipe.kind == "pretrain":
        return univl
    kind, options = KINDS[recipe.task]
    task = kind(univl, None, sections["inputs"], **options)
    if kind is Segmentation:
        task.classifier = nn.Linear(univl.config.hidden_size, 1 + STEPS_OF_COIN)
    return task


def made_up_batch(recipe: Recipe, model: nn.Module, n: int) -> dict[str, torch.Tensor]:
    """n examples for `model.losses`."""
    return _narrated(recipe, model, n) if recipe.kind == "pretrain" else _segments(recipe, model, n)


def _narrated(recipe, model, n):
    """n videos as `minivl.data.narration.NarratedDataset` makes them."""
    settings, sizes = recipe.sections["narration"], model.config
    clips = (n, settings.clips_per_video)
    batch = _pairs(clips, settings.max_words, settings.max_frames, sizes)
    if not sizes.parts:
        return batch
    ids, video = batch["input_ids"], batch["video"]
    words, frames = (_every_seventh(clips, length) for length in (settings.max_words, settings.max_frames))
    return (
        batch
        | _captions(clips, settings.max_words, sizes)
        | {
            "pairs_masked_text": ids,
            "pairs_token_labels": ids.where(words, -1),
            "masked_video": video.masked_fill(frames[..., None], 0.0),
            "text_hidden": torch.zeros(clips, dtype=torch.long),
            "video_labels_index": torch.arange(settings.max_frames).expand(*clips, -1).where(frames, -1),
        }
    )


def _segments(recipe, model, n):
    """n items of a task's data set."""
    inputs, sizes = recipe.sections["inputs"], model.univl.config
    if recipe.task == "localization":
        clips = (n, model.inputs.clips_per_video)
        return _pairs(clips, inputs.max_words, inputs.max_frames, sizes)
    batch = _pairs((n,), inputs.max_words, inputs.max_frames, sizes)
    if KINDS[recipe.task][1].get("text", "some") is None:  # nothing but [CLS] [SEP] is read
        batch["attention_mask"][:, 2:] = 0
    return (
        batch
        | _captions((n,), inputs.max_words, sizes)
        | {"labels": torch.zeros(n, inputs.max_frames, dtype=torch.long), "sentiment": torch.zeros(n)}
    )


def _pairs(shape, words, frames, sizes):
    """Texts of random words and videos of random features."""
    return {
        "input_ids": torch.randint(0, sizes.vocab_size, (*shape, words)),
        "attention_mask": torch.ones(*shape, words, dtype=torch.long),
        "video": torch.randn(*shape, frames, sizes.video_dim),
        "video_mask": torch.ones(*shape, frames, dtype=torch.long),
    }


def _captions(shape, words, sizes):
    ids = torch.randint(0, sizes.vocab_size, (*shape, words))
    return {
        "input_caption_ids": ids,
        "decoder_mask": torch.ones(*shape, words, dtype=torch.long),
        "output_caption_ids": ids,
    }


def _every_seventh(shape, length):
    """A mask (..., length) of about 15%, the same for every clip: costs then grow exactly with their number."""
    return (torch.arange(length) % 7 == 1).expand(*shape, -1)
