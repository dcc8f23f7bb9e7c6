"""Features that were extracted from videos beforehand: one row of numbers per moment, some rows per second.

A reference says where those of one video are: the path of a `.npy` file, or "file.safetensors::name", where one file
holds many videos and only the named one is read.
"""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

SEPARATOR = "::"  # between a safetensors file and the name of a tensor in it
EXTRACT = "extract the features again"


class FeatureError(ValueError):
    """Features that cannot be read or do not fit: says which, why, and what to do."""

    def __init__(self, reference: Path | str, reason: str):
        super().__init__(f"{reference} {reason}")


def load_features(reference: Path | str, size: int | None = None) -> np.ndarray:
    """The features of one video, float32 (T, F).

    With `size` they must have that many numbers per row. Nothing is unpickled: a `.npy` of objects is refused.
    Raises FeatureError for what is missing, damaged, not of that shape, empty, NaN or infinite.
    """
    values = _read_tensor(reference) if SEPARATOR in str(reference) else _read_npy(reference)
    if values.ndim != 2 or 0 in values.shape:
        raise FeatureError(reference, f"has shape {values.shape}: expected (T, F), one or more rows of features")
    if size is not None and values.shape[1] != size:
        raise FeatureError(
            reference,
            f"has {values.shape[1]} numbers per row and {size} are expected: were these "
            "features extracted with another model?",
        )
    with np.errstate(over="ignore"):  # infinite then, and refused below
        values = np.array(values, np.float32)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise FeatureError(reference, f"has a NaN or infinite number in row {row}: {EXTRACT}")
    return values


def check_reference(reference: Path | str) -> None:
    """FeatureError if there is no such file, or no tensor of that name in it; the features are not read."""
    if SEPARATOR in str(reference):
        _open_named(reference)
    else:
        _check_file(reference, Path(reference))


class FeatureReader:
    """`load_features` that can `keep` what it has read in memory, which suits small corpora.

    `size` is the number of numbers per row that every video must have, None for any.
    """

    def __init__(self, size: int | None = None, keep: bool = False):
        self.size = size
        self._kept: dict[str, np.ndarray] | None = {} if keep else None

    def __call__(self, reference: str) -> np.ndarray:
        """Features (T, F) of one video; not to be changed in place."""
        if self._kept is None:
            return load_features(reference, self.size)
        if reference not in self._kept:
            self._kept[reference] = load_features(reference, self.size)
        return self._kept[reference]


def row_window(rate: float, start: float, end: float) -> tuple[int, int]:
    """The rows from `start` to `end` seconds as (first, one after the last): int(start rate), int(end rate) + 1.

    As in the release, the two are swapped if they are reversed.
    """
    first, last = sorted((int(start * rate), int(end * rate) + 1))
    return max(0, first), max(0, last)


def clip_features(
    features: np.ndarray, rate: float, start: float | None, end: float | None, max_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `max_frames` rows of a clip, float32 (max_frames, F), with zeros after its end, and their mask.

    The mask is int64 (max_frames,). features (T, F) at `rate` rows per second; start and end in seconds, both None
    for the whole video. A clip after the last row has a mask of zeros, as in the release.
    """
    window = (0, len(features)) if start is None or end is None else row_window(rate, start, end)
    rows = features[slice(*window)][:max_frames]  # (<= max_frames, F)
    video = np.zeros((max_frames, features.shape[1]), np.float32)
    video[: len(rows)] = rows
    return video, (np.arange(max_frames) < len(rows)).astype(np.int64)


def _read_npy(reference) -> np.ndarray:
    path = Path(reference)
    _check_file(reference, path)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped, because a header may lie about the size
    except Exception as error:  # numpy has no kind of error for a damaged header
        raise FeatureError(
            reference,
            f"cannot be read as a .npy file of numbers ({error}): copy it or {EXTRACT}, and save them with numpy.save",
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        kind = values.dtype if isinstance(values, np.ndarray) else "several arrays"
        raise FeatureError(reference, f"holds {kind}, not one array of numbers: save a (T, F) array with numpy.save")
    return values


def _read_tensor(reference) -> np.ndarray:
    file, name = _open_named(reference)
    try:
        values = file.get_tensor(name)
        if values.is_complex():
            raise FeatureError(reference, f"holds complex numbers: {EXTRACT}")
        return values.float().numpy()  # through torch, because numpy has no bfloat16
    except (SafetensorError, RuntimeError) as error:
        raise FeatureError(reference, f"cannot be read ({error}): copy the file or {EXTRACT}") from error


def _open_named(reference):
    """An open safetensors file and the name of the tensor in it that is meant."""
    path, name = str(reference).split(SEPARATOR, 1)
    _check_file(reference, Path(path))
    stat = os.stat(path)
    file, names = _open_safetensors(path, stat.st_mtime_ns, stat.st_size)
    if name not in names:
        raise FeatureError(reference, f"is not there: {path} holds {len(names)} tensors, none of them named {name!r}")
    return file, name


@lru_cache(maxsize=256)
def _open_safetensors(path: str, changed: int, size: int):
    """An open file, of which nothing but the header is read, and its names; opened anew when the file has changed."""
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise FeatureError(path, f"is not a readable safetensors file ({error}): copy it or {EXTRACT}") from error
    return file, frozenset(file.keys())


def _check_file(reference, path: Path) -> None:
    if not path.is_file():
        raise FeatureError(reference, f"cannot be read: there is no file {path}, check its name")
