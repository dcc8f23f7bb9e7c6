"""Files and folders that appear whole or not at all, whatever interrupts the writing.

What is new is written beside the old under another name, forced onto the disk, and then renamed, which cannot happen
by halves. A killed process leaves at most a hidden name that ends in ".partial"; it does no harm.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # a folder that isn't empty, or a file, has the name


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a name to write a file under, and at the end of the block let that file take the place of `path`.

    After an exception `path` is as it was and nothing else is left. Several processes may write one path at once: each
    has a file of its own, and the last one stays. Raises OSError that names `path`, not the name that was given.
    """
    with replacing_files(path) as (unfinished,):
        yield unfinished


@contextmanager
def replacing_files(*paths: Path | str) -> Iterator[list[Path]]:
    """`replacing` for several files: none is renamed before all are on the disk."""
    names = {_name_beside(Path(path)): Path(path) for path in paths}
    try:
        with _errors_about(names):
            yield list(names)
            for unfinished in names:
                _flush(unfinished)
            for unfinished, path in names.items():
                os.replace(unfinished, path)
        for folder in {path.parent for path in names.values()}:
            _flush_folder(folder)
    finally:
        for unfinished in names:
            unfinished.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Give a new empty folder, and at the end of the block let it take the place of `path`, with all that is in it.

    The same promises as `replacing`, but for one moment, between two renames, there may be no folder `path`. Folders
    above it are made.
    """
    path = Path(path)
    unfinished = _name_beside(path)
    try:
        with _errors_about({unfinished: path}):
            unfinished.mkdir(parents=True)
            yield unfinished
            for inside in unfinished.rglob("*"):
                (_flush_folder if inside.is_dir() else _flush)(inside)
            _flush_folder(unfinished)
            _move_folder(unfinished, path)
        _flush_folder(path.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def _name_beside(path: Path) -> Path:
    """A name in the same folder that nobody else has, and short, because `path` may use all 255 bytes of a name."""
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.partial")


def _flush(file: Path) -> None:
    with file.open("r+b") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Force new names onto the disk; not every system can do that, and what was renamed is there without it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move_folder(new: Path, path: Path) -> None:
    """Give a finished folder its name; what has that name is moved out of the way, whoever wrote it."""
    for _ in range(100):  # other processes may do the same
        try:
            os.replace(new, path)
            return
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            old = _name_beside(path)
            with suppress(FileNotFoundError):  # another process has just moved it
                os.replace(path, old)
            shutil.rmtree(old, ignore_errors=True)
    raise FileExistsError(f"{path} is replaced by other processes again and again: write it from one of them")


@contextmanager
def _errors_about(names: dict[Path, Path]) -> Iterator[None]:
    """An error that names no file, or an unfinished one, becomes the same error for the path that it stands for."""
    try:
        yield
    except OSError as error:
        meant = {None: next(iter(names.values()))} | {str(unfinished): path for unfinished, path in names.items()}
        if error.errno is None or error.filename not in meant:
            raise
        raise OSError(error.errno, error.strerror, str(meant[error.filename])) from error
