"""DiDeMo: 10,464 Flickr videos of 25 to 30 seconds with 40,543 descriptions of moments.

From       github.com/LisaAnne/LocalizingMoments (data/); lists of videos: github.com/albanie/collaborative-experts
Licence    annotations BSD 2-clause; the videos have Creative Commons licences of their own
Splits     train 8,395 videos, val 1,065, test 1,004
Protocols  paragraphs: one row per video, all descriptions of it joined in the order of the file
Times      moments are marked in pieces of 5 seconds, and videos were cut to 30 seconds for that; so a row ends after
           its pieces (25 or 30 seconds)
Layout     train_data.json, val_data.json, test_data.json; if they are there, train_list.txt, val_list.txt and
           test_list.txt (one video per line) choose the videos; <video>, with another suffix too, in any folder below
"""

from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems
from minivl.data.corpora.files import find_file, read_json, read_text, take
from minivl.data.schema import SchemaError

PIECE = 5.0  # seconds
PIECES = 6  # of a video that does not say


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per video, in the order in which the file describes them first."""
    path = find_file(folder, f"{split}_data.json")
    listed = _listed(folder / f"{split}_list.txt")
    videos: dict[str, dict] = {}
    content = read_json(path)
    if not isinstance(content, list):
        raise SchemaError(f"{path} must hold a list of descriptions")
    for number, entry in enumerate(content):
        where = f"{path}: description {number}"
        video = take(entry, "video", str, where)
        if listed is None or video in listed:
            pieces = take(entry, "num_segments", int, where, default=PIECES)
            _check_times(entry, pieces, where, problems)
            row = videos.setdefault(video, {"texts": [], "end": pieces * PIECE})
            row["texts"].append(take(entry, "description", str, where).strip())
    for video, row in videos.items():
        yield {
            "video_id": video,
            "start": 0.0,
            "end": row["end"],
            "caption": " ".join(row["texts"]),
            "media": {video: {}, Path(video).stem: {}},
        }


def _listed(path: Path) -> set[str] | None:
    if not path.is_file():
        return None
    return {line.strip() for line in read_text(path).splitlines() if line.strip()}


def _check_times(entry: dict, pieces: int, where: str, problems: Problems) -> None:
    """Paragraphs need no times; broken ones are a sign of a broken file, so they are reported."""
    for time in take(entry, "times", list, where, default=[]):
        numbers = isinstance(time, list) and len(time) == 2 and all(isinstance(piece, int) for piece in time)
        if not numbers or not 0 <= time[0] <= time[1] < pieces:
            problems.add("moments that are reversed or outside the video, not used", f"{where} {time!r:.40}")


CORPUS = Corpus("didemo", __doc__, ("train", "val", "test"), read, ("paragraphs",))
