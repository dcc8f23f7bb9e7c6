"""Captions of HowTo100M, video by video, joined with the names of the feature files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from minivl.data.corpora.common import Problems, clean_segments, parallel, unique_rows
from minivl.data.corpora.files import stream_json
from minivl.data.corpora.pickles import read_pickle
from minivl.data.schema import SchemaError
from minivl.progress import tqdm

CAPTIONS = ("raw_caption.json", "caption.json", "caption.pickle")  # as HowTo100M names its captions


def narrated_rows(table: Path, captions: Path, root: Path, feature_rate: float, problems: Problems) -> Iterator[dict]:
    """One row per video of `captions` that `table` names and whose features are below `root`; the rest is reported.

    Ids and file names of all videos are held in memory; captions are not, unless they are in a pickle.
    """
    files = {
        line["video_id"]: line["feature_file"] for _, line in unique_rows(table, ("video_id", "feature_file"), problems)
    }
    seen = set()
    for video, entry in tqdm(caption_entries(captions), desc="sorting captions", unit="video", total=len(files)):
        if video in seen:
            problems.add("videos with captions twice, the first are taken", video)
        elif video in files:
            sentences = spoken(video, entry, captions, problems)
            if not sentences:
                problems.add("videos without a sentence, left out", video)
            elif not (root / files[video]).is_file():
                problems.add("videos without features on disk, left out", str(root / files[video]))
            else:
                yield {
                    "video_id": video,
                    "features": str(root / files[video]),
                    "feature_rate": feature_rate,
                    "transcript": sentences,
                    "split": "train",
                }
        seen.add(video)
    for video in files:
        if video not in seen:
            problems.add("videos without captions, left out", video)


def caption_entries(captions: Path) -> Iterable[tuple[str, dict]]:
    """(video_id, {start, end, text}) of a JSON file, one after the other, or of a pickle, which is read whole."""
    if captions.suffix == ".json":
        return stream_json(captions)
    content = read_pickle(captions)
    if not isinstance(content, dict):
        raise SchemaError(f"{captions} must hold {{video_id: {{start, end, text}}}}")
    return content.items()


def spoken(video: str, entry: Any, captions: Path, problems: Problems) -> list[dict]:
    """The sentences of one video as the schema's `transcript`."""
    sentences = parallel(entry, ("start", "end", "text"), f"{captions}: {video}")
    texts = [sentence for sentence in sentences if isinstance(sentence["text"], str)]
    if len(texts) < len(sentences):
        problems.add("videos with sentences that are not text, these are left out", video)
    return clean_segments(texts, video, problems)
