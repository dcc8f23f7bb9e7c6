"""CMU-MOSI: 93 YouTube monologues, cut into 2,199 opinions with a sentiment from -3 to 3.

From       the raw release of multicomp.cs.cmu.edu (CMU_MOSI.zip); the usual splits: cmu_mosi_std_folds.py of
           github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK (read as text, never run)
Licence    for research; the videos belong to their makers
Splits     train 52 videos (1,284 opinions), val 10 (229), test 31 (686)
Protocols  standard: one row per opinion; `transcript` is what is said, `sentiment` the mean of the raters
Segments   should not overlap: overlapping ones are kept and reported
Media      <video>_<number>.mp4 or .npy, already cut (then rows have no start and end), else <video>.mp4 or .npy
Layout     OpinionLevelSentiment.csv (start,end,video,number,sentiment; no header) in ./, Labels/, Raw/ or Raw/Labels/;
           Transcript/Segmented/<video>.annotprocessed (lines number_DELIM_text) in ./ or Raw/; cmu_mosi_std_folds.py
           or splits.json {"train": [video, ...], "val": ..., "test": ...}; videos in any folder below
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems, clean_segments
from minivl.data.corpora.files import find_file, find_optional, read_json, read_table, read_text, seconds
from minivl.data.schema import SchemaError

COLUMNS = ("start", "end", "video", "number", "sentiment")
FOLDS = {"train": "standard_train_fold", "val": "standard_valid_fold", "test": "standard_test_fold"}
MARK = "_DELIM_"


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per opinion of a split, video by video."""
    path = find_file(folder, *(f"{place}OpinionLevelSentiment.csv" for place in ("", "Labels/", "Raw/", "Raw/Labels/")))
    opinions: dict[str, dict] = {video: {} for video in _videos(folder, split)}
    for where, line in read_table(path, COLUMNS, header=False):
        number, own = line["number"].strip(), opinions.get(line["video"].strip())
        if own is None:
            continue
        if number in own:
            raise SchemaError(f"{where}: opinion {number} of {line['video']} is there twice")
        own[number] = {
            "start": seconds(line["start"], where),
            "end": seconds(line["end"], where),
            "number": number,
            "sentiment": _sentiment(line["sentiment"], where),
        }
    for video, own in opinions.items():
        if not own:
            problems.add("videos without a label, left out", video)
            continue
        texts = _transcript(folder, video)
        for opinion in clean_segments(list(own.values()), video, problems, may_overlap=False):
            if opinion["number"] in texts:
                yield _row(video, opinion, texts[opinion["number"]])
            else:
                problems.add("opinions without a transcript, left out", f"{video}_{opinion['number']}")


def _row(video: str, opinion: dict, text: str) -> dict:
    start, end = opinion["start"], opinion["end"]
    cut = {"start": None, "end": None, "transcript": [{"text": text, "start": 0.0, "end": end - start}]}
    return {
        "video_id": video,
        "start": start,
        "end": end,
        "sentiment": opinion["sentiment"],
        "transcript": [{"text": text, "start": start, "end": end}],
        "media": {f"{video}_{opinion['number']}": cut, video: {}},
    }


def _sentiment(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -3 <= value <= 3:
        raise SchemaError(f"{where}: the sentiment must be a number from -3 to 3, got {text!r}")
    return value


def _transcript(folder: Path, video: str) -> dict[str, str]:
    """Number of an opinion -> what is said."""
    path = find_optional(folder, *(f"{place}Transcript/Segmented/{video}.annotprocessed" for place in ("", "Raw/")))
    if path is None:
        return {}
    texts = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            opinion, mark, text = line.partition(MARK)
            if not mark:
                raise SchemaError(f"{path}, line {number} must be like 1{MARK}text, got {line!r:.60}")
            texts[opinion.strip()] = text.strip()
    return texts


def _videos(folder: Path, split: str) -> list[str]:
    path = find_file(folder, "splits.json", "cmu_mosi_std_folds.py", "Raw/splits.json", "Raw/cmu_mosi_std_folds.py")
    if path.suffix == ".json":
        folds, name = read_json(path), split
    else:
        folds, name = _assignments(path), FOLDS[split]
    videos = folds.get(name) if isinstance(folds, dict) else None
    if not isinstance(videos, list) or not all(isinstance(video, str) for video in videos):
        raise SchemaError(f"{path} must have a list of videos named {name!r}")
    return list(dict.fromkeys(videos))


def _assignments(path: Path) -> dict:
    """The plain lists that a Python file assigns to names; nothing in it is run."""
    try:
        return {
            target.id: ast.literal_eval(value)
            for statement in ast.parse(read_text(path)).body
            if isinstance(statement, ast.Assign) and isinstance(value := statement.value, ast.List)
            if isinstance(target := statement.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path} must assign lists of videos to {', '.join(FOLDS.values())}: {error}") from error


CORPUS = Corpus("mosi", __doc__, ("train", "val", "test"), read)
