"""Where things are: what this repository bundles, what is kept between runs, what runs write."""

import os
from pathlib import Path

import platformdirs

REPO = Path(__file__).resolve().parents[2]
BUNDLED = REPO / "data_samples"
NARRATED = BUNDLED / "narrated"


def cache_dir() -> Path:
    """Where rendered worlds are kept between runs, outside the repository (`MINIVL_CACHE` moves it)."""
    return Path(os.environ.get("MINIVL_CACHE") or platformdirs.user_cache_path("minivl"))


def runs_dir() -> Path:
    """Where runs write: `runs/` in the current folder (`MINIVL_RUNS` moves it)."""
    return Path(os.environ.get("MINIVL_RUNS", "runs"))
