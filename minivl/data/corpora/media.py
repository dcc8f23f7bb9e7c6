"""Places on disk of the videos of a corpus, or of their features."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minivl.data.atomic import replacing
from minivl.data.corpora.pickles import read_pickle
from minivl.data.features import SEPARATOR
from minivl.data.folder import SUFFIXES
from minivl.data.schema import SchemaError

if TYPE_CHECKING:
    from minivl.data.corpora.common import Problems

PICKLES = (".pickle", ".pkl")


class Media:
    """All videos and features below a folder, by name without suffix; their contents are not read.

    features: name -> reference, from .npy files (one per video), .safetensors files (one tensor per video) and pickles
    named *features*.pickle ({name: array}, as UniVL's release has them), which are converted to .safetensors once.
    videos: name -> path.
    """

    def __init__(self, folder: Path | str, problems: "Problems", convert: bool = True):
        self.folder = Path(folder)
        self.features: dict[str, str] = {}
        self.videos: dict[str, str] = {}
        self.problems = problems
        paths = list(_files(self.folder))
        self.unconverted = [
            path for path in paths if path.suffix in PICKLES and "features" in path.stem and not _is_converted(path)
        ]
        outdated = {path.with_suffix(".safetensors") for path in self.unconverted}
        for path in paths:
            if path.suffix == ".npy":
                self._add(self.features, path.stem, path)
            elif path.suffix.lower() in SUFFIXES:
                self._add(self.videos, path.stem, path)
            elif path.suffix == ".safetensors" and path not in outdated:
                self._add_tensors(path)
        for path in self.unconverted if convert else ():
            self._add_tensors(convert_pickle(path))

    def _add(self, known: dict, name: str, reference) -> None:
        if name in known:
            self.problems.add("videos with more than one file, the first is taken", f"{reference} ({known[name]})")
        else:
            known[name] = str(reference)

    def _add_tensors(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                names = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise SchemaError(f"{path} is not a readable safetensors file ({error}): copy it again") from error
        for name in names:
            self._add(self.features, name, f"{path.absolute()}{SEPARATOR}{name}")

    def attach(self, rows: list[dict], source: str, feature_rate: float, problems: "Problems") -> list[dict]:
        """The rows whose video is on disk, with `features` and `feature_rate`, or `video`, in place of `media`."""
        known = self.features if source == "features" else self.videos
        attached, missing = [], set()
        for row in rows:
            names = row.pop("media")
            name = next((name for name in names if name in known), None)
            if name is None:
                if row["video_id"] not in missing:
                    problems.add(f"videos without {source} on disk, left out", row["video_id"])
                    missing.add(row["video_id"])
                continue
            place = (
                {"features": known[name], "feature_rate": feature_rate}
                if source == "features"
                else {"video": known[name]}
            )
            attached.append({**row, **names[name], **place})
        if not attached:
            raise FileNotFoundError(
                f"{self.folder} has the {source} of none of the {len(missing)} videos"
                + (f", such as {min(missing)}" if missing else "")
            )
        return attached


def convert_pickle(path: Path) -> Path:
    """Write the features of a pickle into a .safetensors file beside it, once; its path. Raises as `feature_arrays`."""
    from safetensors.numpy import save_file

    warnings.warn(f"converting {path} to .safetensors, once", stacklevel=2)
    tensors = {
        str(name): np.ascontiguousarray(values, np.float16 if values.dtype == np.float16 else np.float32)
        for name, values in feature_arrays(path).items()
    }
    converted = path.with_suffix(".safetensors")
    with replacing(converted) as unfinished:
        save_file(tensors, unfinished)
    return converted


def feature_arrays(path: Path) -> dict[Any, np.ndarray]:
    """The features in a pickle {name: array (T, F)}, which is read whole, so this needs its size in memory.

    Raises SchemaError for a pickle of anything else, and for numbers that are NaN or infinite.
    """
    content = read_pickle(path)
    if not isinstance(content, dict) or not content:
        raise SchemaError(f"{path} must hold {{name: array of features}}")
    arrays = {name: np.asarray(values) for name, values in content.items()}
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu" or values.ndim != 2:
            raise SchemaError(
                f"{path}: the features of {name!r:.100} must be numbers (T, F), got {values.dtype} {values.shape}"
            )
        if not np.isfinite(values).all():
            raise SchemaError(f"{path}: the features of {name!r:.100} have a NaN or infinite number")
    return arrays


def _is_converted(path: Path) -> bool:
    target = path.with_suffix(".safetensors")
    return target.is_file() and target.stat().st_mtime >= path.stat().st_mtime


def _files(folder: Path):
    """All files below a folder, sorted within each folder, also through links to folders; hidden ones left out."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if real in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root).absolute() / name for name in sorted(names) if not name.startswith("."))
