"""Any field of any section can be changed by its name."""

import dataclasses
import json
from pathlib import Path

import pytest

from minivl.config import SCALES, ConfigError, Scale, scale, with_changes


def test_values_are_read_as_their_fields_say():
    settings = with_changes(
        scale("small"),
        [
            "adapt.learning_rate=1e-3",
            "adapt.steps=none",
            "adapt.epochs=2",
            "adapt.compile=true",
            "adapt.betas=[0.5, 0.75]",
            'adapt.lr_multipliers=[["text.", 0.1]]',
            "clip.name=ViT-B-32",
            "clip.pretrained=openai",
            "discovla.pool_scale=0",
            "world.clauses=2",
            "narrated=some/where",
            "univl_pretrain.text_weights=none",
            "univl_pretrain.stage_one.batch_size=4",
            "univl_tasks.joint.train.steps=10",
            "clip_pretrain.architecture.vision_cfg.layers=2",
            "seeds=[7]",
        ],
    )
    adapt, before = settings.adapt, scale("small")
    assert (adapt.learning_rate, adapt.steps, adapt.epochs, adapt.compile) == (1e-3, None, 2, True)
    assert adapt.betas == (0.5, 0.75) and adapt.lr_multipliers == (("text.", 0.1),)
    assert (settings.clip.name, settings.clip.pretrained) == ("ViT-B-32", "openai")
    assert settings.discovla.pool_scale == 0 and settings.world.clauses == 2
    assert settings.narrated == Path("some/where") and settings.univl_pretrain.text_weights is None
    assert settings.univl_pretrain.stage_one.batch_size == 4
    assert settings.univl_pretrain.stage_two == before.univl_pretrain.stage_two
    assert settings.univl_tasks["joint"].train.steps == 10
    assert settings.univl_tasks["align"] == before.univl_tasks["align"]
    vision = before.clip_pretrain.architecture["vision_cfg"]
    assert settings.clip_pretrain.architecture["vision_cfg"] == {**vision, "layers": 2}
    assert settings.seeds == (7,) and scale("small") == before


def written(value):
    """A value as --set takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (tuple, dict)) else str(value)


def fields(config, name=""):
    """(full name, value) of every field below a section."""
    for field in dataclasses.fields(config):
        value, full = getattr(config, field.name), f"{name}{field.name}"
        if "fixed" in field.metadata:
            continue
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{full}.")
        elif isinstance(value, dict) and any(map(dataclasses.is_dataclass, value.values())):
            for key, part in value.items():
                yield from fields(part, f"{full}.{key}.")
        else:
            yield full, value


@pytest.mark.parametrize("name", SCALES)
def test_every_field_can_be_set(name):
    settings = scale(name)
    changes = [f"{full}={written(value)}" for full, value in fields(settings)]
    assert len(changes) > 200 and with_changes(settings, changes) == settings
    for change in changes:
        with_changes(settings, [change])


@pytest.mark.parametrize(
    "changes, message",
    [
        (["adapts.steps=1"], "a scale has no setting adapts; it has name, data, narrated, world"),
        (["adapt.lr=1"], "adapt has no setting lr; it has batch_size, learning_rate"),
        (["univl_tasks.retrieval.max_words=1"], "univl_tasks has no setting retrieval; it has joint, align"),
        (["univl_corpora.retrieval.name=lsmdc"], "it has none here"),
        (["adapt.betas.first=1"], r"adapt.betas is \(0.9, 0.999\) here"),
        (["adapt=1"], "adapt is a section: set adapt.batch_size, adapt.learning_rate"),
        (["adapt.batch_size=2.5"], "adapt.batch_size=2.5: Input should be a valid integer.*write it like 32"),
        (["adapt.batch_size=none"], "valid integer"),
        (["adapt.learning_rate=nan"], "finite number"),
        (["adapt.compile=perhaps"], "valid boolean.* like false"),
        (["adapt.betas=0.9"], r"valid array; write it like \[0.9, 0.999\]"),
        (["adapt.betas=[0.9]"], "Field required"),
        (["world.clauses=many"], "valid integer.*write it like none"),
        (["adapt.steps=0"], "adapt: TrainConfig.steps must be at least 1"),
        (["adapt.epochs=3"], "adapt: TrainConfig needs exactly one of steps and epochs.*100 steps and 3 epochs"),
        (["world.dial=7"], "world: WorldConfig.dial must be between 0 and 1"),
        (["world.dial=0", "world.dial=1"], "world.dial is given twice, as 0 and as 1"),
        (["world=none", "world.dial=1"], "world.dial is part of world, which is given as a whole"),
        (["name=huge"], "name cannot be set: choose a scale"),
        (
            ["univl_pretrain.model.video_dim=3"],
            "univl_pretrain.model.video_dim cannot be set: it is that of the features",
        ),
        (["adapt.steps"], "write SECTION.FIELD=VALUE"),
        (["=3"], "write SECTION.FIELD=VALUE"),
        (["adapt..steps=3"], "write SECTION.FIELD=VALUE"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        with_changes(scale("small"), changes)


def test_changes_are_made_at_once_and_without_a_world_it_has_no_settings():
    settings: Scale = with_changes(scale("small"), ["adapt.epochs=3", "adapt.steps=none", "world=none"])
    assert (settings.adapt.steps, settings.adapt.epochs, settings.world) == (None, 3, None)
    with pytest.raises(ConfigError, match="world is None here"):
        with_changes(settings, ["world.dial=0"])
