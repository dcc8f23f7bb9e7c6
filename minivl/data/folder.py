"""Folders of videos without any annotation: the reader's own clips."""

from pathlib import Path

SUFFIXES = (".mp4", ".webm", ".avi", ".mov", ".mkv", ".m4v")


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
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not videos:
        raise FileNotFoundError(f"{folder} holds no videos: looked for {', '.join(SUFFIXES)}, also in its subfolders")
    return videos
