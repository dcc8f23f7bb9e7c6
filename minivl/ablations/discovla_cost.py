"""The cost of the attention strategies against the number of frames: parameters, operations, time and memory."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from minivl.clip import load_clip
from minivl.config import STRATEGIES, DiscoVLAConfig
from minivl.discovla import DiscoVLA
from minivl.progress import tqdm


def strategy_costs(
    config: DiscoVLAConfig,
    frames: Sequence[int] = (4, 8, 16, 32),
    videos: int = 4,
    repeats: int = 5,
    progress: bool = True,
) -> pd.DataFrame:
    """One row per strategy and number of frames, for the vision tower of the small CLIP.

    parameters         trained, in the vision tower
    operations         of encoding, multiplications and additions per video
    seconds            of encoding and its backward pass, per video: median of `repeats`. Strategies take turns, so
                       that whatever else the machine does slows all of them
    megabytes          kept for the backward pass, per video
    """
    clip, rows = load_clip("kitchen"), []
    models = {name: DiscoVLA(clip.model, replace(config, strategy=name, alpha=0.0, beta=0.0)) for name in STRATEGIES}
    for count in frames:
        video = torch.randn(videos, count, 3, clip.image_size, clip.image_size)
        seconds: dict[str, list[float]] = {name: [] for name in models}
        for _ in tqdm(range(repeats + 1), desc=f"{count} frames", disable=not progress, leave=False):
            for name, model in models.items():
                began = time.process_time()
                model.encode_video(video)[0].sum().backward()
                seconds[name].append((time.process_time() - began) / videos)
        for name, model in models.items():
            rows.append(
                {
                    "strategy": name,
                    "frames": count,
                    "parameters": _trained(model),
                    "operations": _operations(model, video) / videos,
                    "seconds": statistics.median(seconds[name][1:]),  # the first one warms up
                    "megabytes": _kept_bytes(model, video) / videos / 1e6,
                }
            )
    return pd.DataFrame(rows)


def _trained(model: DiscoVLA) -> int:
    return sum(p.numel() for p in model.clip.visual.parameters() if p.requires_grad)


def _operations(model: DiscoVLA, video: Tensor) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.encode_video(video)
    return counter.get_total_flops()


def _kept_bytes(model: DiscoVLA, video: Tensor) -> int:
    """Bytes of the tensors that autograd keeps, each storage once, without the model's own parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = model.encode_video(video)[0].sum()
    del result
    return sum(kept.values())
