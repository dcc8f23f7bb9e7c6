"""Limits on what files may ask for."""

import pytest

from minivl.config import ConfigError
from minivl.config.limits import DEFAULTS, PREFIX, how_to_raise, limit


def test_the_environment_changes_a_limit(monkeypatch):
    assert limit("frame_side") == DEFAULTS["frame_side"]
    monkeypatch.setenv("MINIVL_LIMIT_FRAME_SIDE", "20000")
    assert limit("frame_side") == 20000
    assert "20000" in how_to_raise("frame_side") and "MINIVL_LIMIT_FRAME_SIDE" in how_to_raise("frame_side")


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "many", "1" * 19, "٣"])
def test_a_limit_that_is_no_whole_number_is_refused(monkeypatch, text):
    monkeypatch.setenv(PREFIX + "FRAME_SIDE", text)
    with pytest.raises(ConfigError, match="MINIVL_LIMIT_FRAME_SIDE must be a whole number"):
        limit("frame_side")
