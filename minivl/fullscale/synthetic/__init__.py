"""Models of a recipe's size with random weights, and made-up batches of its full shapes.

No place is padding, but for tasks that read no text: real batches are at most that large.
"""

import torch
from torch import nn

from minivl.fullscale.recipes import Recipe


def build_model(recipe: Recipe) -> nn.Module:
    """The recipe's model with random weights and a method `losses(batch)`; nothing is downloaded."""
    return _module(recipe).build_model(recipe)


def made_up_batch(recipe: Recipe, model: nn.Module, n: int, device: torch.device | str) -> dict[str, torch.Tensor]:
    """A batch of n examples for `model.losses`."""
    return {name: value.to(device) for name, value in _module(recipe).made_up_batch(recipe, model, n).items()}


def _module(recipe):
    from minivl.fullscale.synthetic import discovla, univl

    return discovla if recipe.kind == "adapt" else univl
