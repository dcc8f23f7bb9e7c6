"""From a folder of the reader's own videos to a world that UniVL is pretrained, fine-tuned and scored on."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minivl.data.atomic import write_text
from minivl.data.card import data_card
from minivl.data.features import load_features
from minivl.data.own_source import SHARES, SPLITS, Source
from minivl.data.own_world import CLIPS, FEATURES, OwnVideo, check_lengths, split_videos, within, write_world
from minivl.data.schema import listing
from minivl.s3d import S3D
from minivl.s3d.features import FeatureReport, write_features


@dataclass
class PrepareReport:
    """Result of `prepare`."""

    folder: Path
    features: FeatureReport
    counts: dict[str, Counter] = field(default_factory=dict)  # split -> what it holds

    def __str__(self) -> str:
        """A line per split."""
        lines = [
            f"features: {len(self.features.written)} written, {len(self.features.kept)} kept, "
            f"{len(self.features.failed)} failed"
        ]
        for split, count in self.counts.items():
            lines.append(
                f"  {split:6s}{count['videos']:6d} videos, {count['spoken']} with speech;{count['clips']:6d} clips, "
                f"{count['captions']} with captions"
            )
        return "\n".join([*lines, f"written to {self.folder}"])


def prepare(
    source: Source,
    out: Path,
    net: S3D,
    clip_seconds: float = 10.0,
    speech: bool = False,
    files: bool = False,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    command: str = "",
    progress: bool = True,
) -> PrepareReport:
    """Write the world of `source` into the folder `out`, with its card; see `minivl.data.own_world` for what it holds.

    Features that are there already are kept, unless their video is newer, so an interrupted call can be repeated; all
    else is written anew. Videos that cannot be read are left out, and a warning names them; another counts the labels
    and the speech that are lost.
    clip_seconds, speech, files   of `write_world`; shares, seed   of `split_videos`; command   is named in the card

    Raises ExtractionError if no video can be read or nothing can be written, LabelError for labels outside of videos.
    """
    folder = out / FEATURES
    for name, path in source.videos.items():
        made = folder / f"{name}.npy"
        if made.exists() and path.exists() and made.stat().st_mtime < path.stat().st_mtime:
            made.unlink()
    report = PrepareReport(out, write_features(source.videos, net, folder, progress=progress))
    read = {name: path for name, path in source.videos.items() if name not in report.features.failed}
    labels = defaultdict(list)
    for label in source.labels:
        labels[label.video].append(label)
    videos = []
    for name, path in read.items():
        seconds = float(len(load_features(folder / f"{name}.npy")))
        transcript = within(source.transcripts.get(name, []), seconds)
        videos.append(OwnVideo(name, path, seconds, transcript, labels[name]))
    _warn_of_losses(source, videos)
    check_lengths(videos)
    report.counts = write_world(out, videos, split_videos(videos, shares, seed), clip_seconds, speech, files)
    write_text(out / "README.md", _card(out, report, command, shares, seed, clip_seconds))
    return report


def _warn_of_losses(source: Source, videos: list[OwnVideo]) -> None:
    """One warning for what is written about videos and does not get into the world."""
    there = {video.name for video in videos}
    lost = sum(label.video not in there for label in source.labels)
    late = {video.name: len(source.transcripts.get(video.name, [])) - len(video.transcript) for video in videos}
    problems = [
        f"{count} sentences begin after the end of {name}: are these its subtitles?"
        for name, count in late.items()
        if count
    ]
    if lost:
        problems.insert(0, f"{lost} labels are about videos that cannot be read")
    if problems:
        warnings.warn(f"left out:{listing(problems)}", stacklevel=3)


def _card(out, report, command, shares, seed, clip_seconds) -> str:
    total: Counter = sum(report.counts.values(), Counter())
    failed = len(report.features.failed)
    split = ", ".join(f"{name} {share:g}" for name, share in zip(SPLITS, shares, strict=True))
    about = (
        f"Made of {total['videos']} videos, of which {total['spoken']} have speech, and {total['clips']} clips "
        f"(`{CLIPS}/`), of which {total['captions']} have captions; {failed} files could not be read. Clips are what "
        f"labels are about; without labels sentences that follow each other for {clip_seconds:g} seconds, or windows "
        f"of that length. Split by video, {split}, seed {seed}. "
        f"Features are those of an S3D (`{FEATURES}/features.json`), one per second."
    )
    return data_card(out, command, about)
