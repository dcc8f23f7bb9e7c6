"""Settings: one switch, no typos that go unnoticed."""

import dataclasses

import pytest

from minivl.config import (
    ConfigError,
    DiscoVLAConfig,
    InputConfig,
    NarrationConfig,
    ObjectiveConfig,
    TaskConfig,
    TrainConfig,
    UniVLPretrainConfig,
    WorldConfig,
    override,
    scale,
)


def test_scales_have_the_same_settings(monkeypatch):
    monkeypatch.delenv("MINIVL_SCALE", raising=False)
    assert scale().name == "small"
    assert scale("full").world is None and scale("full").clip.pretrained == "openai"
    monkeypatch.setenv("MINIVL_SCALE", "tiny")
    assert scale().name == "tiny"


def test_full_scale_is_the_release_s_recipe():
    """REFERENCE: optimisation of the released DiscoVLA on MSR-VTT."""
    full = scale("full")
    assert (full.adapt.batch_size, full.adapt.learning_rate, full.adapt.weight_decay, full.adapt.epochs) == (
        128,
        6e-4,
        0.2,
        5,
    )
    assert (full.adapt.betas, full.adapt.eps) == ((0.9, 0.999), 1e-6)
    assert (full.adapt.warmup, full.adapt.max_grad_norm) == (0.1, 1.0)
    assert full.discovla == DiscoVLAConfig(
        lora_rank=8,
        vision_fusion_layers=4,
        text_fusion_layers=2,
        strategy="adapter",
        alpha=0.3,
        beta=1.0,
        distill="release",
    )
    assert dataclasses.astuple(full.inputs) == (12, 1.0, 32, "rand-m7-n4-mstd0.5-inc1")


def test_unknown_names_are_errors():
    with pytest.raises(ConfigError, match="tiny, small, full"):
        scale("medium")
    with pytest.raises(ConfigError, match="no setting rank.*lora_rank"):
        override(DiscoVLAConfig(), rank=4)
    with pytest.raises(ConfigError, match="exactly one"):
        TrainConfig(steps=10)


@pytest.mark.parametrize(
    "config, changes, message",
    [
        (TrainConfig, {"schedule": "step"}, "TrainConfig.schedule must be one of cosine, linear, not 'step'"),
        (TrainConfig, {"mixed_precision": "bf17"}, "no, bf16, fp16"),
        (TrainConfig, {"batch_size": 0}, "TrainConfig.batch_size must be at least 1, not 0"),
        (TrainConfig, {"learning_rate": -1.0}, "learning_rate must be at least 0"),
        (TrainConfig, {"warmup": 1.5}, "warmup must be between 0 and 1"),
        (WorldConfig, {"dial": 2.0}, "WorldConfig.dial must be between 0 and 1"),
        (WorldConfig, {"filler": 6.5}, "filler must be between 0 and 6 .before each"),
        (WorldConfig, {"step_seconds": (3.0, 2.0)}, "shortest, longest"),
        (InputConfig, {"frames_per_second": 0.0}, "frames_per_second must be at least 0.001, not 0"),
        (DiscoVLAConfig, {"strategy": "none"}, "strategy must be one of image, video, average, adapter"),
        (DiscoVLAConfig, {"alpha": -0.1}, "alpha must be at least 0"),
        (NarrationConfig, {"hide_text": 15}, "hide_text must be between 0 and 1"),
        (ObjectiveConfig, {"anchors": "first"}, "all, middle"),
        (UniVLPretrainConfig, {"stage_two": TrainConfig(chunk_size=2)}, "stage two cannot be trained in chunks"),
        (TaskConfig, {"train": TrainConfig(chunk_size=2)}, "tasks cannot be trained in chunks"),
    ],
)
def test_values_that_make_no_sense_are_errors(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)
