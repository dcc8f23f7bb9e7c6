"""What tests of studies share."""

import pytest


@pytest.fixture(scope="session")
def narrated_cache(tmp_path_factory):
    """A cache for worlds of six videos, rendered once for all tests that patch the same parts."""
    return tmp_path_factory.mktemp("narrated")
