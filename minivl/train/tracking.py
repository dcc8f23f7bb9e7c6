"""Trackers of training runs, through Accelerate: `--track tensorboard`, or MINIVL_TRACK.

A tracker gets the settings of a run and every line of its metrics.jsonl. TensorBoard's files are in RUN/tracking; wandb
and trackio have a project "minivl" with the run's name. A run that goes on after an interruption counts its steps on.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.config import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator

VARIABLE, PROJECT, FOLDER = "MINIVL_TRACK", "minivl", "tracking"
TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "trackio": ("trackio",)}  # packages


def require_tracker(name: str) -> None:
    """Raise ConfigError for a tracker that is unknown or not installed; loads nothing."""
    if name not in TRACKERS:
        raise ConfigError(f"unknown tracker {name!r}: choose one of {', '.join(TRACKERS)}")
    if not any(find_spec(package) for package in TRACKERS[name]):
        raise ConfigError(f"the tracker {name} is not installed: pip install {TRACKERS[name][0]}")


def use_tracker(name: str | None) -> None:
    """Let all runs of this process be tracked, if there is a name. Raises ConfigError as `require_tracker`."""
    if name is not None:
        require_tracker(name)
        os.environ[VARIABLE] = name


def chosen_tracker() -> Any:
    """What Accelerate takes as `log_with`: the tracker that was chosen, or None. Raises as `require_tracker`."""
    name = os.environ.get(VARIABLE)
    if name:
        require_tracker(name)
    return name or None


@contextmanager
def tracked(accelerator: "Accelerator", run: Path, record: Mapping[str, Any]) -> Iterator[Callable[[dict], None]]:
    """A function that hands a line of metrics to the tracker; without a tracker it does nothing.

    record   settings of the run, nested
    """
    if accelerator.log_with:
        named = {name: {"name": run.name} for name in ("wandb", "trackio")}
        accelerator.init_trackers(PROJECT, config=_flat(record), init_kwargs=named)

    def log(row: dict) -> None:
        if accelerator.log_with:
            accelerator.log({name: value for name, value in row.items() if value is not None}, step=row["step"])

    try:
        yield log
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()  # and not `end_training`, which would end the processes' group, too


def _flat(record: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by "section.field"; what is no number, truth value or text becomes a text."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return found
