"""Options that several commands share."""

import pytest

from minivl.cli.options import ENGINE, with_engine
from minivl.config import ConfigError, TrainConfig


def test_engine_settings_are_read_by_their_kind():
    config = with_engine(TrainConfig(), ["mixed_precision=bf16", "chunk_size=32", "compile=true"])
    assert (config.mixed_precision, config.chunk_size, config.compile) == ("bf16", 32, True)
    assert with_engine(TrainConfig(), ["chunk_size=32", "num_workers=2"], ("chunk_size",)).chunk_size is None
    assert with_engine(TrainConfig(), None) == TrainConfig()
    assert set(ENGINE) <= vars(TrainConfig()).keys()


@pytest.mark.parametrize(
    "text, message",
    [("learning_rate=1", "one of mixed_precision"), ("compile", "NAME=VALUE"), ("chunk_size=many", "must be a number")],
)
def test_other_settings_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        with_engine(TrainConfig(), [text])
