"""Gradient caching: contrastive losses over batches that do not fit into memory, with exact gradients.

A contrastive loss needs the embeddings of the whole batch at once, but not the activations behind them. By the chain
rule, for embeddings e_i of examples x_i and parameters w,

    dL/dw = sum_i  (dL/de_i) (de_i/dw)

and the first factor is cheap once all e_i are known (Gao et al. 2021, arXiv 2101.06983):

    1. embed the batch in chunks, without a graph;
    2. compute the loss of the embeddings of all processes, and its gradients dL/de_i;
    3. embed each chunk again, with a graph, and backpropagate the scalar  sum_i <e_i, dL/de_i>,  dL/de_i held fixed.

Only one chunk's activations exist at a time; the price is one more forward pass. The model has two methods:
`encode(batch)` gives named embeddings, each example on its own, and `losses_of(embeddings)` the named losses. All that
is trained must take part in `encode`; `losses_of` only reads the embeddings and what is frozen.
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import nn


def backward_in_chunks(
    accelerator: Any, engine: nn.Module, batch: dict[str, torch.Tensor], chunk_size: int
) -> dict[str, torch.Tensor]:
    """Add the gradients of `model.losses_of(model.encode(batch))["total"]` to the parameters; return detached losses.

    engine   the model in an `Engine`, prepared by `accelerator`
    batch    this process' examples, fields (N, ...); `chunk_size` of them are embedded at a time

    Each chunk has a random seed of its own, with which both passes begin: they have the same dropout masks.
    """
    size = len(next(iter(batch.values())))
    pieces = [slice(first, min(first + chunk_size, size)) for first in range(0, size, chunk_size)]
    chunks = [{name: value[piece] for name, value in batch.items()} for piece in pieces]
    seeds = torch.randint(2**31, (len(chunks),)).tolist()

    with torch.no_grad():
        parts = [_encode(engine, chunk, seed) for chunk, seed in zip(chunks, seeds, strict=True)]
    embeddings = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    gradients, losses = _gradients(accelerator, engine, embeddings)

    for number, (chunk, seed) in enumerate(zip(chunks, seeds, strict=True)):
        last = number == len(chunks) - 1  # gradients travel between processes once, when they are complete
        with nullcontext() if last else accelerator.no_sync(engine):
            again = _encode(engine, chunk, seed)
            own = {name: gradient[pieces[number]] for name, gradient in gradients.items()}
            sum((again[name] * gradient).sum() for name, gradient in own.items()).backward()
    return losses


def _encode(engine, chunk, seed):
    torch.manual_seed(seed)
    return engine(lambda model: model.encode(chunk))


def _gradients(accelerator, engine, embeddings):
    """dL/de for the embeddings that L depends on, by name, and the losses."""
    for embedding in embeddings.values():
        embedding.requires_grad_(embedding.is_floating_point())
    with accelerator.no_sync(engine):
        losses = engine(lambda model: model.losses_of(embeddings))
        accelerator.backward(losses["total"])
    gradients = {name: e.grad for name, e in embeddings.items() if e.grad is not None}
    return gradients, {name: loss.detach() for name, loss in losses.items()}
