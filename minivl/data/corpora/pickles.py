"""Pickles of released data, of which nothing is executed.

A pickle is a small program: it may name any function of any module and call it. This reader admits the few names
that arrays of numbers and texts need, and refuses a file that names anything else before it is called. Even numpy's
own functions are not called with what a file says: a forged type would let numpy take bytes for objects.
"""

import math
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from minivl.config.limits import how_to_raise, limit
from minivl.data.schema import SchemaError

KINDS = "biufUSO"  # truth values, whole and real numbers, texts, bytes, objects that are themselves admitted
ARRAY = "numpy.ndarray"  # stands for the class, which pickles hand to `_reconstruct`


class _Refused(pickle.UnpicklingError):
    """A pickle that asks for more than data."""


class _Type:
    """A numpy type as pickles describe it: its name, then a state whose second entry is the order of bytes."""

    def __init__(self, name: str, *_: Any):
        self.type = np.dtype(name)
        if self.type.kind not in KINDS or self.type.names or self.type.subdtype:
            raise _Refused(f"has an array of type {name!r}")

    def __setstate__(self, state):
        if state[1] in ("<", ">"):
            self.type = self.type.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that numpy fills only once its type has been rebuilt from its name."""

    def __setstate__(self, state):
        version, shape, kind, fortran_order, data = state
        if isinstance(data, list) and len(data) != math.prod(shape):  # numpy would take the memory and then compare
            raise _Refused(f"has an array of shape {shape} with {len(data)} entries")
        super().__setstate__((version, shape, kind.type, fortran_order, data))


def _new_array(_class, _shape, _type):
    return _Array((0,), np.int8)


def _array_of(data, kind: _Type, shape, order):
    return np.frombuffer(data, kind.type).reshape(shape, order=order)


def _number(kind: _Type, data):
    return np.frombuffer(data, kind.type)[0]


def _bytes(text: str, encoding: str):
    """Bytes as Python 3 writes them into a pickle of the old protocols."""
    if encoding != "latin1":
        raise _Refused(f"encodes text as {encoding!r}")
    return text.encode("latin1")


def _bytearray(data: bytes = b"", *_: Any):
    """A number in place of the bytes would ask for that much memory."""
    return bytearray(memoryview(data))


ADMITTED = {
    "builtins.bytearray": _bytearray,
    "__builtin__.bytearray": _bytearray,
    "numpy.ndarray": ARRAY,
    "numpy.dtype": _Type,
    "_codecs.encode": _bytes,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
}
for _core in ("numpy.core", "numpy._core"):  # of numpy 1 and of numpy 2
    ADMITTED |= {
        f"{_core}.multiarray._reconstruct": _new_array,
        f"{_core}.multiarray.scalar": _number,
        f"{_core}.numeric._frombuffer": _array_of,
    }
for _plain in (list, dict, set, frozenset):
    ADMITTED |= {f"builtins.{_plain.__name__}": _plain, f"__builtin__.{_plain.__name__}": _plain}


class _Reader(pickle._Unpickler):  # in Python: the one in C takes as much memory as the number of a memo says
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in ADMITTED:
            raise _Refused(f"names {module}.{name}")
        return ADMITTED[f"{module}.{name}"]


def _expanded(part: Any, known: dict[int, int]) -> int:
    """Number of entries of nested containers, those that occur again counted again. Each is visited once."""
    if isinstance(part, np.ndarray) and part.dtype.kind != "O":
        return part.nbytes
    if not isinstance(part, dict | list | tuple | set | frozenset | np.ndarray):
        return 1
    if id(part) not in known:
        known[id(part)] = 2**63  # until it is counted: what contains itself is endless
        entries = part.values() if isinstance(part, dict) else part.flat if isinstance(part, np.ndarray) else part
        known[id(part)] = 1 + sum(_expanded(entry, known) for entry in entries)
    return known[id(part)]


def read_pickle(path: Path) -> Any:
    """The content of a pickle of arrays, numbers, texts, dicts, lists, tuples and sets.

    Raises SchemaError for a pickle that names anything else, with the name, for a broken file, and for one whose
    parts contain each other so often that they expand beyond the limit unpacked_ratio.
    """
    try:
        with open(path, "rb") as file:
            content = _Reader(file).load()
        if _expanded(content, {}) > limit("unpacked_ratio") * path.stat().st_size:
            raise _Refused(f"expands more than that (bytes for each of its own: {how_to_raise('unpacked_ratio')})")
        return content
    except OSError:
        raise
    except _Refused as error:
        raise SchemaError(
            f"{path} is refused: it {error}, and only arrays of numbers and texts in plain containers "
            "are read from pickles, because others can run code"
        ) from error
    except Exception as error:  # whatever the bytes of a broken pickle bring about
        raise SchemaError(f"{path} is not a readable pickle: {error!r:.200}") from error
