"""Every corpus in its released format becomes rows of the one schema, and what is missing or broken is said."""

import json
import os
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from helpers import corpora_samples as samples
from minivl.data import corpora
from minivl.data.corpora import CORPORA, check, load
from minivl.data.corpora import hub as hub_module
from minivl.data.features import clip_features, load_features
from minivl.data.schema import COLUMNS, SchemaError
from minivl.data.video import probe, write_video

MAKERS = {
    "howto100m": samples.howto100m,
    "youcook2": samples.youcook2_release,
    "msrvtt": samples.msrvtt,
    "lsmdc": samples.lsmdc,
    "activitynet": samples.activitynet,
    "didemo": samples.didemo,
    "coin": samples.coin,
    "crosstask": samples.crosstask,
    "mosi": samples.mosi,
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, np.zeros((8, 16, 16, 3), np.uint8), 4)
    return path.read_bytes()


@pytest.fixture
def make(tmp_path, clip):
    """A function that makes a small corpus in a folder of its own."""

    def make(name, **settings):
        folder = tmp_path / name
        folder.mkdir()
        maker = MAKERS.get(name) or getattr(samples, name)
        return maker(folder, clip, **settings) if name in ("msrvtt", "lsmdc", "didemo") else maker(folder, **settings)

    return make


def rows_of(*arguments, **settings):
    """Rows as a list of dicts, when loading them warns about nothing but the conversion of a pickle."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="converting")
        return load(*arguments, **settings).to_list()


# ---- every corpus


@pytest.mark.parametrize("name", MAKERS)
def test_every_split_fits_the_schema_and_points_to_files(make, name):
    folder = make(name)
    for split in CORPORA[name].CORPUS.splits:
        rows = load(name, folder, split)
        assert len(rows) and set(rows.column_names) <= set(COLUMNS) and set(rows["split"]) == {split}
        for row in rows:
            assert row["video_id"]
            if "video" in row:
                assert Path(row["video"]["path"]).is_absolute() and probe(row["video"]["path"]).num_frames == 8
            else:
                assert row["feature_rate"] == 1.0 and load_features(row["features"]).shape == (40, 8)
            for part in [row, *(row.get("steps") or ()), *(row.get("transcript") or ())]:
                assert part.get("start") is None or 0 <= part["start"] < part["end"]


@pytest.mark.parametrize("name", MAKERS)
def test_a_complete_corpus_checks_out(make, name):
    report = check(name, make(name))
    assert report.ok and not report.missing and not report.broken, str(report)
    assert "nothing is missing" in str(report)
    assert ("holds features of" if name == "youcook2" else "looked into") in str(report)


@pytest.mark.parametrize("name", MAKERS)
def test_subset_takes_the_first_videos(make, name):
    folder = make(name)
    split = CORPORA[name].CORPUS.splits[0]
    everything, some = (load(name, folder, split, subset=subset) for subset in (None, 1))
    first = everything[0]["video_id"]
    assert some.to_list() == [row for row in everything.to_list() if row["video_id"] == first]


@pytest.mark.parametrize("name", MAKERS)
def test_an_empty_folder_is_answered_with_the_layout(tmp_path, name):
    layout = CORPORA[name].CORPUS.layout
    assert layout.startswith("Layout")
    with pytest.raises(FileNotFoundError) as error:
        load(name, tmp_path, CORPORA[name].CORPUS.splits[0])
    assert layout in str(error.value) and str(tmp_path) in str(error.value)
    report = check(name, tmp_path)
    assert not report.ok and report.missing and layout in str(report)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load(name, tmp_path / "nowhere", CORPORA[name].CORPUS.splits[0])
    assert not check(name, tmp_path / "nowhere").ok


@pytest.mark.parametrize("name", MAKERS)
def test_annotations_without_videos_are_answered_with_the_layout(make, name):
    folder = make(name)
    for path in [
        *folder.rglob("*.npy"),
        *folder.rglob("*.mp4"),
        *folder.rglob("*.avi"),
        *folder.rglob("*features*.pickle"),
    ]:
        path.unlink()
    with pytest.raises((FileNotFoundError, SchemaError), match="of none of the|has no rows"):
        load(name, folder, CORPORA[name].CORPUS.splits[0])
    report = check(name, folder)
    assert not report.ok and any("features" in line for line in report.missing)


@pytest.mark.parametrize("name", MAKERS)
def test_cards_say_what_a_user_needs(name):
    text = corpora.card(name)
    assert all(f"\n{word}" in text for word in ("From", "Licence", "Splits", "Protocols", "Layout"))


@pytest.mark.parametrize("name", MAKERS)
def test_unknown_names_are_answered_with_the_known_ones(make, name):
    folder, corpus = make(name), CORPORA[name].CORPUS
    with pytest.raises(ValueError, match=f"no split 'dev', only {', '.join(corpus.splits)}"):
        load(name, folder, "dev")
    with pytest.raises(ValueError, match=f"no protocol 'full', only {corpus.protocols[0]}"):
        load(name, folder, corpus.splits[0], protocol="full")
    with pytest.raises(ValueError, match="no source 'audio', only features"):
        load(name, folder, corpus.splits[0], source="audio")
    with pytest.raises(ValueError, match="no corpus 'nope', only howto100m"):
        load("nope", folder, "train")


# ---- one corpus each


def test_youcook2_in_univls_layout(make):
    folder = make("youcook2")
    with pytest.warns(UserWarning, match="converting .*youcookii_videos_features.pickle"):
        rows = load("youcook2", folder, "train").to_list()
    assert [(row["video_id"], row["start"], row["end"], row["caption"]) for row in rows] == [
        ("GLd3aX16zBg", 10, 20, "spread margarine on bread"),
        ("GLd3aX16zBg", 20, 31, "place cheese on top"),
        ("fn9anlEL4FI", 3, 9, "cut the onion"),
    ]
    assert [row["transcript"] for row in rows] == [
        [{"text": "so now the butter", "start": 10, "end": 20}],
        [],
        [{"text": "we cut", "start": 3, "end": 9}],
    ]
    video, mask = clip_features(load_features(rows[1]["features"]), 1.0, 20, 31, 48)
    assert mask.sum() == 12 and video[:12, 0].tolist() == list(range(20, 32))  # int(start) .. int(end) + 1, as released
    assert rows_of("youcook2", folder, "train") == rows, "a converted pickle is not converted again"
    assert "transcript" not in rows_of("youcook2", folder, "train", transcripts=False)[0]


def test_youcook2_without_transcripts_and_with_another_pickle_of_features(make):
    folder = make("youcook2", transcripts=False)
    rows = rows_of("youcook2", folder, "val")
    assert "transcript" not in rows[0] and [row["caption"] for row in rows] == ["boil the water", "add salt"]
    newer = {"xHr8X2Wpmno": np.ones((3, 8), np.float16)}
    path = folder / "youcookii_videos_features.pickle"
    path.write_bytes(pickle.dumps(newer))
    stamp = (folder / "youcookii_videos_features.safetensors").stat().st_mtime + 5
    os.utime(path, (stamp, stamp))
    assert load_features(rows_of("youcook2", folder, "val")[0]["features"]).tolist() == np.ones((3, 8)).tolist()


def test_youcook2_official(make):
    folder = make("youcook2_official")
    rows = rows_of("youcook2", folder, "val")
    assert [(row["video_id"], row["start"], row["end"], row["caption"], row["task"]) for row in rows] == [
        ("xHr8X2Wpmno", 0, 5.5, "boil the water", "101"),
        ("xHr8X2Wpmno", 7, 9, "add salt", "101"),
    ]
    assert rows[0]["features"].endswith("features/xHr8X2Wpmno.npy") and "transcript" not in rows[0]


def test_msrvtt_protocols(make):
    folder = make("msrvtt")
    train = rows_of("msrvtt", folder, "train")
    assert [row["video_id"] for row in train] == ["video0", "video6513", "video1"]
    assert train[1]["captions"] == ["sentence 0 of 6513, really", "sentence 1 of 6513, really"]
    assert train[0]["video"]["path"] == str(folder / "MSRVTT_Videos/video0.mp4")
    assert [row["video_id"] for row in rows_of("msrvtt", folder, "train", protocol="7k")] == ["video0", "video1"]
    test = rows_of("msrvtt", folder, "test")
    assert [(row["video_id"], row["caption"]) for row in test] == [
        ("video9999", "a man, laughing, sings"),
        ("video7010", "a cat eats"),
    ]
    assert [row | {"split": "test"} for row in rows_of("msrvtt", folder, "val")] == test


def test_msrvtts_captioning_split_goes_by_the_order_of_the_file(make):
    folder = make("msrvtt")
    path = folder / "MSRVTT_data.json"
    content = json.loads(path.read_text())

    def numbers(split):
        with pytest.warns(UserWarning, match="videos without a sentence"):
            rows = load("msrvtt", folder, split, protocol="captioning")
        return [int(video.removeprefix("video")) for video in rows["video_id"]]

    assert [numbers(split) for split in ("train", "val", "test")] == [[0, 1, 2, 6512], [6513, 7009], [7010, 9999]]
    content["videos"].reverse()
    samples.write(path, content)
    assert [numbers(split) for split in ("train", "test")] == [[9999, 7010, 7009, 6513, 6512], [2, 1, 0]]
    content["videos"] = content["videos"][:7010]
    samples.write(path, content)
    with pytest.raises(SchemaError, match="lists 7010 videos: the split by order needs all 10,000"):
        load("msrvtt", folder, "val", protocol="captioning")


def test_lsmdc(make):
    folder = make("lsmdc")
    rows = rows_of("lsmdc", folder, "train")
    assert [row["captions"] for row in rows] == [
        ['SOMEONE says "hi", then leaves.', "He sits down, slowly"],
        ["She waves."],
    ]
    assert "start" not in rows[0], "the files' times are of the film, not of the clip"
    assert [row["captions"] for row in rows_of("lsmdc", folder, "test")] == [["Waves; and a ship."]]


def test_activitynet_paragraphs_and_segments(make):
    folder = make("activitynet")
    (row,) = rows_of("activitynet", folder, "train")
    assert row["caption"] == "A young woman is seen standing. She dances around." and "start" not in row
    assert row["video_id"] == "QOlSCBRmfWY" and row["features"].endswith("v_QOlSCBRmfWY.npy")
    rows = rows_of("activitynet", folder, "train", protocol="segments")  # they overlap, which is no problem here
    assert [(row["start"], row["end"], row["caption"]) for row in rows] == [
        (0.83, 19.86, "A young woman is seen standing."),
        (17.37, 39, "She dances around."),
    ]
    assert rows_of("activitynet", folder, "val")[0]["features"].endswith("/uqiMw7tQ1Cc.npy")
    assert rows_of("activitynet", folder, "val_2")[0]["caption"] == "Two men lift weights."


def test_didemo_paragraphs(make):
    folder = make("didemo")
    rows = rows_of("didemo", folder, "train")
    assert [(row["caption"], row["start"], row["end"]) for row in rows] == [
        ("a cat jumps it sleeps", 0, 30),
        ("a dog runs", 0, 25),
    ]
    assert [Path(row["video"]["path"]).name[-8:] for row in rows] == [".avi.mp4", "7396.mp4"]
    (folder / "train_list.txt").unlink()
    with pytest.warns(UserWarning, match="1 videos without video on disk, left out: not_listed.mov"):
        assert len(load("didemo", folder, "train")) == 2


def test_coin(make):
    folder = make("coin")
    (row,) = rows_of("coin", folder, "train")
    assert row["task"] == "ChangeCarTire" and row["steps"] == [
        {"label": "unscrew the screw", "start": 6, "end": 9},
        {"label": "jack up the car", "start": 10, "end": 14},
    ]
    assert [row["video_id"] for row in rows_of("coin", folder, "test")] == ["4MiubN1oQkg", "cTYg4lDjGgE"]


def test_crosstask_draws(make):
    folder = make("crosstask")
    train, test, val = (rows_of("crosstask", folder, split) for split in ("train", "test", "val"))
    pairs = {
        split: {(row["task"], row["video_id"]) for row in rows}
        for split, rows in (("train", train), ("test", test), ("val", val))
    }
    assert pairs["val"] == {("Make Jello Shots", "video-00000")}
    assert len(pairs["train"]) == 31 and len(pairs["test"]) == 2  # 30 of 32, and all of a task with fewer than 31
    assert not pairs["train"] & pairs["test"] and not pairs["val"] & (pairs["train"] | pairs["test"])
    assert ("Build Simple Floating Shelves", "video-00000") in pairs["train"], "held out for another task only"
    step = next(row for row in train if row["task"] == "Make Jello Shots")["steps"]
    assert step == [
        {"label": "pour water", "start": 2.5, "end": 6.25},
        {"label": "pour jello", "start": 9, "end": 12.5},
        {"label": "stir mixture", "start": 12, "end": 14},
    ]
    again, other = (
        [row["video_id"] for row in rows_of("crosstask", folder, "test", protocol=protocol)]
        for protocol in ("draw-0", "draw-1")
    )
    assert again == [row["video_id"] for row in test] and other != again


def test_mosi(make):
    folder = make("mosi")
    rows = rows_of("mosi", folder, "train")
    assert [(row["video_id"], row["start"], row["end"], row["sentiment"]) for row in rows] == [
        ("03bSnISJMiM", 1.5, 8, 2.4),
        ("03bSnISJMiM", 9.3, 14.9, -1.6),
    ]
    assert rows[1]["transcript"] == [{"text": "BUT THE END UMM NO", "start": 9.3, "end": 14.9}]
    (cut,) = rows_of("mosi", folder, "val")  # its file is already cut
    assert (cut["start"], cut["end"]) == (None, None) and cut["features"].endswith("c5xsKMxpXnc_1.npy")
    assert cut["transcript"] == [{"text": "IT IS A FILM", "start": 0, "end": 2.8}]
    (folder / "cmu_mosi_std_folds.py").unlink()
    samples.write(folder / "splits.json", {"train": ["tmZoasNr4rU"], "val": [], "test": []})
    assert [row["sentiment"] for row in rows_of("mosi", folder, "train")] == [3.0]


def test_mosis_list_of_splits_is_never_run(make, tmp_path):
    folder = make("mosi")
    mark = tmp_path / "ran"
    samples.write(folder / "cmu_mosi_std_folds.py", f"standard_train_fold=[open({str(mark)!r}, 'w').name]\n")
    with pytest.raises(SchemaError, match="cmu_mosi_std_folds.py must assign lists of videos"):
        load("mosi", folder, "train")
    assert not mark.exists()


# ---- where files lie, and which are taken


def test_features_or_videos_and_a_folder_elsewhere(make, tmp_path):
    folder = make("msrvtt")
    elsewhere = tmp_path / "elsewhere" / "deep"
    samples.features(elsewhere, ["video0", "video1"])
    with pytest.warns(UserWarning, match="1 videos without features on disk, left out: video6513"):
        rows = load("msrvtt", folder, "train", media=tmp_path / "elsewhere", feature_rate=2.0)
    assert [row["features"] for row in rows] == [str(elsewhere / "video0.npy"), str(elsewhere / "video1.npy")]
    assert set(rows["feature_rate"]) == {2.0} and "video" not in rows.column_names
    (folder / "more").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(folder)  # links in a circle
    with pytest.warns(UserWarning, match="without features"):
        assert len(load("msrvtt", folder, "train")) == 2, "features come first where there are both"
    assert len(rows_of("msrvtt", folder, "train", source="video")) == 3
    report = check("msrvtt", folder)
    assert any("9k train: features of 1 videos, such as video6513" in line for line in report.missing)


def test_one_video_in_two_files_is_said(make, clip):
    folder = make("msrvtt")
    samples.write(folder / "compressed/video0.avi", "")
    (folder / "compressed/video0.avi").write_bytes(clip)
    with pytest.warns(UserWarning, match="1 videos with more than one file, the first is taken"):
        assert load("msrvtt", folder, "train")[0]["video"]["path"].endswith("MSRVTT_Videos/video0.mp4")


def test_a_check_finds_broken_files(make, clip):
    folder = make("msrvtt")
    (folder / "MSRVTT_Videos/video0.mp4").write_bytes(clip[: len(clip) // 2])
    (folder / "MSRVTT_Videos/video1.mp4").write_bytes(b"")
    report = str(check("msrvtt", folder))
    assert re.search(r"video0.mp4 is cut off: \d+ bytes are missing", report) and "video1.mp4 is empty" in report
    folder = make("coin")
    (folder / "features/4MiubN1oQkg.npy").write_bytes(b"no array")
    np.save(folder / "features/cTYg4lDjGgE.npy", np.zeros((40, 9)))
    report = check("coin", folder)
    assert not report.ok and "4MiubN1oQkg.npy cannot be read" in str(report)
    assert "features of different models: 8 or 9 numbers per row" in report.broken


@pytest.mark.parametrize("name", ["youcook2_official", "coin", "mosi", "activitynet"])
def test_features_shorter_than_the_captions_are_found(make, name):
    folder = make(name)
    for path in folder.rglob("*.npy"):
        np.save(path, np.zeros((2, 8)))
    report = check(name.split("_")[0], folder)
    if name == "activitynet":  # a paragraph is about the whole video, its segments have times
        report.broken = [line for line in report.broken if "QOlSCBRmfWY" in line]
    assert any("is shorter than its captions: 2 seconds of features" in line for line in report.broken)


def test_features_may_end_a_little_before_the_last_caption(make):
    folder = make("coin")  # 4MiubN1oQkg: one step from 3 to 20.5
    np.save(folder / "features/4MiubN1oQkg.npy", np.zeros((16, 8)))
    assert check("coin", folder).ok
    np.save(folder / "features/4MiubN1oQkg.npy", np.zeros((15, 8)))
    assert "15 seconds of features, captions up to second 20.5" in str(check("coin", folder))


def test_features_of_a_clip_that_is_already_cut_are_as_long_as_the_clip(make):
    folder = make("mosi")
    labels = folder / "Raw/Labels/OpinionLevelSentiment.csv"
    labels.write_text(labels.read_text().replace("0.2,3.0,c5", "100.2,103.0,c5"))
    np.save(folder / "features/c5xsKMxpXnc_1.npy", np.zeros((3, 8)))
    assert check("mosi", folder).ok


# ---- the hub


@pytest.fixture
def hub(tmp_path):
    """A dataset in the form of friedrichor/MSR-VTT."""
    folder = tmp_path / "hub"
    samples.write(
        folder / "README.md",
        "---\nconfigs:\n- config_name: train_9k\n  data_files:\n  - split: train\n"
        "    path: train.json\n- config_name: test_1k\n  data_files:\n  - split: test\n"
        "    path: test.json\n---\n",
    )
    samples.write(
        folder / "train.json",
        [
            {"video_id": f"video{n}", "video": f"video{n}.mp4", "caption": texts, "id": n}
            for n, texts in ((0, ["a", "b"]), (5, ["c", "d"]))
        ],
    )
    samples.write(folder / "test.json", [{"video_id": "video1", "video": "video1.mp4", "caption": "e", "id": 3}])
    return f"hub:{folder}"


def test_a_dataset_of_the_hub(make, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = make("msrvtt") / "MSRVTT_Videos"
    with pytest.warns(UserWarning, match="1 videos without video on disk, left out: video5"):
        (row,) = load(hub, folder, "train", protocol="train_9k").to_list()
    assert row["video_id"] == "video0" and row["captions"] == ["a", "b"] and row["split"] == "train"
    assert row["video"]["path"] == str(folder / "video0.mp4") and set(row) <= set(COLUMNS)
    assert rows_of(hub, folder, "test", protocol="test_1k")[0]["caption"] == "e"
    assert rows_of(hub, folder, "test", protocol="test_1k", columns={"task": "caption"})[0]["task"] == "e"
    with pytest.raises(SchemaError, match="say which of them are video_id, sentiment"):
        load(hub, folder, "test", protocol="test_1k", columns={"sentiment": "score"})


def test_a_dataset_of_the_hub_with_segments(tmp_path, monkeypatch):
    """The columns of lmms-lab/YouCook2."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    samples.write(
        tmp_path / "set/val.json",
        [
            {
                "id": "xHr8X2Wpmno_0",
                "youtube_id": "xHr8X2Wpmno",
                "segment": [7.0, 9.5],
                "sentence": "add salt",
                "recipe_type": "101",
                "video_path": "101/xHr8X2Wpmno.mp4",
                "video_url": "",
            }
        ],
    )
    samples.features(tmp_path / "features", ["xHr8X2Wpmno"])
    columns = hub_module.KNOWN_COLUMNS["lmms-lab/YouCook2"]
    (row,) = load(f"hub:{tmp_path / 'set'}", tmp_path / "features", "validation", columns=columns).to_list()
    assert (row["video_id"], row["start"], row["end"], row["caption"]) == ("xHr8X2Wpmno", 7, 9.5, "add salt")
    assert row["task"] == "101" and load_features(row["features"]).shape == (40, 8)
