"""Preparing a model for its devices: several processes, the whole model on each (DDP) or cut into shards (FSDP),
in mixed precision, its layers compiled or checkpointed. All on Hugging Face Accelerate and torch.

What acts on layers acts on those that the model names: `transformer_layers()` lists layers that are only ever called
as a whole. Whatever else a model has is left as it is.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from minivl.config import TrainConfig
from minivl.hub.checkpoints import BUILDING
from minivl.train.run_folder import TrainingError
from minivl.train.tracking import FOLDER, chosen_tracker

if TYPE_CHECKING:
    from accelerate import Accelerator


def default_device() -> torch.device:
    """The GPU if there is one, that of this process if there are several processes; else the CPU."""
    accelerator = None if cpu_only() else torch.accelerator.current_accelerator()
    if accelerator is None:
        return torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", 0)) % torch.accelerator.device_count())


def cpu_only() -> bool:
    """Whether there is no GPU, or `accelerate launch --cpu` said to leave it alone."""
    return (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.accelerator.is_available()
    )


class Engine(nn.Module):
    """DDP, FSDP and autocast act on `forward` alone, so all that is computed with a model goes through it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[..., Any], *arguments: Any) -> Any:
        """Value of `compute(model, *arguments)`."""
        return compute(self.model, *arguments)


def make_accelerator(config: TrainConfig, run: Path | None = None) -> "Accelerator":
    """Accelerate, as the launcher of this process has set it up; TrainingError for what `fit` cannot use.

    run   the folder of a run that is tracked, if a tracker was chosen
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Accelerate keeps the precision of the first run for the whole process, but a notebook has many runs.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        cpu=cpu_only(),  # has to be said: torchrun on CPU is several lone processes otherwise
        gradient_accumulation_steps=config.gradient_accumulation,
        mixed_precision=config.mixed_precision,
        log_with=None if run is None else chosen_tracker(),
        project_dir=None if run is None else run / FOLDER,
    )
    if accelerator.distributed_type.name in ("DEEPSPEED", "MEGATRON_LM"):
        raise TrainingError(
            f"fit does not know {accelerator.distributed_type.name}: launch it as plain multi-GPU or "
            "multi-CPU, or with --use_fsdp --fsdp_version 2"
        )
    if asks_for_shards() and os.environ.get("FSDP_VERSION") != "2":
        raise TrainingError("fit shards models by the second version of FSDP: launch it with --fsdp_version 2")
    return accelerator


def asks_for_shards() -> bool:
    """Check if the launcher was told `--use_fsdp`."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def prepare(accelerator: "Accelerator", model: nn.Module) -> nn.Module:
    """An `Engine` with the model, to be trained on this process' device: see `shard` for FSDP."""
    if asks_for_shards() and accelerator.num_processes > 1:
        # Accelerate shards on GPUs only. Sharded before, the model is the same everywhere, and it adds autocast.
        return accelerator.prepare_model(shard(Engine(model).to(accelerator.device)), evaluation_mode=True)
    return accelerator.prepare(Engine(model))


def shard(engine: Engine) -> Engine:
    """Cut the parameters of a model into one piece per process, in place (`fully_shard`, FSDP2).

    Each layer that the model names is gathered while it computes and then forgotten; all else is one more group.
    Frozen parameters are cut, too. Gradients and the optimiser's state only exist in pieces. Raises TrainingError for
    trained scalars, which cannot be cut.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import fully_shard

    scalars = {name: p for name, p in engine.model.named_parameters() if p.ndim == 0}
    if trained := [name for name, p in scalars.items() if p.requires_grad]:
        raise TrainingError(f"FSDP cannot cut the scalar {', '.join(trained)}: launch without --use_fsdp")
    plugin = FullyShardedDataParallelPlugin()  # reads what the launcher was told
    options = {"offload_policy": plugin.cpu_offload}
    for layer in layers_of(engine.model):
        fully_shard(layer, reshard_after_forward=plugin.reshard_after_forward, **options)
    fully_shard(engine, ignored_params=set(scalars.values()), **options)
    return engine


def saved_state(model: nn.Module, optimizer: Optimizer) -> tuple[dict, dict]:
    """State that training changes: of the model and, by names of parameters, the optimiser; whole tensors on the CPU.

    All processes must call it, and only the main one gets something.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict  # loading it takes seconds

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    return get_state_dict(model, optimizer, options=options)


def restore_state(
    model: nn.Module, optimizer: Optimizer, others: dict[str, Any], state: dict, origin: Path | None
) -> None:
    """Give an optimiser what `saved_state` returned, in pieces where the model is in pieces, and `others` their state.

    Raises TrainingError, which names the checkpoint `origin`, for what is not the state of these.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    try:
        _check_optimizer(model, optimizer, state["optimizer"])
        for name, part in others.items():
            if _form(state[name]) != _form(part.state_dict()):
                raise ValueError(f"its {name} has other entries")
            part.load_state_dict(state[name])
        set_optimizer_state_dict(model, optimizer, state["optimizer"], options=StateDictOptions(full_state_dict=True))
    except BUILDING as error:
        raise TrainingError(
            f"{origin} is damaged, it is not the state of this training: {error}. Delete it to go on from the "
            "checkpoint before it"
        ) from error


def _check_optimizer(model, optimizer, state):
    """Raise ValueError unless tensors have the shape of their parameter and are finite, and settings are these."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, tensors in state["state"].items():
        if name not in shapes:
            raise ValueError(f"there is no parameter {name!s:.100}")
        for part, tensor in tensors.items():
            if (tensor.ndim and tensor.shape != shapes[name]) or not tensor.isfinite().all():
                raise ValueError(f"{part!s:.100} of {name} is NaN, infinite or of another shape")
    for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True):
        settings = [own.keys() - {"params"} for own in (saved, own)]
        if settings[0] != settings[1] or any(_form(saved[key]) != _form(own[key]) for key in settings[1]):
            raise ValueError("its optimiser has other settings")


def _form(state):
    """The types in nested dicts, lists and tuples."""
    if isinstance(state, dict):
        return {name: _form(part) for name, part in state.items()}
    return [_form(part) for part in state] if isinstance(state, list | tuple) else type(state)


def copy_trained(source: nn.Module, target: nn.Module) -> None:
    """Copy what training changed in a model that may be sharded into a whole one; all processes must call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True)
    target.load_state_dict(get_model_state_dict(source, options=options), strict=False)


@contextmanager
def layer_options(model: nn.Module, config: TrainConfig) -> Iterator[None]:
    """A context in which the layers are compiled (`compile`), or keep only their input for the backward pass and
    compute the rest again (`activation_checkpointing`, with the same dropout masks).

    Raises TrainingError if the model does not name its layers.
    """
    asked = config.compile or config.activation_checkpointing
    layers = layers_of(model) if asked else []
    if asked and not layers:
        raise TrainingError(
            f"compile and activation_checkpointing act on the layers that a model names, and "
            f"{type(model).__name__} has no transformer_layers(): leave both out"
        )
    # The layers of a tower share code, but not shapes and what needs gradients: DiscoVLA's have twelve variants.
    patience = torch._dynamo.config.patch(recompile_limit=64) if config.compile else nullcontext()
    for layer in layers:
        if config.compile:
            layer.forward = torch.compile(layer.forward)
        if config.activation_checkpointing:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        with patience:
            yield
    finally:
        for layer in layers:
            del layer.forward


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers that a model, or a model inside it, names."""
    named = (getattr(module, "transformer_layers", list) for module in model.modules())
    return [layer for layers in named for layer in layers()]
