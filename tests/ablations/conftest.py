"""What tests of studies share."""

import pytest

from minivl.ablations import univl_parts, univl_worlds
from minivl.assets.feature_world import DOWNSTREAM, Part


@pytest.fixture(scope="session")
def narrated_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("narrated")


@pytest.fixture(scope="module")
def small_narrated_worlds(narrated_cache):
    """Worlds of four videos to pretrain on, three of them captioned, and two to test: rendered once for all modules."""
    with pytest.MonkeyPatch.context() as patch:
        parts = (Part("pretrain", "train", 0, 4, ("transcript",)), Part("test", "test", 0, 2, DOWNSTREAM))
        patch.setattr(univl_worlds, "PARTS", parts)
        patch.setattr(univl_parts, "CAPTIONED", Part("train", "train", 0, 3, DOWNSTREAM))
        patch.setenv("MINIVL_CACHE", str(narrated_cache))
        yield
