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

from safetensors.torch import save_file
from torch import Tensor, nn

from minivl.config import TaskConfig, TrainConfig
from minivl.data.atomic import replacing
from minivl.data.wordpiece import load_tokenizer
from minivl.hub.checkpoints import CheckpointError, load_weights
from minivl.hub.folders import find, push_folder, read_settings, write_folder
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
        _write_head(folder, {name: value for name, value in self.state_dict().items() if not name.startswith(INSIDE)})
        settings = {
            "univl": dataclasses.asdict(self.univl.config),
            "objectives": dataclasses.asdict(self.univl.objectives),
            "inputs": {"max_words": self.config.max_words, "max_frames": self.config.max_frames},
            "task": {"kind": self.kind, "batch_size": self.config.train.batch_size, "settings": self.settings()},
        }
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        parameters = sum(parameter.numel() for parameter in self.parameters())
        write_folder(
            folder, settings, self.univl.state_dict(), _CARD.format(kind=self.kind, parameters=parameters, card=card)
        )

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
        try:
            univl = UniVL.from_pretrained(folder)
            _check_sizes(univl, inputs, cls.parts_for(**task["settings"]))
            config = TaskConfig(TrainConfig(batch_size=task["batch_size"]), **inputs)
            has_tokenizer = cls.reads_text or (folder / "tokenizer.json").is_file()
            made = cls(univl, load_tokenizer(folder) if has_tokenizer else None, config, **task["settings"])
        except CheckpointError:
            raise
        except Exception as error:  # settings of strangers: whatever sizes and types make torch or transformers raise
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
    return settings["task"], settings["inputs"]


def _check_types(place: str, found: Any, types: Mapping[str, type]) -> None:
    expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
    if not isinstance(found, dict) or found.keys() != types.keys():
        raise CheckpointError(f"{place} must have {expected} and nothing else, got {found!r:.100}")
    for name, kind in types.items():
        value = found[name]
        if type(value) is not kind or (isinstance(value, int) and value < 1):  # True is an int, but not of that type
            raise CheckpointError(f"{place}: {name} must be {kind.__name__}, numbers above 0; got {value!r:.60}")


def _check_sizes(univl: UniVL, inputs: Mapping[str, int], parts: tuple[str, ...]) -> None:
    """ValueError for lengths that the model cannot read, or parts that it lacks."""
    sizes = univl.config
    if inputs["max_words"] > sizes.text_positions or inputs["max_frames"] > sizes.video_positions:
        raise ValueError(
            f"its lengths are {dict(inputs)}, its model reads {sizes.text_positions} words and "
            f"{sizes.video_positions} frames"
        )
    if missing := set(parts) - set(sizes.parts):
        raise ValueError(f"its model has no {', '.join(sorted(missing))}")


def _write_head(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the weights beyond UniVL's, whole or not at all; without any there is no such file."""
    if not weights:
        return (folder / HEAD).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / HEAD) as unfinished:
        save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, unfinished)


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
