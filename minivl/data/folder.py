"""Folders of videos without any annotation: the reader's own clips."""

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

# Of every kind of file that `minivl.data.video` opens (its FORMATS).
SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".f4v"),  # MPEG-4 and QuickTime
    *(".mkv", ".webm"),  # Matroska
    *(".avi", ".divx", ".wmv", ".asf", ".flv", ".gif", ".ogv", ".ogg"),
    *(".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob"),  # MPEG-1 and 2, streams of cameras
)
SHARED = (".ts", ".mts")  # programs in TypeScript are called like this, too
PACKET = 188  # bytes; each packet of a transport stream begins with a "G"
# What lies beside videos and is read with them; nobody needs to hear that it is no video.
COMPANIONS = (".srt", ".vtt", ".txt", ".csv", ".json", ".jsonl", ".npy", ".safetensors", ".md")


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

    One warning counts the files that are left out because their names are not those of videos or their companions.
    Raises FileNotFoundError if there is no such folder or no video in it, NotADirectoryError for a file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: name a folder with videos")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name the folder that holds it")
    files = sorted(
        path
        for path in folder.rglob("*")
        if not path.is_dir()  # a pipe or a broken link is named like a video: its reader says what is wrong
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    videos = [path for path in files if _is_named_like_a_video(path)]
    if not videos:
        raise FileNotFoundError(f"{folder} holds no videos: looked for {', '.join(SUFFIXES)}, also in its subfolders")
    others = Counter(path.suffix.lower() or "no suffix" for path in set(files).difference(videos))
    left_out = {suffix: count for suffix, count in sorted(others.items()) if suffix not in COMPANIONS}
    if left_out:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in left_out.items())
        warnings.warn(
            f"{folder}: {sum(left_out.values())} files are left out, which are no videos by their names ({counts})",
            stacklevel=2,
        )
    return videos


def _is_named_like_a_video(path: Path) -> bool:
    """By the suffix, and where other kinds of files have the same one, by the first bytes, too."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return False
    if suffix not in SHARED or not path.is_file():
        return True
    with path.open("rb") as file:
        start = file.read(PACKET + 1)
    return start[::PACKET] == b"GG" or start[4:5] == b"G"  # camcorders put four bytes before every packet
