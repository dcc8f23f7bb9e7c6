"""A world of the reader's own videos: speech, clips, captions and labels in the one schema, beside their features.

    WORLD/features/talk.npy            one vector per second
    WORLD/train/metadata.jsonl         a row per video: `transcript`; with labels of steps `steps`, `task`, `task_steps`
    WORLD/clips/train/metadata.jsonl   a row per clip: `start`, `end`, what is said meanwhile; `caption`, `sentiment`
    WORLD/val/, WORLD/test/            the same; all rows of a video are in one split

Pretraining, segmentation and localization read the videos; retrieval, captioning and sentiment read the clips.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minivl.data.atomic import write_text
from minivl.data.own_labels import ONE_TASK, Label, LabelError
from minivl.data.own_source import SHARES, SPLITS, check_shares
from minivl.data.schema import listing
from minivl.data.segments import spoken_within
from minivl.data.windows import spans

CLIPS = "clips"  # the folder of the clips in a world
FEATURES = "features"
ROUNDING = 1.0  # seconds that a label may end after its video: features come once a second


@dataclass
class OwnVideo:
    """One video and all that is known about it."""

    name: str
    path: Path
    seconds: float
    transcript: list[dict]  # {text, start, end}; empty where nobody speaks
    labels: list[Label] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of labels that it has, and "speech" if there is any."""
        labels = {kind for label in self.labels for kind in label.kinds}
        return tuple(sorted(labels | ({"speech"} if self.transcript else set())))


def split_videos(videos: Iterable[OwnVideo], shares: Sequence[float] = SHARES, seed: int = 0) -> dict[str, str]:
    """Name of each video -> train, val or test.

    Videos with the same kinds of labels, with speech or without, are shared out among themselves, in an order that
    follows from the seed and their names: val and test get their shares, rounded, or at least one of three videos, and
    val one of two. A split that all were too few for gets a video of the largest kind, among equals of that with
    the fewest labels.
    Raises ConfigError as `check_shares`.
    """
    check_shares(shares)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for video in sorted(videos, key=lambda video: hashlib.sha256(f"{seed} {video.name}".encode()).digest()):
        groups[video.kinds].append(video.name)
    found: dict[str, str] = {}
    for names in groups.values():
        left = len(names) - 1  # one is for training
        for split, share in zip(SPLITS[1:], shares[1:], strict=True):
            count = min(left, max(1, round(share * len(names)))) if share else 0
            left -= count
            found |= {names.pop(): split for _ in range(count)}
    for split, share in zip(SPLITS[1:], shares[1:], strict=True):
        largest = max(groups.items(), key=lambda group: (len(group[1]), -len(group[0])))[1]
        if share and split not in found.values() and sum(map(len, groups.values())) > 1:
            found[largest.pop()] = split
    return found | {name: "train" for names in groups.values() for name in names}


def speech_clips(transcript: Sequence[Mapping[str, Any]], least: float) -> list[tuple[float, float]]:
    """Start and end of clips, which are sentences that follow each other until they last `least` seconds.

    A silence as long as that ends a clip, too, so the clip before it, like the last one of all, may be shorter.
    """
    clips: list[tuple[float, float]] = []
    for said in transcript:
        start, end = clips[-1] if clips else (0.0, 0.0)
        if not clips or end - start >= least or said["start"] - end >= least:
            clips.append((said["start"], said["end"]))
        else:
            clips[-1] = start, max(end, said["end"])
    return clips


def write_world(
    folder: Path, videos: Sequence[OwnVideo], splits: Mapping[str, str], clip_seconds: float, speech: bool, files: bool
) -> dict[str, Counter]:
    """Write the metadata of all splits, of which those of before are replaced; counts of videos and clips by split.

    clip_seconds   of windows, and at least of clips that are cut by speech
    speech         what is said in a clip is its caption, where labels give none; its transcript is then left out
    files          clips name the video file, too, so that CLIP can read them
    """
    tasks = _task_steps(videos)
    names = {kind for video in videos for kind in video.kinds}
    rows: dict[tuple[str, str], list[dict]] = {(where, split): [] for where in (".", CLIPS) for split in SPLITS}
    clips = {video.name: _clips(video, clip_seconds, speech) for video in videos}
    several = any(len(clip["captions"]) > 1 for some in clips.values() for clip in some)
    for video in videos:
        split = splits[video.name]
        steps = _steps(video, tasks) if "label" in names else {}
        rows[".", split].append(_named(video, "..") | {"transcript": video.transcript} | steps)
        for clip in clips[video.name]:
            captions = clip.pop("captions")
            row = _named(video, "../..") | clip
            if "caption" in names or speech:
                row |= {"captions": captions or None} if several else {"caption": captions[0] if captions else None}
            if "sentiment" not in names:
                del row["sentiment"]
            if files:
                row["file_name"] = os.path.relpath(video.path.resolve(), (folder / CLIPS / split).resolve())
            rows[CLIPS, split].append(row)
    for (where, split), some in rows.items():
        _write_rows(folder / where / split / "metadata.jsonl", some)
    return {
        split: Counter(
            videos=len(rows[".", split]),
            spoken=sum(bool(row["transcript"]) for row in rows[".", split]),
            clips=len(rows[CLIPS, split]),
            captions=sum(bool(row.get("caption") or row.get("captions")) for row in rows[CLIPS, split]),
        )
        for split in SPLITS
    }


def world_hash(folder: Path) -> str:
    """A hash of all metadata of a world, and of what its features were made by: other data are another training run."""
    digest = hashlib.sha256()
    for file in sorted([*folder.rglob("metadata.jsonl"), *folder.glob(f"{FEATURES}/*.json")]):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def within(transcript: Sequence[dict], seconds: float) -> list[dict]:
    """What is said in a video that lasts so long: later sentences are left out, a longer one is cut."""
    return [said | {"end": min(said["end"], seconds)} for said in transcript if said["start"] < seconds]


def check_lengths(videos: Iterable[OwnVideo]) -> None:
    """Raise LabelError for labels that lie outside of their videos, all together."""
    problems = [
        f"{label.place}: from second {label.start:g} to {label.end:g}, and {video.path.name} lasts {video.seconds:g}"
        for video in videos
        for label in video.labels
        if label.start is not None
        and label.end is not None
        and (label.end > video.seconds + ROUNDING or label.start >= video.seconds)
    ]
    if problems:
        raise LabelError(f"labels lie outside of their videos:{listing(problems)}")


def _named(video: OwnVideo, above: str) -> dict[str, Any]:
    return {"video_id": video.name, "feature_file": f"{above}/{FEATURES}/{video.name}.npy", "feature_rate": 1.0}


def _span(label: Label, video: OwnVideo) -> tuple[float, float]:
    if label.start is None or label.end is None:
        return 0.0, video.seconds
    return label.start, min(label.end, video.seconds)


def _clips(video: OwnVideo, seconds: float, speech: bool) -> list[dict[str, Any]]:
    """The clips of a video: what its captions and sentiments are about; without any those of its speech, or windows."""
    labelled: dict[tuple[float, float], list[Label]] = defaultdict(list)
    for label in video.labels:
        if label.caption is not None or label.sentiment is not None:
            labelled[_span(label, video)].append(label)
    cut = speech_clips(video.transcript, seconds) if video.transcript else spans(video.seconds, seconds)
    clips = []
    for start, end in sorted(labelled) or cut:
        labels, said = labelled.get((start, end), []), spoken_within(video.transcript, start, end)
        captions = list(dict.fromkeys(label.caption for label in labels if label.caption is not None))
        if speech and not captions and said:
            captions, said = [" ".join(sentence["text"] for sentence in said)], []
        sentiments = [label.sentiment for label in labels if label.sentiment is not None]
        clips.append(
            {
                "start": start,
                "end": end,
                "transcript": said,
                "captions": captions,
                "sentiment": float(np.mean(sentiments)) if sentiments else None,
            }
        )
    return clips


def _steps(video: OwnVideo, tasks: Mapping[str, list[str]]) -> dict[str, Any]:
    """`steps`, `task` and `task_steps` of a video, None where it has no labels of steps."""
    labels = [label for label in video.labels if label.label is not None]
    if not labels:
        return {"steps": None, "task": None, "task_steps": None}
    times = sorted((*_span(label, video), label.label) for label in labels)
    steps = [{"label": name, "start": start, "end": end} for start, end, name in times]
    task = _task(labels)
    return {"steps": steps, "task": task, "task_steps": tasks[task]}


def _task(labels: Sequence[Label]) -> str:
    """The task of a video. Raises LabelError if its steps name several."""
    named = {label.task or ONE_TASK: label.place for label in labels}
    if len(named) > 1:
        places = [f"{place}: {task!r:.60}" for task, place in named.items()]
        raise LabelError(f"the steps of {labels[0].video} belong to several tasks:{listing(places)}")
    return next(iter(named))


def _task_steps(videos: Sequence[OwnVideo]) -> dict[str, list[str]]:
    """Task -> its steps, in the order of their mean place in the videos that show them."""
    places: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        labels = [label for label in video.labels if label.label is not None]
        for label in labels:
            places[_task(labels)][str(label.label)].append(_span(label, video)[0] / video.seconds)
    return {task: sorted(found, key=lambda label: np.mean(found[label])) for task, found in places.items()}


def _write_rows(file: Path, rows: list[dict]) -> None:
    """Write the metadata of a split, or remove that of before: a split without rows is none."""
    if not rows:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
