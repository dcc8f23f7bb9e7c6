"""Search of videos by text: the index on disk, where in a long video an answer is, and what goes wrong with files."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import time
import tracemalloc
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from minivl.clip import ModelError
from minivl.clip.model import KITCHEN as KITCHEN_CLIP
from minivl.config import BUNDLED, InputConfig
from minivl.data.folder import find_videos
from minivl.data.images import preprocess
from minivl.data.sampling import sample_frames
from minivl.data.video import VideoError, write_video
from minivl.tasks.clip import faiss_lists
from minivl.tasks.clip import index as search_index
from minivl.tasks.clip import search as search_module
from minivl.tasks.clip.index import SearchIndex
from minivl.tasks.clip.models import find_model
from minivl.tasks.clip.search import Hit, Searcher, frames_of, index_place, open_searcher, search, sureness

KITCHEN = BUNDLED / "kitchen" / "test"


@pytest.fixture(scope="module")
def kitchen():
    return open_searcher("kitchen")


class Brightness(nn.Module):
    """A model whose embedding is the angle that the mean brightness of a window gives; the query is bright."""

    config = "brightness"

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def encode_video(self, frames):
        angle = frames.mean((1, 2, 3, 4)) * np.pi / 2  # (B,)
        return torch.stack([angle.cos(), angle.sin()], 1), None

    def encode_caption(self, ids, mask):
        return torch.tensor([[0.0, 1.0]])


class GreyClip:
    image_size, resizing, interpolation, name = 16, "shortest", "bicubic", "grey"

    def preprocess(self, frames):
        return preprocess(frames, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def grey(monkeypatch):
    monkeypatch.setattr(search_module, "tokenize", lambda *_: (torch.zeros(1, 1), torch.zeros(1, 1)))
    return searcher_of(Brightness(), 10.0)


def searcher_of(model, window, kind=Searcher):
    """A searcher with a model of this test's."""
    inputs = InputConfig(max_frames=4, frames_per_second=1.0)
    return kind(model, None, inputs, "a model", lambda: (GreyClip(), model), window, processes=1)


def encoded(searcher, path):
    return dict(searcher.encode_videos([path]))[path]


def video(path, *greys, fps=1):
    """A clip with a frame of each grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.stack([np.full((16, 16, 3), grey, np.uint8) for grey in greys]), fps)
    return path


class Counting:
    """An encoder that writes down what it encodes: the first byte of a file is its embedding."""

    def __init__(self, stop_at=None):
        self.seen, self.stop_at = [], stop_at

    def __call__(self, paths):
        for path in paths:
            yield path, self.encode(path)

    def encode(self, path):
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(path.name)
        if path.read_bytes() == b"bad":
            return VideoError(path, "is bad")
        return [(0.0, 1.0), (1.0, 2.0)], np.array([[path.read_bytes()[0], 1], [path.read_bytes()[0], 2]], np.float32)


def files(folder, count, first=0):
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number:03d}.mp4").write_bytes(bytes([number]))
    return sorted(folder.glob("*.mp4"))


def updated(place, folder, paths, encoder=None):
    """(the index, what had to be encoded)."""
    index, encoder = SearchIndex(place, folder), encoder or Counting()
    with index.locked():
        index.update(paths, encoder, progress=False)
    return index, encoder.seen


def stored(index):
    return sum(count for count, _ in index.parts.values())


def contents(index, paths):
    """Embeddings by file and window."""
    with index.locked():
        keys, rows = index.embeddings()
    return {path.name: rows[np.isin(keys, list(index.windows(path)[0]))].tolist() for path in paths}


# Answers


@torch.inference_mode()
def test_scores_are_those_of_retrieval(kitchen, tmp_path):
    """A short clip is encoded as training and evaluation see it, whether it comes from its file or from the index."""
    paths = find_videos(KITCHEN)[:5]
    inputs, (clip, model) = kitchen.inputs, kitchen.load()
    ids, mask = search_module.tokenize(clip.tokenizer, ["a red pot"], inputs.max_words)
    text, expected = model.encode_caption(ids, mask), {}
    for path in paths:
        pixels = preprocess(
            sample_frames(path, inputs.max_frames, inputs.frames_per_second)[0], clip.image_size, clip.mean, clip.std
        )[None]
        expected[path] = model.similarity(text, model.encode_video(pixels)[0]).item()
    for _ in range(2):
        hits, skipped = search("a red pot", paths, kitchen, top=9, index=tmp_path, progress=False)
        assert {hit.path: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6) and not skipped
        assert [hit.path for hit in hits] == sorted(paths, key=expected.get, reverse=True)
        assert not any(hit.part or hit.place for hit in hits)


def test_all_readable_files_are_ranked_and_the_others_named(kitchen, tmp_path):
    for path in find_videos(KITCHEN)[:3]:
        shutil.copy(path, tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    noise = np.random.default_rng(0).integers(0, 255, (1, 90, 70, 3), dtype=np.uint8)
    write_video(tmp_path / "one_frame.mp4", noise, fps=1)  # one frame, not square, slower than the sampling rate
    hits, skipped = search("a red pot", find_videos(tmp_path), kitchen, index=tmp_path / "index", progress=False)
    assert len(hits) == 4 and [path.name for path, _ in skipped] == ["broken.mp4"] and "no video" in skipped[0][1]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(search("x", find_videos(tmp_path), kitchen, top=2, index=tmp_path / "index", progress=False)[0]) == 2


def test_a_folder_of_bad_files_only(grey, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match=r"none of 1 videos can be read:\n.*a\.mp4: is empty"):
        search("x", find_videos(tmp_path), grey, index=tmp_path / "index", progress=False)
    with pytest.raises(ValueError, match="no videos to search"):
        search("x", [], grey)


def test_a_file_of_a_folder_is_searched_alone(grey, tmp_path):
    dark, bright = video(tmp_path / "a" / "dark.mp4", 10, 10), video(tmp_path / "bright.mp4", 200, 200)
    assert search("x", [dark, bright], grey, folder=tmp_path, index=tmp_path / "i", progress=False)[0][0].path == bright
    hits, _ = search("x", [dark], grey, folder=tmp_path, index=tmp_path / "i", progress=False)
    assert [hit.path for hit in hits] == [dark]


def test_embeddings_that_are_no_numbers_are_an_error(grey, tmp_path):
    class Broken(Brightness):
        def encode_video(self, frames):
            return torch.full((len(frames), 2), torch.nan), None

    path = video(tmp_path / "a.mp4", 10)
    with pytest.raises(ModelError, match="not finite"):
        search("x", [path], dataclasses.replace(grey, load=lambda: (GreyClip(), Broken())), index=tmp_path / "i")


def test_small_models_run_on_one_thread(grey, tmp_path):
    seen = []

    class Asking(Brightness):
        def encode_video(self, frames):
            seen.append(torch.get_num_threads())
            return super().encode_video(frames)

    path, before = video(tmp_path / "a.mp4", 10), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(dataclasses.replace(grey, load=lambda: (GreyClip(), Asking())).encode_videos([path]))
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# Long videos


def test_an_answer_says_where_in_a_long_video(grey, tmp_path):
    """A minute that is bright from second 20 to 30 only, and two answers from the same file."""
    path = video(tmp_path / "long.mp4", *[20] * 20, *[220] * 10, *[60] * 35)
    hits, _ = search("bright", [path], grey, index=tmp_path, progress=False)
    assert len(hits) == 5 and (hits[0].start, hits[0].end) == (20.0, 30.0) and hits[0].place == ", 0:20 - 0:30"
    assert hits[1].start >= 30 and hits[1].score < hits[0].score - 0.1
    assert abs(frames_of(hits[0], grey).mean() - 220) < 4 and frames_of(hits[0], grey).shape == (4, 16, 16, 3)
    spans, rows = encoded(grey, path)
    assert spans == [(0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, 60), (60, 65)] and rows.shape == (7, 2)


def test_places_are_by_time_stamps(grey, tmp_path):
    """A phone slows down in the dark: half of the frames are in the last tenth of the time."""
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.height = stream.width = 16
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        stamps = [*range(0, 36_000, 1000), *range(36_000, 40_000, 100)]
        for stamp in stamps:
            level = 220 if 10_000 <= stamp < 20_000 else 20
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    hits, _ = search("bright", [tmp_path / "a.mp4"], grey, index=tmp_path, progress=False)
    assert (hits[0].start, hits[0].end) == (10.0, 20.0)


@pytest.mark.parametrize("seconds, windows", [(15, 1), (16, 2), (20, 2), (21, 3)])
def test_up_to_one_and_a_half_windows_are_a_clip(grey, tmp_path, seconds, windows):
    spans, rows = encoded(grey, video(tmp_path / "a.mp4", *[100] * seconds))
    assert len(spans) == len(rows) == windows and spans[0][0] == 0
    assert seconds <= spans[-1][1] <= seconds + 2.5  # a sample stands for two and a half seconds


def test_times_are_easy_to_read():
    def place(start, end):
        return Hit("a", 0.0, start, end, True).place

    assert place(0, 30) == ", 0:00 - 0:30" and place(570, 600.2) == ", 9:30 - 10:00"
    assert place(3599.7, 7265) == ", 1:00:00 - 2:01:05"


def test_memory_does_not_grow_with_the_video(grey, tmp_path):
    def peak(seconds):
        write_video(tmp_path / "a.mp4", np.broadcast_to(np.uint8(100), (seconds, 32, 32, 3)), 1)
        tracemalloc.start()
        windows = sum(1 for _ in grey.reader.windows(tmp_path / "a.mp4"))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return windows, highest

    peak(60)
    (few, short), (many, long) = peak(60), peak(3600)
    assert (few, many) == (6, 360) and long < short + 30_000  # an hour; ten of its frames have 30 kB


# The index


def test_only_new_and_changed_files_are_encoded(tmp_path):
    paths = files(tmp_path / "videos", 3)
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == ["000.mp4", "001.mp4", "002.mp4"]
    assert updated(tmp_path / "i", tmp_path / "videos", paths)[1] == []
    (tmp_path / "videos" / "001.mp4").write_bytes(b"\x50 changed")
    paths = files(tmp_path / "videos", 1, first=3) and sorted((tmp_path / "videos").glob("*.mp4"))
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == ["001.mp4", "003.mp4"]
    assert contents(index, paths) == {
        "000.mp4": [[0, 1], [0, 2]],
        "001.mp4": [[80, 1], [80, 2]],
        "002.mp4": [[2, 1], [2, 2]],
        "003.mp4": [[3, 1], [3, 2]],
    }
    os.utime(paths[0], ns=(1, 1))  # the same size, another time
    assert updated(tmp_path / "i", tmp_path / "videos", paths)[1] == ["000.mp4"]


def test_removed_files_are_forgotten(tmp_path):
    paths = files(tmp_path / "videos", 6)
    updated(tmp_path / "i", tmp_path / "videos", paths)
    for path in paths[:4]:
        path.unlink()
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths[4:])
    assert seen == [] and set(index.files) == {"004.mp4", "005.mp4"} and index.count == 4
    assert stored(index) == 4, "their rows are gone from the disk, too"
    assert contents(index, paths[4:]) == {"004.mp4": [[4, 1], [4, 2]], "005.mp4": [[5, 1], [5, 2]]}
    index, seen = updated(tmp_path / "i", tmp_path / "videos", files(tmp_path / "videos", 1))
    assert seen == ["000.mp4"] and contents(index, paths[:1]) == {"000.mp4": [[0, 1], [0, 2]]}


def test_bad_files_are_remembered_until_they_change(tmp_path):
    paths = files(tmp_path / "videos", 2)
    paths[1].write_bytes(b"bad")
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert index.skipped(paths[1]) == "is bad" and index.skipped(paths[0]) is None and len(seen) == 2
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == [] and index.skipped(paths[1]) == "is bad" and len(index.windows(paths[1])[0]) == 0
    paths[1].write_bytes(b"\x07")
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == ["001.mp4"] and contents(index, paths)["001.mp4"] == [[7, 1], [7, 2]]
    paths[0].write_bytes(b"bad")
    index, _ = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert contents(index, paths)["000.mp4"] == [] and index.skipped(paths[0])


def test_an_interruption_loses_nothing_that_is_done(tmp_path):
    paths = files(tmp_path / "videos", 5)
    with pytest.raises(KeyboardInterrupt):
        updated(tmp_path / "i", tmp_path / "videos", paths, Counting(stop_at=3))
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == ["003.mp4", "004.mp4"] and len(contents(index, paths)) == 5 == index.count // 2


def _encode_until_killed(place, folder, paths, batch):
    search_index.BATCH = batch

    class Killed(Counting):
        def encode(self, path):
            if path.name == "007.mp4":
                os.kill(os.getpid(), 9)
            return super().encode(path)

    updated(place, folder, paths, Killed())


def test_a_killed_process_loses_at_most_a_batch(tmp_path):
    paths = files(tmp_path / "videos", 9)
    process = multiprocessing.get_context("fork").Process(
        target=_encode_until_killed, args=(tmp_path / "i", tmp_path / "videos", paths, 4)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -9
    (tmp_path / "i" / "rows-000000000999.safetensors").write_bytes(b"half a file that was being written")
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == ["006.mp4", "007.mp4", "008.mp4"] and index.count == 18
    assert not (tmp_path / "i" / "rows-000000000999.safetensors").exists()


def _slowly(place, folder, paths, log):
    class Slow(Counting):
        def encode(self, path):
            time.sleep(0.005)
            with open(log, "a") as file:
                file.write(f"{path.name}\n")
            return super().encode(path)

    search_index.BATCH = 4
    updated(place, folder, paths, Slow())


def test_processes_at_the_same_time_share_the_work(tmp_path):
    """None encodes what another has encoded, and all that they write is whole."""
    paths = files(tmp_path / "videos", 30)
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_slowly, args=(tmp_path / "i", tmp_path / "videos", paths, tmp_path / "log"))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted((tmp_path / "log").read_text().split()) == [path.name for path in paths]
    index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert seen == [] and contents(index, paths)["029.mp4"] == [[29, 1], [29, 2]]


def test_many_small_files_of_rows_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(search_index, "BATCH", 2)
    monkeypatch.setattr(search_index, "MOST_SMALL", 3)
    monkeypatch.setattr(search_index, "SMALL", 7)
    everything = files(tmp_path / "videos", 12)
    for count in range(1, 13):
        index, _ = updated(tmp_path / "i", tmp_path / "videos", everything[:count])
        assert len(index.parts) <= 3 + count // 4 and index.count == 2 * count == stored(index)
    assert max(count for count, _ in index.parts.values()) >= 7
    assert contents(index, everything) == {path.name: [[n, 1], [n, 2]] for n, path in enumerate(everything)}
    assert len(list((tmp_path / "i").glob("rows-*"))) == len(index.parts)


def manifest_as(change):
    """Damage that writes another manifest: the text that `change` makes of the old one's content."""

    def damage(place):
        file = place / "manifest.json"
        file.write_text(change(json.loads(file.read_text())))

    return damage


def entry_with(**values):
    """Damage of a file's entry."""
    return manifest_as(lambda old: json.dumps({**old, "files": {**old["files"], "001.mp4": values}}))


def rows_with(change):
    """Damage of rows in a file that can still be read."""

    def damage(place):
        file = next(place.glob("rows-*"))
        rows = change(load_file(file))
        file.unlink()
        save_file(rows, file)

    return damage


ENTRY = {"size": 1, "changed": 0, "first": 2, "windows": [[0.0, 1.0], [1.0, 2.0]]}
DAMAGES = {
    "cut off": lambda place: (place / "manifest.json").write_text("{broken"),
    "nothing": lambda place: (place / "manifest.json").write_bytes(b""),
    "bytes": lambda place: (place / "manifest.json").write_bytes(bytes(range(256))),
    "list": manifest_as(lambda old: "[]"),
    "null": manifest_as(lambda old: "null"),
    "text": manifest_as(lambda old: '"format"'),
    "nested": manifest_as(lambda old: "[" * 100_000),
    "format alone": manifest_as(lambda old: json.dumps({"format": old["format"]})),
    "another version": manifest_as(lambda old: json.dumps({**old, "format": 99})),
    "version of another type": manifest_as(lambda old: json.dumps({**old, "format": [2]})),
    "without parts": manifest_as(lambda old: json.dumps({k: v for k, v in old.items() if k != "parts"})),
    "without entries": manifest_as(lambda old: json.dumps({**old, "files": None})),
    "entries as a list": manifest_as(lambda old: json.dumps({**old, "files": list(old["files"].items())})),
    "another key": manifest_as(lambda old: json.dumps({**old, "next_key": -1})),
    "infinite": entry_with(**{**ENTRY, "windows": [[0.0, float("inf")]]}),
    "nan": entry_with(**{**ENTRY, "windows": [[float("nan"), 1.0]]}),
    "rows of another file": entry_with(**{**ENTRY, "first": 0}),
    "rows that are not there": entry_with(**{**ENTRY, "first": 10**30}),
    "seconds as text": entry_with(**{**ENTRY, "windows": "ab"}),
    "no entry": entry_with(),
    "absolute": manifest_as(lambda old: json.dumps(old).replace("001.mp4", "/etc/hostname")),
    "outside": manifest_as(lambda old: json.dumps(old).replace("rows-", "../rows-")),
    "fewer rows": manifest_as(lambda old: json.dumps(old).replace("[4, ", "[3, ")),
    "a folder": lambda place: ((place / "manifest.json").unlink(), (place / "manifest.json").mkdir()),
    "rows cut off": lambda place: next(place.glob("rows-*")).write_bytes(b"cut off"),
    "rows gone": lambda place: next(place.glob("rows-*")).unlink(),
    "a number is nan": rows_with(lambda rows: {**rows, "embeddings": rows["embeddings"] + np.float32("nan")}),
    "a number is another": rows_with(lambda rows: {**rows, "embeddings": rows["embeddings"] + np.float32(1)}),
    "another shape": rows_with(lambda rows: {**rows, "embeddings": rows["embeddings"][:, :1].copy()}),
    "another type": rows_with(lambda rows: {**rows, "keys": rows["keys"].astype(np.float32)}),
    "other names": rows_with(lambda rows: {"rows": rows["keys"]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_made_anew(tmp_path, damage):
    paths = files(tmp_path / "videos", 2)
    updated(tmp_path / "i", tmp_path / "videos", paths)
    DAMAGES[damage](tmp_path / "i")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        index, seen = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert len(seen) == 2 and contents(index, paths)["001.mp4"] == [[1, 1], [1, 2]]
    assert damage == "a folder" or ["is damaged and made anew" in str(warning.message) for warning in told] == [True]


def test_damaged_rows_of_a_large_index_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(search_index, "CHECKED", 1)
    paths = files(tmp_path / "videos", 2)
    updated(tmp_path / "i", tmp_path / "videos", paths)
    DAMAGES["a number is nan"](tmp_path / "i")
    index, _ = updated(tmp_path / "i", tmp_path / "videos", paths)
    with index.locked(), pytest.raises(ValueError, match="is damaged: remove the folder"):
        index.embeddings()


def test_an_index_of_an_older_format_is_made_anew(tmp_path, monkeypatch):
    paths = files(tmp_path / "videos", 1)
    updated(tmp_path / "i", tmp_path / "videos", paths)
    monkeypatch.setattr(search_index, "FORMAT", 3)
    monkeypatch.setattr(search_index, "OLDER", (2,))
    assert updated(tmp_path / "i", tmp_path / "videos", paths)[1] == ["000.mp4"]


@pytest.mark.parametrize("written", ["rows", "manifest"])
def test_a_full_disk_costs_the_index_not_the_answer(tmp_path, monkeypatch, written):
    paths = files(tmp_path / "videos", 3)
    write = search_index.write_bytes

    def full(path, data):
        if path.name.startswith(written):
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(search_index, "write_bytes", full)
    monkeypatch.setattr(search_index, "BATCH", 2)
    with pytest.warns(UserWarning, match=r"cannot be kept in .* \(No space left on device\).*--index") as caught:
        index, _ = updated(tmp_path / "i", tmp_path / "videos", paths)
    assert len(caught) == 1 and contents(index, paths)["002.mp4"] == [[2, 1], [2, 2]]
    monkeypatch.setattr(search_index, "write_bytes", write)
    assert len(updated(tmp_path / "i", tmp_path / "videos", paths)[1]) == 3


def test_a_place_that_cannot_be_written(grey, tmp_path):
    path = video(tmp_path / "a.mp4", 100, 100)
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be kept"):
        hits, _ = search("x", [path], grey, index=tmp_path / "file", progress=False)
    assert [hit.path for hit in hits] == [path]


def test_nothing_is_written_beside_the_videos(grey, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVL_CACHE", str(tmp_path / "cache"))
    path = video(tmp_path / "videos" / "a.mp4", 100, 100)
    search("x", [path], grey, progress=False)
    assert list((tmp_path / "videos").iterdir()) == [path]
    assert len(list((tmp_path / "cache" / "search").glob("videos-*/manifest.json"))) == 1


def test_another_model_has_another_index(kitchen, tmp_path):
    a, b, _ = (open_searcher(str(shutil.copytree(KITCHEN_CLIP, tmp_path / name))) for name in "abc")
    os.utime(tmp_path / "c" / "open_clip_model.safetensors", ns=(1, 1))
    changed = open_searcher(str(tmp_path / "c"))
    others = [
        changed,
        dataclasses.replace(a, window=5.0),
        dataclasses.replace(a, model_identity=find_model("kitchen").identity()),  # it samples frames differently
    ]
    places = [index_place(tmp_path, searcher, tmp_path) for searcher in (a, b, *others)]
    assert places[0] == places[1] and len(set(places)) == 4
    assert index_place(tmp_path / "other", kitchen, tmp_path) != index_place(tmp_path, kitchen, tmp_path)


def test_a_manifest_is_plain_json(tmp_path):
    updated(tmp_path / "i", tmp_path / "videos", files(tmp_path / "videos", 1))
    manifest = json.loads((tmp_path / "i" / "manifest.json").read_text())
    assert manifest["files"]["000.mp4"]["windows"] == [[0.0, 1.0], [1.0, 2.0]]


# Large collections


@pytest.fixture
def large(tmp_path, monkeypatch):
    """An index of 3,000 windows of 1,000 files, and the searcher that reads it."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(faiss_lists, "EXACT", 100)
    monkeypatch.setattr(search_module, "tokenize", lambda *_: (torch.zeros(1, 1), torch.zeros(1, 1)))
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 8))

    class Random(Brightness):
        query = torch.from_numpy(centres[3:4] + 0.1).float()

        def encode_caption(self, ids, mask):
            return self.query

    class Many(Searcher):
        def encode_videos(self, paths):
            for path in paths:
                own = np.random.default_rng(path.read_bytes()[0] * 256 + path.read_bytes()[1])
                rows = centres[own.integers(40)] + 0.4 * own.normal(size=(3, 8))
                yield path, ([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], rows.astype(np.float32))

    (tmp_path / "videos").mkdir()
    for number in range(1000):
        (tmp_path / "videos" / f"{number:04d}.mp4").write_bytes(bytes(divmod(number, 256)))
    searcher = searcher_of(Random(), 30.0, Many)

    def answers(exact=False):
        monkeypatch.setattr(faiss_lists, "EXACT", 10**9 if exact else 100)
        paths = sorted((tmp_path / "videos").glob("*.mp4"))
        return [
            (hit.path.name, hit.start, round(hit.score, 5))
            for hit in search("x", paths, searcher, 10, index=tmp_path / "i", progress=False)[0]
        ]

    return tmp_path, answers


def lists_of(folder):
    return next((folder / "i").glob("*/neighbours.faiss"))


def test_the_vector_index_gives_the_same_answers(large):
    folder, answers = large
    assert answers() == answers(exact=True) and len(answers()) == 10
    stamp = lists_of(folder).stat().st_mtime_ns
    answers()
    assert lists_of(folder).stat().st_mtime_ns == stamp, "it is read, not made again"


def test_the_vector_index_follows_the_files(large):
    folder, answers = large
    best = [name for name, _, _ in answers()]
    for name in set(best[:5]):
        (folder / "videos" / name).unlink()
    (folder / "videos" / "new.mp4").write_bytes(bytes(divmod(int(best[0][:4]), 256)))
    after = answers()
    assert after == answers(exact=True) and after[0][0] == "new.mp4" and not set(best[:5]) & {a[0] for a in after}


def test_without_the_library_all_windows_are_compared(large, monkeypatch):
    folder, answers = large
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.warns(UserWarning, match=r"minivl\[index\]"):
        assert answers() == answers(exact=True)


def test_what_is_no_regular_file_is_named_and_remembered(kitchen, tmp_path):
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    shutil.copy(find_videos(KITCHEN)[0], tmp_path / "a.mp4")
    hits, skipped = search("a red pot", find_videos(tmp_path), kitchen, index=tmp_path / "index", progress=False)
    assert [hit.path.name for hit in hits] == ["a.mp4"]
    assert [path.name for path, _ in skipped] == ["gone.mp4", "pipe.mp4", "zero.mp4"]


def test_a_broken_link_is_not_read_again(tmp_path):
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")

    asked = []

    def broken(paths):
        asked.append(paths)
        return [(path, VideoError(path, "does not exist")) for path in paths]

    for times in (1, 2):
        index = SearchIndex(tmp_path / "index", tmp_path)
        with index.locked():
            index.update(find_videos(tmp_path), broken, progress=False)
        assert len(asked) == 1, times


def hits(cosine, others):
    """The answer with this cosine among windows with others, as `search` makes it."""
    cosines = np.array([cosine, *others])
    above = (cosine - cosines.mean()) / cosines.std()
    return [Hit(Path("a.mp4"), cosine, 0.0, 4.0, False, above, len(cosines))]


def test_an_answer_stands_out_or_not():
    noise = np.random.default_rng(0).normal(0.2, 0.01, 199).tolist()
    assert sureness(hits(0.3, noise)).startswith("the best stands out: ")
    assert "of 200 windows; chance alone reaches 3.5 in" in sureness(hits(0.3, noise))  # Phi(3.48)^200 = 0.95
    assert sureness(hits(max(noise), noise)).startswith("the best does not stand out: ")
    assert sureness(hits(0.3, noise[:5])) == "6 windows are too few to tell whether the best stands out"
    assert sureness([Hit(Path("a.mp4"), 0.3, 0.0, 4.0, False)]) == ""


def test_words_that_the_kitchen_s_clip_was_never_taught(kitchen):
    assert kitchen.never_read("a red pot, 2 KIWIS and a dog") == ["kiwis", "dog"]
    assert dataclasses.replace(kitchen, vocabulary=None).never_read("a dog") == []


def test_how_far_the_best_is_above_all_windows(kitchen, tmp_path):
    paths = sorted((BUNDLED / "kitchen" / "val").glob("*.mp4"))[:3]
    found, _ = search("a red pot", paths, kitchen, top=3, index=tmp_path, progress=False)
    scores = np.array([hit.score for hit in found])
    assert [hit.above for hit in found] == pytest.approx((scores - scores.mean()) / scores.std(), abs=1e-4)
    assert {hit.among for hit in found} == {3}
