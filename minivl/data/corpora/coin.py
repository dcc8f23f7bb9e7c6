"""COIN: 11,827 instructional videos from YouTube of 180 tasks, with 46,354 steps of 778 kinds.

From       coin-dataset.github.io and github.com/coin-dataset/annotations (COIN.json)
Licence    annotations for research; the videos belong to their makers
Splits     train 9,030 videos, test 2,797 (subsets "training" and "testing" of the file)
Protocols  standard: one row per video with its `task` and `steps`
Steps      should not overlap: overlapping ones are kept and reported
Times      the file's region of interest (start, end) is not used: frames outside of it count as background
Layout     COIN.json; <video_id>.npy or <video_id>.mp4 in any folder below
"""

from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems, clean_segments, parse_segment
from minivl.data.corpora.files import find_file, read_json, take
from minivl.data.schema import SchemaError

SUBSETS = {"training": "train", "testing": "test", "validation": "test"}  # the manual says "validation"


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per video of a split."""
    path = find_file(folder, "COIN.json", "annotations/COIN.json")
    for video, entry in take(read_json(path), "database", dict, str(path)).items():
        where = f"{path}: {video}"
        subset = take(entry, "subset", str, where)
        if subset not in SUBSETS:
            raise SchemaError(f"{where} has the subset {subset!r}, expected one of {', '.join(SUBSETS)}")
        if SUBSETS[subset] != split:
            continue
        steps = [
            {
                **parse_segment(take(step, "segment", list, where), where),
                "label": take(step, "label", str, where).strip(),
            }
            for step in take(entry, "annotation", list, where)
        ]
        yield {
            "video_id": video,
            "task": take(entry, "class", str, where),
            "media": {video: {}},
            "steps": clean_segments(steps, video, problems, may_overlap=False),
        }


CORPUS = Corpus("coin", __doc__, ("train", "test"), read)
