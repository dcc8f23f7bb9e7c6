"""CLIP-like models in folders of transformers: configuration, safetensors, tokenizer, `preprocessor_config.json`.

Such a folder may come from anyone. Its configuration is read by an allow-list of sizes, no code that it names is run,
weights are safetensors alone, and the model is built from what passed.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minivl.clip.errors import ModelError
from minivl.clip.folder_config import Channels, Count, Layers, Name, Pixels, Tokens, Vocabulary, Width
from minivl.data.images import CLIP_MEAN, CLIP_STD
from minivl.data.text import PaddedTokenizer
from minivl.data.trust import UntrustedFile, read_json, refuse_code
from minivl.hub.checkpoints import CheckpointError, build, read_weights

CONFIG, PICTURES = "config.json", "preprocessor_config.json"
KINDS = {  # by `model_type`: transformers' class
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
    "altclip": "AltCLIPModel",
    "chinese_clip": "ChineseCLIPModel",
    "metaclip_2": "MetaClip2Model",
}
REFUSED = {  # why
    "xclip": "X-CLIP embeds a text anew for each video that it is compared with, so it is no dual encoder",
    "clipseg": "CLIPSeg marks places in pictures",
}
UNMASKED = ("siglip", "siglip2")  # trained on padded texts without a mask
LONGEST = {"chinese_clip": 52}  # tokens of the texts that it was trained on, where the places are more


class _Read(BaseModel):
    """What is read of a file; whatever else it holds is left alone."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Tower(_Read):
    """Sizes of a tower; those that are not given are transformers' own."""

    hidden_size: Width | None = None
    intermediate_size: Width | None = None
    num_hidden_layers: Layers | None = None
    num_attention_heads: Width | None = None
    hidden_act: Name | None = None
    layer_norm_eps: Annotated[float, Field(gt=0, lt=1)] | None = None
    projection_dim: Width | None = None


class _Vision(_Tower):
    image_size: Pixels | None = None
    patch_size: Pixels | None = None
    num_patches: Tokens | None = None
    vision_use_head: bool | None = None


class _Text(_Tower):
    vocab_size: Vocabulary | None = None
    max_position_embeddings: Tokens | None = None
    type_vocab_size: Count | None = None
    project_dim: Width | None = None
    projection_size: Width | None = None
    pad_token_id: Count | None = None
    bos_token_id: Count | None = None
    eos_token_id: Count | None = None


class _Model(_Read):
    model_type: Name
    vision_config: _Vision = _Vision()
    text_config: _Text = _Text()
    projection_dim: Width | None = None


class _Size(_Read):
    shortest_edge: Pixels | None = None
    height: Pixels | None = None
    width: Pixels | None = None


class _Pictures(_Read):
    size: Pixels | _Size | None = None
    crop_size: Pixels | _Size | None = None
    do_center_crop: bool | None = None
    resample: Literal[2, 3] = 3  # PIL's numbers of bilinear and bicubic
    image_mean: Channels = CLIP_MEAN
    image_std: Channels = CLIP_STD


def is_transformers_folder(folder: Path) -> bool:
    """Whether a folder holds a model of transformers: its `config.json` says which."""
    try:
        content = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
    except UntrustedFile:
        return False
    return isinstance(content, dict) and "model_type" in content


def load_transformers_model(folder: Path, weights: bool = True) -> tuple[Any, PaddedTokenizer, dict[str, Any]]:
    """(model, tokenizer, how pictures become pixels: arguments of `minivl.data.images.preprocess`) of a folder.

    Raises ModelError for another kind of model and for what is missing, CheckpointError for weights that do not fit.
    """
    try:
        refuse_code(folder)
        read = _read(folder / CONFIG, _Model)
    except UntrustedFile as error:
        raise ModelError(str(error)) from error
    kind = read.model_type
    if kind not in KINDS:
        why = REFUSED.get(kind, f"minivl reads these: {', '.join(KINDS)}")
        raise ModelError(f"{folder / CONFIG} is of a model {kind!r}, which cannot be used here: {why}")
    import transformers

    make = getattr(transformers, KINDS[kind])
    config = make.config_class(**read.model_dump(exclude_unset=True, exclude={"model_type"}))
    model = build(lambda: make(config), folder / CONFIG)
    if weights:
        model = _with_weights(make, config, folder)
    return model.eval(), _tokenizer(folder, kind, config), _look(folder, kind, model)


def _with_weights(make: Any, config: Any, folder: Path) -> Any:
    """A model with the weights of a folder: all of them, and no other."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no model.safetensors: weights are read as safetensors only")
    state = {name: tensor for file in files for name, tensor in read_weights(file).items()}
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{files[0]} has values that are NaN or infinite: {', '.join(broken[:10])}")
    model, found = make.from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True, ignore_mismatched_sizes=True
    )
    problems = {
        kind: sorted(map(str, found.get(f"{kind}_keys", ()))) for kind in ("missing", "unexpected", "mismatched")
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {', '.join(names[:10])}" for kind, names in problems.items() if names)
        raise CheckpointError(f"{files[0]} does not fit {make.__name__} as {CONFIG} describes it: {listed}")
    return model


def _tokenizer(folder: Path, kind: str, config: Any) -> PaddedTokenizer:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # tokenizers has no kinds of errors
        raise ModelError(f"{folder} has no tokenizer that can be read: {str(error)[:500]}") from error
    places = config.text_config.max_position_embeddings - (2 if kind == "altclip" else 0)  # RoBERTa counts from 2
    return PaddedTokenizer(tokenizer, min(places, LONGEST.get(kind, 77)), masked=kind not in UNMASKED)


def _look(folder: Path, kind: str, model: Any) -> dict[str, Any]:
    """How pictures become pixels: size, mean, std, resizing and interpolation."""
    from minivl.clip.dual import image_size_of

    size = image_size_of(model.config)
    if not (folder / PICTURES).is_file():
        raise ModelError(f"{folder} has no {PICTURES}, which says how pictures become pixels")
    try:
        pictures = _read(folder / PICTURES, _Pictures)
    except UntrustedFile as error:
        raise ModelError(str(error)) from error
    edges = {pictures.size} if isinstance(pictures.size, int) else set((pictures.size or _Size()).model_dump().values())
    if other := edges - {size, None}:
        raise ModelError(f"{folder / PICTURES} makes pictures of {other.pop()} pixels, but the model reads {size}")
    whole = isinstance(pictures.size, _Size) and pictures.size.height is not None and not pictures.do_center_crop
    return {
        "size": size,
        "mean": pictures.image_mean,
        "std": pictures.image_std,
        # SigLIP 2 reads any shape; of videos it is shown the middle square, which keeps theirs.
        "resizing": "squash" if whole and kind != "siglip2" else "shortest",
        "interpolation": "bilinear" if pictures.resample == 2 else "bicubic",
    }


def _read(file: Path, kind: Any) -> Any:
    """A JSON file by its allow-list. Raises UntrustedFile, which lists what is of another type or too large."""
    content = read_json(file)
    try:
        return kind.model_validate_json(json.dumps(content))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'the whole file'}: {e['msg']}" for e in error.errors()[:20]]
        raise UntrustedFile("\n".join([f"{file} cannot be used:", *lines])) from error
