"""Files as phones, disks and accidents make them, through features, captions and search."""

import dataclasses
import multiprocessing
import resource
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from helpers.tiny_univl import FEATURES, tiny_univl, tokenizer_in
from minivl.config import InputConfig, S3DConfig
from minivl.data.features import load_features
from minivl.data.folder import find_videos
from minivl.data.subtitles import read_transcript
from minivl.data.video import VideoError, probe, write_video
from minivl.data.windows import windows
from minivl.s3d.features import ExtractionError, extract_features, seconds_of_video, write_features
from minivl.s3d.model import S3D
from minivl.tasks.clip.search import open_searcher, search
from minivl.tasks.univl.own_videos import caption_video, caption_videos

MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return S3D(S3DConfig(width=0.0625, feature_dim=FEATURES, embed_dim=8, image_size=16, frames_per_second=2)).eval()


@pytest.fixture(scope="module")
def univl(tmp_path_factory):
    """(a small UniVL, its tokenizer)."""
    tokenizer = tokenizer_in(tmp_path_factory.mktemp("tokenizer"))
    return tiny_univl(tokenizer), tokenizer


@pytest.fixture(scope="module")
def searcher():
    inputs = InputConfig(max_frames=4, frames_per_second=2.0)
    return dataclasses.replace(open_searcher("kitchen", 10.0), inputs=inputs)


def captions(path, net, univl, **options):
    return caption_video(
        path, net, *univl, window_seconds=2.0, max_words=12, max_frames=6, num_beams=1, progress=False, **options
    )


# As phones write them

PHONE = np.cumsum([0, 33, 33, 34, 33, 90, 33, 33, 210, 33, 33, 33, 500, 33, 33, 33, 900, 33, 33, 33, 700, 33, 33, 33])


def phone_video(path, stamps=PHONE, rotation=90, audio=True):
    """640 x 358 pixels held upright, at a rate that varies, with sound; brighter from frame to frame."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=30)
        video.width, video.height, video.pix_fmt = 640, 358, "yuv420p"
        video.codec_context.time_base = MILLISECOND
        sound = output.add_stream("aac", rate=16_000, layout="mono") if audio else None
        for number, stamp in enumerate(stamps):
            image = np.full((358, 640, 3), 30 + 200 * number // len(stamps), np.uint8)
            image[:, :320] //= 2  # the left half is darker
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = int(stamp), MILLISECOND
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if sound is not None:
            for part in range(round(stamps[-1] / 64)):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16_000, 1024 * part
                output.mux(sound.encode(frame))
            output.mux(sound.encode())
    if rotation:
        turn(path, rotation)
    return path


def turn(path, degrees):
    """Write the tag that says how the phone was held, as cameras do: the matrix in the track header of an mp4."""
    one = 1 << 16
    matrix = {90: (0, one, 0, -one, 0, 0), 180: (-one, 0, 0, 0, -one, 0), 270: (0, -one, 0, one, 0, 0)}[degrees]
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # of the first track; version 0
    values = (*matrix, 0, 0, 1 << 30)
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(bytes(data))


def test_the_phone_video_is_what_it_says(tmp_path):
    path = phone_video(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        gaps = np.diff([frame.pts * frame.time_base for frame in container.decode(video=0)]).astype(float)
    assert gaps.min() < 0.04 and gaps.max() > 0.8, "the rate varies"
    info = probe(path)
    assert (info.width, info.height) == (358, 640) and info.num_frames == len(PHONE)
    assert abs(info.duration - PHONE[-1] / 1000) < 0.5


def test_seconds_of_a_phone_video(tmp_path):
    """Two samples per second show what is on screen then, turned upright."""
    path = phone_video(tmp_path / "a.mp4")
    seconds = np.concatenate(list(seconds_of_video(path, 2, 16)))  # (6, 16, 16, 3)
    shown = [np.searchsorted(PHONE, moment, side="right") - 1 for moment in range(0, 3000, 500)]
    bright = np.array([30 + 200 * number // len(PHONE) for number in shown])
    upright = seconds.astype(float).mean(-1)
    halves = upright[:, :6].mean((1, 2)), upright[:, 10:].mean((1, 2))  # above, below
    darker, brighter = np.minimum(*halves), np.maximum(*halves)
    np.testing.assert_allclose(brighter, bright, atol=6)
    np.testing.assert_allclose(darker, bright // 2, atol=6)
    flat = np.concatenate(list(seconds_of_video(phone_video(tmp_path / "b.mp4", rotation=0), 2, 16))).astype(float)
    sides = flat.mean(-1)[:, :, :6].mean((1, 2)), flat.mean(-1)[:, :, 10:].mean((1, 2))  # left, right
    np.testing.assert_allclose(sides[1] - sides[0], brighter - darker, atol=6)


def test_a_phone_video_goes_through_everything(tmp_path, net, univl, searcher):
    path = phone_video(tmp_path / "phone.mp4")
    features = extract_features(path, net)
    assert features.shape == (3, FEATURES) and np.isfinite(features).all()
    written = captions(path, net, univl)
    assert written[0]["start"] == 0 and 2 < written[-1]["end"] <= 3
    hits, skipped = search("a pot", [path], searcher, index=tmp_path, progress=False)
    assert len(hits) == 1 and not skipped and hits[0].end == pytest.approx(PHONE[-1] / 1000, abs=0.3)


# An hour


@pytest.fixture(scope="module")
def lengths(tmp_path_factory):
    """(three minutes, an hour): one small frame per second."""
    folder = tmp_path_factory.mktemp("long")
    for name, seconds in (("short", 180), ("hour", 3600)):
        write_video(folder / f"{name}.mp4", np.broadcast_to(np.uint8(100), (seconds, 32, 32, 3)), 1)
    return folder / "short.mp4", folder / "hour.mp4"


def _peak_of(function, path, connection):
    """The most memory that a fresh process had, beyond what it had before; kB."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = function(path)
    connection.send((result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def growth(function, path):
    """(the result, kB of memory) of a function in a process of its own: decoders are not seen by tracemalloc."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_peak_of, args=(function, path, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def test_an_hour_needs_the_memory_of_minutes(lengths):
    """What features and search read of it. As small squares all frames of the first have 199 MB."""

    def seconds(path):
        return sum(1 for _ in windows(path, 1.0, 8, 48))

    def half_minutes(path):
        return sum(1 for _ in windows(path, 30.0, 12, 48))

    for function, counts in ((seconds, (180, 3600)), (half_minutes, (6, 120))):
        (few, short), (many, long) = (growth(function, path) for path in lengths)
        assert (few, many) == counts and long < short + 8_000


def test_captions_of_an_hour(lengths, net, univl):
    written = caption_video(
        lengths[1],
        net,
        *univl,
        window_seconds=10.0,
        max_words=4,
        max_frames=16,
        num_beams=1,
        transcript=[{"text": "stir", "start": 3590.0, "end": 3594.0}],
        progress=False,
    )
    assert [c["start"] for c in written] == [10.0 * number for number in range(360)] and written[-1]["end"] == 3600.0


# Accidents


def accidents(folder):
    """Files that are no videos, each in its way, beside one that is; name -> what must be said about it."""
    write_video(folder / "good.mp4", np.full((8, 32, 32, 3), 90, np.uint8), 2)
    whole = (folder / "good.mp4").read_bytes()
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 99)
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "head.mp4").write_bytes(whole[:40])
    (folder / "zeros.mp4").write_bytes(bytes(5000))
    with av.open(str(folder / "sound.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        output.mux(sound.encode(frame))
        output.mux(sound.encode())
    return {
        "empty.mp4": "empty",
        "text.mp4": "no video",
        "cut.mp4": "cut off",
        "head.mp4": "index",
        "zeros.mp4": "no video",
        "sound.mp4": "no video stream, only audio",
    }


def test_one_bad_file_never_stops_the_rest(tmp_path, net, univl, searcher):
    bad = accidents(tmp_path)
    paths = find_videos(tmp_path)
    assert len(paths) == len(bad) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = write_features({path.stem: path for path in paths}, net, tmp_path / "features", progress=False)
        report = caption_videos(
            paths,
            net,
            *univl,
            window_seconds=2.0,
            max_words=12,
            max_frames=6,
            num_beams=1,
            out=tmp_path / "captions",
            progress=False,
        )
    hits, skipped = search("a pot", paths, searcher, index=tmp_path / "index", progress=False)
    assert features.written == ["good"] and [path.name for path in report.captions] == ["good.mp4"]
    assert [hit.path.name for hit in hits] == ["good.mp4"]
    for name, reason in bad.items():
        assert reason in features.failed[name.removesuffix(".mp4")], name
        assert reason in report.failed[tmp_path / name] and reason in dict(skipped)[tmp_path / name]
    assert [path.name for path in (tmp_path / "captions").iterdir()] == ["good.captions.srt"]
    assert read_transcript(tmp_path / "captions" / "good.captions.srt", 4.0) is not None


# Disks and processes


def test_a_disk_that_fills_keeps_what_is_done(tmp_path, net, monkeypatch):
    videos = {}
    for name in "abc":
        write_video(tmp_path / f"{name}.mp4", np.full((4, 32, 32, 3), ord(name), np.uint8), 2)
        videos[name] = tmp_path / f"{name}.mp4"
    from pathlib import Path

    write, written = Path.write_bytes, []

    def fills(self, data):
        written.append(self)
        if len(written) == 3:  # after features.json and a.npy
            write(self, data[:20])  # a part of it still fits
            raise OSError(28, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fills)
    with pytest.raises(
        ExtractionError,
        match=r"cannot write .*b\.npy \(No space left on device\): free some space or "
        "choose another place, and run again; what is finished is kept",
    ):
        write_features(videos, net, tmp_path / "out", progress=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.npy", "features.json"]
    monkeypatch.undo()
    report = write_features(videos, net, tmp_path / "out", progress=False)
    assert report.kept == ["a"] and report.written == ["b", "c"]
    np.testing.assert_array_equal(load_features(tmp_path / "out" / "b.npy"), extract_features(videos["b"], net))


def _extract_all(videos, net, out, start):
    torch.set_num_threads(1)
    start.wait()
    write_features(videos, net, out, progress=False)


@pytest.mark.parametrize("out", ["folder", "all.safetensors"])
def test_processes_that_write_the_same_features(tmp_path, net, out):
    """Both end well, and what they leave is whole and right."""
    videos = {}
    for number in range(6):
        write_video(tmp_path / f"{number}.mp4", np.full((4, 32, 32, 3), 40 * number, np.uint8), 2)
        videos[str(number)] = tmp_path / f"{number}.mp4"
    context = multiprocessing.get_context("fork")
    start = context.Event()
    processes = [context.Process(target=_extract_all, args=(videos, net, tmp_path / out, start)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    for name, path in videos.items():
        place = tmp_path / out / f"{name}.npy" if out == "folder" else f"{tmp_path / out}::{name}"
        np.testing.assert_allclose(load_features(place), extract_features(path, net), rtol=2e-3, atol=1e-3)
    assert not list(tmp_path.rglob(".*part")) and not list(tmp_path.glob("*.parts"))


def test_a_file_that_vanishes_while_others_are_read(tmp_path, searcher):
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", np.full((4, 32, 32, 3), 90, np.uint8), 2)
    paths = find_videos(tmp_path)
    paths[0].unlink()
    hits, skipped = search("a pot", paths, searcher, index=tmp_path / "index", progress=False)
    assert [hit.path.name for hit in hits] == ["b.mp4"] and "does not exist" in skipped[0][1]
    with pytest.raises(VideoError, match="does not exist"):
        list(windows(paths[0], 1.0, 2, 16))
