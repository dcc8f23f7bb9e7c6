"""Explorations on disk: a folder of two files that any program can write; docs/alignment-files.md describes them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save

from minivl.data.atomic import replacing_files
from minivl.data.trust import UntrustedFile, read_json
from minivl.explorer.alignments import Alignment, AlignmentError, Clips, Exploration
from minivl.hub.checkpoints import CheckpointError, read_weights

DESCRIPTION, TENSORS = "alignment.json", "alignment.safetensors"
FORMAT = "minivl alignment 1"  # raise the number when the files change their meaning
ARRAYS = ("similarity", "texts", "videos", "frames", "frame_mask", "image_level")
SETTINGS = ("logit_scale", "distill_scale", "teacher")  # of a stage, in the description


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Clip(_Part):
    name: str
    group: str | None = None


class _Caption(_Part):
    text: str
    video: int


class _Stage(_Part):
    name: str = ""
    logit_scale: float | None = None
    distill_scale: float | None = None
    teacher: str | None = None


class _Model(_Part):
    name: str
    stages: list[_Stage] = Field(min_length=1)


class _Description(_Part):
    format: str
    clips: list[_Clip] = Field(min_length=1)
    captions: list[_Caption] = Field(min_length=1)
    models: list[_Model] = Field(min_length=1)


def save_exploration(exploration: Exploration, folder: Path | str) -> Path:
    """Write an exploration into a folder, both files whole or none; the folder."""
    folder, clips = Path(folder), exploration.clips
    tensors = {} if clips.strips is None else {"strips": clips.strips}
    for m, stages in enumerate(exploration.models.values()):
        for s, alignment in enumerate(stages.values()):
            arrays = {name: getattr(alignment, name) for name in ARRAYS}
            tensors |= {f"{m}.{s}.{name}": array for name, array in arrays.items() if array is not None}
    groups: list[Any] = clips.groups or [None] * len(clips.names)
    description = _Description(
        format=FORMAT,
        clips=[_Clip(name=name, group=group) for name, group in zip(clips.names, groups, strict=True)],
        captions=[
            _Caption(text=text, video=int(video))
            for text, video in zip(clips.captions, clips.video_of_text, strict=True)
        ],
        models=[
            _Model(name=name, stages=[_Stage(name=stage, **_settings(a)) for stage, a in stages.items()])
            for name, stages in exploration.models.items()
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing_files(folder / DESCRIPTION, folder / TENSORS) as (text, data):
        text.write_text(description.model_dump_json(indent=1), encoding="utf-8")
        data.write_bytes(save({name: torch.from_numpy(_plain(array)) for name, array in tensors.items()}))
    return folder


def load_exploration(folder: Path | str) -> Exploration:
    """The exploration in a folder, whoever wrote it. Raises AlignmentError for files that do not hold one."""
    folder = Path(folder)
    try:
        read = _Description.model_validate(read_json(folder / DESCRIPTION))
        tensors = {name: _array(tensor) for name, tensor in read_weights(folder / TENSORS).items()}
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise AlignmentError(f"{folder / DESCRIPTION}: {place}: {first['msg']}, see docs/alignment-files.md") from error
    except (UntrustedFile, CheckpointError) as error:
        raise AlignmentError(str(error)) from error
    if read.format != FORMAT:
        raise AlignmentError(
            f"{folder / DESCRIPTION} has the format {read.format!r:.60}; this program reads {FORMAT!r}"
        )
    try:
        return _assembled(read, tensors)
    except AlignmentError as error:
        raise AlignmentError(f"{folder}: {error}") from error


def _assembled(read: _Description, tensors: dict[str, np.ndarray]) -> Exploration:
    """The exploration that a description and its tensors make; every tensor must be wanted."""
    groups = [clip.group for clip in read.clips if clip.group is not None]
    clips = Clips(
        [clip.name for clip in read.clips],
        [caption.text for caption in read.captions],
        np.array([caption.video for caption in read.captions]),
        groups if len(groups) == len(read.clips) else None,
        tensors.pop("strips", None),
    )
    models = {
        model.name: {stage.name: _alignment(f"{m}.{s}.", stage, tensors) for s, stage in enumerate(model.stages)}
        for m, model in enumerate(read.models)
    }
    if tensors:
        raise AlignmentError(f"{TENSORS} has tensors that nothing asks for: {', '.join(sorted(tensors))!r:.200}")
    if len(models) < len(read.models) or any(len(models[m.name]) < len(m.stages) for m in read.models):
        raise AlignmentError("two models, or two stages of a model, have the same name")
    return Exploration(clips, models)


def _alignment(prefix: str, stage: _Stage, tensors: dict[str, np.ndarray]) -> Alignment:
    """A stage's alignment, whose tensors are taken out; without similarities, they are the cosines."""
    found: dict[str, Any] = {name: tensors.pop(prefix + name, None) for name in ARRAYS}
    if found["similarity"] is not None:
        return Alignment(**found, **_settings(stage))
    texts, videos = found["texts"], found["videos"]
    if texts is None or videos is None or texts.ndim != 2 or videos.ndim != 2 or texts.shape[1] != videos.shape[1]:
        raise AlignmentError(f"there must be a tensor {prefix}similarity, or {prefix}texts and {prefix}videos")
    del found["similarity"], found["texts"], found["videos"]
    return Alignment.of_embeddings(texts, videos, **found, **_settings(stage))


def _settings(of: Alignment | _Stage) -> dict[str, Any]:
    return {name: getattr(of, name) for name in SETTINGS}


def _plain(array: np.ndarray) -> np.ndarray:
    """The array as it is stored: real numbers have four bytes, or fewer."""
    return np.ascontiguousarray(array.astype(np.float32) if array.dtype == np.float64 else array)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
