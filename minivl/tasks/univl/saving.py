"""Saving a fine-tuned task as a folder, and reading it back.

config.json         "univl", "objectives", "inputs" as of a saved UniVL; "task": {kind, batch_size, settings}
model.safetensors   UniVL's weights: `UniVL.from_pretrained` reads them, too
task.safetensors    weights that the task has beyond UniVL, such as a classifier's; no file where there are none
README.md           a card, and beside it the tokenizer's files
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from minivl.config import ConfigError, TaskConfig, TrainConfig
from minivl.config.limits import how_to_raise, limit
from minivl.data.wordpiece import TokenizerError, load_tokenizer
from minivl.hub.checkpoints import CheckpointError, load_weights
from minivl.hub.folders import WEIGHTS, find, push_folder, read_settings, write_folder
from minivl.train.engine import default_device
from minivl.univl import UniVL

HEAD = "task.safetensors"
INSIDE = "univl."  # how names of UniVL's own weights begin in a task
TASK_TYPES = {"kind": str, "batch_size": int, "settings": dict}
INPUT_TYPES = {"max_words": int, "max_frames": int}


class SavedTask(nn.Module):
    """Gives a task `save_pretrained`, `from_pretrained` and `push_to_hub`."""

    kind: ClassVar[str]  # its name in config.json, and that of its data
    parts: ClassVar[tuple[str, ...]] = ()  # of UniVL, beyond the two encoders
    reads_text: ClassVar[bool] = True
    univl: UniVL
    tokenizer: Any
    config: TaskConfig

    def settings(self) -> dict[str, Any]:
        """Keywords that make the same task again on the same UniVL, as JSON has them."""
        return {}

    @classmethod
    def parts_for(cls, **settings: Any) -> tuple[str, ...]:
        """Parts of UniVL, beyond the two encoders, that the task needs with these settings."""
        return cls.parts

    def save_pretrained(self, folder: Path | str, card: str = "") -> None:
        """Write the whole task into `folder`: settings, all weights, tokenizer and a model card.

        card   Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`
        """
        folder = Path(folder)
        head = {name: value for name, value in self.state_dict().items() if not name.startswith(INSIDE)}
        weights = {WEIGHTS: self.univl.state_dict()} | ({HEAD: head} if head else {})
        settings = {
            "univl": dataclasses.asdict(self.univl.config),
            "objectives": dataclasses.asdict(self.univl.objectives),
            "inputs": {"max_words": self.config.max_words, "max_frames": self.config.max_frames},
            "task": {"kind": self.kind, "batch_size": self.config.train.batch_size, "settings": self.settings()},
        }
        parameters = sum(parameter.numel() for parameter in self.parameters())
        card = _CARD.format(kind=self.kind, parameters=parameters, card=card)
        write_folder(folder, settings, weights, card, tokenizer=self.tokenizer)
        if not head:
            (folder / HEAD).unlink(missing_ok=True)  # of another task that was here

    def push_to_hub(self, name: str, private: bool = True, card: str = "") -> str:
        """Save the task and upload it to the hub as "owner/name"; its address. Raises ShareError if that fails."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, card)
            return push_folder(Path(folder), name, private)

    @classmethod
    def from_pretrained(cls, name: Path | str) -> Self:
        """The task that `save_pretrained` wrote, from a folder or the hub, ready to predict.

        Its `config.train` has the batch size it was trained with, and defaults else.
        Raises CheckpointError if there is no such task, if it is of another kind, or if a file is damaged.
        """
        folder = find(name)
        file, (task, inputs) = folder / "config.json", read_task(folder)
        if task["kind"] != cls.kind:
            raise CheckpointError(f"{file} is of the task {task['kind']!r}, not {cls.kind!r}: open it with load_task")
        univl = UniVL.from_pretrained(folder)
        has_tokenizer = cls.reads_text or (folder / "tokenizer.json").is_file()
        try:
            tokenizer = load_tokenizer(folder) if has_tokenizer else None
            _check_sizes(univl, tokenizer, inputs, cls.parts_for(**task["settings"]))
            config = TaskConfig(TrainConfig(batch_size=task["batch_size"]), **inputs)
            made = cls(univl, tokenizer, config, **task["settings"])
        except (ConfigError, TokenizerError, TypeError) as error:  # TypeError: settings that this task does not have
            raise CheckpointError(f"{folder} holds no {cls.kind} that can be built: {error}") from error
        if set(made.state_dict()) - {INSIDE + weight for weight in univl.state_dict()}:
            load_weights(made, folder / HEAD, allow_missing=(INSIDE,))
        return made.to(default_device()).eval()


def read_task(folder: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The entries "task" and "inputs" of a folder's config.json: {kind, batch_size, settings}, {max_words, max_frames}.

    Raises CheckpointError if they are missing, incomplete, or of other types.
    """
    settings, file = read_settings(folder, ("univl", "objectives")), folder / "config.json"
    if "task" not in settings:
        raise CheckpointError(
            f"{file} has no entry 'task', so this is no fine-tuned task of UniVL: make one with `minivl finetune`, or "
            "open it with UniVL.from_pretrained"
        )
    for entry, types in (("task", TASK_TYPES), ("inputs", INPUT_TYPES)):
        _check_types(f"{file}, {entry!r}", settings.get(entry), types)
    if settings["task"]["batch_size"] > limit("batch"):
        raise CheckpointError(
            f"{file}: batch_size is {str(settings['task']['batch_size'])[:20]}: {how_to_raise('batch')}"
        )
    return settings["task"], settings["inputs"]


def read_inputs(folder: Path) -> dict[str, Any]:
    """The entry "inputs" of a saved UniVL or task, {max_words, max_frames}; {} where there is none.

    Raises CheckpointError for other types.
    """
    settings = read_settings(folder, ())
    if "inputs" in settings:
        _check_types(f"{folder / 'config.json'}, 'inputs'", settings["inputs"], INPUT_TYPES)
    return settings.get("inputs", {})


def _check_types(place: str, found: Any, types: Mapping[str, type]) -> None:
    expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
    if not isinstance(found, dict) or found.keys() != types.keys():
        raise CheckpointError(f"{place} must have {expected} and nothing else, got {found!r:.100}")
    for name, kind in types.items():
        value = found[name]
        if type(value) is not kind or (isinstance(value, int) and value < 1):  # True is an int, but not of that type
            raise CheckpointError(f"{place}: {name} must be {kind.__name__}, numbers above 0; got {value!r:.60}")


def _check_sizes(univl: UniVL, tokenizer: Any, inputs: Mapping[str, int], parts: tuple[str, ...]) -> None:
    """ConfigError for lengths or words that the model cannot read, or parts that it lacks."""
    sizes = univl.config
    if inputs["max_words"] > sizes.text_positions or inputs["max_frames"] > sizes.video_positions:
        raise ConfigError(
            f"its lengths are {dict(inputs)}, its model reads {sizes.text_positions} words and "
            f"{sizes.video_positions} frames"
        )
    if missing := set(parts) - set(sizes.parts):
        raise ConfigError(f"its model has no {', '.join(sorted(missing))}")
    if tokenizer is not None and len(tokenizer) > sizes.vocab_size:
        raise ConfigError(f"its tokenizer has {len(tokenizer)} words, its model {sizes.vocab_size}")


_CARD = """\
---
license: mit
library_name: minivl
pipeline_tag: video-text-to-text
---
# UniVL for {kind}

{parameters:,} parameters. Made with minivl. Data are folders of the schema in `minivl/data/schema.py`.

    from minivl.tasks.univl import load_rows, load_task
    task = load_task("this folder")
    rows = load_rows(task.kind, "your data", "test")
    predictions = task.predictions(rows)
    scores = task.evaluate(rows)

{card}"""
