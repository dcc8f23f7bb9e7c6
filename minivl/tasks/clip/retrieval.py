"""Text-video retrieval: adapt a CLIP to videos and score it."""

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minivl.clip import Clip
from minivl.config import DiscoVLAConfig, Scale, TrainConfig
from minivl.data.clips import ClipDataset
from minivl.data.schema import captions_of, first_rows, load_split
from minivl.data.world.build import cached_world, frames_hash
from minivl.data.world.language import in_other_order
from minivl.discovla import DiscoVLA
from minivl.discovla.beyond.temporal import ReversedTwins, twin_losses
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.discovla.zero_shot import ZeroShot
from minivl.hub.folders import sections
from minivl.metrics.retrieval import group_metrics, retrieval_metrics
from minivl.tasks.clip.models import ZERO_SHOT as ZERO_SHOT
from minivl.tasks.clip.models import load_model as load_model
from minivl.tasks.clip.models import zero_shot as zero_shot
from minivl.train.loop import fit, fitting, model_losses, seed_everything


def data_folder(settings: Scale, progress: bool = True) -> Path:
    """Folder of the clips of a scale; the world is rendered if this is the first time."""
    return settings.data if settings.world is None else cached_world(settings.world, progress)


def clips(folder: Path, split: str, backbone: Clip, settings: Scale, subset: int | None = None) -> ClipDataset:
    """The clips of a split as a CLIP (`backbone`) reads them; `subset` takes the first so many.

    Clips that nobody has captioned are left out, and a warning counts them.
    """
    rows = first_rows(load_split(folder, split), subset)
    captioned = np.unique(captions_of(rows)[1])
    if 0 < len(captioned) < len(rows):
        warnings.warn(f"{len(rows) - len(captioned)} of {len(rows)} clips of {split} have no caption and are left out",
                      stacklevel=2)  # fmt: skip
        rows = rows.select(captioned)
    return ClipDataset(rows, backbone, settings.inputs, keep_frames=settings.world is not None)


@dataclass
class Scores:
    """Result of retrieval on one set of clips."""

    similarity: np.ndarray  # (N_text, N_video) cosines; with one caption per clip, row i belongs to column i
    metrics: dict  # see retrieval_metrics
    groups: dict | None  # see group_metrics; None where clips have no groups

    def row(self) -> dict[str, float]:
        """The numbers of a results table, flat."""
        flat = {
            f"{direction} {name}": value
            for direction in ("t2v", "v2t")
            for name, value in self.metrics[direction].items()
        }
        return {**flat, "R@sum": self.metrics["R@sum"], **(self.groups or {})}


@dataclass
class Embeddings:
    """What a model makes of clips and their captions, on its device."""

    texts: Tensor  # (N_text, D)
    videos: Tensor  # (N_video, D)
    frames: Tensor  # (N_video, F, D)
    frame_mask: Tensor  # (N_video, F)


@torch.inference_mode()
def embeddings(
    model: DiscoVLA | ZeroShot, data: ClipDataset, batch_size: int = 64, progress: bool = True
) -> Embeddings:
    """Embeddings of every clip, its frames, and every caption of `data`; each is encoded once."""
    model.eval()
    device = next(model.parameters()).device
    encoded = []
    for batch in data.video_batches(batch_size, progress=progress):
        mask = batch["video_mask"].to(device)
        encoded.append((*model.encode_video(batch["video"].to(device), mask), mask))
    texts = [model.encode_caption(ids.to(device), mask.to(device)) for ids, mask in data.text_batches(batch_size)]
    return Embeddings(torch.cat(texts), *(torch.cat(part) for part in zip(*encoded, strict=True)))


@torch.inference_mode()
def evaluate(model: DiscoVLA | ZeroShot, data: ClipDataset, batch_size: int = 64, progress: bool = True) -> Scores:
    """Text-to-video and video-to-text retrieval of the clips and captions of `data`."""
    found = embeddings(model, data, batch_size, progress)
    similarity = model.similarity(found.texts, found.videos).float().cpu().numpy()
    groups = data.rows["group"] if "group" in data.rows.column_names else None
    return Scores(
        similarity,
        retrieval_metrics(similarity, data.video_of_text),
        None if groups is None else group_metrics(similarity, list(groups), data.video_of_text),
    )


def without_idle_fusion(config: DiscoVLAConfig) -> DiscoVLAConfig:
    """The settings as they are trained: without frame captions there is nothing for the text tower to fuse."""
    return config if config.alpha or config.beta else replace(config, text_fusion_layers=0)


def adapt(
    clip_name: str,
    pretrained: str | None,
    train: ClipDataset,
    config: DiscoVLAConfig,
    training: TrainConfig,
    run_dir: Path,
    progress: bool = True,
    twins: bool = False,
) -> DiscoVLA:
    """Adapt a CLIP to the clips of `train`; the model is saved in `run_dir/model` and returned.

    With `twins` a step also has every clip run backwards, see `ReversedTwins`: twice as many as `batch_size`. Where
    alpha or beta is above 0, `train` needs frame captions: those that `with_pseudo_captions` gave it, else the
    column `frame_captions` of its rows. A run that was interrupted goes on where its last checkpoint stands; a
    finished one is read back. A batch is at most as large as `train`, and a warning says so.
    Raises SchemaError if there are no frame captions, TrainingError for fewer than two pairs.
    """
    from accelerate import PartialState

    settings: dict[str, Any] = {"clip": [clip_name, pretrained], "inputs": vars(train.inputs)}
    if config.alpha or config.beta:
        train = train if train.frame_captions else with_pseudo_captions(train, rendered_captions(train))
        settings["frame_captions"] = hashlib.sha256(repr(train.frame_captions).encode()).hexdigest()[:16]
    config = without_idle_fusion(config)
    folder = Path(train.paths[0]).parent
    if frames := frames_hash(folder):
        settings["frames"] = frames
    settings |= {"discovla": vars(config), "clips": len(train)} | ({"twins": True} if twins else {})
    training = fitting(training, len(train), "adapt", least=2)
    seed_everything(training.seed)
    model = DiscoVLA.from_open_clip(clip_name, pretrained, config)
    data, losses = (ReversedTwins(train, in_other_order), twin_losses) if twins else (train, model_losses)
    fit(model, data, training, run_dir, losses, settings=settings, progress=progress)
    if PartialState().is_main_process:
        made = ", ".join(f"{name} {value}" for name, value in vars(training).items())
        source = "/".join(folder.parts[-2:]) + (f" (frames {frames[:12]})" if frames else "")  # corpus/split
        model.save_pretrained(
            run_dir / "model",
            sections(data=f"{len(train):,} pairs of a clip and a caption from {source}. Training: {made}."),
            train.inputs,
        )
    return model.eval()


def adapt_at_scale(settings: Scale, seed: int, run_dir: Path, train: ClipDataset, progress: bool = True) -> DiscoVLA:
    """`adapt` with the settings of a scale."""
    return adapt(
        settings.clip.name,
        settings.clip.pretrained,
        train,
        settings.discovla,
        replace(settings.adapt, seed=seed),
        run_dir,
        progress,
    )
