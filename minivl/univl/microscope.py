"""Gradients of each objective on each module: one batch or a whole training."""

from itertools import combinations
from typing import Any

import pandas as pd
import torch
from torch import nn

MODULES = {
    "text encoder": ("text.",),
    "video encoder": ("video.",),
    "cross encoder": ("cross.", "similarity."),
    "decoder": ("decoder.",),
    "heads": ("word_head.", "frame_head."),
}


def objective_gradients(model: nn.Module, losses: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """The gradient of every objective alone: {objective: {parameter: gradient}}; parameters it does not reach are 0.

    losses   as `UniVL.losses` returns them; "total" is left out. Their graph is kept, so a training step can follow.
    """
    names, parameters = zip(*((name, p) for name, p in model.named_parameters() if p.requires_grad), strict=True)
    taken_apart = {}
    for objective, loss in losses.items():
        if objective != "total":
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            taken_apart[objective] = {
                name: torch.zeros_like(p) if g is None else g
                for name, p, g in zip(names, parameters, gradients, strict=True)
            }
    return taken_apart


def module_norms(gradients: dict[str, dict[str, torch.Tensor]]) -> pd.DataFrame:
    """Gradient norms, one row per objective and one column per module of UniVL; 0 where no gradient flows."""
    table = {
        objective: {module: _flat(parts, starts).norm().item() for module, starts in MODULES.items()}
        for objective, parts in gradients.items()
    }
    return pd.DataFrame(table).T


class Microscope:
    """A `losses` function for `minivl.train.loop.fit` that also records gradients, every so many steps.

    scope = Microscope(every=20)
    fit(model, dataset, config, run_dir, losses=scope)
    scope.table        columns step, what ("joint" or "joint, cmlm"), measure ("value", "norm" or "cosine"), value
    """

    def __init__(self, every: int):
        self.every, self.calls = every, 0
        self.rows: list[dict] = []

    def __call__(self, model: Any, batch: Any) -> dict[str, torch.Tensor]:
        losses = model.losses(batch)
        if self.calls % self.every == 0:
            self._record(model, losses)
        self.calls += 1
        return losses

    def _record(self, model, losses):
        gradients = objective_gradients(model, losses)
        encoders = tuple(start for module in ("text encoder", "video encoder") for start in MODULES[module])
        flat = {objective: _flat(parts, encoders) for objective, parts in gradients.items()}
        for objective, vector in flat.items():
            self._row(objective, "value", losses[objective].item())
            self._row(objective, "norm", vector.norm().item())
        for a, b in combinations(flat, 2):
            self._row(f"{a}, {b}", "cosine", torch.nn.functional.cosine_similarity(flat[a], flat[b], dim=0).item())

    def _row(self, what, measure, value):
        self.rows.append({"step": self.calls + 1, "what": what, "measure": measure, "value": value})

    @property
    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)


def _flat(gradients, starts):
    chosen = [g.flatten() for name, g in gradients.items() if name.startswith(starts)]
    return torch.cat(chosen) if chosen else torch.zeros(1)
