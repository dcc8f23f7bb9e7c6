"""Captions for the reader's own videos: any file, cut into windows of some seconds, one caption for each."""

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minivl.config import ConfigError
from minivl.data.atomic import write_text
from minivl.data.features import clip_features
from minivl.data.segments import NOTHING_SAID, speech_within
from minivl.data.subtitles import SubtitleError, read_transcript, write_subtitles
from minivl.data.video import VideoError, probe
from minivl.data.windows import spans
from minivl.data.wordpiece import decode_tokens, encode_texts
from minivl.progress import tqdm
from minivl.s3d import S3D
from minivl.s3d.features import FEATURE_RATE, stream_features
from minivl.univl import UniVL

WINDOWS_AT_ONCE = 16


@dataclass
class CaptionReport:
    """Outcome of `caption_videos`, by file."""

    captions: dict[Path, list[dict]] = field(default_factory=dict)  # as `caption_video` gives them
    kept: list[Path] = field(default_factory=list)  # had their captions in `out` already
    failed: dict[Path, str] = field(default_factory=dict)  # file -> reason

    def __str__(self) -> str:
        lines = [f"{path.name}\n{as_text(captions)}" for path, captions in self.captions.items()]
        return "\n".join(lines + [f"{path.name}: captions are there already" for path in self.kept])


def caption_video(
    path: Path | str,
    s3d: S3D,
    univl: UniVL,
    tokenizer: Any,
    transcript: Path | str | Sequence[Mapping[str, Any]] | None = None,
    window_seconds: float = 10.0,
    max_words: int = 48,
    max_frames: int = 48,
    num_beams: int = 5,
    progress: bool = True,
) -> list[dict]:
    """Captions of a video file: a list of {start, end, caption}, seconds.

    s3d, univl      the video network whose features `univl` was trained on, and a UniVL with a decoder
    transcript      what is said: a subtitle file (.srt, .vtt), a text (.txt), or a list of {text, start, end}. A window
                    in which nothing is said then reads "none"; without any transcript all read `[CLS] [SEP]`, so
                    choose what `univl` was fine-tuned with.
    window_seconds  length of a window; a rest of less than half of it belongs to the window before
    max_words, max_frames, num_beams   as in fine-tuning

    Raises VideoError for a file that is no video, empty or damaged, SubtitleError for a broken transcript, ConfigError
    for settings that do not fit each other.
    """
    _check(s3d, univl, window_seconds, max_frames)
    duration = probe(path).duration
    if isinstance(transcript, (str, Path)):
        transcript = read_transcript(transcript, duration)
    features = _extract(path, s3d, duration, progress)  # (seconds, F)
    duration = float(np.clip(duration, len(features) - 1, len(features)))  # time stamps can lie about the length
    windows = spans(duration, window_seconds)
    captions = []
    for first in tqdm(
        range(0, len(windows), WINDOWS_AT_ONCE), desc="captioning", unit="batch", leave=False, disable=not progress
    ):
        some = windows[first : first + WINDOWS_AT_ONCE]
        texts = ["" if transcript is None else speech_within(transcript, *span) or NOTHING_SAID for span in some]
        captions += _write(univl, tokenizer, texts, features, some, (max_words, max_frames, num_beams))
    return [
        {"start": start, "end": end, "caption": caption}
        for (start, end), caption in zip(windows, captions, strict=True)
    ]


def caption_videos(
    paths: Iterable[Path | str],
    s3d: S3D,
    univl: UniVL,
    tokenizer: Any,
    transcripts: Mapping | None = None,
    out: Path | str | None = None,
    suffix: str = ".srt",
    progress: bool = True,
    **options: Any,
) -> CaptionReport:
    """`caption_video` for many files. A file that cannot be captioned never stops the others: see `.failed`, and one
    warning at the end names them.

    transcripts   path of a video -> its transcript
    out, suffix   save the captions of talk.mp4 as out/talk.captions.srt, each as soon as it is done. Those that are
                  there are kept, so an interrupted call can be repeated.
    options       of `caption_video`
    """
    report, paths = CaptionReport(), [Path(path) for path in paths]
    transcripts = {Path(path): transcript for path, transcript in (transcripts or {}).items()}
    files = _output_files(paths, out, suffix)
    for path in tqdm(paths, desc="videos", unit="video", disable=not progress):
        if path in files and files[path].exists():
            report.kept.append(path)
            continue
        try:
            captions = caption_video(path, s3d, univl, tokenizer, transcripts.get(path), progress=progress, **options)
        except (VideoError, SubtitleError) as error:
            report.failed[path] = str(error)
            continue
        report.captions[path] = captions
        if path in files:
            save_captions(captions, files[path])
    if report.failed:
        warnings.warn(
            f"{len(report.failed)} of {len(paths)} videos have no captions:"
            + "".join(f"\n  {reason}" for reason in report.failed.values()),
            stacklevel=2,
        )
    return report


def as_text(captions: Sequence[dict]) -> str:
    """Captions for reading, a line each: ` 0:10 -  0:20  a cook stirs the soup`."""

    def clock(seconds: float) -> str:
        return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"

    return "\n".join(f"{clock(c['start'])} - {clock(c['end'])}  {c['caption']}" for c in captions)


def save_captions(captions: Sequence[dict], path: Path | str) -> None:
    """Write captions as .json (the same list), or as .srt or .vtt subtitles that players show with the video.

    The file appears whole or not at all. Raises SubtitleError for another suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".json":
        write_text(path, json.dumps(list(captions), indent=1, ensure_ascii=False) + "\n")
    else:
        write_subtitles(path, [{"text": c["caption"], "start": c["start"], "end": c["end"]} for c in captions])


def _check(s3d, univl, window_seconds, max_frames):
    if s3d.config.feature_dim != univl.config.video_dim:
        raise ConfigError(
            f"this S3D makes features of {s3d.config.feature_dim} numbers, this UniVL reads "
            f"{univl.config.video_dim}: take the pair that belongs together"
        )
    longest = max_frames / FEATURE_RATE / 1.5  # because the last window can be 1.5 times as long as the others
    if not 1 <= window_seconds <= longest:
        raise ConfigError(
            f"window_seconds must be between 1 and {longest:g}, so that the {max_frames} features that "
            f"UniVL reads cover a window; got {window_seconds}"
        )


def _extract(path, s3d, duration, progress) -> np.ndarray:
    """Features of a whole video, float32 (seconds, F)."""
    batches = []
    with tqdm(
        total=math.ceil(duration), desc=f"watching {Path(path).name}", unit="s", leave=False, disable=not progress
    ) as bar:
        for batch in stream_features(path, s3d):
            batches.append(batch)
            bar.update(len(batch))
    return np.concatenate(batches)


def _write(univl, tokenizer, texts, features, spans, sizes) -> list[str]:
    """The best caption of each of B windows."""
    max_words, max_frames, num_beams = sizes
    ids, text_mask = encode_texts(tokenizer, texts, max_words)  # (B, W)
    video, video_mask = window_features(features, spans, max_frames)  # (B, T, F), (B, T)
    device = next(univl.parameters()).device
    inputs = (tensor.to(device) for tensor in (ids, text_mask, video, video_mask))
    found = univl.generate(*inputs, num_beams=num_beams, num_return=1, max_length=max_words)
    best = found.best(univl.config.eos_token_id, univl.config.pad_token_id)
    return [decode_tokens(tokenizer, caption) for caption in best]


def window_features(
    features: np.ndarray, spans: Sequence[tuple[float, float]], max_frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What UniVL reads of B windows of a video: features (seconds, F) -> (B, T, F) and mask (B, T), T = max_frames."""
    # A window ends just before its end: a feature that begins there belongs to the next one.
    clips = [clip_features(features, FEATURE_RATE, start, np.nextafter(end, start), max_frames) for start, end in spans]
    video, mask = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
    return video, mask


def _output_files(paths, out, suffix) -> dict[Path, Path]:
    """Where the captions of each video go; ValueError if two would go to the same file."""
    if out is None:
        return {}
    files = {path: Path(out) / f"{path.stem}.captions{suffix}" for path in paths}
    taken: dict[Path, Path] = {}
    for path, file in files.items():
        if taken.setdefault(file, path) != path:
            raise ValueError(f"{taken[file]} and {path} would both write {file}: rename one, or choose two folders")
    return files
