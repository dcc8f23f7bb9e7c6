"""Cost of a training step: floating point operations, and what it keeps in memory for the backward pass."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

FLOAT32 = 4  # bytes


class ProductCounter(TorchDispatchMode):
    """Counts the FLOPs of matrix products and convolutions (a multiplication and an addition are two), and leaves
    them out: their results are zeros of the right shape. So counting costs little at any size, while masks, labels
    and everything else that decides about shapes is computed as usual.
    """

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, count = kwargs or {}, flop_registry.get(func.overloadpacket)
        if count is None:
            return func(*args, **kwargs)
        device = next(value.device for value in args if torch.is_tensor(value))
        shapes = tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), (args, kwargs))
        result = func(*shapes[0], **shapes[1])
        self.flops += count(*shapes[0], **shapes[1], out_val=result)
        return tree_map_only(torch.Tensor, lambda tensor: torch.zeros_like(tensor, device=device), result)


def count_flops(losses: Callable[[Any], Mapping[str, Tensor]], batch: Any) -> int:
    """FLOPs of `losses(batch)["total"]` and its backward pass.

    Attention counts as the products that it is made of, not as what a fused kernel computes twice to save memory.
    Not counted: everything that is no product (a few percent), and the optimiser.
    """
    with sdpa_kernel(SDPBackend.MATH), ProductCounter() as counter:
        losses(batch)["total"].backward()
    return counter.flops


def saved_bytes(model: nn.Module, losses: Callable[[Any], Mapping[str, Tensor]], batch: Any) -> int:
    """Bytes that a forward pass keeps for the backward pass, each storage once and parameters left out.

    Products are not computed, see ProductCounter.
    """
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}  # address of a storage -> its bytes

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor.detach()  # an output that its own node keeps would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), ProductCounter():
        total = losses(batch)["total"]
    del total
    return sum(kept.values())


def fixed_bytes(model: nn.Module) -> int:
    """Weights, gradients and the two moments of AdamW, all float32."""
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return FLOAT32 * (sum(parameter.numel() for parameter in model.parameters()) + 3 * trainable)
