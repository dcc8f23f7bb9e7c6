"""Videos made to fill a memory, to take for ever, or to have other files opened: one clear error, before it happens."""

import os
import socket
import struct
import tracemalloc
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from helpers.videos import read_frames
from minivl.data.cut_off import index_entries
from minivl.data.subtitles import SubtitleError, read_transcript
from minivl.data.video import VideoError, probe, write_video
from minivl.data.windows import on_screen, windows

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "video"


def grey(count, height=32, width=32):
    return np.full((count, height, width, 3), 90, np.uint8)


def encode(path, frames, codec="mjpeg", pix_fmt="yuvj420p", stamps=None):
    """A file of frames of any shape; `stamps` are seconds."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=4)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps:
                frame.pts, frame.time_base = 1000 * stamps[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def spliced(path, parts):
    """The frames of several files as one."""
    packets = []
    with av.open(str(path), "w") as output:
        for part in parts:
            with av.open(str(part)) as source:
                if not output.streams:
                    stream = output.add_stream_from_template(source.streams.video[0])
                for packet in (packet for packet in source.demux(video=0) if packet.size):
                    packet.pts = packet.dts = len(packets)
                    packet.stream = stream
                    packets.append(packet)
                    output.mux(packet)
    return path


@pytest.mark.parametrize(
    "shape, name",
    [
        ((60000, 1), "FRAME_SIDE"),
        ((1, 1000000), "FRAME_SIDE"),
        ((2, 8000), "FRAME_RATIO"),
        ((8192, 8192), "FRAME_PIXELS"),
    ],
)
def test_sizes_beyond_the_limits_are_refused_with_little_memory(tmp_path, shape, name):
    """The header of each file is true but for the size of a frame."""
    path = encode(tmp_path / "a.avi", grey(1, 2, 2), "rawvideo", "bgr24")
    data = bytearray(path.read_bytes())
    struct.pack_into("<ii", data, data.find(b"strf") + 12, shape[1], shape[0])
    path.write_bytes(data)
    with pytest.raises(VideoError, match=f"damaged.* the limit is \\d+; set MINIVL_LIMIT_{name} to allow more"):
        probe(path)


@pytest.mark.parametrize("shape, name", [((60000, 1), "FRAME_SIDE"), ((2, 8000), "FRAME_RATIO")])
def test_frames_like_threads_are_refused_before_they_are_resized(tmp_path, shape, name):
    path = encode(tmp_path / "a.avi", grey(2, *shape), "png", "rgb24")
    for read in (probe, lambda path: next(windows(path, 1.0, 4, 64))):
        with pytest.raises(VideoError, match=rf"{shape[1]}x{shape[0]} pixels.*set MINIVL_LIMIT_{name} to allow more"):
            read(path)


def test_limits_can_be_raised(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.avi", grey(1, 2, 8000), "png", "rgb24")
    monkeypatch.setenv("MINIVL_LIMIT_FRAME_RATIO", "4000")
    assert probe(path).width == 8000


@pytest.mark.parametrize("shape, message", [((128, 128), "too large.*FRAME_PIXELS"), ((2, 8000), "FRAME_RATIO")])
def test_frames_that_grow_midway_are_refused_where_they_do(tmp_path, monkeypatch, shape, message):
    monkeypatch.setenv("MINIVL_LIMIT_FRAME_PIXELS", "16000")
    parts = [encode(tmp_path / "a.avi", grey(3)), encode(tmp_path / "b.avi", grey(2, *shape))]
    path = spliced(tmp_path / "both.avi", parts)
    assert read_frames(path, [0, 2]).shape == (2, 32, 32, 3)
    with pytest.raises(VideoError, match=message):
        list(windows(path, 1.0, 4, 16))


@pytest.mark.parametrize("name", ["table__a.mp4", "fragment__a.mp4"])
def test_an_index_of_a_few_bytes_cannot_fill_the_memory(name):
    """Each says that it has 60 million frames, for which ffmpeg would make a table of 2 GB."""
    assert index_entries(CORPUS / name) >= 60_000_000
    with pytest.raises(VideoError, match="names more frames than it has bytes"):
        probe(CORPUS / name)


def test_boxes_without_end_or_sense_are_walked_once(tmp_path):
    path = tmp_path / "deep.mp4"
    path.write_bytes(struct.pack(">I4s", 0, b"moov") * 5000 + struct.pack(">I4s", 3, b"trak") + bytes(40))
    assert index_entries(path) == 0
    path.write_bytes(struct.pack(">I4sQ4xII", 1, b"stsz", 28, 1, 77))
    assert index_entries(path) == 77


def test_time_stamps_cannot_make_days_of_a_few_frames(tmp_path):
    day = 24 * 3600
    leaps = encode(tmp_path / "leaps.mkv", grey(50), stamps=[number * day // 2 for number in range(50)])
    assert probe(leaps).duration < 60 and len(list(windows(leaps, 1.0, 4, 16))) < 60
    hours = encode(tmp_path / "hours.mkv", grey(50), stamps=[3599 * number for number in range(50)])
    with pytest.raises(VideoError, match="lasts 50 hours.*the limit is 24; set MINIVL_LIMIT_VIDEO_HOURS"):
        probe(hours)


def test_time_stamps_that_run_to_and_fro_cannot_either(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVL_LIMIT_VIDEO_HOURS", "1")
    path = tmp_path / "a.avi"
    frames = [SimpleNamespace(time=3000 * (number % 2)) for number in range(40)]
    monkeypatch.setattr("minivl.data.windows.opened", lambda path: nullcontext((SimpleNamespace(fps=4), frames)))
    with pytest.raises(VideoError, match="MINIVL_LIMIT_VIDEO_HOURS"):
        list(on_screen(path))


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile good.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\ngood.mp4\n#EXT-X-ENDLIST\n",
    "hls from the network": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:PORT/a.ts\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video PORT RTP/AVP 96\n",
    "dash": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="video/mp4">'
    "<Representation><BaseURL>good.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_nothing(tmp_path, kind, suffix):
    write_video(tmp_path / "good.mp4", grey(4), 4)
    path = tmp_path / f"list{suffix}"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        path.write_text(PLAYLISTS[kind].replace("PORT", str(server.getsockname()[1])))
        with pytest.raises(VideoError, match="is no video"):
            probe(path)
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()


def _fifo(path):
    os.mkfifo(path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


SPECIAL = {
    "pipe": _fifo,
    "socket": _socket,
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "noise": lambda path: path.symlink_to("/dev/random"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="not on Windows")
@pytest.mark.parametrize("kind", SPECIAL)
def test_pipes_sockets_and_devices_are_not_opened(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    for name, error in (("a.mp4", VideoError), ("a.srt", SubtitleError)):
        path = Path(name)
        SPECIAL[kind](path)
        with pytest.raises(error, match="is not a regular file"):
            probe(path) if error is VideoError else read_transcript(path, 10)


def test_a_transcript_is_not_larger_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVL_LIMIT_METADATA_MB", "1")
    path = tmp_path / "a.srt"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(SubtitleError, match="too large.*limit is 1; set MINIVL_LIMIT_METADATA_MB"):
            read_transcript(path, 10)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
