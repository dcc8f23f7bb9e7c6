"""MSR-VTT: 10,000 web videos of 10 to 30 seconds with 20 sentences each.

From       github.com/ArrowLuo/CLIP4Clip/releases (msrvtt_data.zip: sentences and splits) and the releases of
           github.com/microsoft/UniVL (msrvtt.zip: the same and S3D features); videos: the hub's friedrichor/MSR-VTT
           (MSRVTT_Videos.zip), whose annotations minivl.data.corpora.hub reads, too
Licence    for research; the videos belong to their makers
Splits     train, val, test
Protocols  9k (the default): train 9,000 videos; 7k: train 7,010; in both val and test are the same 1,000 pairs (1k-A),
           one sentence each, because the released methods choose their epoch on the test pairs
           captioning: by the order of `videos`: train 6,513, val 497, test the rest (2,990)
Rows       one per video, with all its `captions`; a test pair of 9k and 7k has one `caption`
Layout     MSRVTT_data.json; MSRVTT_train.9k.csv, MSRVTT_train.7k.csv (video_id), MSRVTT_JSFUSION_test.csv (video_id,
           sentence); msrvtt_videos_features.pickle, or <video_id>.mp4 or <video_id>.npy in any folder below
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems, unique_rows
from minivl.data.corpora.files import find_file, read_json, take
from minivl.data.schema import SchemaError

BY_ORDER = {"train": (0, 6513), "val": (6513, 7010), "test": (7010, None)}


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per video of a split."""
    if protocol != "captioning" and split != "train":
        yield from _pairs(find_file(folder, "MSRVTT_JSFUSION_test.csv"), problems)
        return
    path = find_file(folder, "MSRVTT_data.json")
    data = read_json(path)
    captions = defaultdict(list)
    for number, sentence in enumerate(take(data, "sentences", list, str(path))):
        where = f"{path}: sentence {number}"
        captions[take(sentence, "video_id", str, where)].append(take(sentence, "caption", str, where))
    for video in _by_order(path, data, split) if protocol == "captioning" else _by_list(folder, protocol, problems):
        if video in captions:
            yield {"video_id": video, "captions": captions[video], "media": {video: {}}}
        else:
            problems.add("videos without a sentence, left out", video)


def _pairs(path: Path, problems: Problems):
    for _, line in unique_rows(path, ("video_id", "sentence"), problems):
        yield {"video_id": line["video_id"], "caption": line["sentence"], "media": {line["video_id"]: {}}}


def _by_list(folder: Path, protocol: str, problems: Problems) -> list[str]:
    path = find_file(folder, f"MSRVTT_train.{protocol}.csv")
    return [line["video_id"] for _, line in unique_rows(path, ("video_id",), problems)]


def _by_order(path: Path, data: dict, split: str) -> list[str]:
    videos = [
        take(video, "video_id", str, f"{path}: video {number}")
        for number, video in enumerate(take(data, "videos", list, str(path)))
    ]
    if len(set(videos)) < len(videos):
        raise SchemaError(f"{path} lists {len(videos) - len(set(videos))} videos twice: the split goes by their order")
    first, last = BY_ORDER[split]
    if len(videos) <= BY_ORDER["test"][0]:
        raise SchemaError(f"{path} lists {len(videos)} videos: the split by order needs all 10,000")
    return videos[first:last]


CORPUS = Corpus("msrvtt", __doc__, ("train", "val", "test"), read, ("9k", "7k", "captioning"))
