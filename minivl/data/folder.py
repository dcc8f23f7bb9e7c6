"""Folders of videos without any annotation: the reader's own clips."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".mp4", ".webm", ".avi", ".mov", ".mkv", ".m4v")


def named_videos(paths: Iterable[Path]) -> dict[str, Path]:
    """Video files, and those in folders, by name: that of the file, and where several have it the folders above, too.

    `a/x.mp4` and `b/x.mp4` of one folder are "a-x" and "b-x". Raises ValueError for files that still share a name.
    """
    found = [
        (file, root if root.is_dir() else file.parent)
        for root in paths
        for file in (find_videos(root) if root.is_dir() else [root])
    ]
    alike = Counter(file.stem for file, _ in found)
    names: dict[str, Path] = {}
    for file, root in found:
        name = file.stem if alike[file.stem] == 1 else "-".join(file.relative_to(root).with_suffix("").parts)
        if names.setdefault(name, file) != file:
            raise ValueError(f"{names[name]} and {file} would both be called {name}: rename one")
    return names


def find_videos(folder: Path | str) -> list[Path]:
    """All video files in a folder and the folders inside it, sorted; hidden ones are left out.

    Raises FileNotFoundError if there is no such folder or no video in it, NotADirectoryError for a file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: name a folder with videos")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name the folder that holds it")
    videos = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not path.is_dir()  # a pipe or a broken link is named like a video: its reader says what is wrong
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not videos:
        raise FileNotFoundError(f"{folder} holds no videos: looked for {', '.join(SUFFIXES)}, also in its subfolders")
    return videos
