"""The index of a search on disk: embeddings of the windows of videos, brought up to date when files change.

    manifest.json             file -> size, time of change, and its windows in seconds, or why it was skipped; checksums
    rows-<key>.safetensors    "embeddings" (n, D) and "keys" (n,): every window has a number of its own
    neighbours.faiss          only for large collections, see `minivl.tasks.clip.faiss_lists`

Rows are written before the manifest that names them, each file whole or not at all: what a killed process leaves is
either used or removed. One process at a time writes; others wait for it and then find its work done. An index that
does not fit its checksums is made anew.
"""

import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minivl.data.atomic import write_bytes
from minivl.data.video import VideoError
from minivl.progress import tqdm

FORMAT, OLDER = 2, (1,)  # raise it when the files above change their meaning
BATCH = 64  # windows that are written together; an interruption loses at most those
SMALL, MOST_SMALL = 16_384, 64  # files with fewer rows than this are joined when there are more of them than that
CHECKED = 100_000  # windows; rows of a larger index are compared with their checksums when they are needed


Encoded = tuple[list[tuple[float, float]], np.ndarray]
Encoder = Callable[[Sequence[Path]], Iterator[tuple[Path, Encoded | VideoError]]]


class SearchIndex:
    """Embeddings of the windows of the videos below a folder, made by one model.

    place    where it is kept. If that cannot be written, a warning says so and the index lasts as long as this object
    folder   paths are kept relative to it

    Use it `with index.locked():`. After `update`, `windows(path)` says which keys are whose, `embeddings()` gives all.
    """

    def __init__(self, place: Path, folder: Path):
        self.place, self.folder = place, folder.absolute()
        self.files: dict[str, dict] = {}  # {size, changed, first, windows} or {size, changed, skipped}
        self.parts: dict[str, tuple[int, int]] = {}  # file of rows -> how many, and their checksum
        self.next_key = 0
        self._loaded: dict[str, dict[str, np.ndarray]] = {}  # file of rows -> {keys, embeddings}
        self.kept = True  # whether it can be written

    def update(self, paths: list[Path], encode: Encoder, progress: bool = True) -> None:
        """Read what is there, forget files that are gone, encode those of `paths` that are new or have changed.

        `encode(paths)` gives for each, in any order, its windows (start, end) in seconds and their embeddings (n, D). A
        file for which it gives a VideoError is remembered as skipped, and tried again when it has changed. What is done
        is kept, whatever interrupts the rest.
        """
        self._read()
        gone = [name for name in self.files if not os.path.lexists(self.folder / name)]  # a broken link is there
        for name in gone:
            del self.files[name]
        # Before they are read: a file that changes meanwhile is read again next time.
        new = {path: _identity(path) for path in dict.fromkeys(paths) if not self._is_current(path)}
        waiting: list[tuple[str, dict, np.ndarray | None]] = []
        bar = tqdm(total=len(new), desc="reading videos", unit="video", disable=not (progress and new))
        try:
            for path, found in encode(list(new)) if new else ():
                waiting.append(self._entry(path, new[path], found))
                bar.update()
                if sum(len(entry.get("windows", "1")) for _, entry, _ in waiting) >= BATCH:
                    self._add(waiting)
                    waiting = []
        finally:
            bar.close()
            if waiting or gone:
                self._add(waiting)
        if (new or gone) and self.kept:
            self._tidy()

    def windows(self, path: Path) -> tuple[range, list[tuple[float, float]]]:
        """Keys of the windows of a file, and their (start, end) in seconds; none if it was skipped."""
        entry = self.files[self._name(path)]
        spans = [tuple(span) for span in entry.get("windows", [])]
        return range(entry.get("first", 0), entry.get("first", 0) + len(spans)), spans

    @property
    def count(self) -> int:
        """Number of windows of files that are there."""
        return sum(len(entry.get("windows", ())) for entry in self.files.values())

    @property
    def _stored(self) -> int:
        """Number of rows on disk, those of files that are gone included."""
        return sum(count for count, _ in self.parts.values())

    def skipped(self, path: Path) -> str | None:
        """Why a file was skipped; None if it was not."""
        return self.files[self._name(path)].get("skipped")

    def embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys (n,), ascending, and embeddings (n, D) of all windows of files that are there."""
        keys, rows = self._rows(self.parts)
        live = np.array([key for name in self.files for key in self.windows(self.folder / name)[0]], np.int64)
        kept = np.flatnonzero(np.isin(keys, live))
        kept = kept[np.argsort(keys[kept])]
        return keys[kept], rows[kept]

    def _rows(self, parts) -> tuple[np.ndarray, np.ndarray]:
        """Keys and embeddings of some files of rows."""
        loaded = [self._loaded.get(name) or self._load(name) for name in parts]
        return (
            np.concatenate([part["keys"] for part in loaded] or [np.empty(0, np.int64)]),
            np.concatenate([part["embeddings"] for part in loaded] or [np.empty((0, 1), np.float32)]),
        )

    def _name(self, path: Path) -> str:
        return os.path.relpath(path.absolute(), self.folder)

    def _is_current(self, path: Path) -> bool:
        entry = self.files.get(self._name(path))
        return entry is not None and _identity(path).items() <= entry.items()

    def _load(self, name: str) -> dict[str, np.ndarray]:
        """A file of rows. Raises ValueError if it is not what was written."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            part = load_file(self.place / name)
            damaged = self.parts[name][1] != _checksum(part)
        except SafetensorError:
            damaged = True
        if damaged:
            raise ValueError(f"{self.place / name} is damaged: remove the folder, and the index is made anew")
        return part

    def _entry(self, path: Path, identity: dict, found: Encoded | VideoError) -> tuple[str, dict, np.ndarray | None]:
        if isinstance(found, VideoError):
            return self._name(path), {**identity, "skipped": found.reason}, None
        windows, rows = found
        return self._name(path), {**identity, "windows": windows}, rows.astype(np.float32)

    def _add(self, encoded) -> None:
        """Take over some files, on disk, too."""
        rows = [part for _, _, part in encoded if part is not None]
        first = self.next_key
        for name, entry, part in encoded:
            if part is not None:
                entry["first"] = self.next_key
                self.next_key += len(part)
            self.files[name] = entry
        new = {}
        if rows:
            new[f"rows-{first:012d}.safetensors"] = {
                "embeddings": np.concatenate(rows),
                "keys": np.arange(first, self.next_key),
            }
        self._save(new)

    def _save(self, new: dict[str, dict[str, np.ndarray]]) -> None:
        """Write new rows, then the manifest."""
        from safetensors.numpy import save

        self.parts |= {name: (len(part["keys"]), _checksum(part)) for name, part in new.items()}
        self._loaded |= new
        content = {"next_key": self.next_key, "parts": self.parts, "files": self.files}
        manifest = {"format": FORMAT, "checksum": _checksum({"": content}), **content}
        try:
            if self.kept:
                for name, part in new.items():
                    write_bytes(self.place / name, save(part))
                write_bytes(self.place / "manifest.json", json.dumps(manifest).encode())
                if self._stored > CHECKED:  # too many to keep in memory
                    self._loaded.clear()
        except OSError as error:
            self._not_kept(error)

    def _tidy(self) -> None:
        """Join small files of rows, drop rows of files that are gone, remove what the manifest does not name."""
        small = [name for name, (count, _) in self.parts.items() if count < SMALL]
        mostly_gone = 2 * self.count < self._stored
        joined = list(self.parts) if mostly_gone else small if len(small) > MOST_SMALL else []
        if joined:
            keys, rows = self.embeddings()
            chosen = np.isin(keys, self._rows(joined)[0])
            self.parts = {name: part for name, part in self.parts.items() if name not in joined}
            name = f"rows-{self.next_key:012d}.safetensors"
            self.next_key += 1  # its name is taken
            self._save({name: {"keys": keys[chosen], "embeddings": rows[chosen]}} if chosen.any() else {})
        for path in self.place.glob("rows-*") if self.kept else ():
            if path.name not in self.parts:
                path.unlink(missing_ok=True)

    def _read(self) -> None:
        """Read what is on disk; nothing if there is none, it is of another format, or damaged."""
        file = self.place / "manifest.json"
        self.files, self.parts, self.next_key = {}, {}, 0
        if not file.is_file():
            return
        try:
            manifest = json.loads(file.read_bytes())
            version, checksum = (manifest.pop(name, None) for name in ("format", "checksum"))
            if version in OLDER:
                return
            if version != FORMAT or checksum != _checksum({"": manifest}):
                raise ValueError(f"{file} is not what was written")
            self.files, self.parts, self.next_key = manifest["files"], manifest["parts"], manifest["next_key"]
            missing = [name for name in self.parts if not (self.place / name).is_file()]
            if missing:
                raise ValueError(f"{missing[0]} is missing")
            if self._stored <= CHECKED:
                self._loaded = {name: self._load(name) for name in self.parts}
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            self.files, self.parts, self.next_key, self._loaded = {}, {}, 0, {}
            warnings.warn(f"the index in {self.place} is damaged and made anew ({error})", stacklevel=4)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context in which no other process reads or writes this index."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.place / "lock")
        try:
            self.place.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                print(f"another process is at work on the index in {self.place}: waiting for it", file=sys.stderr)
                lock.acquire()
        except OSError as error:
            self._not_kept(error)
        try:
            yield
        finally:
            lock.release()

    def _not_kept(self, error: OSError) -> None:
        self.kept = False
        warnings.warn(
            f"the index cannot be kept in {self.place} ({error.strerror}): the videos will be read again "
            "next time. Free some space, or choose another place with --index",
            stacklevel=5,
        )


def _identity(path: Path) -> dict:
    """Size and time of change of a file; zeros if there is none."""
    try:
        status = path.stat()
    except OSError:
        return {"size": 0, "changed": 0}
    return {"size": status.st_size, "changed": status.st_mtime_ns}


def _checksum(content: Mapping[str, Any]) -> int:
    """A number that changes with any damage to arrays or other values by name."""
    number = 0
    for name, value in sorted(content.items()):
        array = isinstance(value, np.ndarray)
        data = f"{value.dtype}{value.shape}".encode() + value.tobytes() if array else json.dumps(value).encode()
        number = zlib.crc32(name.encode() + data, number)
    return number
