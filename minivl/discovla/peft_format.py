"""DiscoVLA's LoRA in the files of Hugging Face's `peft`, and back: `adapter_config.json`, `adapter_model.safetensors`.

peft keeps two matrices for each module that LoRA changes, and finds the module by its name in the model below:

    base_model.model.MODULE.lora_A.weight (rank, width)        base_model.model.MODULE.lora_B.weight (rows, rank)

They are the A and B of here; its factor lora_alpha / r is 1. Where q, k and v are in one `nn.MultiheadAttention`, peft
always adapts the output projection, too: that half is zero. Fusion adapters have no place in peft's format.
"""

import json
import re
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from minivl.config import DiscoVLAConfig
from minivl.data.atomic import replacing_files
from minivl.data.trust import read_json
from minivl.discovla.model import DiscoVLA
from minivl.hub.checkpoints import CheckpointError, load_weights, read_weights

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
OURS = re.compile(r"clip\.(.+?)\.(?:lora|parametrizations\.(\w+)\.0)\.([AB])")  # module, its parameter, the matrix


def export_lora(model: DiscoVLA, folder: Path | str) -> None:
    """Write a model's LoRA into a folder, which `peft.PeftModel.from_pretrained(clip, folder)` reads.

    `clip` there is the model that was adapted: of open_clip or of transformers. Fusion adapters are left out, with a
    warning that counts them.
    """
    tensors: dict[str, Tensor] = {}
    modules, left_out = [], 0
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if not (found := OURS.fullmatch(name)):
            left_out += parameter.numel()
            continue
        module, joint = _module(found[1]), found[2] in (None, "in_proj_weight")
        tensors[f"{PREFIX}{module}.lora_{found[3]}.weight"] = parameter.detach().cpu().contiguous()
        if found[3] == "A":
            modules.append(module)
        if joint:
            tensors |= _nothing(module, found[3], parameter)
    if left_out:
        warnings.warn(f"{left_out:,} numbers of fusion adapters are left out: peft has no place for them", stacklevel=2)
    rank = model.config.lora_rank
    base = model.backbone.name if model.backbone else None
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "bias": "none"}
    config |= {"target_modules": modules, "base_model_name_or_path": base, "inference_mode": True, "task_type": None}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing_files(folder / CONFIG, folder / WEIGHTS) as (text, weights):
        text.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(tensors, weights)


def import_lora(folder: Path | str, clip: str, pretrained: str | None = None) -> DiscoVLA:
    """A DiscoVLA without fusion that has the LoRA of a folder, on the CLIP that `load_clip` knows by this name.

    Raises CheckpointError for LoRA that DiscoVLA has no place for, such as on an output projection.
    """
    folder = Path(folder)
    config, state = read_json(folder / CONFIG), read_weights(folder / WEIGHTS)
    factor = _factor(config, folder)
    model = DiscoVLA.from_open_clip(clip, pretrained, DiscoVLAConfig(config["r"], 0, 0, alpha=0, beta=0))
    names = {}
    for name, _ in model.named_parameters():
        if found := OURS.fullmatch(name):
            names[f"{PREFIX}{_module(found[1])}.lora_{found[3]}.weight"] = name
    other = {name: tensor for name, tensor in state.items() if name not in names}
    strange = [name for name, tensor in other.items() if "lora_B" in name and tensor.any() or "lora_" not in name]
    if strange:
        raise CheckpointError(
            f"{folder / WEIGHTS} changes what DiscoVLA does not: {', '.join(strange[:5])}. It has LoRA on queries, "
            "keys and values alone"
        )
    ours = {names[name]: tensor * (factor if name.endswith("lora_B.weight") else 1) for name, tensor in state.items()
            if name in names}  # fmt: skip
    frozen = tuple(name for name, parameter in model.named_parameters() if not parameter.requires_grad)
    load_weights(model, ours, allow_missing=frozen, origin=str(folder / WEIGHTS))
    return model


def _factor(config: object, folder: Path) -> float:
    """What peft multiplies B A with. Raises CheckpointError for another kind of adapter."""
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise CheckpointError(f"{folder / CONFIG} is not of LoRA")
    special = [
        key for key in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out") if config.get(key)
    ]
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if special or not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise CheckpointError(
            f"{folder / CONFIG} asks for what DiscoVLA's LoRA has not: {', '.join(special) or 'r, lora_alpha'}"
        )
    return alpha / rank


def _module(name: str) -> str:
    """A module's name in the model below, where no attention was replaced."""
    return re.sub(r"attn\.base\.", "attn.", name)


def _nothing(module: str, matrix: str, like: Tensor) -> dict[str, Tensor]:
    """peft's half for the output projection of an `nn.MultiheadAttention`: zeros."""
    width = like.shape[1] if matrix == "A" else like.shape[0] // 3
    rank = min(like.shape)
    shape = (rank, width) if matrix == "A" else (width, rank)
    return {f"{PREFIX}{module}.base_layer.out_proj.lora_{matrix}.weight": torch.zeros(shape)}
