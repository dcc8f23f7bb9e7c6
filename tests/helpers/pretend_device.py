"""A device that is not the CPU and computes on it all the same.

    with pretend_device() as device:
        minivl...

It shows on any machine what works only where everything is on the CPU. `torch.accelerator` finds this device, so
minivl moves models to it as to a GPU. As with CUDA, its tensors can't be mixed with those of the CPU, numpy can't read
them, and attention refuses a bias that does not have a place for every key.
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
INDEXING = ("aten::index.Tensor", "aten::index_put", "aten::_index_put")  # CUDA takes indices that are on the CPU


@contextlib.contextmanager
def pretend_device():
    """In here there is such a device, which is yielded: keep this context alive as long as you need it."""
    from accelerate.state import AcceleratorState, PartialState

    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME, Module())
    device = torch.device(NAME, 0)
    with contextlib.ExitStack() as stack:
        AcceleratorState._reset_state(True)  # it keeps the device that it saw first
        stack.callback(AcceleratorState._reset_state, True)
        stack.enter_context(mock.patch.object(Module, "there", True))
        stack.enter_context(mock.patch.object(PartialState, "default_device", property(lambda self: device)))
        for name in ("__enter__", "__exit__"):  # such tensors can't enter inference mode
            stack.enter_context(mock.patch.object(torch.inference_mode, name, getattr(torch.no_grad, name)))
        stack.enter_context(Functions())
        stack.enter_context(Operations())
        yield device


class Module(_DummyBackendModule):
    """What `torch.cuda` is for CUDA. Random numbers are drawn on the CPU, whose state others keep."""

    there = False  # it stays registered, but is only there within `pretend_device`

    def is_available(self):
        return self.there

    def get_rng_state(self, device=None):
        return torch.get_rng_state()

    def set_rng_state(self, state, device=None):
        pass

    def manual_seed(self, seed):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


class There(torch.Tensor):
    """A tensor on that device; `here` is what it holds."""

    here: torch.Tensor
    made = 0  # so far, of all

    @staticmethod
    def __new__(cls, here):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=torch.device(NAME, 0),
        )
        made.here = here
        cls.made += 1
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


class Operations(TorchDispatchMode):
    """All operations, those too that make a tensor out of nothing."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


def computed(operation, args, kwargs):
    """Of tensors on one device; the result is where they are, or where the argument `device` says."""
    given = _tensors(args, kwargs)
    there = any(isinstance(value, There) for value in given)
    if there and operation is not torch.ops.aten.copy_.default:
        mine = _tensors(args[0], args[2:]) if operation.name().startswith(INDEXING) else given
        lost = [value for value in mine if not isinstance(value, There)]
        if any(value.dim() for value in lost) or (lost and operation is torch.ops.aten.stack.default):
            shapes = [tuple(value.shape) for value in given]  # numbers may be on the CPU
            raise RuntimeError(f"Expected all tensors to be on the same device: {operation} of {shapes}")
    device, wanted = kwargs.get("device"), there
    if operation is torch.ops.aten.copy_.default:
        wanted = isinstance(args[0], There)
    if device is not None:
        wanted = torch.device(device).type == NAME
        if wanted and kwargs.get("generator") is not None:
            raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'")
        kwargs = kwargs | {"device": CPU} if wanted else kwargs
    plain, plain_kwargs = tree_map(lambda value: value.here if isinstance(value, There) else value, (args, kwargs))
    found = operation(*plain, **plain_kwargs)
    if not wanted:
        return found
    found = tree_map(lambda value: There(value) if type(value) is torch.Tensor else value, found)
    return return_and_correct_aliasing(operation, args, kwargs, found) if there else found


def _tensors(*values):
    return [value for value in tree_flatten(values)[0] if isinstance(value, torch.Tensor)]


class Functions(TorchFunctionMode):
    """What does not come as an operation, and what CUDA refuses although the CPU does not."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if args and isinstance(args[0], There):
            if function is torch.Tensor.tolist:
                return args[0].here.tolist()
            if function in (torch.Tensor.numpy, torch.Tensor.__array__):
                raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy")
        if function is torch.Tensor.__getitem__ and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]))
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return function(*args, **kwargs | {"device": CPU}).to(kwargs["device"])
        if function is torch.nn.functional.scaled_dot_product_attention:
            key, bias = args[1], args[3] if len(args) > 3 else kwargs.get("attn_mask")
            if isinstance(bias, There) and (bias.shape[-1], bias.stride(-1)) != (key.shape[-2], 1):
                raise RuntimeError("(*bias): last dimension must be contiguous")
        return function(*args, **kwargs)
