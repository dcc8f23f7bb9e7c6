"""HowTo100M: shards are made once, read lazily, and made anew when what they come from changes."""

import json
import multiprocessing
import pickle
import shutil
import tracemalloc
import warnings

import numpy as np
import pytest

from helpers import corpora_samples as samples
from minivl.data.corpora import check, howto100m, load, shards
from minivl.data.features import load_features
from minivl.data.schema import SchemaError


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "VIDEOS", 4)
    monkeypatch.setattr(shards, "BATCH", 2)


@pytest.mark.parametrize("pickled", [False, True])
def test_shards_hold_every_video_in_the_order_of_the_captions(tmp_path, pickled):
    folder = samples.howto100m(tmp_path, videos=10, pickled=pickled)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = load("howto100m", folder, "train")
    assert sorted(path.name for path in (folder / "prepared").iterdir()) == [
        "index.json",
        "shard-00000.arrow",
        "shard-00001.arrow",
        "shard-00002.arrow",
    ]
    assert list(rows["video_id"]) == [f"vid-{n:05d}" for n in range(10)]
    assert rows[7]["transcript"][:2] == [
        {"text": "vid-00007 says 0", "start": 0, "end": 3},
        {"text": "vid-00007 says 1", "start": 2, "end": 5},
    ]
    assert load_features(rows[7]["features"])[3, 0] == 703 and rows[7]["feature_rate"] == 1
    assert load("howto100m", folder, "train", subset=5).to_list() == rows.to_list()[:5]
    assert "transcript" not in load("howto100m", folder, "train", transcripts=False).column_names


def test_shards_are_made_anew_when_files_change(tmp_path):
    folder = samples.howto100m(tmp_path, videos=3)
    load("howto100m", folder, "train")
    index = folder / "prepared/index.json"
    stamp = index.stat().st_mtime_ns
    load("howto100m", folder, "train")
    assert index.stat().st_mtime_ns == stamp, "nothing changed"
    samples.howto100m(folder, videos=5)
    assert len(load("howto100m", folder, "train")) == 5
    (folder / "features").rename(tmp_path / "moved")
    rows = load("howto100m", folder, "train", media=tmp_path / "moved", feature_rate=2.0)
    assert rows[0]["features"] == str(tmp_path / "moved/vid-00000.npy") and rows[0]["feature_rate"] == 2
    (folder / "prepared/shard-00001.arrow").unlink()
    assert len(load("howto100m", folder, "train", media=tmp_path / "moved")) == 5
    index.write_text("{broken")
    assert len(load("howto100m", folder, "train", media=tmp_path / "moved")) == 5


def test_what_is_left_out_is_counted(tmp_path):
    folder = samples.howto100m(tmp_path, videos=6)
    captions = json.loads((folder / "raw_caption.json").read_text())
    captions["vid-00000"] = {"start": [], "end": [], "text": []}
    captions["vid-00001"]["text"][2] = None
    captions["vid-00001"]["start"][0], captions["vid-00001"]["end"][0] = 3, 0
    captions["unlisted"] = captions.pop("vid-00002")
    text = json.dumps(captions)[:-1] + f', "vid-00003": {json.dumps(samples.sentences("again", 1))}}}'
    samples.write(folder / "raw_caption.json", text)
    (folder / "features/vid-00005.npy").unlink()
    table = folder / "HowTo100M.csv"
    samples.write(table, table.read_text() + "vid-00004,vid-00004.npy\n")
    with pytest.warns(UserWarning) as caught:
        rows = load("howto100m", folder, "train")
    said = str(caught[0].message)
    assert [row["video_id"] for row in rows] == ["vid-00001", "vid-00003", "vid-00004"]
    assert len(rows[0]["transcript"]) == 6 and rows[0]["transcript"][0]["end"] == 3
    for line in (
        "1 videos without a sentence, left out: vid-00000",
        "1 videos with sentences that are not text",
        "1 reversed segments, turned round: vid-00001 [3, 0]",
        "1 videos with captions twice",
        "1 videos without captions, left out: vid-00002",
        "1 videos without features on disk, left out",
        "1 lines that are there twice, read once",
    ):
        assert line in said and line in (folder / "prepared/index.json").read_text()
    report = check("howto100m", folder)
    assert any("features of 1 videos in" in line for line in report.missing) and "vid-00001 [3, 0]" in str(report)


@pytest.mark.parametrize(
    "change, reason",
    [
        (
            lambda f: samples.write(f / "raw_caption.json", '{"vid-00000": {"start": [1],\n "end": [2], "tex'),
            "valid JSON",
        ),
        (
            lambda f: samples.write(f / "raw_caption.json", {"vid-00000": {"start": [1], "text": ["a"]}}),
            "must hold lists",
        ),
        (lambda f: samples.write(f / "raw_caption.json", {"other": samples.sentences("o", 2)}), "has no rows"),
        (lambda f: samples.write(f / "HowTo100M.csv", "video_id,feature_file\nv,a.npy\nv,b.npy\n"), "line 3 names 'v'"),
        (lambda f: samples.write(f / "HowTo100M.csv", "video_id,task\nv,3\n"), "the columns video_id, feature_file"),
        (lambda f: (f / "HowTo100M.csv").unlink(), "(?s)has no HowTo100M.csv.*Layout"),
        (
            lambda f: (f / "raw_caption.json").unlink(),
            "(?s)has no raw_caption.json or caption.json or caption.pi.*Layout",
        ),
    ],
)
def test_broken_files_are_named_and_leave_nothing_behind(tmp_path, change, reason):
    folder = samples.howto100m(tmp_path, videos=3)
    change(folder)
    with pytest.raises((SchemaError, FileNotFoundError), match=reason):
        load("howto100m", folder, "train")
    assert not list(folder.glob("prepared*"))
    if reason != "has no rows":
        assert not check("howto100m", folder).ok


def test_a_hostile_caption_pickle_is_refused(tmp_path):
    folder = samples.howto100m(tmp_path, videos=3, pickled=True)

    class Hostile:
        def __reduce__(self):
            return (shutil.rmtree, (str(folder),))

    (folder / "caption.pickle").write_bytes(pickle.dumps({"vid-00000": Hostile()}))
    with pytest.raises(SchemaError, match="caption.pickle is refused: it names shutil"):
        load("howto100m", folder, "train")
    assert folder.is_dir()


def test_a_check_looks_into_features(tmp_path):
    folder = samples.howto100m(tmp_path, videos=3)
    (folder / "features/vid-00001.npy").write_bytes(b"broken")
    np.save(folder / "features/vid-00002.npy", np.zeros((4, 9)))
    report = check("howto100m", folder)
    assert not (folder / "prepared").exists() and "not prepared yet" in str(report)
    assert "vid-00001.npy cannot be read" in str(report) and "8 or 9 numbers per row" in str(report)


@pytest.mark.parametrize("prepared", [False, True])
def test_features_shorter_than_the_captions_are_found(tmp_path, prepared):
    folder = samples.howto100m(tmp_path, videos=3, count=20)  # speech up to second 41, 40 rows
    if prepared:
        howto100m.prepare(folder)
    assert check("howto100m", folder).ok
    np.save(folder / "features/vid-00002.npy", np.zeros((35, 8)))
    report = check("howto100m", folder)
    assert len(report.broken) == 1 and "vid-00002.npy is shorter than its captions: 35 seconds" in report.broken[0]


def _prepare(folder):
    howto100m.prepare(folder)


def test_two_processes_may_prepare_at_once(tmp_path):
    folder = samples.howto100m(tmp_path, videos=40)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_prepare, args=(folder,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert [path.name for path in folder.glob("prepared*")] == ["prepared"]
    assert len(load("howto100m", folder, "train")) == 40


def peak(function):
    tracemalloc.start()
    function()
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest


def test_memory_does_not_grow_with_the_number_of_shards(tmp_path, monkeypatch):
    """Five times as many videos take no more memory, neither to sort captions nor to read the shards."""
    monkeypatch.setattr(shards, "VIDEOS", 32)
    monkeypatch.setattr(shards, "BATCH", 8)
    monkeypatch.setattr("minivl.data.corpora.files.CHUNK", 1 << 14)
    monkeypatch.setattr("minivl.data.corpora.narrations.tqdm", lambda rows, **_: rows)
    sorting, reading = [], []
    for videos in (64, 64, 320):  # the first time pays for imports
        folder = samples.howto100m(tmp_path / f"{len(sorting)}", videos=videos, count=100)
        sorting.append(peak(lambda folder=folder: howto100m.prepare(folder)))
        written = sorted(str(path) for path in (folder / "prepared").glob("*.arrow"))
        reading.append(peak(lambda written=written: sum(1 for _ in shards.read_shards(written))))
    assert sorting[2] < 1.3 * sorting[1] and reading[2] < 1.3 * reading[1]
