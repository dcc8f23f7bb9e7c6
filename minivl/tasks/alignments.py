"""What the models of this package make of clips and captions, for `minivl.explorer`.

Each function gives an `Exploration` of one model: zero-shot CLIP, DiscoVLA, UniVL's FT-Joint or FT-Align. A folder of
a run has stages, one for each checkpoint that it kept; `together` puts several models side by side.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from minivl.config import ConfigError, Scale
from minivl.data.clips import ClipDataset
from minivl.data.images import crop_square
from minivl.data.schema import captions_of
from minivl.data.text import tokenize
from minivl.discovla import DiscoVLA
from minivl.discovla.pimgalign import image_level_similarity
from minivl.discovla.pseudo_captions import pair_keys, rendered_captions
from minivl.discovla.zero_shot import ZeroShot
from minivl.explorer.alignments import Alignment, Clips, Exploration
from minivl.hub.checkpoints import load_weights
from minivl.tasks.clip import retrieval
from minivl.tasks.univl import load_task
from minivl.tasks.univl.base import place_of
from minivl.tasks.univl.retrieval import Retrieval
from minivl.train.run_folder import RunFolder, trained

if TYPE_CHECKING:
    from datasets import Dataset

MODEL = "model"  # the folder in that of a run where its last state is
PICTURES, SIDE, SMALL, FEW = 8, 64, 40, 200  # frames of a strip; their pixels, and those where clips are more than FEW
TEXTS = 16  # clips whose frame captions are encoded at once


def explore_clip(
    name: str, data: Path, split: str, settings: Scale, subset: int | None = None, progress: bool = True
) -> Exploration:
    """A CLIP, adapted or not, on a split of a folder of the one schema.

    name: of a model as `minivl.tasks.clip.models.find_model` knows it, or the folder of a run of `minivl adapt`.
    """
    clip, model, inputs = retrieval.load_model(_model_of(name))
    clips = retrieval.clips(data, split, clip, replace(settings, inputs=inputs), subset)

    def align() -> Alignment:
        found = retrieval.embeddings(model, clips, progress=progress)
        scale = model.clip.logit_scale.exp().item()
        taught = _taught(model, clips, found, scale)
        return replace(_alignment(found.texts, found.videos, found.frames, found.frame_mask, scale), **taught)

    shown = _clips(clips.rows, clips.captions, clips.video_of_text, _strips(clips))
    return Exploration(shown, {_title(name): dict(_stages(name, model, align))})


def explore_univl(name: str, rows: "Dataset", progress: bool = True) -> Exploration:
    """UniVL's text-video retrieval, FT-Joint or FT-Align, on rows for retrieval.

    name: of a task that `minivl finetune joint` or `align` saved, or the folder of its run. Raises ConfigError for
    another task. Features have no pictures, and FT-Align has no embeddings.
    """
    task = load_task(_model_of(name))
    if not isinstance(task, Retrieval):
        raise ConfigError(f"{name} is UniVL's {task.kind}, which aligns nothing: give a task joint or align")

    def align() -> Alignment:
        if task.method == "align":
            return Alignment(task.predict(rows, progress))
        texts, frames, mask = task.embeddings(rows, progress)
        return _alignment(texts, task.univl.pool_video(frames, mask), frames, mask, None)

    return Exploration(_clips(rows, *captions_of(rows), None), {_title(name): dict(_stages(name, task, align))})


@torch.inference_mode()
def _taught(
    model: DiscoVLA | ZeroShot, clips: ClipDataset, found: retrieval.Embeddings, scale: float
) -> dict[str, Any]:
    """What AlignDistill would teach the model on these clips: the last three fields of an `Alignment`.

    The teacher matches captions of frames with frames, as in training, where the clips have such captions. Where they
    have none, it has nothing but the caption itself. Padding takes part unless the model's settings leave it out.
    """
    config = model.config
    padding = found.frame_mask if config.mask_padding else None
    pool_scale = scale if config.pool_scale is None else config.pool_scale
    if _have_frame_captions(clips):
        captions = _frame_captions(model, clips, found.frame_mask)
        image = image_level_similarity(captions, found.frames, pool_scale, padding, padding)[clips.video_of_text]
        teacher = "the captions of the right clip's frames"
    else:
        image = image_level_similarity(found.texts[:, None], found.frames, pool_scale, None, padding)
        teacher = "the caption itself, as these clips have no captions of frames"
    return {"image_level": image.float().cpu().numpy(), "distill_scale": config.distill_scale, "teacher": teacher}


def _have_frame_captions(clips: ClipDataset) -> bool:
    return "frame_captions" in clips.rows.column_names and None not in clips.rows["frame_captions"]


def _frame_captions(model: DiscoVLA | ZeroShot, clips: ClipDataset, frame_mask: Tensor) -> Tensor:
    """Embeddings of the frame captions of each clip, (B, F, D), fused as in training where the model fuses them."""
    told, keys = rendered_captions(clips), pair_keys(clips)
    texts = [told[keys[i]] for i in np.unique(clips.video_of_text, return_index=True)[1]]  # B lists of F
    encoded = []
    for first in range(0, len(texts), TEXTS):
        some, mask = texts[first : first + TEXTS], frame_mask[first : first + TEXTS]
        tokens = tokenize(clips.clip.tokenizer, [text for own in some for text in own], clips.inputs.max_words)
        ids, real = (part.to(mask.device).unflatten(0, mask.shape) for part in tokens)  # (B', F, L)
        if isinstance(model, DiscoVLA):
            encoded.append(model.encode_frame_captions(ids, real, mask))
        else:
            encoded.append(model.encode_caption(ids.flatten(0, 1), real.flatten(0, 1)).unflatten(0, mask.shape))
    return torch.cat(encoded)


def is_run(folder: Path | str) -> bool:
    """Whether a folder is that of a training run which has ended, with its model in it."""
    return (Path(folder) / "metrics.jsonl").is_file() and (Path(folder) / MODEL / "config.json").is_file()


def _model_of(name: str) -> str:
    return str(Path(name) / MODEL) if is_run(name) else name


def _title(name: str) -> str:
    """What a model is called on the page: the run, or the folder above one that is called "model"."""
    path = Path(name)
    return path.resolve().parent.name if path.name == MODEL and path.is_dir() else path.name


def _stages(name: str, model: nn.Module, align: Callable[[], Alignment]) -> Iterator[tuple[str, Alignment]]:
    """The alignments of a model at the checkpoints of its run; as it is, if there are none."""
    checkpoints = RunFolder(name).saved() if is_run(name) else []
    if not checkpoints:
        yield "", align()
    frozen = tuple(model.state_dict().keys() - trained(model).keys())
    for folder in checkpoints:
        load_weights(model, folder / "model.safetensors", allow_missing=frozen)
        yield f"step {int(folder.name.removeprefix('step-'))}", align()


def _alignment(texts: Tensor, videos: Tensor, frames: Tensor, mask: Tensor, scale: float | None) -> Alignment:
    arrays: list[Any] = [tensor.float().cpu().numpy() for tensor in (texts, videos, frames, mask)]
    return Alignment.of_embeddings(arrays[0], arrays[1], frames=arrays[2], frame_mask=arrays[3], logit_scale=scale)


def _clips(rows: "Dataset", captions: list[str], video_of_text: np.ndarray, strips: np.ndarray | None) -> Clips:
    groups = rows["group"] if "group" in rows.column_names else [None]
    known = None if None in groups else [str(group) for group in groups]
    return Clips([_name(row) for row in rows], captions, video_of_text, known, strips)


def _name(row: dict) -> str:
    place = place_of(row)
    window = f", {place['start']:.1f} to {place['end']:.1f} s" if "start" in place else ""
    return f"{place['video_id']}{window}"


def _strips(clips: ClipDataset) -> np.ndarray:
    """A few frames of each clip, small, uint8 (B, PICTURES, H, H, 3)."""
    side, strips = SIDE if len(clips.paths) <= FEW else SMALL, []
    for number in range(len(clips.paths)):
        frames, mask = clips.frames(number)
        valid = np.flatnonzero(mask)
        strips.append(crop_square(frames[valid[np.linspace(0, len(valid) - 1, PICTURES).astype(int)]], side))
    return np.stack(strips)
