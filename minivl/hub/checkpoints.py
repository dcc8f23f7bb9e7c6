"""Reading weights from disk into a model: all or nothing, and no more memory than the file's own bytes account for."""

import re
import warnings
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from minivl.config import ConfigError
from minivl.config.limits import how_to_raise, limit

SHOWN = 20  # names per kind of problem
# What constructors of models raise for sizes and types that nobody foresaw.
BUILDING = (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError, AttributeError, AssertionError)
M = TypeVar("M", bound=nn.Module)


class CheckpointError(ValueError):
    """A weights file that cannot be read, or weights that do not fit the model."""


def build(make: Callable[[], M], origin: Path | str) -> M:
    """The model that `make` builds, after it was built once on the meta device, which takes no memory.

    origin   the file that the model's sizes come from

    Raises CheckpointError for sizes that give no model, or one larger than the limit model_gb.
    """
    try:
        with torch.device("meta"):
            numbers = sum(tensor.numel() for tensor in make().state_dict().values())
    except (ConfigError, CheckpointError):
        raise
    except BUILDING as error:
        raise CheckpointError(f"{origin} describes no model that can be built: {str(error)[:500]}") from error
    size = numbers * 4 / 2**30  # in float32
    if size > limit("model_gb"):
        raise CheckpointError(f"{origin} describes a model of {size:,.0f} GB: {how_to_raise('model_gb')}")
    return make()


def load_weights(
    model: nn.Module,
    state_or_path: Mapping[str, torch.Tensor] | Path | str,
    allow_missing: tuple[str, ...] = (),
    origin: str | None = None,
) -> None:
    """Copy weights into a model. Names and shapes must agree; if they do not, nothing is changed.

    state_or_path   a mapping from names to tensors, or a file as for `read_weights`
    allow_missing   prefixes of names that the weights may leave out
    origin          where a mapping comes from, for messages

    Raises CheckpointError with one message that lists the missing, unexpected and wrongly shaped entries, and those
    whose values no model can have. Values are looked at where names and shapes fit.
    """
    state, found = weights_of(state_or_path)
    expected = model.state_dict()
    shared = [name for name in state if name in expected]
    fitting = [name for name in shared if state[name].shape == expected[name].shape]
    of_kind = [name for name in fitting if _kind(state[name]) == _kind(expected[name])]
    problems = {
        "missing": [name for name in expected if name not in state and not name.startswith(tuple(allow_missing))],
        "unexpected": [name for name in state if name not in expected],
        "wrong shape": [
            f"{name}: {tuple(state[name].shape)}, the model has {tuple(expected[name].shape)}"
            for name in shared
            if name not in fitting
        ],
        "wrong type": [
            f"{name}: {_kind(state[name])} numbers, the model has {_kind(expected[name])} ones"
            for name in fitting
            if name not in of_kind
        ],
        "NaN or infinite": [name for name in of_kind if not state[name].to(expected[name].dtype).isfinite().all()],
        "negative variance": [name for name in of_kind if name.endswith("running_var") and (state[name] < 0).any()],
    }
    if any(problems.values()):
        lines = [f"{origin or found} do not fit {type(model).__name__} (nothing was loaded)"]
        for kind, names in problems.items():
            if names:
                shown = [f"    {name:.200}" for name in names[:SHOWN]]
                more = [f"    and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
                lines += [f"  {kind} ({len(names)}):", *shown, *more]
        raise CheckpointError("\n".join(lines))
    model.load_state_dict(state, strict=False)


def finite(values: torch.Tensor, what: str) -> torch.Tensor:
    """The values that a model computed, if none is NaN or infinite: such a ranking or prediction would mean nothing.

    On the device "meta", where operations are only counted, there are no values to look at.
    Raises CheckpointError, which says `what` they are.
    """
    if not values.is_meta and not values.isfinite().all():
        raise CheckpointError(
            f"this model computes {what} that are NaN or infinite: its weights are damaged, or do not belong to its "
            "settings (such as mean and std of pictures). Get it again from its author"
        )
    return values


def count_layers(state: Mapping[str, Any], stack: str) -> int:
    """Number of layers that names such as "`stack`.3.weight" speak of.

    Raises CheckpointError if one in between is missing (a single name must not make a million layers), and for more
    than the limit.
    """
    layer = re.compile(re.escape(stack) + r"\.(\d{1,9})\.")
    numbers = {int(match[1]) for name in state if (match := layer.match(name))}
    if numbers and max(numbers) >= len(numbers):
        raise CheckpointError(
            f"these weights name layer {max(numbers)} of {stack}, but there are only {len(numbers)}: some are missing"
        )
    if len(numbers) > limit("layers"):
        raise CheckpointError(f"these weights have {len(numbers)} layers in {stack}: {how_to_raise('layers')}")
    return len(numbers)


def weights_of(state_or_path: Mapping[str, torch.Tensor] | Path | str) -> tuple[Mapping[str, torch.Tensor], str]:
    """Named tensors that are given, or in a file, and where they come from, for messages."""
    if isinstance(state_or_path, Mapping):
        return state_or_path, "the given weights"
    return read_weights(state_or_path), str(state_or_path)


def read_weights(path: Path | str) -> dict[str, torch.Tensor]:
    """The named tensors of a `.safetensors` file, or of a torch file of any other name, see `read_torch`.

    Raises CheckpointError for a file that is missing, empty, damaged, of another kind, too large, or that needs code.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        state = read_torch(path)
        if not isinstance(state, Mapping) or not all(
            isinstance(name, str) and torch.is_tensor(value) for name, value in state.items()
        ):
            raise CheckpointError(f"{path} must hold a mapping from names to tensors, not {_describe(state)}")
        return dict(state)
    _check_file(path)
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if limit("json_mb") * 2**20 < header <= path.stat().st_size:
        raise CheckpointError(f"{path} begins with {header / 2**20:.0f} MB of names: {how_to_raise('json_mb')}")
    return _read(path, load_file)


def read_torch(path: Path | str) -> Any:
    """The content of a torch file: plain tensors in mappings and lists, on the CPU.

    Torch files are pickles, which can run code when they are read; only tensors are admitted. A pickle can also claim
    tensors of any size. So it is read twice, at first on the meta device, which takes no memory: a tensor has no more
    numbers than its storage, and all storages together no more bytes than the file.

    Raises CheckpointError for a file that is missing, empty, damaged, of another kind, too large, or that needs code.
    """
    path = Path(path)
    _check_file(path)
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"  # since torch 1.6; older files are bare pickles
    if zipped:
        _read(path, _check_archive)
    _check_claims(path, _read(path, lambda path: torch.load(path, "meta", weights_only=True)))
    # Mapped into memory, no storage can reach beyond the file.
    return _read(path, lambda path: torch.load(path, "cpu", weights_only=True, mmap=zipped))


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"no weights file {path}")
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path} is empty: an interrupted copy or download?")
    if size > limit("weights_gb") * 2**30:
        raise CheckpointError(f"{path} has {size / 2**30:,.0f} GB: {how_to_raise('weights_gb')}")


def _check_archive(path: Path) -> None:
    """Refuse TorchScript, which is code, and archives whose parts are larger than the file."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any("/code/" in part.filename for part in parts):
        raise CheckpointError(
            f"{path} is a TorchScript archive, which holds code and is not read: get the weights as tensors, or in "
            "safetensors"
        )
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise CheckpointError(
            f"{path} would unpack to more bytes than it has, which no file of torch.save does: it is damaged or "
            "hostile, or was compressed afterwards. Get it from its author, or in safetensors"
        )


def _check_claims(path: Path, content: Any) -> None:
    storages = {}
    for name, tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise CheckpointError(f"{path}: {name} is no plain tensor: save it dense and unquantised")
        storage = tensor.untyped_storage()
        if tensor.numel() * tensor.element_size() > storage.nbytes():
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, but the file has {storage.nbytes():,} bytes of it: "
                "it is damaged or hostile, or an expanded tensor that was saved without clone()"
            )
        storages[storage._cdata] = storage.nbytes()
    if sum(storages.values()) > path.stat().st_size:
        raise CheckpointError(
            f"{path} is damaged: it claims tensors of {sum(storages.values()):,} bytes, and has {path.stat().st_size:,}"
        )


def _tensors(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors in mappings and lists, with their names."""
    waiting, seen = [("its content", content)], set()
    while waiting:
        name, part = waiting.pop()
        if torch.is_tensor(part):
            yield name, part
        elif isinstance(part, Mapping | list | tuple | set) and id(part) not in seen:
            seen.add(id(part))
            entries = part.items() if isinstance(part, Mapping) else enumerate(part)
            waiting += [(f"{key!s:.200}", value) for key, value in entries]


def _read(path: Path, reader: Callable[[Path], Any]) -> Any:
    """What a reader makes of a file. Raises CheckpointError for a damaged one, and one that needs code."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, about kinds of pickles that it may not know
            return reader(path)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle or header makes the libraries raise whatever it hits upon
        if isinstance(error, OSError) and error.filename:  # it cannot be opened; one that is cut off has no name in it
            raise
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"refused {path}: to read it, Python would have to run {code[1]:.200}. Weights need no "
                "code; ask its author for tensors only, or for safetensors"
            ) from error
        kind = "safetensors" if path.suffix == ".safetensors" else "torch"
        raise CheckpointError(
            f"{path} is damaged or not a {kind} file ({type(error).__name__}): copy or download it again"
        ) from error


def _kind(tensor: torch.Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    return "real" if tensor.is_floating_point() else "whole"


def _describe(state: Any) -> str:
    if not isinstance(state, Mapping):
        return f"a {type(state).__name__}"
    name, value = next(
        (name, value) for name, value in state.items() if not torch.is_tensor(value) or name != str(name)
    )
    return f"a mapping in which {name!r:.60} is a {type(value).__name__}"


def read_part(path: Path | str, names: Container[str]) -> dict[str, torch.Tensor]:
    """Those tensors of a `.safetensors` file that have one of these names; the others are not read from the disk.

    Raises CheckpointError for a file that is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name in names}  # noqa: SIM118  (no mapping)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing, damaged or not a safetensors file: {error}") from error
