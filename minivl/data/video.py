"""Video files in and out: what a file holds, chosen frames of it, and small mp4s from drawn frames."""

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from minivl.config.limits import how_to_raise, limit
from minivl.data.atomic import write_bytes
from minivl.data.cut_off import ends_early, index_entries, missing_bytes

LONGEST_FRAME = 3600.0  # seconds on screen; longer ones are damaged time stamps
AGAIN = "download or export it again"
REENCODE = "re-encode it, for example with `ffmpeg -i old new.mp4`"
# What ffmpeg may take a file for: with playlists among them, a few words of text would open other files and addresses.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,gif,jpeg_pipe,png_pipe"
# PyAV before 19 rejects a file for a title that is not UTF-8 unless told otherwise; from 19 on it never does.
OPEN_OPTIONS: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


class VideoError(ValueError):
    """A file that cannot be used as a video: `.path` says which, `.reason` what is wrong and what to do."""

    def __init__(self, path: Path | str, reason: str):
        super().__init__(path, reason)  # both arguments, so that the error can travel between processes
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class VideoInfo:
    """Contents of a video file, whatever its header says."""

    path: Path
    fps: float  # frames per second, on average
    num_frames: int
    duration: float  # seconds
    width: int  # pixels, as displayed
    height: int  # pixels, as displayed


def probe(path: Path | str) -> VideoInfo:
    """Rate, length and size of a video.

    Every packet of the file is read, but only the first frame is decoded, so this is cheap; counting
    matters because headers of webm and of cut-off files cannot be trusted.
    Raises VideoError if the file is missing, no video, empty of frames, cut off or damaged at its start.
    """
    path = Path(path)
    with _open_video(path) as (container, stream):
        return _info(path, _scan(container, stream), container, stream)


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[VideoInfo, Iterator[av.VideoFrame]]]:
    """`probe` of a file and all its frames from the first on, with the file opened once.

    Raises VideoError as `probe`, and while the frames are read for what cannot be decoded.
    """
    path = Path(path)
    with _open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        scan = _scan(container, stream)
        yield _info(path, scan, container, stream), _rewound(path, scan, container, stream)


def pick_frames(path: Path, frames: Iterable[av.VideoFrame], indices: Sequence[int]) -> np.ndarray:
    """The frames with these numbers, in this order (repeats allowed), as uint8 RGB (len(indices), H, W, 3).

    Only what is wanted is kept of `frames`, all frames of a file from the first on, so memory does not grow with the
    length of the video. Frames are turned as their rotation tag asks for.
    Raises ValueError for no or negative indices, VideoError if a wanted frame cannot be decoded.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    if wanted.size == 0 or wanted.min() < 0:
        raise ValueError(f"indices of frames must be 0 or more, and at least one: got {list(indices)}")
    picked, decoded = np.empty((0,), np.uint8), 0
    for frame in frames:
        places = np.flatnonzero(wanted == decoded)
        if places.size:
            if frame.is_corrupt:  # the decoder made something up for what it could not read
                raise VideoError(path, f"frame {decoded} is damaged: {AGAIN}")
            image = to_rgb(path, frame)
            if not picked.size:
                picked = np.empty((wanted.size, *image.shape), np.uint8)
            if image.shape != picked.shape[1:]:
                raise VideoError(path, f"frames change their size at frame {decoded}: {REENCODE}")
            picked[places] = image
        decoded += 1
        if decoded > wanted.max():
            return picked
    raise VideoError(path, f"frame {wanted.max()} is wanted but only {decoded} frames can be decoded: {AGAIN}")


def write_video(path: Path | str, frames: np.ndarray, fps: float) -> None:
    """Write uint8 RGB frames (T, H, W, 3) as an H.264 mp4 that every browser plays.

    The same frames need not give the same bytes: x264 depends on the processor. The file appears whole or not at all.
    Raises ValueError if the frames are not of that type and of even height and width, OSError naming the
    file if it cannot be written.
    """
    path, frames = Path(path), np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}: {path}")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(
            f"H.264 needs even sizes, frames are {frames.shape[2]}x{frames.shape[1]}; "
            f"pad or crop them by a pixel: {path}"
        )
    if not fps > 0:
        raise ValueError(f"fps must be above 0, got {fps}: {path}")
    write_bytes(path, _encode_mp4(frames, fps))


@contextmanager
def _open_video(path: Path) -> Iterator[tuple]:
    """(container, video stream) of a file; whatever ffmpeg objects to becomes a VideoError."""
    _check_is_file(path)
    try:
        # An absolute path, because ffmpeg takes "a:b.mp4" for a protocol named "a".
        container = av.open(str(path.absolute()), options=_ffmpeg_options(), **OPEN_OPTIONS)
    except av.FFmpegError as error:
        raise VideoError(path, _why_unreadable(path)) from error
    with container:
        stream = _video_stream(path, container)
        try:
            _check_size(path, stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = _ffmpeg_options()
            yield container, stream
        except av.FFmpegError as error:
            if not stream.codec_context.width:  # the decoder has refused it, because of max_pixels or as impossible
                reason = f"is damaged, or its frames are too large: {how_to_raise('frame_pixels')}"
                raise VideoError(path, reason) from error
            raise VideoError(path, f"is damaged, decoding stopped ({error.strerror}): {AGAIN}") from error


def _ffmpeg_options() -> dict[str, str]:
    """Options for demuxer and decoders; the latter read no frame of more than `max_pixels`."""
    return {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(limit("frame_pixels"))}


def _check_is_file(path: Path) -> None:
    if os.path.isdir(path):
        raise VideoError(path, "is a folder, not a video: name a file in it")
    if not os.path.exists(path):
        raise VideoError(path, "does not exist: check the name")
    if not os.path.isfile(path):
        raise VideoError(path, "is not a regular file: copy the video to one")
    if os.path.getsize(path) == 0:
        raise VideoError(path, f"is empty (0 bytes): {AGAIN}")
    if not os.access(path, os.R_OK):
        raise VideoError(path, "may not be read: change its permissions")
    if index_entries(path) > os.path.getsize(path):  # a few bytes of index would fill any memory
        raise VideoError(path, f"is damaged, its index names more frames than it has bytes: {AGAIN}")


def _why_unreadable(path: Path) -> str:
    with open(path, "rb") as file:
        is_mp4 = file.read(8)[4:] == b"ftyp"
    if is_mp4:  # cameras write the index when they stop recording
        return f"is an mp4 that has lost its index (moov), so it was cut off or never finished: {AGAIN}"
    return f"is no video, or damaged at its start, or of a rare kind: {REENCODE}"


def _video_stream(path: Path, container):
    if not container.streams:
        raise VideoError(path, _why_unreadable(path))
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:  # a cover picture is not a video
        kinds = ", ".join(sorted({stream.type for stream in container.streams} - {"video"})) or "a cover picture"
        raise VideoError(path, f"has no video stream, only {kinds}: choose another file")
    if stream.codec_context is None:
        raise VideoError(path, f"is encoded in a way that this ffmpeg cannot decode: {REENCODE}")
    return stream


@dataclass
class _Scan:
    """Findings of a pass over all packets of the video stream; seconds are time stamps."""

    first_packet: tuple = ()  # see `_identity`
    last_number: int = -1  # the largest decoding time stamp, which in an AVI counts chunks
    first_frame: av.VideoFrame | None = None
    shown: int = 0  # frames that are displayed
    whole: int = 0  # video packets that are complete, those outside the displayed part included
    broken: int = 0  # video packets that are not
    last_second: float | None = None
    seconds: float = 0.0  # from the first to the last, without leaps


def _scan(container, stream) -> _Scan:
    scan = _Scan()
    for packet in container.demux(stream):
        scan.first_packet = scan.first_packet or _identity(packet)
        if scan.first_frame is None:
            scan.first_frame = next(iter(_decoded(packet)), None)
        if packet.size:  # the last one has none: it asks the decoder for what it still holds
            _count(scan, packet, stream)
    return scan


def _decoded(packet) -> list[av.VideoFrame]:
    """Frames of a packet. An empty one with a time says "the same picture again", and would stop the decoder."""
    return packet.decode() if packet.size or packet.dts is None else []


def _count(scan: _Scan, packet, stream) -> None:
    scan.broken += packet.is_corrupt
    scan.whole += not packet.is_corrupt
    scan.last_number = max(scan.last_number, -1 if packet.dts is None else packet.dts)
    if packet.is_corrupt or packet.is_discard or _is_hidden(packet, stream):
        return
    scan.shown += 1
    stamp = packet.dts if packet.pts is None else packet.pts
    if stamp is not None:
        now = float(stamp * packet.time_base)
        before = now if scan.last_second is None else scan.last_second
        scan.seconds += now - before if 0 < now - before <= LONGEST_FRAME else 0
        scan.last_second = max(now, before)


def _identity(packet) -> tuple:
    return packet.pts, packet.dts, packet.pos, packet.size


def _rewound(path: Path, scan: _Scan, container, stream) -> Iterator[av.VideoFrame]:
    """All frames of a file whose packets were read already; opened again if it does not go back to the first one."""
    first = None
    with suppress(av.FFmpegError):
        container.seek(scan.first_packet[1] or 0, stream=stream)
        packets = container.demux(stream)
        first = next(packets, None)
    if first is not None and _identity(first) == scan.first_packet:
        for packet in chain([first], packets):
            yield from _decoded(packet)
    else:
        with _open_video(path) as (container, stream):
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                yield from _decoded(packet)


def _is_hidden(packet, stream) -> bool:
    """VP8 stores some frames only for others to refer to; a bit of the frame header says so."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _info(path: Path, scan: _Scan, container, stream) -> VideoInfo:
    """VideoError if the file is cut off, or no frame of it can be decoded."""
    # An mp4 can hide a part of its frames (an edit list): they are in its header's count, not in its index.
    told = len(stream.index_entries) if "mp4" in container.format.name else stream.frames
    promised = max(told, scan.whole + scan.broken)
    if container.format.name == "avi" and not scan.broken:
        promised = _promised_by_avi(path, promised, scan)
    if promised > scan.whole:
        raise VideoError(path, f"is cut off: only {scan.whole} of {promised} frames are there: {AGAIN}")
    if missing := missing_bytes(path):
        raise VideoError(path, f"is cut off after {scan.whole} frames, {missing} bytes are missing: {AGAIN}")
    if scan.first_frame is None or scan.shown == 0:
        raise VideoError(path, f"holds no frame that can be decoded: {AGAIN}")
    height, width = to_rgb(path, scan.first_frame).shape[:2]
    fps = _frame_rate(stream, scan.shown, scan.seconds)
    check_duration(path, scan.shown / fps)
    return VideoInfo(path, fps, scan.shown, scan.shown / fps, width, height)


def _promised_by_avi(path: Path, promised: int, scan: _Scan) -> int:
    """Number of frames that an AVI must have: its header counts empty chunks, which mean "the same picture again"."""
    numbered = scan.last_number + 1  # chunks up to the last that holds a frame
    if numbered < promised and ends_early(path, numbered, promised):
        return promised
    if numbered < promised:
        warnings.warn(
            f"{path}: its header names {promised} frames and the last one there is number {numbered}; nothing else is "
            "missing, so it is read as it is",
            stacklevel=2,
        )
    return scan.whole


def _frame_rate(stream, num_frames: int, seconds: float) -> float:
    """Frames per second: the header's rate where the time stamps bear it out, else what these say.

    `seconds` lie between the first and the last frame. The header is exact for a constant rate, but
    webm files of a variable rate often name a rate that they never had.
    """
    rate = float(stream.average_rate or stream.guessed_rate or 1)
    if num_frames > 1 and seconds > 0 and abs(seconds * rate - (num_frames - 1)) > 1:
        return (num_frames - 1) / seconds
    return rate


def to_rgb(path: Path, frame: av.VideoFrame) -> np.ndarray:
    """uint8 (H, W, 3), upright: phones store how they were held as an anticlockwise angle."""
    _check_size(path, frame.width, frame.height)
    return np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))


def _check_size(path: Path, width: int, height: int) -> None:
    """VideoError for frames that are beyond a limit; damaged headers name sizes that fill any memory."""
    longer, shorter = max(width, height), max(1, min(width, height))
    # A frame is resized by its shorter side, so the longer one of a frame like a thread becomes longer still.
    for name, value in (("frame_pixels", width * height), ("frame_side", longer), ("frame_ratio", longer / shorter)):
        if value > limit(name):
            reason = f"has frames of {width}x{height} pixels, so it is damaged or needs to be scaled down"
            raise VideoError(path, f"{reason}: {how_to_raise(name)}")


def check_duration(path: Path, seconds: float) -> None:
    """VideoError for a video that its time stamps make too long: a few frames would be repeated for days."""
    if seconds > 3600 * limit("video_hours"):
        hours = f"{seconds / 3600:.0f} hours by its time stamps"
        raise VideoError(path, f"lasts {hours}, so it is damaged or needs to be cut: {how_to_raise('video_hours')}")


def _encode_mp4(frames: np.ndarray, fps: float) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "28"}
        )  # lower values would mostly store pixel noise
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"  # the one that browsers play
        stream.codec_context.thread_count = 1  # with more, the bytes depend on the machine
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
