"""Downloads from the hub that are compared with the hashes that the hub gives them.

The hub's client keeps each file in its cache under the hash that the hub named, but does not compute it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minivl.config import ConfigError
from minivl.hub.checkpoints import CheckpointError


class DownloadError(RuntimeError):
    """A download that broke off or came damaged; the message says what to do."""


def download(repository: str, patterns: list[str], kind: str = "model") -> Path:
    """The folder in the hub's cache with those files of a repository whose names fit one of the `patterns`.

    kind   "model" or "dataset"

    What an earlier call has begun goes on. Raises DownloadError if one breaks off or is not what the hub says it is.
    """
    from huggingface_hub import snapshot_download

    with told(repository):
        folder = Path(snapshot_download(repository, repo_type=kind, allow_patterns=patterns))
    check_hashes(path for path in folder.rglob("*") if path.is_file())
    return folder


@contextmanager
def told(what: str) -> Iterator[None]:
    """Make DownloadErrors of what the hub's client raises, which has dozens of kinds."""
    try:
        yield
    except (ConfigError, CheckpointError, DownloadError, MemoryError):
        raise
    except Exception as error:
        raise DownloadError(
            f"{what} could not be downloaded: {str(error)[:500] or type(error).__name__}\nWhat has come is kept: the "
            "same command goes on"
        ) from error


def check_hashes(files: Iterable[Path]) -> None:
    """Compare files in the hub's cache with the hashes that they are kept under; what differs is removed.

    Large files are kept under the SHA-256 of their bytes, small ones under git's SHA-1. Raises DownloadError, which
    names the first that differs.
    """
    for file in files:
        kept = file.resolve()
        if kept.name in (file.name, _hash(kept)):  # copied where a disk has no links: nothing says the hash there
            continue
        kept.unlink()
        file.unlink()
        raise DownloadError(
            f"{file.name} is not what the hub says it is: its hash is another one. It was removed; give the same "
            "command again, and if that does not help, look for a proxy that changes what comes through it"
        )


def _hash(file: Path) -> str:
    """The hash of a file's bytes, of the kind that its name is as long as."""
    large = len(file.name) == 64
    found = hashlib.sha256() if large else hashlib.sha1(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as stream:
        while part := stream.read(2**20):
            found.update(part)
    return found.hexdigest()
