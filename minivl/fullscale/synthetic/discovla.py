"""DiscoVLA at a recipe's size, and batches of (video, caption) pairs with frame captions."""

import torch

from minivl.clip import load_clip
from minivl.discovla import DiscoVLA
from minivl.fullscale.recipes import Recipe


def build_model(recipe: Recipe) -> DiscoVLA:
    """DiscoVLA on a CLIP of the recipe's architecture with random weights."""
    clip = load_clip(recipe.settings.clip.name, recipe.settings.clip.pretrained, weights=False)
    return DiscoVLA(clip.model, recipe.settings.discovla)


def made_up_batch(recipe: Recipe, model: DiscoVLA, n: int) -> dict[str, torch.Tensor]:
    """n pairs as `minivl.data.clips.ClipDataset` makes them, with frame captions."""
    F, L = recipe.settings.inputs.max_frames, recipe.settings.inputs.max_words
    size, end = model.clip.visual.image_size[0], model.clip.vocab_size - 1
    ids = torch.randint(1, end, (n, F, L)).index_fill(-1, torch.tensor([L - 1]), end)
    return {
        "video": torch.randn(n, F, 3, size, size),
        "video_mask": torch.ones(n, F),
        "text_ids": ids[:, 0],
        "text_mask": torch.ones(n, L),
        "f_text_ids": ids,
        "f_text_mask": torch.ones(n, F, L),
    }
