"""The data that UniVL's pretraining and its five tasks use, at each scale."""

from pathlib import Path
from typing import TYPE_CHECKING

from minivl.config import BUNDLED, ConfigError, CorpusConfig, Scale
from minivl.data.schema import first_rows, load_split
from minivl.data.segments import segments_of

if TYPE_CHECKING:
    from datasets import Dataset

OPINIONS = BUNDLED / "opinion_features"
UNIVL, S3D_WEIGHTS = BUNDLED / "univl_kitchen", BUNDLED / "s3d_kitchen"
CAPTIONER = BUNDLED / "univl_kitchen_captions"  # UNIVL fine-tuned for captions
TASKS = ("retrieval", "captioning", "segmentation", "localization", "sentiment")


def pretraining_videos(settings: Scale, subset: int | None = None) -> "Dataset":
    """Narrated videos for pretraining: the bundled ones, or HowTo100M at full scale."""
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
    if settings.world is None:
        return _corpus(settings.univl_corpora[task], split, settings.data, subset)
    return load_rows(task, OPINIONS if task == "sentiment" else settings.narrated, split, subset)


def load_rows(task: str, folder: Path | str, split: str, subset: int | None = None) -> "Dataset":
    """Rows of a folder of the one schema for one task, of its first `subset` videos or of all.

    For retrieval and captioning, videos that have `steps` with `step_captions` become one segment per step, see
    `segments_of`; beyond training, retrieval gets one segment per caption.
    Raises FileNotFoundError for a missing folder or split, SchemaError for lines that do not fit.
    """
    rows = first_rows(load_split(folder, split), subset)
    if task in ("retrieval", "captioning") and {"steps", "step_captions"} <= set(rows.column_names):
        return segments_of(rows, distinct=task == "retrieval" and split != "train")
    return rows


def _corpus(corpus: CorpusConfig, split: str, folder: Path, subset: int | None) -> "Dataset":
    from minivl.data.corpora import load

    return load(corpus.name, folder / corpus.name, split, protocol=corpus.protocol, subset=subset)
