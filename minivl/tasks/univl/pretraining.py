"""Pretraining of UniVL on the videos of a scale, from the tokenizer to the saved model."""

from pathlib import Path
from typing import Any

from filelock import FileLock

from minivl.config import NarrationConfig, Scale, UniVLPretrainConfig
from minivl.data.features import load_features
from minivl.data.narration import NarratedDataset
from minivl.data.own_world import world_hash
from minivl.data.schema import captions_of
from minivl.data.wordpiece import load_tokenizer, train_wordpiece
from minivl.tasks.univl.data import load_rows, pretraining_videos, task_rows
from minivl.univl import UniVL
from minivl.univl.pretraining import pretrain, sized_for


def pretrain_at_scale(
    config: UniVLPretrainConfig,
    settings: Scale,
    out: Path | None,
    run_dir: Path,
    subset: int | None = None,
    progress: bool = True,
) -> UniVL:
    """Pretrain, save the model and its tokenizer in `out` (None: nowhere), and return the model.

    A run in `run_dir` that was interrupted goes on.
    """
    from accelerate import PartialState

    videos = pretraining_videos(settings, subset)
    data = None if settings.own is None else world_hash(settings.own)
    tokenizer = make_tokenizer(config, settings, run_dir / ("tokenizer" if data is None else f"tokenizer-{data}"))
    config = sized_for(config, tokenizer, load_features(videos[0]["features"]).shape[1])
    in_memory = settings.world is not None and settings.own is None

    def dataset(narration: NarrationConfig, masked: bool) -> NarratedDataset:
        return NarratedDataset(videos, tokenizer, narration, masked, in_memory, config.model.video_dim)

    model = pretrain(config, dataset, run_dir, progress, data)
    if out is not None and PartialState().is_main_process:
        model.save_pretrained(out, tokenizer)
    return model


def make_tokenizer(config: UniVLPretrainConfig, settings: Scale, folder: Path) -> Any:
    """The tokenizer that the settings name, or one trained on the words of pretraining and training captions."""
    if config.tokenizer != "train":
        return load_tokenizer(config.tokenizer)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # of several processes one makes it, and the others wait
        if not (folder / "tokenizer.json").exists():
            said = [sentence["text"] for video in pretraining_videos(settings)["transcript"] for sentence in video]
            train_wordpiece([*said, *_captions(settings)], config.vocabulary, folder)
    return load_tokenizer(folder)


def _captions(settings: Scale) -> list[str]:
    """Training captions; own videos need not have any."""
    if settings.own is None:
        return task_rows("captioning", "train", settings)["caption"]
    try:
        return captions_of(load_rows("captioning", settings.own, "train"))[0]
    except FileNotFoundError:  # no clips
        return []
