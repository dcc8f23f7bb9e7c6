"""ActivityNet Captions: 20,000 YouTube videos of up to some minutes; 3.7 timed sentences each on average.

From       cs.stanford.edu/people/ranjaykrishna/densevid (captions.zip); videos: activity-net.org
Licence    annotations for research; the videos belong to their makers
Splits     train 10,009 videos, val 4,917 (val_1.json), val_2 4,885 (val_2.json: other people's sentences of the same
           videos); retrieval results are reported on val, because the test sentences are not public
Protocols  paragraphs (the default): one row per video, its sentences joined; segments: one row per timed sentence
Segments   overlap freely
Layout     train.json, val_1.json, val_2.json; v_<id>.mp4 or <id>.mp4, or .npy files, in any folder below
"""

from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems, clean_segments, parse_segment
from minivl.data.corpora.files import find_file, read_json, take
from minivl.data.schema import SchemaError

FILES = {"train": "train.json", "val": "val_1.json", "val_2": "val_2.json"}


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """Rows of a split; ids without the leading "v_" are those of YouTube."""
    path = find_file(folder, FILES[split], f"captions/{FILES[split]}")
    content = read_json(path)
    if not isinstance(content, dict):
        raise SchemaError(f"{path} must hold an object: id of a video -> its sentences")
    for key in content:
        where, video = f"{path}: {key}", key.removeprefix("v_")
        sentences = take(content[key], "sentences", list, where)
        times = take(content[key], "timestamps", list, where)
        if len(times) != len(sentences) or not all(isinstance(sentence, str) for sentence in sentences):
            raise SchemaError(
                f"{where} must have as many timestamps as sentences, got {len(times)} and {len(sentences)}"
            )
        if not sentences:
            problems.add("videos without a sentence, left out", video)
            continue
        timed = [
            {**parse_segment(time, where), "caption": sentence.strip()}
            for time, sentence in zip(times, sentences, strict=True)
        ]
        row = {"video_id": video, "media": {f"v_{video}": {}, video: {}}}
        segments = clean_segments(timed, video, problems)
        if protocol == "segments":
            yield from ({**row, **segment} for segment in segments)
        else:  # in the order of the file, which is how the retrieval papers join them
            yield {**row, "caption": " ".join(sentence.strip() for sentence in sentences)}


CORPUS = Corpus("activitynet", __doc__, tuple(FILES), read, ("paragraphs", "segments"))
