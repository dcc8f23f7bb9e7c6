"""Check of a corpus: what is there, missing or broken, without reading videos or features as a whole."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minivl.data.corpora.common import Corpus, Problems
from minivl.data.corpora.media import Media, feature_arrays
from minivl.data.cut_off import missing_bytes
from minivl.data.features import SEPARATOR
from minivl.data.schema import SHOWN, SchemaError

LOOKED_AT = 200  # files whose first bytes are read, evenly chosen
SPARE = 5.0  # seconds by which features may end before the last caption does: DiDeMo's last piece is shorter than that


@dataclass
class Report:
    """Findings about one corpus; `str(report)` is the page to print."""

    name: str
    folder: Path
    found: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what loading puts right or leaves out
    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    layout: str = ""

    @property
    def ok(self) -> bool:
        return not self.missing and not self.broken

    def __str__(self) -> str:
        lines = [f"{self.name} in {self.folder}"]
        for title in ("found", "notes", "missing", "broken"):
            findings = list(dict.fromkeys(getattr(self, title)))
            lines += [f"{title}:", *(f"  {finding}" for finding in findings)] if findings else []
        lines.append("nothing is missing, and nothing broken was found" if self.ok else self.layout)
        return "\n".join(lines)


def check_corpus(corpus: Corpus, folder: Path | str, media: Path | str | None = None) -> Report:
    """Read all annotations of a corpus, look for its videos or features, and look into some of them."""
    report = Report(corpus.name, Path(folder), layout=corpus.layout)
    try:
        folder = corpus.folder(folder)
        files = _media(Path(media or folder), report)
    except FileNotFoundError as error:
        report.missing.append(str(error).splitlines()[0])
        return report
    used: dict[str, dict] = {}
    for protocol in corpus.protocols[:1] if corpus.same_files else corpus.protocols:
        for split in corpus.splits:
            title = split if len(corpus.protocols) == 1 else f"{protocol} {split}"
            rows = _annotations(corpus, folder, split, protocol, title, report)
            if rows and files:
                _compare(rows, files, title, report)
                used |= {name: row | changes for row in rows for name, changes in row["media"].items()}
    if files:
        references = {files.features[name]: row for name, row in used.items() if name in files.features}
        report.broken += probe_features([(ref, last_segment(row)) for ref, row in references.items()], report.found)
        report.broken += probe_videos([files.videos[name] for name in used if name in files.videos], report.found)
    return report


def _media(folder: Path, report: Report) -> Media | None:
    problems = Problems()
    try:
        files = Media(folder, problems, convert=False)
    except SchemaError as error:
        report.broken.append(str(error))
        return None
    report.found.append(f"{len(files.features)} features, {len(files.videos)} videos")
    for path in files.unconverted:
        try:
            report.found.append(f"{path} holds features of {len(feature_arrays(path))} videos")
        except SchemaError as error:
            report.broken.append(str(error))
    report.notes += problems.lines()
    return files


def _annotations(corpus: Corpus, folder: Path, split: str, protocol: str, title: str, report: Report) -> list[dict]:
    problems = Problems()
    try:
        rows = list(corpus.read(folder, split, protocol, problems))
    except FileNotFoundError as error:
        report.missing.append(f"{title}: {error}")
        return []
    except (SchemaError, OSError) as error:
        report.broken.append(str(error))
        return []
    report.notes += [f"{title}: {line}" for line in problems.lines()]
    if not rows:
        report.missing.append(f"{title}: the annotations have no rows")
    return rows


def _compare(rows: list[dict], files: Media, title: str, report: Report) -> None:
    """Count the videos of a split that are on disk."""
    names = {row["video_id"]: row["media"] for row in rows}
    counts = []
    for kind, known in (("features", files.features), ("videos", files.videos)):
        if known:
            absent = [video for video, possible in names.items() if not any(name in known for name in possible)]
            counts.append(f"{kind} of {len(names) - len(absent)}")
            if absent:
                report.missing.append(f"{title}: {kind} of {len(absent)} videos, such as {', '.join(absent[:SHOWN])}")
    if not counts and not files.unconverted:
        report.missing.append(f"{title}: features or videos of {len(names)} videos")
    report.found.append(f"{title}: {len(rows)} rows of {len(names)} videos" + "".join(f", {text}" for text in counts))


def last_segment(row: dict) -> tuple[float, float]:
    """Begin and end of the segment, sentence or step of a row that comes last, in seconds."""
    timed = [row, *(part for name in ("transcript", "steps") for part in row.get(name) or ())]
    return max(((part["start"], part["end"]) for part in timed if part.get("start") is not None), default=(0.0, 0.0))


def evenly(items: list) -> list:
    """At most LOOKED_AT of the items, evenly chosen."""
    return items[:: -(-len(items) // LOOKED_AT)] if items else []


def probe_features(references: list[tuple[str, tuple[float, float]]], found: list[str]) -> list[str]:
    """Find what is wrong with some of the features, each given with begin and end of its last caption, in seconds."""
    broken, sizes = [], set()
    for reference, (start, end) in evenly(references):
        try:
            shape = _shape(reference)
        except Exception as error:  # numpy and safetensors raise whatever a damaged header brings about
            broken.append(f"{reference} cannot be read: {error}")
            continue
        if len(shape) != 2 or 0 in shape:
            broken.append(f"{reference} has shape {shape}, expected (T, F)")
            continue
        sizes.add(shape[1])
        if shape[0] <= start or shape[0] < end - SPARE:
            broken.append(
                f"{reference} is shorter than its captions: {shape[0]} seconds of features, "
                f"captions up to second {end:g}"
            )
    if references:
        found.append(f"looked into {len(evenly(references))} features: {_listed(sizes)} numbers per row")
    if len(sizes) > 1:
        broken.append(f"features of different models: {_listed(sizes)} numbers per row")
    return broken


def _listed(sizes: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(sizes))) or "no"


def _shape(reference: str) -> tuple[int, ...]:
    if SEPARATOR not in reference:
        return np.load(reference, mmap_mode="r", allow_pickle=False).shape
    from safetensors import safe_open

    path, name = reference.split(SEPARATOR, 1)
    with safe_open(path, framework="np") as file:
        return tuple(file.get_slice(name).get_shape())


def probe_videos(paths: list[str], found: list[str]) -> list[str]:
    """Find which of some videos are empty or cut off."""
    broken = []
    for path in map(Path, evenly(paths)):
        size, lost = path.stat().st_size, missing_bytes(path)
        if size == 0 or lost:
            broken.append(f"{path} is cut off: {lost} bytes are missing at its end" if size else f"{path} is empty")
    if paths:
        found.append(f"looked into {len(evenly(paths))} videos")
    return broken
