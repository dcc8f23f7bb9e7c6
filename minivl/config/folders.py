"""Folders: what comes with the package, what is kept between runs, what runs write."""

import os
from pathlib import Path

import platformdirs

from minivl.config.checks import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "_bundled"  # pyproject.toml puts data_samples/ and notebooks/ there when a wheel is built

# The repository, if the package runs from one; None where it was installed from a wheel, without tests and benchmarks.
CHECKOUT: Path | None = None if _IN_WHEEL.is_dir() else _PACKAGE.parent
BUNDLED = (CHECKOUT or _IN_WHEEL) / "data_samples"  # clips, features, small models, results; read only
NOTEBOOKS = (CHECKOUT or _IN_WHEEL) / "notebooks"  # the lessons; read only but for `minivl lesson --update`
NARRATED = BUNDLED / "narrated"


def cache_dir() -> Path:
    """Folder of rendered worlds, kept between runs, outside the package (`MINIVL_CACHE` moves it)."""
    return Path(os.environ.get("MINIVL_CACHE") or platformdirs.user_cache_path("minivl"))


def runs_dir() -> Path:
    """Folder that runs write into, as a path from the current folder.

    It is MINIVL_RUNS, if that is set; anywhere in a clone of the repository the clone's `runs/`, so that lessons in
    Jupyter, whose folder is `notebooks/`, find the same; elsewhere `runs/` in the current folder.
    """
    if given := os.environ.get("MINIVL_RUNS"):
        return Path(given)
    here = Path.cwd()
    return Path(os.path.relpath(CHECKOUT / "runs")) if CHECKOUT and here.is_relative_to(CHECKOUT) else Path("runs")


def checkpoints_kept() -> int:
    """How many checkpoints a run keeps, the newest: 2 (`MINIVL_CHECKPOINTS` keeps more, for `minivl explore`)."""
    text = os.environ.get("MINIVL_CHECKPOINTS", "2")
    if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 6 or int(text) < 2:
        raise ConfigError(f"MINIVL_CHECKPOINTS must be a whole number, 2 or more, not {text!r}")
    return int(text)
