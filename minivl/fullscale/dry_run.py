"""A plan before anything is downloaded: one step of a recipe at full size, on made-up data, with random weights.

Contrastive losses compare all examples with each other, so what a batch of n costs is

    cost(n) = a n + b n^2

whose a and b follow from n = 1 and n = 2; for FLOPs this is exact. A video's clips count as one example.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minivl.config import ConfigError
from minivl.fullscale.measure import count_flops, fixed_bytes, saved_bytes
from minivl.fullscale.peaks import PEAKS, require_peak
from minivl.fullscale.recipes import Recipe
from minivl.fullscale.synthetic import build_model, made_up_batch
from minivl.train.loop import make_optimizer, seed_everything

FEATURE_BYTES = 1024 * 4  # an S3D feature, one per second
FRAME_BYTES = 3 * 224 * 224  # a decoded frame


@dataclass(frozen=True)
class DryRun:
    """Measured cost of one step here, and estimated cost of the whole run elsewhere."""

    recipe: Recipe
    parameters: int
    trainable: int
    device: str
    micro_batch: int  # examples of the real step
    seconds: float  # of the real step
    peak_bytes: int  # of the real step
    measured: bool  # whether peak_bytes was measured, or estimated from what the step keeps
    per_process: int  # examples per GPU and forward pass in the recipe
    process_bytes: int  # an estimate of the memory that needs
    flops: int  # of an update of the whole global batch
    gpu: str
    precision: str
    utilisation: float

    @property
    def gpu_hours(self) -> float:
        """Of the whole run: FLOPs over what the GPU is assumed to reach."""
        peak = PEAKS[self.gpu][self.precision] * 1e12
        return self.flops * self.recipe.steps / (peak * self.utilisation) / 3600

    @property
    def storage_bytes(self) -> float:
        """S3D features of the corpus in float32, one per second; for CLIP the sampled frames, decoded."""
        if self.recipe.kind == "adapt":
            return self.recipe.size.videos * self.recipe.settings.inputs.max_frames * FRAME_BYTES
        return self.recipe.size.hours * 3600 * FEATURE_BYTES

    def row(self) -> dict:
        """The numbers of a table."""
        return {
            "recipe": self.recipe.name,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "steps": self.recipe.steps,
            "examples per step": _global_batch(self.recipe),
            "TFLOP per step": round(self.flops / 1e12, 3),
            "device": self.device,
            "micro-batch": self.micro_batch,
            "seconds of its step": round(self.seconds, 2),
            "GiB of its step": round(self.peak_bytes / 2**30, 2),
            "GiB measured": self.measured,
            "examples per GPU": self.per_process,
            "GiB per GPU, estimated": round(self.process_bytes / 2**30, 1),
            "gpu": self.gpu,
            "precision": self.precision,
            "utilisation": self.utilisation,
            "GPU hours, estimated": float(f"{self.gpu_hours:.3g}"),
            "GB of storage, estimated": float(f"{self.storage_bytes / 1e9:.3g}"),
            "command": f"minivl recipe dry-run {self.recipe.name} --gpu {self.gpu} --precision {self.precision} "
            f"--utilisation {self.utilisation:g} --micro-batch {self.micro_batch}",
        }

    def __str__(self):
        r, how = self.recipe, "measured" if self.measured else "weights, gradients, AdamW's moments, activations"
        stored = "sampled frames as pixels" if r.kind == "adapt" else "S3D features, float32, one per second"
        lines = [
            f"{r.name}: {r.title}",
            f"  parameters   {self.parameters:,}, of which {self.trainable:,} are trained",
            f"  one step     {self.micro_batch} example(s), forward, backward and optimiser: {self.seconds:.1f} s on "
            f"{self.device}, {self.peak_bytes / 2**30:.1f} GiB ({how})",
            f"  update       {_global_batch(r):,} examples, {self.flops / 1e12:,.1f} TFLOP (without padding; scaled "
            "from 1 and 2 examples)",
            f"  memory       {self.process_bytes / 2**30:.1f} GiB per GPU, estimated, for {self.per_process} examples "
            f"in a forward pass (float32, attention as on {self.device})",
            f"  whole run    {r.steps:,} updates, {self.flops * r.steps:.3g} FLOP: {self.gpu_hours:.3g} hours of one "
            f"{self.gpu.upper()}, if it reaches {self.utilisation:.0%} of {PEAKS[self.gpu][self.precision]:g} TFLOP/s "
            f"({self.precision}); evaluation and reading not included",
            f"  storage      {self.storage_bytes / 1e9:,.1f} GB ({stored}; {r.size.videos:,} videos, about "
            f"{r.size.hours:,g} hours)",
        ]
        return "\n".join(lines)


def dry_run(
    recipe: Recipe, gpu: str = "a100", precision: str = "bf16", utilisation: float = 0.3, micro_batch: int | None = None
) -> DryRun:
    """Build the recipe's model with random weights, take one training step, and estimate the rest.

    The step has `micro_batch` examples; by default 1 on a CPU, where time is short, and on a GPU the most that fits,
    the recipe's examples per GPU at most. Nothing is downloaded. Raises ConfigError for an unknown GPU.
    """
    require_peak(gpu, precision)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    seed_everything(recipe.train.seed)
    model = build_model(recipe).to(device).train()
    costs = [_counted(recipe, model, device, n) for n in (1, 2)]
    share = max(1, recipe.train.batch_size // recipe.processes)
    alone = recipe.train.batch_size if recipe.kind == "adapt" else share  # DiscoVLA contrasts the global batch
    passes = _global_batch(recipe) // alone
    memory = [kept for _, kept in costs]
    per_process = fixed_bytes(model) + scaled(memory, share, alone)
    size, seconds, peak = _largest_step(recipe, model, device, micro_batch, share)
    measured = peak is not None
    return DryRun(
        recipe,
        sum(p.numel() for p in model.parameters()),
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        _device_name(device),
        size,
        seconds,
        peak if measured else fixed_bytes(model) + scaled(memory, size),
        measured,
        share,
        per_process,
        passes * scaled([flops for flops, _ in costs], alone),
        gpu,
        precision,
        utilisation,
    )


def scaled(costs: Sequence[int], n: int, compared: int | None = None) -> int:
    """cost(n) = a n + b m^2 of its costs at 1 and 2; m, how many are compared with each other, is n by default."""
    one, two = costs
    b = (two - 2 * one) / 2
    return round((one - b) * n + b * (compared or n) ** 2)


def _counted(recipe, model, device, n):
    """FLOPs, and bytes kept for the backward pass, of n examples."""
    batch = made_up_batch(recipe, model, n, device)
    counts = count_flops(model.losses, batch), saved_bytes(model, model.losses, batch)
    model.zero_grad(set_to_none=True)
    return counts


def _largest_step(recipe, model, device, micro_batch, share):
    """(examples, seconds, peak bytes or None) of a step; on a GPU halved until it fits, unless the size is given."""
    size = micro_batch or (1 if device.type == "cpu" else share)
    while True:
        try:
            return size, *_step(recipe, model, device, size)
        except torch.OutOfMemoryError:
            if micro_batch or size == 1:
                raise ConfigError(
                    f"{recipe.name}: a step of {size} example(s) does not fit into the memory of {_device_name(device)}"
                ) from None
        model.zero_grad(set_to_none=True)
        torch.accelerator.empty_cache()
        size //= 2


def _step(recipe, model, device, size):
    """Seconds and peak bytes (None on a CPU) of one update, as the training loop does it."""
    on_cuda, half = device.type == "cuda", {"bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = half.get(recipe.train.mixed_precision)
    batch = made_up_batch(recipe, model, size, device)
    optimizer, scheduler = make_optimizer(model, recipe.train, recipe.steps)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        total = model.losses(batch)["total"]
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.train.max_grad_norm)
    optimizer.step()
    scheduler.step()
    if on_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began, torch.cuda.max_memory_allocated() if on_cuda else None


def _global_batch(recipe):
    return recipe.train.batch_size * recipe.train.gradient_accumulation


def _device_name(device):
    return torch.cuda.get_device_name() if device.type == "cuda" else f"CPU with {torch.get_num_threads()} thread(s)"
