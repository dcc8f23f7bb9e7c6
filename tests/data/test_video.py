"""Video files of many kinds, whole and broken: right frames or one clear error, never anything else."""

import io
import pickle
import re
import struct
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from helpers.videos import read_frames
from minivl.data.video import VideoError, opened, pick_frames, probe, write_video


def drawn_clip(count=40, height=48, width=48):
    """A box that wanders over a plain background; its place tells the number of the frame."""
    frames = np.full((count, height, width, 3), (200, 190, 170), np.uint8)
    for i, frame in enumerate(frames):
        x = i * (width - 12) // max(count - 1, 1)
        frame[10:26, x : x + 12] = (30, 60, 200)
    return frames


def encode(path, frames, codec="libx264", pix_fmt="yuv420p", fps=25, options=None, container=None, stamps=None):
    """Write frames with any codec; `stamps` are times in milliseconds, for a variable rate."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[i], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def assert_same_pictures(got, drawn, tolerance=8):
    assert got.shape == drawn.shape and got.dtype == np.uint8
    assert np.abs(got.astype(int) - drawn).mean() < tolerance


def assert_opened_alike(path):
    """Probed and read through one open file, the video is what it is through two."""
    with opened(path) as (info, frames):
        read = pick_frames(path, frames, range(info.num_frames))
    assert info == probe(path) and np.array_equal(read, read_frames(path, range(info.num_frames)))


@pytest.fixture(scope="module")
def mp4(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, drawn_clip(), 4)
    return path


def fast_start(folder, count=40, **options):
    """An mp4 whose index comes first, as on the web: cutting it leaves the index whole."""
    return encode(folder / "web.mp4", drawn_clip(count), container={"movflags": "+faststart"}, **options)


# Reading


def test_probe_says_what_was_written(mp4):
    info = probe(str(mp4))
    assert (info.path, info.fps, info.num_frames, info.width, info.height) == (mp4, 4.0, 40, 48, 48)
    assert info.duration == 10.0


def test_frames_come_in_the_order_asked_for_with_repeats(mp4):
    indices = [39, 0, 7, 7, 20]
    frames = read_frames(mp4, indices)
    assert_same_pictures(frames, drawn_clip()[indices])
    for frame, index in zip(frames, indices, strict=True):
        assert np.array_equal(frame, read_frames(mp4, [index])[0])


@pytest.mark.parametrize("indices", [[], [-1], [3, -2]])
def test_impossible_indices_are_a_value_error(mp4, indices):
    with pytest.raises(ValueError, match="0 or more") as caught:
        read_frames(mp4, indices)
    assert not isinstance(caught.value, VideoError)


def test_a_frame_after_the_end_is_an_error_that_counts(mp4):
    with pytest.raises(VideoError, match="frame 40 is wanted but only 40 frames"):
        read_frames(mp4, [0, 40])


def test_memory_does_not_grow_with_the_length(tmp_path):
    path = encode(tmp_path / "long.mp4", drawn_clip(300, 96, 96), options={"preset": "ultrafast"})
    one_frame = 96 * 96 * 3
    tracemalloc.start()
    try:
        read_frames(path, [0, 299])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 2 * one_frame <= peak < 20 * one_frame


@pytest.mark.parametrize(
    "name, codec, pix_fmt, shape",
    [
        ("a.mp4", "libx264", "yuv444p", (37, 53)),
        ("a.mov", "libx264", "yuv420p", (48, 64)),
        ("a.avi", "mpeg4", "yuv420p", (37, 53)),
        ("b.avi", "ffv1", "yuv444p", (37, 53)),
        ("a.mkv", "libx264", "yuv420p", (48, 48)),
        ("a.m4v", "libx264", "yuv420p", (48, 48)),
        ("a.webm", "libvpx", "yuv420p", (37, 53)),
        ("b.webm", "libvpx-vp9", "yuv420p", (48, 48)),
    ],
)
@pytest.mark.parametrize("count", [1, 12])
def test_other_formats_and_odd_sizes(tmp_path, name, codec, pix_fmt, shape, count):
    if codec not in av.codecs_available:
        pytest.skip(f"this ffmpeg has no {codec}")
    frames = drawn_clip(count, *shape)
    path = encode(tmp_path / name, frames, codec, pix_fmt)
    info = probe(path)
    assert (info.num_frames, info.fps, info.height, info.width) == (count, 25.0, *shape)
    assert_same_pictures(read_frames(path, range(count)), frames, tolerance=12)
    assert_opened_alike(path)


@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx")])
def test_variable_rate_is_averaged_over_the_time_stamps(tmp_path, name, codec):
    stamps = [i * 40 for i in range(20)] + [800 + i * 200 for i in range(20)]
    path = encode(tmp_path / name, drawn_clip(), codec, fps=30, stamps=stamps)
    info = probe(path)
    assert info.num_frames == 40
    assert info.fps == pytest.approx(39 / 4.6, rel=0.01)
    assert_same_pictures(read_frames(path, [0, 39]), drawn_clip()[[0, 39]], tolerance=12)
    assert_opened_alike(path)


def test_ntsc_rate_is_exact(tmp_path):
    path = encode(tmp_path / "a.mp4", drawn_clip(30), fps=Fraction(30000, 1001), options={"preset": "ultrafast"})
    assert probe(path).fps == 30000 / 1001


def test_a_picture_renamed_to_mp4_is_a_one_frame_clip(tmp_path):
    path = tmp_path / "picture.mp4"
    Image.fromarray(drawn_clip(1)[0]).save(path, format="JPEG")
    assert probe(path).num_frames == 1
    assert read_frames(path, [0, 0]).shape == (2, 48, 48, 3)
    assert_opened_alike(path)


@pytest.mark.parametrize("matrix, turns", [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2)])
def test_phone_videos_are_turned_upright(tmp_path, matrix, turns):
    data = bytearray(encode(tmp_path / "a.mp4", drawn_clip(3, 32, 48)).read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, data.find(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path = tmp_path / "phone.mp4"
    path.write_bytes(data)
    upright = np.rot90(drawn_clip(3, 32, 48), k=turns, axes=(1, 2))
    info = probe(path)
    assert (info.height, info.width) == upright.shape[1:3]
    assert_same_pictures(read_frames(path, range(3)), upright)
    assert_opened_alike(path)


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path):
    """What phones and `ffmpeg -ss -c copy` do to cut a clip without encoding it again."""
    data = bytearray(encode(tmp_path / "a.mp4", drawn_clip(80), options={"g": "10", "bf": "2"}).read_bytes())
    entry = data.find(b"elst") + 12
    milliseconds, begin = struct.unpack_from(">Ii", data, entry)
    struct.pack_into(">Ii", data, entry, milliseconds - 1600, begin + 12 * 512)  # 12 frames later, 40 shorter
    path = tmp_path / "cut.mp4"
    path.write_bytes(data)
    assert probe(path).num_frames == 40
    assert_same_pictures(read_frames(path, range(40)), drawn_clip(80)[12:52])
    assert_opened_alike(path)


@pytest.mark.skipif("libvpx" not in av.codecs_available, reason="this ffmpeg has no VP8 encoder")
def test_hidden_vp8_frames_do_not_count(tmp_path):
    source = encode(tmp_path / "a.webm", drawn_clip(10), "libvpx")
    with av.open(str(source)) as read, av.open(str(tmp_path / "hidden.webm"), "w") as write:
        stream = read.streams.video[0]
        out = write.add_stream_from_template(stream)
        for number, packet in enumerate(read.demux(stream)):
            if packet.size == 0:
                continue
            data = bytearray(bytes(packet))
            if number == 5:
                data[0] &= ~0x10  # the "show this frame" bit
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, out
            copy.is_keyframe = packet.is_keyframe
            write.mux(copy)
    assert probe(tmp_path / "hidden.webm").num_frames == 9
    assert read_frames(tmp_path / "hidden.webm", [8]).shape == (1, 48, 48, 3)
    assert_opened_alike(tmp_path / "hidden.webm")


def test_names_that_ffmpeg_could_misread(tmp_path, monkeypatch, mp4):
    monkeypatch.chdir(tmp_path)
    for name in ("http:clip.mp4", "clip %03d.mp4", "día nº1.mp4", "-i.mp4"):
        (tmp_path / name).write_bytes(mp4.read_bytes())
        assert probe(name).num_frames == 40


def test_a_title_that_is_not_utf8_does_not_matter(tmp_path):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        output.metadata["title"] = "cafexx"
        stream = output.add_stream("libx264", rate=4)
        stream.height = stream.width = 48
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(drawn_clip(1)[0], format="rgb24")))
        output.mux(stream.encode())
    data = buffer.getvalue()
    assert b"cafexx" in data
    (tmp_path / "a.mp4").write_bytes(data.replace(b"cafexx", b"caf\xe9\xff\xfe"))
    assert probe(tmp_path / "a.mp4").num_frames == 1


# What cannot be read


def _missing(folder):
    return folder / "nothing.mp4"


def _empty(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def _text(folder):
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    return folder / "text.mp4"


def _zero_frames(folder):
    path = folder / "zero.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.height = stream.width = 48
        stream.pix_fmt = "yuv420p"
        output.start_encoding()
    return path


def _audio_only(folder):
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def _without_index(folder):
    data = encode(folder / "whole.mp4", drawn_clip()).read_bytes()
    (folder / "part.mp4").write_bytes(data[: data.find(b"moov") - 100])
    return folder / "part.mp4"


def _cut_in_the_middle(folder):
    data = fast_start(folder).read_bytes()
    (folder / "part.mp4").write_bytes(data[:-500])
    return folder / "part.mp4"


def _unknown_codec(folder):
    data = fast_start(folder).read_bytes()
    (folder / "strange.mp4").write_bytes(data.replace(b"avc1", b"xyz1"))
    return folder / "strange.mp4"


def _folder(folder):
    return folder


BROKEN = {
    _missing: "does not exist",
    _empty: r"is empty \(0 bytes\)",
    _text: "is no video",
    _zero_frames: "holds no frame",
    _audio_only: "no video stream",
    _without_index: "lost its index",
    _cut_in_the_middle: r"is cut off: only \d+ of 40 frames",
    _unknown_codec: "cannot decode",
    _folder: "is a folder",
}


@pytest.mark.parametrize("make", BROKEN)
def test_broken_files_have_an_error_of_their_own(tmp_path, make):
    path = make(tmp_path)
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert caught.value.path == path and str(path) in str(caught.value)
    assert [m for m, reason in BROKEN.items() if re.search(reason, caught.value.reason)] == [make]
    with pytest.raises(VideoError):
        read_frames(path, [39])


def test_a_file_that_may_not_be_read(mp4, monkeypatch):
    monkeypatch.setattr("os.access", lambda *arguments: False)
    with pytest.raises(VideoError, match="may not be read"):
        probe(mp4)


def test_the_cover_of_a_song_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.height = cover.width = 48
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        sound = output.add_stream("aac", rate=44100, layout="mono")
        output.mux(cover.encode(av.VideoFrame.from_ndarray(drawn_clip(1)[0], format="rgb24")))
        output.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        output.mux(sound.encode(frame))
        output.mux(sound.encode())
    with pytest.raises(VideoError, match="no video stream, only audio"):
        probe(path)


def test_frames_of_changing_size(tmp_path):
    """Two motion-JPEG films spliced into one file."""
    parts = [encode(tmp_path / f"{size}.avi", drawn_clip(3, size, size), "mjpeg", "yuvj420p") for size in (32, 48)]
    path = tmp_path / "both.avi"
    with av.open(str(parts[0])) as first, av.open(str(parts[1])) as second, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(first.streams.video[0])
        packets = [packet for part in (first, second) for packet in part.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = number
            packet.stream = stream
            output.mux(packet)
    assert read_frames(path, [0, 2]).shape == (2, 32, 32, 3)
    with pytest.raises(VideoError, match="change their size at frame 3"):
        read_frames(path, range(6))


@pytest.mark.parametrize(
    "name, codec, container",
    [
        ("a.webm", "libvpx", {}),
        ("a.mkv", "libx264", {}),
        ("a.avi", "ffv1", {}),
        ("a.mov", "libx264", {}),
        ("a.mp4", "libx264", {"movflags": "+faststart"}),
        ("b.mp4", "libx264", {"movflags": "+frag_keyframe+empty_moov"}),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_off_files_never_pass_as_shorter_ones(tmp_path, name, codec, container, share):
    if codec not in av.codecs_available:
        pytest.skip(f"this ffmpeg has no {codec}")
    pix_fmt = "yuv444p" if codec == "ffv1" else "yuv420p"
    data = encode(tmp_path / name, drawn_clip(), codec, pix_fmt, container=container).read_bytes()
    (tmp_path / f"cut {name}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError):
        probe(tmp_path / f"cut {name}")


# An AVI counts chunks, also empty ones, which say "the same picture again"


def avi_with_gaps(path, step=5):
    """20 frames, `step` chunks apart: all others are empty."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.height = stream.width = 48
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(drawn_clip(20)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number * step, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def promising(path, frames):
    """The same file, whose headers name so many frames: that of the file, and that of its stream."""
    data = bytearray(path.read_bytes())
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        data[place : place + 4] = frames.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def test_empty_chunks_are_no_missing_frames(tmp_path):
    path = avi_with_gaps(tmp_path / "a.avi")
    info = probe(path)
    assert info.num_frames == 20 and info.fps == pytest.approx(5)
    assert_same_pictures(read_frames(path, [0, 19]), drawn_clip(20)[[0, 19]])


def test_an_empty_packet_does_not_end_a_video(tmp_path, monkeypatch):
    """Theora writes such packets for a picture that stays; here in a container whose muxer keeps them."""
    monkeypatch.setattr("minivl.data.video.FORMATS", "nut")
    with av.open(str(tmp_path / "a.nut"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.height = stream.width = 48
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(drawn_clip(6)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = 2 * number, Fraction(1, 25)
            output.mux(stream.encode(frame))
            empty = av.Packet(0)
            empty.dts = empty.pts = 2 * number + 1
            empty.time_base, empty.stream = Fraction(1, 25), stream
            output.mux(empty)
        output.mux(stream.encode())
    assert_same_pictures(read_frames(tmp_path / "a.nut", range(6)), drawn_clip(6))


def test_few_frames_less_than_an_avi_names_are_a_warning(tmp_path):
    path = encode(tmp_path / "a.avi", drawn_clip(20), "mpeg4")
    with pytest.warns(UserWarning, match="names 23 frames and the last one there is number 20"):
        assert probe(promising(path, 23)).num_frames == 20
    with pytest.raises(VideoError, match="only 20 of 24"):
        probe(promising(path, 24))


def test_one_frame_in_fifty_of_a_whole_avi_may_be_missing(tmp_path):
    path = encode(tmp_path / "a.avi", np.zeros((400, 16, 16, 3), np.uint8), "mpeg4")
    with pytest.warns(UserWarning, match="names 408 frames"):
        assert probe(promising(path, 408)).num_frames == 400
    with pytest.raises(VideoError, match="only 400 of 409"):
        probe(promising(path, 409))


def test_an_avi_that_lost_its_last_frame_is_cut_off(tmp_path):
    path = encode(tmp_path / "a.avi", drawn_clip(40), "mpeg4")
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
    path.write_bytes(path.read_bytes()[: last.pos])
    with pytest.raises(VideoError, match="only 39 of 40"):
        probe(path)


def test_cut_exactly_between_two_frames(tmp_path):
    path = fast_start(tmp_path)
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
        end = last.pos
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(VideoError, match="only 39 of 40"):
        probe(path)


@pytest.mark.parametrize("name, codec", [("a.webm", "libvpx"), ("a.mkv", "libx264"), ("a.mp4", "libx264")])
def test_even_the_last_byte_is_missed(tmp_path, name, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"this ffmpeg has no {codec}")
    path = encode(
        tmp_path / name, drawn_clip(5), codec, container={"movflags": "faststart"} if name.endswith("mp4") else {}
    )
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VideoError, match="is cut off"):
        probe(path)


def test_a_damaged_header_cannot_fill_the_memory(mp4, monkeypatch):
    monkeypatch.setenv("MINIVL_LIMIT_FRAME_PIXELS", str(48 * 48 - 1))
    with pytest.raises(VideoError, match="frames of 48x48 pixels.* set MINIVL_LIMIT_FRAME_PIXELS to allow more"):
        probe(mp4)


def test_a_damaged_frame_is_named_not_made_up(tmp_path):
    path = encode(tmp_path / "a.avi", drawn_clip(12), "mpeg4")
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[6]
        half, end = packet.pos + packet.size // 2, packet.pos + packet.size
    data = bytearray(path.read_bytes())
    data[half:end] = bytes(end - half)
    path.write_bytes(data)
    assert_same_pictures(read_frames(path, [0, 5]), drawn_clip(12)[[0, 5]])
    with pytest.raises(VideoError, match="frame 6 is damaged"):
        read_frames(path, [0, 6])


@pytest.mark.parametrize(
    "name, codec, pix_fmt",
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.avi", "ffv1", "yuv444p"),
        ("b.avi", "mpeg4", "yuv420p"),
    ],
)
def test_flipped_bytes_give_frames_or_a_video_error(tmp_path, name, codec, pix_fmt):
    if codec not in av.codecs_available:
        pytest.skip(f"this ffmpeg has no {codec}")
    original = np.frombuffer(encode(tmp_path / name, drawn_clip(), codec, pix_fmt).read_bytes(), np.uint8)
    path, outcomes = tmp_path / f"flipped {name}", set()
    for seed in range(25):
        rng, data = np.random.default_rng(seed), original.copy()
        places = rng.integers(len(data) // 10, len(data) * 9 // 10, size=rng.choice([1, 5, 50]))
        data[places] ^= rng.integers(1, 256, size=len(places), dtype=np.uint8)
        path.write_bytes(data.tobytes())
        try:
            frames = read_frames(path, np.linspace(0, probe(path).num_frames - 1, 8, dtype=int))
            assert frames.shape[0] == 8 and frames.dtype == np.uint8
            outcomes.add("frames")
        except VideoError as error:
            assert error.path == path and error.reason
            outcomes.add("error")
    assert "error" in outcomes


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "is strange: look at it")))
    assert (str(error), str(error.path), error.reason) == (
        "a.mp4: is strange: look at it",
        "a.mp4",
        "is strange: look at it",
    )


# Writing


def test_written_files_are_small(tmp_path):
    write_video(tmp_path / "a.mp4", drawn_clip(), 4)
    assert (tmp_path / "a.mp4").stat().st_size < 4500
    assert_same_pictures(read_frames(tmp_path / "a.mp4", range(40)), drawn_clip(), tolerance=4)


def test_the_bytes_do_not_depend_on_the_number_of_cores(tmp_path):
    write_video(tmp_path / "a.mp4", drawn_clip(2, 256, 256), 4)
    assert b" threads=1 " in (tmp_path / "a.mp4").read_bytes()  # x264 notes its settings in the file


@pytest.mark.parametrize("fps", [0.5, 3, 23.976, 29.97, 60])
def test_written_rate(tmp_path, fps):
    write_video(tmp_path / "a.mp4", drawn_clip(3), fps)
    assert probe(tmp_path / "a.mp4").fps == pytest.approx(fps, rel=1e-4)


@pytest.mark.parametrize(
    "frames, fps, message",
    [
        (drawn_clip(2, 47, 48), 4, "even sizes, frames are 48x47"),
        (drawn_clip(2)[:0], 4, "uint8"),
        (drawn_clip(2)[0], 4, "uint8"),
        (drawn_clip(2) / 255, 4, "uint8"),
        (drawn_clip(2)[..., :1], 4, "uint8"),
        (drawn_clip(2), 0, "fps"),
        (drawn_clip(2), float("nan"), "fps"),
    ],
)
def test_what_cannot_be_written_is_a_value_error(tmp_path, frames, fps, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames, fps)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")  # not on Windows
    path = tmp_path / "a.mp4"
    write_video(path, drawn_clip(3), 4)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError) as caught:
            write_video(path, drawn_clip(), 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert str(path) in str(caught.value) and "File too large" in str(caught.value)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file.*nowhere/a\.mp4"):
        write_video(tmp_path / "nowhere" / "a.mp4", drawn_clip(2), 4)
