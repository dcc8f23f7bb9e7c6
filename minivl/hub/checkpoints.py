"""Reading weights from disk into a model, all or nothing."""

import pickle
import re
from collections.abc import Container, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn


class CheckpointError(ValueError):
    """A weights file that cannot be read, or weights that do not fit the model."""


def load_weights(
    model: nn.Module, state_or_path: Mapping[str, torch.Tensor] | Path | str, allow_missing: tuple[str, ...] = ()
) -> None:
    """Copy weights into a model. Names and shapes must agree; if they do not, nothing is changed.

    state_or_path   a mapping from names to tensors, or a file as for `read_weights`
    allow_missing   prefixes of names that the weights may leave out

    Raises CheckpointError with one message that lists every missing, unexpected, wrongly shaped and
    non-finite entry.
    """
    if isinstance(state_or_path, Mapping):
        state, origin = state_or_path, "the given weights"
    else:
        state, origin = read_weights(state_or_path), str(state_or_path)
    expected = model.state_dict()
    missing = [name for name in expected if name not in state and not name.startswith(tuple(allow_missing))]
    unexpected = [name for name in state if name not in expected]
    shared = [name for name in state if name in expected]
    misshapen = [
        f"{name}: {_shape(state[name])}, the model has {_shape(expected[name])}"
        for name in shared
        if state[name].shape != expected[name].shape
    ]
    non_finite = [name for name in shared if not state[name].isfinite().all()]

    problems = {"missing": missing, "unexpected": unexpected, "wrong shape": misshapen, "NaN or infinite": non_finite}
    if any(problems.values()):
        raise CheckpointError(
            "\n".join(
                [f"{origin} do not fit {type(model).__name__} (nothing was loaded)"]
                + [
                    f"  {kind} ({len(names)}):\n    " + "\n    ".join(names)
                    for kind, names in problems.items()
                    if names
                ]
            )
        )
    model.load_state_dict(state, strict=False)


def read_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """The named tensors of a `.safetensors` file, or of a torch file of any other name.

    Torch files are pickles, which can run code when they are read. Only plain tensors are admitted.
    Raises CheckpointError for a file that is missing, empty, damaged, of another kind, or that needs code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no weights file {path}")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty: an interrupted copy or download?")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not isinstance(state, Mapping) or not all(torch.is_tensor(value) for value in state.values()):
        raise CheckpointError(f"{path} must hold a mapping from names to tensors, not {_describe(state)}")
    return dict(state)


def _read_safetensors(path):
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error


def _read_torch(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        OSError,
    ) as error:
        if getattr(error, "filename", None):  # the file cannot be opened; one that is cut off has an error without it
            raise
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise CheckpointError(
                f"refused {path}: to read it, Python would have to run {code[1]}. Weights need no "
                "code; ask its author for tensors only, or for safetensors"
            ) from error
        raise CheckpointError(f"{path} is damaged or not a torch file: {type(error).__name__}") from error


def _shape(tensor):
    return tuple(tensor.shape)


def _describe(state):
    if not isinstance(state, Mapping):
        return f"a {type(state).__name__}"
    name, value = next((name, value) for name, value in state.items() if not torch.is_tensor(value))
    return f"a mapping in which {name!r} is a {type(value).__name__}"


def read_part(path: Path | str, names: Container[str]) -> dict[str, torch.Tensor]:
    """Those tensors of a `.safetensors` file that have one of these names; the others are not read from the disk.

    Raises CheckpointError for a file that is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name in names}  # noqa: SIM118  (no mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing, damaged or not a safetensors file: {error}") from error
