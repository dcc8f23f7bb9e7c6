"""The data that UniVL's pretraining and its five tasks use, at each scale."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from minivl.config import BUNDLED, ConfigError, CorpusConfig, Scale
from minivl.data.own_world import CLIPS
from minivl.data.schema import SchemaError, first_rows, load_split
from minivl.data.segments import segments_of

if TYPE_CHECKING:
    from datasets import Dataset

OPINIONS = BUNDLED / "opinion_features"
UNIVL, S3D_WEIGHTS = BUNDLED / "univl_kitchen", BUNDLED / "s3d_kitchen"
CAPTIONER = BUNDLED / "univl_kitchen_captions"  # UNIVL fine-tuned for captions
CLIP_TASKS = ("retrieval", "captioning", "sentiment")  # rows are clips; those of the others are whole videos
TRUTH = {  # columns that a task is scored by: one of them is enough
    "retrieval": ("caption", "captions"),
    "captioning": ("caption", "captions"),
    "segmentation": ("steps",),
    "localization": ("steps",),
    "sentiment": ("sentiment",),
}
TASKS = tuple(TRUTH)


def pretraining_videos(settings: Scale, subset: int | None = None) -> "Dataset":
    """Narrated videos for pretraining: the bundled ones, or HowTo100M at full scale.

    Those of `settings.own` are its split "pretrain", or "train" where it has no such split.
    """
    if settings.own is not None:
        split = "pretrain" if (settings.own / "pretrain").is_dir() else "train"
        return first_rows(load_split(settings.own, split), subset)
    if settings.world is None:
        from minivl.data.corpora import howto100m

        return howto100m.CORPUS.load(settings.data / "howto100m", "train", subset=subset)
    return first_rows(load_split(settings.narrated, "pretrain"), subset)


def task_rows(task: str, split: str, settings: Scale, subset: int | None = None) -> "Dataset":
    """Rows of one task: segments for retrieval and captioning, whole videos for the others.

    In the bundled world no meal of val and test occurs in train or in pretraining, and test captions of retrieval
    differ from each other, so that a caption fits one segment only. `subset` takes the first so many videos.
    Raises ConfigError for an unknown task.
    """
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}: choose one of {', '.join(TASKS)}")
    if settings.own is not None:
        return labelled_rows(task, settings.own, split, subset)
    if settings.world is None:
        return _corpus(settings.univl_corpora[task], split, settings.data, subset)
    return load_rows(task, OPINIONS if task == "sentiment" else settings.narrated, split, subset)


def data_of(task: str, settings: Scale) -> Path:
    """The folder that `task_rows` reads."""
    if settings.own is not None:
        return settings.own
    if settings.world is None:
        return settings.data / settings.univl_corpora[task].name
    return OPINIONS if task == "sentiment" else settings.narrated


def load_rows(task: str, folder: Path | str, split: str, subset: int | None = None) -> "Dataset":
    """Rows of a folder of the one schema for one task, of its first `subset` videos or of all.

    In a world of own videos (`minivl.data.own_world`) the clips have a folder of their own, which tasks on clips read.
    For retrieval and captioning, videos that have `steps` with `step_captions` become one segment per step, see
    `segments_of`; beyond training, retrieval gets one segment per caption.
    Raises FileNotFoundError for a missing folder or split, SchemaError for lines that do not fit.
    """
    own_clips = Path(folder) / CLIPS
    rows = first_rows(load_split(own_clips if task in CLIP_TASKS and own_clips.is_dir() else folder, split), subset)
    if task in ("retrieval", "captioning") and {"steps", "step_captions"} <= set(rows.column_names):
        return segments_of(rows, distinct=task == "retrieval" and split != "train")
    return rows


def labelled_rows(task: str, folder: Path | str, split: str, subset: int | None = None) -> "Dataset":
    """`load_rows` without those that lack what the task is scored by; a warning counts these.

    Localization learns from speech, so its training rows are left as they are. Raises SchemaError if no row is left.
    Without any such column rows come as they are, but for own videos: the task itself says what they lack.
    """
    rows = load_rows(task, folder, split, subset)
    if task == "localization" and split == "train":
        return rows
    values = [rows[name] for name in TRUTH[task] if name in rows.column_names]
    if not values and not (Path(folder) / CLIPS).is_dir():
        return rows
    kept = [number for number, found in enumerate(zip(*values, strict=True)) if any(one is not None for one in found)]
    if not kept:
        raise SchemaError(
            f"no row of {split} in {folder} has {' or '.join(TRUTH[task])}, which {task} needs: give labels by "
            "`minivl prepare --labels`" + (", or take speech by --speech-captions" if "caption" in TRUTH[task] else "")
        )
    if len(kept) < len(rows):
        warnings.warn(
            f"{len(rows) - len(kept)} of {len(rows)} rows of {split} have no label and are left out", stacklevel=2
        )
        return rows.select(kept)
    return rows


def _corpus(corpus: CorpusConfig, split: str, folder: Path, subset: int | None) -> "Dataset":
    from minivl.data.corpora import load

    return load(corpus.name, folder / corpus.name, split, protocol=corpus.protocol, subset=subset)
