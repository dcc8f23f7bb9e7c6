"""The one training loop of the package, on Hugging Face Accelerate.

`fit` trains any model that can turn a batch into named losses. A run that was stopped, even by `kill -9`,
continues when `fit` is called again in the same way, and ends with the numbers it would have had anyway (on a GPU up
to rounding, as some of its sums have no fixed order):
**everything random at a step follows from (seed, step)**, be it the order of the examples, what the data set
draws or the dropout masks. So no generator's state has to be saved, and neither a restart nor the number of
workers changes a result. What is kept on disk is in `run_folder.py`, what is done for devices in `engine.py`.

Any command of minivl that trains can be launched on several devices; TrainConfig.batch_size is over all of them:

    accelerate launch --num_processes 8 -m minivl adapt ...                                  # GPUs of one machine
    accelerate launch --num_processes 16 --num_machines 2 --machine_rank 0 --main_process_ip HOST \
        --main_process_port 29500 -m minivl pretrain ...                                    # with rank 1 on the second
    accelerate launch --num_processes 8 --use_fsdp --fsdp_version 2 -m minivl pretrain ...   # the model in shards, too
    torchrun --nproc_per_node 2 -m minivl adapt ...                                          # CPUs

All machines must see the run folder. A run may be continued by another number of processes and with or without
FSDP; its numbers then agree up to rounding, and up to dropout masks, which every process draws for itself.
"""

import copy
import dataclasses
import math
import random
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, default_collate

from minivl.config import TrainConfig
from minivl.progress import tqdm
from minivl.train.engine import (
    asks_for_shards,
    copy_trained,
    cpu_only,
    layer_options,
    make_accelerator,
    prepare,
    restore_state,
    saved_state,
)
from minivl.train.gradient_cache import backward_in_chunks
from minivl.train.run_folder import RunFolder, TrainingError
from minivl.train.tracking import tracked

ORDER, DATA, MODEL = range(3)  # what a seed is for; keeps the three streams of random numbers apart


class SizedDataset(Protocol):
    """Examples with a length that are read by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def model_losses(model: Any, batch: Any) -> dict[str, torch.Tensor]:
    """The default of `fit`: `model.losses(batch)`."""
    return model.losses(batch)


def fit(
    model: nn.Module,
    dataset: SizedDataset,
    config: TrainConfig,
    run_dir: str | Path,
    losses: Callable[[Any, Any], dict[str, torch.Tensor]] = model_losses,
    settings: dict | None = None,
    progress: bool = True,
) -> list[dict]:
    """Train the parameters of `model` that have `requires_grad`, in place, and return the logged metrics.

    `dataset` has a length and is read by index; `losses(model, batch)` returns named scalars, of which "total" is
    minimised. `settings` is whatever else defines the run (plain JSON values): it is kept in `config.json` and a run
    only continues under the same settings.

    One step uses `batch_size * gradient_accumulation` examples over all processes. Each epoch is a new shuffle
    that leaves out the examples that do not fill a step. Accelerate starts the processes (`accelerate launch`)
    and each gets its share of a batch; the gradients are averaged over processes. With `chunk_size` a model that has
    `encode` and `losses_of` embeds its share in pieces (see `minivl.train.gradient_cache`).

    Each dict returned, and line of `metrics.jsonl`, is one step: `step` and `epoch` (both from 1), `lr` (of this
    step), every named loss (mean over micro-batches and processes), `grad_norm` (before clipping; None where fp16
    overflowed) and `seconds`. Logged are the first step, the last and every `log_every`-th.

    A run that is finished is not trained again: the model gets its weights and the metrics are read. The model is
    left in eval mode, on the device of training. Frozen parameters are not in the checkpoints: build the model in
    the same way before calling again.

    Raises TrainingError if the data set is smaller than one step, if nothing is trainable, if `run_dir` cannot be
    written, holds a run with other settings or is in use by another process, if the settings ask for what the model
    or the engine cannot do, and if a loss or gradient is not finite (before it does harm).
    """
    run = RunFolder(run_dir)
    record = {"train": dataclasses.asdict(config), "settings": settings or {}, "examples": len(dataset)}
    run.check(record)
    backward = _backward(model, losses, config)

    accelerator = make_accelerator(config, run.path)
    epoch_steps, steps = _plan(len(dataset), config, accelerator.num_processes)
    done, state = run.restore(model)
    worker = copy.deepcopy(model) if asks_for_shards() else model  # sharding is in place, and `model` stays whole
    engine = prepare(accelerator, worker)
    optimizer, scheduler = make_optimizer(worker, config, steps)
    prepared_optimizer = accelerator.prepare_optimizer(optimizer)
    others = {"scheduler": scheduler} | ({"scaler": accelerator.scaler} if accelerator.scaler else {})  # fp16 only
    if done and done < steps:
        restore_state(worker, optimizer, others, state, run.newest())

    writes = accelerator.is_main_process
    engine.train()
    batches = _batches(dataset, config, accelerator, range(done, steps))
    with ExitStack() as stack:
        if writes and done < steps:
            stack.enter_context(run.held())
            run.begin(record, done)
            track = stack.enter_context(tracked(accelerator, run.path, record))
        accelerator.wait_for_everyone()
        stack.enter_context(layer_options(worker, config))
        shown = progress and writes
        bar = stack.enter_context(tqdm(total=steps, initial=done, disable=not shown, desc=run.path.name))
        for step in range(done + 1, steps + 1):
            began, lr = time.perf_counter(), scheduler.get_last_lr()[0]
            values = _update(step, accelerator, engine, prepared_optimizer, backward, batches, config, run)
            scheduler.step()
            if writes and (step in (1, steps) or step % config.log_every == 0):
                epoch, seconds = (step - 1) // epoch_steps + 1, time.perf_counter() - began
                row = {"step": step, "epoch": epoch, "lr": lr, **values, "seconds": seconds}
                run.log(row)
                track(row)
            if step == steps or step % config.checkpoint_every == 0:
                weights, optimizer_state = saved_state(worker, optimizer)
                if writes:
                    states = {name: part.state_dict() for name, part in others.items()}
                    run.save(step, weights, {"optimizer": optimizer_state} | states)
            bar.set_postfix(loss=f"{values['total']:.4g}", refresh=False)
            bar.update()
    accelerator.wait_for_everyone()
    if worker is not model:
        copy_trained(worker, model)
        model.to(accelerator.device)
    model.eval()
    return run.metrics()


def fitting(config: TrainConfig, examples: int, name: str, least: int = 1) -> TrainConfig:
    """The settings with a batch, and accumulated batches, that so many examples can fill; a warning says what shrank.

    name    of the section of settings, such as "adapt", which warning and error name
    least   examples that a batch must have: 2 where examples are compared with each other

    Raises TrainingError if there are fewer examples than that.
    """
    from accelerate import PartialState

    processes = PartialState(cpu=cpu_only())  # as `make_accelerator` starts them
    batch = min(config.batch_size, examples // processes.num_processes * processes.num_processes)
    if batch < least:
        raise TrainingError(
            f"there are {examples} training examples: a batch ({name}.batch_size) needs at least {least}, and one in "
            "every process"
        )
    smaller = {
        "batch_size": batch,
        "gradient_accumulation": min(config.gradient_accumulation, max(1, examples // batch)),
    }
    changes = [
        f"{name}.{field} is {value} instead of {vars(config)[field]}"
        for field, value in smaller.items()
        if value != vars(config)[field]
    ]
    if changes and processes.is_main_process:
        warnings.warn(f"there are {examples} training examples: {', '.join(changes)}", stacklevel=3)
    return dataclasses.replace(config, **smaller)


def seed_everything(seed: int) -> None:
    """Seed the generators of python, numpy and torch; 0 <= seed < 2**32."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_optimizer(model: nn.Module, config: TrainConfig, steps: int) -> tuple[Optimizer, LRScheduler]:
    """AdamW on everything trainable, and its schedule: (optimizer, scheduler).

    The learning rate rises linearly from 0 over int(warmup * steps) steps and falls to 0 along half a cosine or a
    straight line; the first step of all has rate 0. Weight decay and rate can differ by a parameter's name.

    The released DiscoVLA has an older AdamW, which adds eps before the bias correction and decays the weight after
    the step instead of before; both differences are of second order (on the recorded sequence of 12 steps at lr 0.03,
    parameters differ by less than 1e-3). The released UniVL has BertAdam, which has no bias correction at all: for a
    constant gradient its steps are 6.6 times as long at step 12, 3.2 times at 100, 1.3 times at 1,000.
    """
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    groups = _parameter_groups(model, config)
    if not groups:
        raise TrainingError("the model has no parameter with requires_grad: nothing to train")
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.eps)
    schedules: dict[str, Any] = {"cosine": get_cosine_schedule_with_warmup, "linear": get_linear_schedule_with_warmup}
    return optimizer, schedules[config.schedule](optimizer, int(config.warmup * steps), steps)


def _parameter_groups(model, config):
    """Trainable parameters by (weight decay, learning rate), as torch's optimisers take them."""
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if any(part in name for part in config.no_decay) else config.weight_decay
            factor = next((factor for start, factor in config.lr_multipliers if name.startswith(start)), 1.0)
            groups.setdefault((decay, config.learning_rate * factor), []).append(parameter)
    return [{"params": parameters, "weight_decay": decay, "lr": rate} for (decay, rate), parameters in groups.items()]


def _backward(model, losses, config):
    """A function (accelerator, engine, batch) -> losses that adds up gradients; TrainingError if there can be none."""
    if config.chunk_size is None:

        def at_once(accelerator: Any, engine: nn.Module, batch: Any) -> dict[str, torch.Tensor]:
            values = engine(losses, batch)
            if "total" not in values:
                raise TrainingError(f"losses must have a 'total', the one that is minimised; got {list(values)}")
            accelerator.backward(values["total"])
            return values

        return at_once
    if losses is not model_losses or not (hasattr(model, "encode") and hasattr(model, "losses_of")):
        raise TrainingError(
            "chunk_size (gradient caching) needs losses that are functions of embeddings: a model's "
            f"own, by its encode(batch) and losses_of(embeddings). {type(model).__name__} does not "
            "train so here: leave chunk_size out"
        )
    return partial(backward_in_chunks, chunk_size=config.chunk_size)


def _plan(examples, config, processes):
    """(steps in an epoch, steps in all)."""
    per_step = config.batch_size * config.gradient_accumulation
    if config.batch_size % processes:
        raise TrainingError(
            f"batch_size {config.batch_size} cannot be split over {processes} processes: choose a multiple"
        )
    if examples < per_step:
        raise TrainingError(
            f"the data set has {examples} examples and one step takes {per_step} (batch_size x "
            "gradient_accumulation): lower batch_size or use more data"
        )
    epoch_steps = examples // per_step
    return epoch_steps, config.steps if config.epochs is None else config.epochs * epoch_steps


def _update(step, accelerator, engine, optimizer, backward, batches, config, run):
    """One update of the parameters; the losses (means over micro-batches and processes) and the gradient's norm."""
    sums = 0
    for part in range(config.gradient_accumulation):
        batch = next(batches)
        seed_everything(_seed(config.seed, MODEL, step, part, accelerator.process_index))
        with accelerator.accumulate(engine):
            losses = backward(accelerator, engine, batch)
        sums = sums + torch.stack([loss.detach().float() for loss in losses.values()])
    # The mean over processes, so that all of them see, and stop at, the same value.
    means = accelerator.reduce(sums / config.gradient_accumulation, "mean").tolist()
    values = dict(zip(losses, means, strict=True))
    norm = accelerator.clip_grad_norm_(engine.parameters(), config.max_grad_norm)
    values["grad_norm"] = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)  # in shards: a DTensor
    if not math.isfinite(values["grad_norm"]) and accelerator.scaler is not None:
        values["grad_norm"] = None  # fp16 overflow: its scaler skips this update and lowers the scale
    if not all(value is None or math.isfinite(value) for value in values.values()):
        raise TrainingError(
            f"step {step}: not every loss and gradient is finite ({_listing(values)}). The update "
            f"was not applied; the last good checkpoint is {run.newest() or 'none yet'}. Lower "
            "learning_rate, or look for bad examples in this step's batch."
        )
    optimizer.step()
    optimizer.zero_grad()
    return values


def _batches(dataset, config, accelerator, steps):
    """This process's micro-batches of the given steps (counted from 0), on its device."""
    from accelerate.utils import send_to_device

    source = MicroBatches(dataset, config, accelerator.process_index, accelerator.num_processes)
    parts = range(steps.start * config.gradient_accumulation, steps.stop * config.gradient_accumulation)
    loader = DataLoader(
        source,
        batch_size=None,
        sampler=parts,
        num_workers=config.num_workers,
        pin_memory=accelerator.device.type == "cuda",
    )
    for batch in loader:
        yield send_to_device(batch, accelerator.device)


class MicroBatches(Dataset):
    """Micro-batch number i of the whole run, as a function of (seed, i): a restart reads none of those before."""

    def __init__(self, dataset: SizedDataset, config: TrainConfig, process: int, processes: int):
        self.dataset, self.config = dataset, config
        self.process, self.share = process, config.batch_size // processes
        self.per_epoch = _plan(len(dataset), config, processes)[0] * config.gradient_accumulation

    def __getitem__(self, i):
        epoch, position = divmod(i, self.per_epoch)
        first = position * self.config.batch_size + self.process * self.share
        rows = _epoch_order(len(self.dataset), self.config.seed, epoch)[first : first + self.share]
        seed_everything(_seed(self.config.seed, DATA, i, self.process))
        return default_collate([self.dataset[int(row)] for row in rows])


@lru_cache(maxsize=1)
def _epoch_order(examples, seed, epoch):
    return np.random.default_rng((seed, ORDER, epoch)).permutation(examples)


def _seed(*parts):
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _listing(values):
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items() if value is not None)
