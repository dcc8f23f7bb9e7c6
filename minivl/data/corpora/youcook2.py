"""YouCook2: 2,000 cooking videos from YouTube of 89 recipes; every step has its times and a sentence.

From       youcook2.eecs.umich.edu (annotations, video links); as UniVL used them, with transcripts and S3D features:
           the releases of github.com/microsoft/UniVL (youcookii.zip)
Licence    as its site states it, not for commercial use; the videos belong to their makers
Size       annotated: train 1,333 videos (10,337 steps), val 457 (3,492); UniVL's files: 9,776 and 3,369 steps
Splits     train, val; results are reported on val, because the sentences of the test split are not public
Protocols  standard: one row per step. Rows have a transcript with UniVL's files only; "NONE" in them means no speech
Segments   should not overlap: overlapping ones are kept and reported
Layout     UniVL's files:   youcookii_train.csv, youcookii_val.csv (video_id,feature_file), youcookii_data.pickle
                            or youcookii_data.no_transcript.pickle, youcookii_videos_features.pickle
           or official:     youcookii_annotations_trainval.json; <video_id>.npy or .mp4 in any folder below
"""

from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems, clean_segments, parallel, parse_segment, unique_rows
from minivl.data.corpora.files import find_file, read_json, take
from minivl.data.corpora.pickles import read_pickle
from minivl.data.schema import SchemaError

SUBSETS = {"train": "training", "val": "validation"}
RELEASE = ("youcookii_data.pickle", "youcookii_data.no_transcript.pickle")
OFFICIAL = ("youcookii_annotations_trainval.json", "annotations/youcookii_annotations_trainval.json")


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per step: UniVL's files if they are there, because they have transcripts, else the official ones."""
    path = find_file(folder, *RELEASE, *OFFICIAL)
    yield from (_release if path.suffix == ".pickle" else _official)(path, split, problems)


def _release(path: Path, split: str, problems: Problems):
    table = find_file(path.parent, f"youcookii_{split}.csv")
    data = read_pickle(path)
    for where, line in unique_rows(table, ("video_id", "feature_file"), problems):
        video = line["video_id"]
        entry = data.get(video) if isinstance(data, dict) else None
        if not isinstance(entry, dict):
            raise SchemaError(f"{where} names {video!r}, which {path} does not have")
        names = ("start", "end", "text") + (("transcript",) if "transcript" in entry else ())
        steps = parallel(entry, names, f"{path}: {video}")
        for step in clean_segments(steps, video, problems, may_overlap=False):
            row = {
                "video_id": video,
                "start": step["start"],
                "end": step["end"],
                "caption": str(take(step, "text", str, f"{path}: {video}")),
                "media": {line["feature_file"].removesuffix(".npy"): {}},
            }
            if "transcript" in step:
                row["transcript"] = _speech(step)
            yield row


def _speech(step: dict) -> list[dict]:
    """Transcript of a step; the release writes NONE where nothing is."""
    text = step["transcript"].strip() if isinstance(step["transcript"], str) else ""
    return [] if text in ("", "NONE") else [{"text": text, "start": step["start"], "end": step["end"]}]


def _official(path: Path, split: str, problems: Problems):
    for video, entry in take(read_json(path), "database", dict, str(path)).items():
        where = f"{path}: {video}"
        if take(entry, "subset", str, where) != SUBSETS[split]:
            continue
        steps = [
            {**parse_segment(take(step, "segment", list, where), where), "caption": take(step, "sentence", str, where)}
            for step in take(entry, "annotations", list, where)
        ]
        for step in clean_segments(steps, video, problems, may_overlap=False):
            yield {"video_id": video, "task": str(entry.get("recipe_type", "")), **step, "media": {video: {}}}


CORPUS = Corpus("youcook2", __doc__, ("train", "val"), read)
