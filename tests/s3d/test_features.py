"""One vector per second of any video file: right frames at any rate, constant memory, files whole or not at all."""

import json
import resource
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from minivl.config import BUNDLED, S3DConfig
from minivl.data.features import load_features
from minivl.data.schema import load_split
from minivl.data.video import VideoError, write_video
from minivl.s3d.features import ExtractionError, extract_features, seconds_of_video, stream_features, write_features
from minivl.s3d.model import S3D

CONFIG = S3DConfig(width=0.125, feature_dim=16, embed_dim=8, image_size=16, frames_per_second=4)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = S3D(CONFIG)
    for _ in range(20):
        net(torch.rand(4, 3, 4, 16, 16))
    return net.eval()


def grey(values, height=16, width=16):
    """Frames of one grey each."""
    return np.stack([np.full((height, width, 3), value, np.uint8) for value in values])


def write_stamped(path, frames, milliseconds):
    """A file of a variable rate; every frame is a key frame."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4" if path.suffix == ".mp4" else "libvpx", rate=25, options={"g": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for image, stamp in zip(frames, milliseconds, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def greys(path, rate=4):
    """The grey of every sampled frame, one list per second."""
    return [second.mean(axis=(1, 2, 3)).round().astype(int).tolist() for second in seconds_of_video(path, rate, 16)]


def assert_greys(got, expected):
    assert np.shape(got) == np.shape(expected)
    assert np.abs(np.subtract(got, expected)).max() <= 4  # what the codecs lose


@pytest.mark.parametrize("fps", [4, 8, 25, 30, 30000 / 1001])
def test_samples_are_what_is_on_screen(tmp_path, fps):
    count = round(3 * fps)  # three seconds, growing brighter
    write_video(tmp_path / "a.mp4", grey(np.linspace(20, 230, count)), fps)
    on_screen = [int(second / 4 * fps + 1e-6) for second in range(12)]
    assert_greys(greys(tmp_path / "a.mp4"), np.linspace(20, 230, count)[on_screen].reshape(3, 4))


def test_slow_videos_repeat_frames(tmp_path):
    write_video(tmp_path / "a.mp4", grey([50, 100, 200]), 0.5)
    assert_greys(greys(tmp_path / "a.mp4"), [[50] * 4, [50] * 4, [100] * 4, [100] * 4, [200] * 4])


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_variable_rate(tmp_path, suffix):
    path = write_stamped(tmp_path / f"a{suffix}", grey([30, 60, 90, 150, 210]), [0, 260, 490, 1750, 2000])
    assert_greys(greys(path), [[30, 30, 90, 90], [90, 90, 90, 150], [210] * 4])


def test_rounded_time_stamps(tmp_path):
    """webm knows milliseconds only, but every frame of 16 per second is still seen once."""
    values = np.linspace(20, 230, 16)
    path = write_stamped(tmp_path / "a.webm", grey(values), [int(np.ceil(1000 * i / 16)) for i in range(16)])
    assert_greys(greys(path, rate=16), values[None])


def test_a_clip_that_does_not_begin_at_zero(tmp_path):
    path = write_stamped(tmp_path / "a.webm", grey([30, 90, 150]), [5000, 5500, 6000])
    assert_greys(greys(path), [[30, 30, 90, 90], [150] * 4])


def test_the_last_second_is_that_of_the_last_frame(tmp_path):
    for count, seconds in ((1, 1), (4, 1), (5, 2), (8, 2)):
        write_video(tmp_path / "a.mp4", grey([100] * count), 4)
        assert len(greys(tmp_path / "a.mp4")) == seconds


@pytest.mark.parametrize("stamps", [[0, 500, 10**9], [0, 10**9, 10**9 + 500]])
def test_time_stamps_that_leap_do_not_make_years_of_video(tmp_path, stamps):
    path = write_stamped(tmp_path / "a.webm", grey([30, 90, 150]), stamps)
    assert 1 <= len(greys(path)) <= 2


def test_the_middle_square_is_seen(tmp_path):
    frames = grey([0] * 4, height=16, width=48)
    frames[:, :, 16:32] = 200
    write_video(tmp_path / "a.mp4", frames, 4)
    assert_greys(greys(tmp_path / "a.mp4"), [[200] * 4])


@torch.no_grad()
def test_features_are_those_of_the_network(net, tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (11, 4, 4, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    write_video(tmp_path / "a.mp4", frames, 4)
    features = extract_features(tmp_path / "a.mp4", net, batch_size=2)
    decoded = torch.from_numpy(np.concatenate(list(seconds_of_video(tmp_path / "a.mp4", 4, 16))))
    assert features.shape == (3, 16) and features.dtype == np.float32
    np.testing.assert_allclose(features, net(net.segments(decoded)).features, atol=1e-6)
    net.train()
    batches = list(stream_features(tmp_path / "a.mp4", net, batch_size=2))
    assert [len(batch) for batch in batches] == [2, 1] and not net.training
    np.testing.assert_allclose(np.concatenate(batches), features, atol=1e-6)


def test_memory_does_not_grow_with_the_video(net, tmp_path):
    def peak(count):
        write_video(tmp_path / "a.mp4", grey([100] * count, 128, 128), 8)
        tracemalloc.start()
        for _ in stream_features(tmp_path / "a.mp4", net):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(80)
    assert peak(800) < peak(80) + 128 * 128 * 3 * 8  # ten times as long; a second of frames more at most


# Files of features


def kitchen(count):
    rows = load_split(BUNDLED / "kitchen", "val").select(range(count))
    return {row["video_id"]: row["video"]["path"] for row in rows}


@pytest.fixture
def small_disk():
    """From now on no file can grow beyond so many bytes: a real failure of the write."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_folder_of_features(net, tmp_path):
    videos = kitchen(2)
    report = write_features(videos, net, tmp_path / "out", progress=False)
    assert report.written == list(videos) and not report.kept and not report.failed
    for name, path in videos.items():
        np.testing.assert_array_equal(load_features(tmp_path / "out" / f"{name}.npy"), extract_features(path, net))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"features.json", *(f"{name}.npy" for name in videos)}
    assert json.loads((tmp_path / "out" / "features.json").read_text())["feature_rate"] == 1.0


def test_an_interrupted_call_goes_on(net, tmp_path, monkeypatch):
    first, second = kitchen(2).items()
    write_features(dict([first]), net, tmp_path, progress=False)
    before = (tmp_path / f"{first[0]}.npy").stat().st_mtime_ns
    report = write_features(dict([first, second]), net, tmp_path, progress=False)
    assert report.kept == [first[0]] and report.written == [second[0]]
    assert (tmp_path / f"{first[0]}.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("out", ["folder", "features.safetensors"])
def test_bad_files_are_reported_and_left_out(net, tmp_path, out):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    videos = kitchen(1) | {"bad": tmp_path / "bad.mp4", "../outside": next(iter(kitchen(1).values()))}
    with pytest.warns(UserWarning, match="2 of 3 videos have no features") as warned:
        report = write_features(videos, net, tmp_path / out, progress=False)
    assert list(report.failed) == ["bad", "../outside"] and "no video" in report.failed["bad"]
    assert "bad" in str(warned[0].message) and not (tmp_path / "outside.npy").exists()
    assert report.written == list(kitchen(1))


@pytest.mark.parametrize("out", ["folder", "features.safetensors"])
def test_nothing_to_write(net, tmp_path, out):
    with pytest.raises(ValueError, match="no videos"):
        write_features({}, net, tmp_path / out)
    with pytest.raises(ExtractionError, match="none of 1 videos can be read:\n  .*a.mp4: does not exist"):
        write_features({"a": tmp_path / "a.mp4"}, net, tmp_path / out, progress=False)


def test_one_file_for_all_videos(net, tmp_path):
    videos, out = kitchen(3), tmp_path / "features.safetensors"
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    videos["bad"] = tmp_path / "bad.mp4"
    with pytest.warns(UserWarning):
        write_features(videos, net, out, progress=False)
    assert {p.name for p in tmp_path.iterdir()} == {"bad.mp4", "features.safetensors"}
    for name, path in kitchen(3).items():
        features = extract_features(path, net)
        np.testing.assert_allclose(load_features(f"{out}::{name}"), features, rtol=1e-3, atol=1e-6)
    again = write_features(videos, net, out, progress=False)
    assert again.kept == list(kitchen(3)) and list(again.failed) == ["bad"] and not again.written
    with pytest.raises(ExtractionError, match="was made without new"):
        write_features(videos | {"new": tmp_path / "bad.mp4"}, net, out)
    out.write_bytes(b"damaged")
    with pytest.raises(ExtractionError, match="is damaged"):
        write_features(videos, net, out)


@pytest.mark.parametrize("out", ["folder", "features.safetensors"])
def test_features_of_two_networks_are_not_mixed(net, tmp_path, out):
    write_features(kitchen(1), net, tmp_path / out, progress=False)
    with pytest.raises(ExtractionError, match="another network"):
        write_features(kitchen(2), S3D(CONFIG), tmp_path / out, progress=False)


def test_disk_full(net, tmp_path, small_disk):
    first, second = kitchen(2).items()
    write_features(dict([first]), net, tmp_path / "out", progress=False)
    small_disk(600)
    with pytest.raises(ExtractionError, match=rf"cannot write .*{second[0]}.npy .*free some space"):
        write_features(dict([first, second]), net, tmp_path / "out", progress=False)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"features.json", f"{first[0]}.npy"}


def test_damaged_video(tmp_path):
    write_video(tmp_path / "a.mp4", grey(range(40)), 4)
    whole = (tmp_path / "a.mp4").read_bytes()
    Path(tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="cut off"):
        list(seconds_of_video(tmp_path / "cut.mp4", 4, 16))
