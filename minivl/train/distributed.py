"""Batches that are spread over processes: gathering embeddings with their gradient, and means over all of them."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def processes() -> int:
    """Number of processes that share a batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Concatenate the tensors of all processes one after the other: (N, ...) -> (processes * N, ...).

    N must be the same in every process. In a single process it is the tensor itself.
    """
    return tensor if processes() == 1 else _Gather.apply(tensor)


def mean_over_processes(values: Tensor) -> Tensor:
    """The loss whose average over processes is the mean of the values (M,) of all of them; M may differ.

    Data-parallel training averages gradients over processes, and a mean of means would give the values of a process
    with few of them more weight. No values at all give 0, with a gradient of 0.
    """
    count = torch.tensor(float(len(values)), device=values.device)
    if processes() > 1:
        dist.all_reduce(count)
    return values.sum() * processes() / count.clamp(min=1)


class _Gather(torch.autograd.Function):
    """All-gather whose gradient is exact.

    Every process computes the same loss from the gathered tensors. The gradient of a local tensor is
    summed over the processes here and data-parallel training averages over them afterwards: together
    that is the gradient of the global batch in one process. torch's own, `torch.distributed.nn.functional.all_gather`,
    is deprecated, and what replaces it is not public.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)  # the sum is taken in place
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]
