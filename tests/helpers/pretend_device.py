"""A device that is not the CPU, and computes on it all the same: it shows on any machine what only runs where all is on CPU.

    with pretend_device():
        minivl...

In there `torch.accelerator` finds a device, to which minivl moves models as it does to a GPU. Its tensors can't be mixed
with those of the CPU, be read by numpy, or be attended to with a bias that CUDA's kernels refuse.
"""

import contextlib
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretend"
CPU = torch.device("cpu")
MIXES = ("aten::index.Tensor", "aten::index_put", "aten::_index_put", "aten::copy_")  # as on CUDA: indices, and copies


class There(torch.Tensor):
    """A tensor of that device; `here` is what it holds."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here, requires_grad=False):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
            requires_grad=requires_grad,
        )
        made.here = here
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return dispatched(function, args, kwargs or {})


def dispatched(function, args, kwargs):
    """Compute on the CPU, of tensors of one device only; results are where the inputs, or the argument `device`, say."""
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = any(isinstance(x, There) for x in given)
    if there and not function.name().startswith(MIXES):
        lost = [x for x in given if not isinstance(x, There) and x.dim() > 0]
        if lost:
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {function} of {[x.shape for x in given]}"
            )
    device = kwargs.get("device")
    wanted = there if device is None else torch.device(device).type == NAME
    if function is torch.ops.aten.copy_.default:
        wanted = isinstance(args[0], There)
    plain_args, plain_kwargs = tree_map(lambda x: x.here if isinstance(x, There) else x, (args, kwargs))
    if device is not None:
        plain_kwargs["device"] = CPU
    if plain_kwargs.get("pin_memory"):
        plain_kwargs["pin_memory"] = False
    found = function(*plain_args, **plain_kwargs)
    if function is torch.ops.aten._to_copy.default and found is plain_args[0]:
        found = found.clone()
    if not wanted:
        return found
    wrapped = tree_map(lambda x: There(x) if isinstance(x, torch.Tensor) and not isinstance(x, There) else x, found)
    return return_and_correct_aliasing(function, args, kwargs, wrapped) if there else wrapped


class AsCuda(TorchFunctionMode):
    """What CUDA's attention refuses and the CPU's takes."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if args and isinstance(args[0], There) and function is torch.Tensor.tolist:
            return args[0].here.tolist()
        if args and isinstance(args[0], There) and function in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy")
        if function is torch.Tensor.__getitem__ and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]))
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return function(*args, **(kwargs | {"device": CPU})).to(kwargs["device"])
        if function is torch.nn.functional.scaled_dot_product_attention:
            key, bias = args[1], args[3] if len(args) > 3 else kwargs.get("attn_mask")
            if isinstance(bias, There) and (bias.shape[-1], bias.stride(-1)) != (key.shape[-2], 1):
                raise RuntimeError("(*bias): last dimension must be contiguous")
        return function(*args, **kwargs)


class Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return dispatched(function, args, kwargs or {})


class Module(_DummyBackendModule):
    """What `torch.cuda` is to CUDA. Random numbers are drawn on the CPU, whose state others keep."""

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        pass

    def manual_seed(self, seed):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


@contextlib.contextmanager
def pretend_device():
    register()
    from accelerate.state import PartialState

    there = torch.device(NAME, 0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(PartialState, "default_device", property(lambda self: there)))
        # such tensors can't enter inference mode
        for name in ("__enter__", "__exit__"):
            stack.enter_context(mock.patch.object(torch.inference_mode, name, getattr(torch.no_grad, name)))
        stack.enter_context(AsCuda())
        stack.enter_context(Mode())
        yield there


def register():
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME, Module())
