"""The folder of a training run.

    config.json               the settings of the run
    metrics.jsonl             one line per logged step
    .lock, .holder            which process trains here now
    checkpoints/step-000120/  what training had changed after step 120, and the optimiser; `checkpoints_kept` of them

Every file and folder is written under another name and then renamed, which cannot happen by halves: whenever a run
is killed, a folder `step-...` is whole. Nothing here is unpickled: safetensors, json and `weights_only`.
"""

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from minivl.config import checkpoints_kept
from minivl.data.atomic import replacing_folder, write_text
from minivl.hub.checkpoints import CheckpointError, read_torch, read_weights

# Free to differ after a restart.
CHANGE_NOTHING = {"train.num_workers", "train.log_every", "train.checkpoint_every", "train.activation_checkpointing"}


class TrainingError(RuntimeError):
    """Training cannot start or go on; the message says what to do."""


class DamagedCheckpoint(RuntimeError):
    """A checkpoint that cannot be read."""


class RunFolder:
    """The folder of one run. Only the main process calls `begin`, `log` and `save`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config, self.lines = self.path / "config.json", self.path / "metrics.jsonl"
        self.checkpoints, self.kept = self.path / "checkpoints", checkpoints_kept()

    def saved(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        folders = [p for p in self.checkpoints.glob("step-*") if p.name.removeprefix("step-").isdecimal()]
        return sorted(folders, key=_step_of)

    def newest(self) -> Path | None:
        """The last whole checkpoint."""
        saved = self.saved()
        return saved[-1] if saved else None

    def check(self, record: dict) -> None:
        """TrainingError if the checkpoints here belong to other settings than those of `record`."""
        if not self.newest():
            return
        stored = _flat(self._read(self.config.read_text(errors="replace"), self.config)) if self.config.exists() else {}
        wanted = _flat(json.loads(json.dumps(record)))
        differing = [
            f"{key} is {wanted.get(key)!r:.100} now and was {stored.get(key)!r:.100}"
            for key in sorted((stored.keys() | wanted.keys()) - CHANGE_NOTHING)
            if _switched_on(stored.get(key)) != _switched_on(wanted.get(key))
        ]
        if differing:
            raise TrainingError(
                f"{self.path} holds a run with other settings: {'; '.join(differing)}. "
                "Choose another run name, or delete that folder to start over."
            )

    def begin(self, record: dict, done: int) -> None:
        """Make the folder that of a run which has just finished step `done`; TrainingError if that fails."""
        rows = [row for row in self.metrics() if row["step"] <= done]
        with _writing(self.path, "Choose a folder that can be written, or free space on its disk."):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            for partial in self.checkpoints.glob("*.partial"):
                shutil.rmtree(partial)
            write_text(self.config, json.dumps(record, indent=2))
            write_text(self.lines, "".join(json.dumps(row) + "\n" for row in rows))

    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl; one that was cut short by a kill has no line end and is left out."""
        lines = self.lines.read_text(errors="replace").splitlines(keepends=True) if self.lines.exists() else []
        rows = [self._read(line, self.lines) for line in lines if line.endswith("\n")]
        if not all(isinstance(row.get("step"), int) for row in rows):
            raise TrainingError(f"{self.lines} is damaged: a line has no step. {self._remedy()}")
        return rows

    def _read(self, text: str, file: Path) -> dict:
        """A JSON object that this run wrote into a file. Raises TrainingError for anything else."""
        try:
            return dict(json.loads(text).items())
        except (ValueError, AttributeError, RecursionError) as error:
            raise TrainingError(f"{file} is damaged: {error}. {self._remedy()}") from error

    def log(self, row: dict) -> None:
        with _writing(self.lines, self._advice()), self.lines.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def save(self, step: int, weights: dict, state: dict) -> None:
        """Write a checkpoint, whole or not at all, and then delete all but the newest ones.

        weights   what `trained` gives, as whole tensors; state: the `state_dict` of everything else, by name
        """
        folder = self.checkpoints / f"step-{step:06d}"
        with _writing(folder, self._advice()), replacing_folder(folder) as unfinished:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()},
                unfinished / "model.safetensors",
            )
            torch.save(state, unfinished / "state.pt")
        for old in self.saved()[: -self.kept]:
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this process; TrainingError, which says who has it, if another one trains there now.

        The system lets go of the lock when a process ends in whichever way.
        """
        holder = self.path / ".holder"
        with _writing(self.path, "Choose a folder that can be written."):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                who = holder.read_text() if holder.exists() else "another process"
                raise TrainingError(
                    f"{self.path} is in use: {who} is training there. Wait for it, stop it, or choose another run name."
                ) from None
        try:
            with _writing(holder, self._advice()):
                write_text(holder, f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%F %T},")
            yield
        finally:
            lock.release()

    def restore(self, model: nn.Module) -> tuple[int, dict]:
        """Load the weights of the newest checkpoint, if there is one: (steps done, the state that `save` was given).

        A damaged one is passed over, which is said on standard error, for the one before it. Raises TrainingError if
        all are damaged, or are of another model.
        """
        damaged = []
        for folder in reversed(self.saved()):
            try:
                weights, state = _read_checkpoint(folder)
            except DamagedCheckpoint as error:
                damaged.append(str(error))
                continue
            _load_trained(model, weights, folder)
            if damaged:
                print(f"{'; '.join(damaged)}: going on from {folder}", file=sys.stderr)
            return _step_of(folder), state
        if damaged:
            raise TrainingError(f"{'; '.join(damaged)}. Delete {self.checkpoints} to start over.")
        return 0, {}

    def _remedy(self):
        return f"Delete {self.path} to start over, or choose another run name."

    def _advice(self):
        return f"Free some space and run again: it continues from {self.newest() or 'the start'}."


def _read_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """(weights, state) of a checkpoint. Raises DamagedCheckpoint."""
    try:
        weights, state = read_weights(folder / "model.safetensors"), read_torch(folder / "state.pt")
    except (CheckpointError, OSError) as error:
        raise DamagedCheckpoint(f"{folder} is damaged ({error})") from error
    if wrong := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise DamagedCheckpoint(f"{folder} is damaged ({wrong[0]} is NaN or infinite)")
    if not isinstance(state, dict) or not all(isinstance(state.get(part), dict) for part in ("optimizer", "scheduler")):
        raise DamagedCheckpoint(f"{folder} is damaged (its state is not that of an optimiser and a schedule)")
    return weights, state


def _load_trained(model: nn.Module, saved: Mapping[str, torch.Tensor], folder: Path) -> None:
    live = trained(model)
    changed = [
        name
        for name in sorted(saved.keys() | live.keys())
        if name not in saved or name not in live or _kind(saved[name]) != _kind(live[name])
    ]
    if changed:
        raise TrainingError(
            f"{folder} is of another model, it differs in {', '.join(changed[:5])}: build the "
            "model as before, or delete that run to start over"
        )
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(saved[name])


def _kind(tensor):
    return tensor.shape, tensor.dtype


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """State that training can change: the parameters with `requires_grad` and the persistent buffers, by name."""
    kept = model.state_dict().keys()  # leaves out buffers that are not persistent
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return parameters | {name: buffer for name, buffer in model.named_buffers() if name in kept}


def _step_of(folder):
    return int(folder.name.removeprefix("step-"))


@contextmanager
def _writing(path, advice):
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # safetensors and torch have their own for a full disk
        raise TrainingError(f"cannot write {path}: {error}. {advice}") from error


def _switched_on(value):
    """A switch that is off is as good as one that an older run did not have."""
    return None if value is False else value


def _flat(tree, prefix=""):
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
