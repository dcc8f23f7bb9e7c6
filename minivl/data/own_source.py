"""A folder of the reader's own videos as it is found: what is written about them, before any of them is read."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minivl.config import ConfigError
from minivl.data.features import SEPARATOR
from minivl.data.own_labels import Label, read_labels
from minivl.data.schema import listing
from minivl.data.subtitles import SubtitleError, find_subtitles, read_transcript

SPLITS = ("train", "val", "test")
SHARES = (0.8, 0.1, 0.1)  # of videos in each


@dataclass(frozen=True)
class Source:
    """Videos that were found, with what is written about them; nothing of the videos is read yet."""

    videos: dict[str, Path]  # by name
    transcripts: dict[str, list[dict]]  # of those that have subtitles
    labels: list[Label]


def read_source(
    videos: Mapping[str, Path], root: Path, tables: Iterable[Path] = (), language: str | None = None
) -> Source:
    """The subtitles beside videos, and the tables of labels about them (`minivl.data.own_labels`).

    Raises SubtitleError for subtitles that cannot be read, all together, LabelError for bad rows of a table, and
    ConfigError for a name that no features can be saved under.
    """
    if strange := [str(path) for name, path in videos.items() if SEPARATOR in name]:
        raise ConfigError(f"{strange[0]}: {SEPARATOR} cannot be in the name of a video: rename it")
    subtitles = find_subtitles(videos.values(), language)
    transcripts, problems = {}, []
    for name, path in videos.items():
        if path in subtitles:
            try:
                transcripts[name] = read_transcript(subtitles[path], duration=0.0)  # needed for plain text alone
            except SubtitleError as error:
                problems.append(str(error))
    if problems:
        raise SubtitleError(root, f"has subtitles that cannot be read; correct or remove them:{listing(problems)}")
    labels = [label for table in tables for label in read_labels(table, videos, root)]
    return Source(dict(videos), transcripts, labels)


def check_shares(shares: Sequence[float]) -> None:
    """Raise ConfigError unless shares are three numbers, 0 or more, of which the first is above 0 and that make 1."""
    if len(shares) != 3 or not min(shares) >= 0 or not shares[0] > 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ConfigError(f"shares of train, val and test must make 1, such as 0.8 0.1 0.1, got {tuple(shares)}")
