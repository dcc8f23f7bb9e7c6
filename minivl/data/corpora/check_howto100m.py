"""Check of HowTo100M, without reading all captions or features, and without preparing anything."""

from itertools import islice
from pathlib import Path

from minivl.data.corpora.check import Report, evenly, last_segment, probe_features
from minivl.data.corpora.common import Problems, unique_rows
from minivl.data.corpora.howto100m import CORPUS, features_folder, source_files
from minivl.data.corpora.narrations import caption_entries, spoken
from minivl.data.corpora.shards import read_index, read_shards
from minivl.data.schema import SchemaError

TRIED = 1000  # videos whose captions are read


def check(folder: Path | str, media: Path | str | None = None) -> Report:
    """The list of videos, which feature files are there, some captions, and some features."""
    report, problems = Report(CORPUS.name, Path(folder), layout=CORPUS.layout), Problems()
    try:
        table, captions = source_files(CORPUS.folder(folder))
        report.found.append(f"captions: {captions.name}, {captions.stat().st_size / 1e9:.2f} GB")
        root = features_folder(Path(folder), media)
        files = {
            line["video_id"]: root / line["feature_file"]
            for _, line in unique_rows(table, ("video_id", "feature_file"), problems)
        }
        present = {video: str(path) for video, path in files.items() if path.is_file()}
        report.found.append(f"train: {len(files)} videos, features of {len(present)}")
        if len(present) < len(files):
            report.missing.append(f"train: features of {len(files) - len(present)} videos in {root}")
        index = read_index(Path(folder) / "prepared")
        report.notes += index.get("problems", ["not prepared yet: this is done when it is loaded first"])
        last = _last_segments(Path(folder) / "prepared", index, captions, problems)
        known, others = ([video for video in present if (video in last) == tried] for tried in (True, False))
        report.broken += probe_features(
            [(present[video], last.get(video, (0.0, 0.0))) for video in evenly(known) + evenly(others)], report.found
        )
    except FileNotFoundError as error:
        report.missing.append(str(error).splitlines()[0])
    except SchemaError as error:
        report.broken.append(str(error))
    report.notes += problems.lines()
    return report


def _last_segments(prepared: Path, index: dict, captions: Path, problems: Problems) -> dict[str, tuple[float, float]]:
    """Begin and end of the last sentence of the first videos: of the shards, or of a JSON file not yet prepared."""
    if index:
        rows = read_shards([str(prepared / name) for name in index["shards"]])
    elif captions.suffix == ".json":
        rows = (
            {"video_id": video, "transcript": spoken(video, entry, captions, problems)}
            for video, entry in caption_entries(captions)
        )
    else:
        return {}
    return {row["video_id"]: last_segment(row) for row in islice(rows, TRIED)}
