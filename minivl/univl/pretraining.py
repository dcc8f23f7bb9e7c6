"""Pretraining of UniVL: the two strategies of the paper (section 3.4) as settings of one procedure.

    StagedP     stage one trains the text and the video encoder with Joint alone, so that their outputs can be
                compared; stage two adds cross encoder, decoder and heads and trains everything with all objectives.
    EnhancedV   in stage two the whole text of 15% of the videos is hidden: Decoder and CMFM must rely on the video.

Both stages run on the one training loop. `pretrain` resumes by itself in the middle of either.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minivl.config import ConfigError, NarrationConfig, TrainConfig, UniVLConfig, UniVLPretrainConfig
from minivl.data.online import HELP, hub_answers
from minivl.data.trust import refuse_code
from minivl.train.loop import SizedDataset, fit, fitting, seed_everything
from minivl.univl.model import UniVL
from minivl.univl.saving import load_parts


@dataclass(frozen=True)
class Stage:
    """One stage of pretraining."""

    name: str
    parts: tuple[str, ...]  # of UniVL, beyond the encoders
    narration: NarrationConfig
    train: TrainConfig


def stages(config: UniVLPretrainConfig) -> list[Stage]:
    """The stages that the settings ask for: two with StagedP, else the second alone."""
    shown = replace(config.narration, hide_text=0.0)  # EnhancedV begins with stage two
    first = Stage("stage-one", (), shown, config.stage_one)
    second = Stage("stage-two", config.model.parts, config.narration, config.stage_two)
    return [first, second] if config.staged else [second]


def pretrain(
    config: UniVLPretrainConfig,
    dataset: Callable[[NarrationConfig, bool], SizedDataset],
    run_dir: Path,
    progress: bool = True,
    data: str | None = None,
) -> UniVL:
    """A UniVL trained through all stages, in evaluation mode.

    `dataset(narration, masked)` gives the videos of a stage, as `minivl.data.narration.NarratedDataset` does; stage one
    needs nothing masked. Each stage has its own folder in `run_dir`, and starts with the weights of the one before;
    what is new in it starts at random. `data` tells other videos apart: a run goes on with the same alone.
    """
    model: UniVL | None = None
    for stage in stages(config):
        model = train_stage(stage, model, config, dataset, run_dir / stage.name, progress, data)
    assert model is not None  # there is always a second stage
    return model


def train_stage(
    stage: Stage,
    before: UniVL | None,
    config: UniVLPretrainConfig,
    dataset: Callable[[NarrationConfig, bool], SizedDataset],
    run_dir: Path,
    progress: bool = True,
    data: str | None = None,
) -> UniVL:
    """A UniVL trained through one stage, with the weights of the model of the stage before, if there was one."""
    seed_everything(stage.train.seed)
    sized = replace(config.model, parts=stage.parts)
    model = UniVL(sized, config.objectives)
    if before is not None:
        load_parts(model, before.state_dict(), set(before.config.parts))
    elif config.text_weights:
        load_bert(model, config.text_weights)
    settings = {
        "model": dataclasses.asdict(sized),
        "objectives": dataclasses.asdict(config.objectives),
        "narration": dataclasses.asdict(stage.narration),
        "staged": config.staged,
        "tokenizer": [config.tokenizer, config.vocabulary],
        "text_weights": config.text_weights,
    } | ({"data": data} if data else {})
    videos = dataset(stage.narration, bool(stage.parts))
    train = fitting(stage.train, len(videos), f"univl_pretrain.{stage.name.replace('-', '_')}", least=2)
    fit(model, videos, train, run_dir, settings=settings, progress=progress)
    return model


def load_bert(model: UniVL, name: str) -> None:
    """Start the text encoder with a BERT of transformers: a folder, or a name on the hub ("bert-base-uncased").

    Raises ModelError if it cannot be had, CheckpointError if its sizes are others or tensors are missing.
    """
    online = Path(name).is_dir() or hub_answers()
    from transformers import BertModel

    from minivl.clip import ModelError
    from minivl.hub.checkpoints import CheckpointError, load_weights

    refuse_code(name)
    try:
        loaded: Any = BertModel.from_pretrained(
            name, add_pooling_layer=False, output_loading_info=True, trust_remote_code=False
        )
        bert, found = loaded
    except (OSError, ValueError) as error:
        if not online:
            raise ModelError(f"no BERT weights {name}: {HELP}") from error
        raise ModelError(
            f"no BERT weights in {name}: expected a folder with config.json and model.safetensors, or a "
            f"name on the hub and a connection to it ({str(error).splitlines()[0]})"
        ) from error
    if found["missing_keys"]:  # transformers starts these at random and goes on
        missing = sorted(found["missing_keys"])
        raise CheckpointError(f"{name} is no whole BERT: {len(missing)} of its tensors are missing, {missing[:3]} ...")
    load_weights(model.text, bert.state_dict())


def sized_for(config: UniVLPretrainConfig, tokenizer: Any, video_dim: int) -> UniVLPretrainConfig:
    """The settings with the sizes that the data fix: vocabulary, special tokens, numbers per video feature.

    Raises ConfigError if one of them was set to something else.
    """
    sizes = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "video_dim": video_dim,
    }
    for name, size in sizes.items():
        if getattr(config.model, name) not in (size, getattr(UniVLConfig, name)):
            raise ConfigError(f"{name} is {size}, as tokenizer and features have it, not {getattr(config.model, name)}")
    return replace(config, model=replace(config.model, **sizes))
