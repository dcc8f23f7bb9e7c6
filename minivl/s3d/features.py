"""Features of videos: one vector per second of any video file, computed by S3D and kept on disk.

Sample i of a video is what is on screen at i / T seconds, for the T frames per second that the network reads; see
`minivl.data.windows`. A video is decoded once, from beginning to end, and only one batch of seconds is in memory,
whatever its length.
"""

import dataclasses
import hashlib
import io
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minivl.data.atomic import write_bytes
from minivl.data.video import VideoError
from minivl.data.windows import windows
from minivl.progress import tqdm
from minivl.s3d.model import S3D

FEATURE_RATE = 1.0  # features per second
STAMP = "features.json"  # beside the features: which network made them


class ExtractionError(RuntimeError):
    """Features cannot be written, or belong to another network; the message says what to do."""


@dataclass
class FeatureReport:
    """Report of `write_features`, by name of the video."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # were there already
    failed: dict[str, str] = field(default_factory=dict)  # name -> reason


@torch.inference_mode()
def stream_features(path: Path | str, net: S3D, batch_size: int = 8) -> Iterator[np.ndarray]:
    """The features of a video in batches, float32 (up to batch_size, feature_dim), one row per second.

    Puts `net` into evaluation mode and computes on its device. Raises VideoError as `seconds_of_video`.
    """
    net.eval()
    device = next(net.parameters()).device
    seconds = seconds_of_video(path, net.config.frames_per_second, net.config.image_size)
    while batch := list(islice(seconds, batch_size)):
        frames = torch.from_numpy(np.concatenate(batch)).to(device)  # (seconds * T, H, W, 3)
        yield net(net.segments(frames)).features.float().cpu().numpy()


def extract_features(path: Path | str, net: S3D, batch_size: int = 8) -> np.ndarray:
    """The features of a whole video, float32 (seconds, feature_dim): see `stream_features`."""
    return np.concatenate(list(stream_features(path, net, batch_size)))


def seconds_of_video(path: Path | str, frames_per_second: int, size: int) -> Iterator[np.ndarray]:
    """Each second of a video: uint8 (frames_per_second, size, size, 3), the middle square of every frame.

    The last second is the one in which the last frame begins; that frame stays on screen until it is over.
    Raises VideoError for a file that is no video, cut off or damaged.
    """
    return windows(path, 1.0, frames_per_second, size)


def write_features(
    videos: Mapping[str, Path | str], net: S3D, out: Path | str, batch_size: int = 8, progress: bool = True
) -> FeatureReport:
    """Compute the features of videos and write them, one vector per second.

    videos   name -> file
    out      a folder, which gets a `name.npy` for each video, float32 (seconds, feature_dim); or a `.safetensors`
             file, which gets one float16 tensor per name

    Files appear whole or not at all and existing ones are kept, so an interrupted call can be repeated. Videos that
    cannot be read are left out, and one warning names them. Raises ExtractionError if `out` cannot be written (a full
    disk), holds features of another network, or if not a single video can be read; ValueError for no videos.
    """
    if not videos:
        raise ValueError("no videos to compute features of")
    out = Path(out)
    if out.suffix != ".safetensors":
        return _write_folder(videos, net, out, batch_size, progress)
    parts = out.with_name(out.name + ".parts")
    with _locked(parts):
        report = (
            _read_packed(out, videos, _stamp(net))
            if out.exists()
            else _write_packed(out, parts, videos, net, batch_size, progress)
        )
        shutil.rmtree(parts, ignore_errors=True)
    return report


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While this lasts no other process works on `folder`; another one waits, and then finds what this one has made."""
    from filelock import FileLock

    lock = FileLock(folder / "lock")
    try:
        while not lock.is_locked:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # the other one has finished and removed the folder
                lock.acquire()
    except OSError as error:
        raise ExtractionError(f"cannot write {folder} ({error.strerror}): choose another place") from error
    try:
        yield
    finally:
        lock.release()


def _write_packed(out, parts, videos, net, batch_size, progress) -> FeatureReport:
    """One file for each video in the folder `parts`, so that an interrupted call can go on, then one for all."""
    report = _write_folder(videos, net, parts, batch_size, progress)
    tensors = {
        name: np.load(parts / f"{name}.npy", allow_pickle=False).astype(np.float16)
        for name in videos
        if name not in report.failed
    }
    _write(out, save(tensors, {"made_by": json.dumps(_stamp(net)), "failed": json.dumps(report.failed)}))
    return report


def _write_folder(videos, net, folder, batch_size, progress) -> FeatureReport:
    _check_folder(folder, _stamp(net))
    report = FeatureReport()
    for name, path in tqdm(videos.items(), desc="computing features", unit="video", disable=not progress):
        file = folder / f"{name}.npy"
        if file.parent != folder:
            report.failed[name] = f"{path}: {name!r} cannot be the name of a file: rename it"
        elif file.exists():
            report.kept.append(name)
        else:
            _write_one(file, name, path, net, batch_size, report)
    if len(report.failed) == len(videos):
        raise ExtractionError(f"none of {len(videos)} videos can be read:{_listing(report.failed)}")
    if report.failed:
        warnings.warn(
            f"{len(report.failed)} of {len(videos)} videos have no features:{_listing(report.failed)}", stacklevel=3
        )
    return report


def _write_one(file, name, path, net, batch_size, report):
    try:
        features = extract_features(path, net, batch_size)
    except VideoError as error:
        report.failed[name] = str(error)
        return
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    _write(file, buffer.getvalue())
    report.written.append(name)


def _stamp(net: S3D) -> dict:
    """Everything that tells the features of two networks apart."""
    digest = hashlib.sha256()
    for _, tensor in sorted(net.state_dict().items()):
        digest.update(tensor.cpu().numpy().tobytes())
    return {"weights": digest.hexdigest()[:16], "feature_rate": FEATURE_RATE, "s3d": dataclasses.asdict(net.config)}


def _check_folder(folder: Path, stamp: dict) -> None:
    """Make `folder` one of this network's features; ExtractionError if it is another's."""
    file = folder / STAMP
    if not file.exists():
        _write(file, json.dumps(stamp, indent=1).encode())
    elif json.loads(file.read_text()) != stamp:
        raise ExtractionError(f"{folder} holds features of another network: name another folder, or delete it")


def _read_packed(file: Path, videos, stamp: dict) -> FeatureReport:
    """Contents of a finished file; ExtractionError if that is not what is wanted."""
    try:
        with safe_open(file, "np") as packed:
            about, names = packed.metadata() or {}, set(packed.keys())
    except SafetensorError as error:
        raise ExtractionError(f"{file} is damaged ({error}): delete it to make it again") from error
    if about.get("made_by") != json.dumps(stamp):
        raise ExtractionError(f"{file} holds features of another network: name another file, or delete it")
    failed = json.loads(about["failed"])
    if missing := [name for name in videos if name not in names and name not in failed]:
        raise ExtractionError(f"{file} was made without {', '.join(missing)}: delete it to make it again")
    return FeatureReport(kept=[name for name in videos if name in names], failed=failed)


def _write(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, data)
    except OSError as error:
        raise ExtractionError(
            f"cannot write {file} ({error.strerror}): free some space or choose another place, and "
            "run again; what is finished is kept"
        ) from error


def _listing(failed: dict[str, str]) -> str:
    return "".join(f"\n  {reason}" for reason in failed.values())
