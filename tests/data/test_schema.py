"""The one schema: a folder of videos opens as a dataset, or one error says which line is wrong and why."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from minivl.config import BUNDLED
from minivl.data.features import load_features
from minivl.data.schema import COLUMNS, SchemaError, load_split, make_dataset
from minivl.data.video import probe, write_video

STEP = {"label": "cut the carrot", "start": 0, "end": 1.5}
ROW = {"file_name": "a.mp4", "caption": "a carrot is cut", "steps": [STEP], "sentiment": 1, "group": 7}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, np.zeros((4, 16, 16, 3), np.uint8), 4)
    return path.read_bytes()


@pytest.fixture
def corpus(tmp_path, clip):
    """A function that writes a split and gives back the corpus folder."""

    def write(rows, split="train", files=("a.mp4", "b.mp4")):
        folder = tmp_path / "corpus" / split
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(clip)
        lines = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
        return tmp_path / "corpus"

    return write


def test_a_split_opens_with_the_columns_of_the_schema(corpus):
    folder = corpus([ROW, ROW | {"file_name": "b.mp4", "steps": [], "sentiment": -0.5}])
    rows = load_split(str(folder), "train")
    assert set(rows.column_names) == {"video", "video_id", "split", "caption", "steps", "sentiment", "group"}
    assert set(rows.column_names) - {"group"} <= set(COLUMNS)
    assert list(rows["video_id"]) == ["a", "b"] and list(rows["split"]) == ["train", "train"]
    assert rows[0]["steps"] == [STEP] and list(rows["sentiment"]) == [1.0, -0.5] and list(rows["group"]) == [7, 7]
    assert rows[0]["video"]["bytes"] is None and probe(rows[0]["video"]["path"]).num_frames == 4


def test_every_known_column_passes(corpus):
    row = {
        "file_name": "deep/a.mp4",
        "video_id": "x",
        "feature_rate": 1,
        "start": 0,
        "end": 2.5,
        "caption": "one",
        "captions": ["one", "two"],
        "transcript": [{"text": "hm", "start": 0.5, "end": 1}],
        "frame_captions": ["one"],
        "steps": [],
        "step_captions": [],
        "task": "soup",
        "task_steps": ["stir"],
        "sentiment": None,
        "split": "test",
        "feature_file": "deep/a.npy",
    }
    folder = corpus([row], files=["deep/a.mp4"])
    np.save(folder / "train" / "deep" / "a.npy", np.zeros((3, 2)))
    rows = load_split(folder, "train")
    assert set(rows.column_names) == set(COLUMNS)
    kept = {name: value for name, value in row.items() if name not in ("file_name", "feature_file", "split")}
    assert {name: rows[0][name] for name in kept} == kept
    assert rows[0]["split"] == "train"


def test_types_do_not_depend_on_the_values_of_a_split(corpus):
    corpus([ROW | {"steps": [], "sentiment": None, "caption": None}], "val")
    folder = corpus([ROW])
    assert load_split(folder, "train").features == load_split(folder, "val").features


def test_all_columns_of_all_lines_are_kept_and_empty_lines_skipped(corpus):
    lines = json.dumps(ROW) + "\n\n" + json.dumps(dict(reversed(ROW.items())) | {"caption": "línea\u2028zwei"}) + "\r\n"
    assert list(load_split(corpus(lines), "train")["caption"]) == ["a carrot is cut", "línea\u2028zwei"]


def test_changed_files_are_not_served_stale(corpus):
    folder = corpus([ROW])
    metadata = folder / "train" / "metadata.jsonl"
    assert load_split(folder, "train")[0]["caption"] == "a carrot is cut"
    before = metadata.stat()
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("carrot", "potato"), encoding="utf-8")
    os.utime(metadata, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    assert load_split(folder, "train")[0]["caption"] == "a potato is cut"


def test_datasets_opens_the_same_folder(corpus, tmp_path):
    from datasets import Video, disable_progress_bars, load_dataset

    disable_progress_bars()
    for split in ("train", "val", "test"):
        folder = corpus([ROW, ROW | {"file_name": "b.mp4"}], split)
    opened = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in opened.items()} == {"train": 2, "validation": 2, "test": 2}
    rows = opened["train"].cast_column("video", Video(decode=False))
    ours = load_split(folder, "train")
    assert list(rows["caption"]) == list(ours["caption"]) and list(rows["steps"]) == list(ours["steps"])
    assert list(rows["video"]) == list(ours["video"])


def test_opening_is_silent(corpus, capfd):
    load_split(corpus([ROW]), "train")
    assert capfd.readouterr() == ("", "")


# Features in place of videos


@pytest.fixture
def features(tmp_path):
    """Rows that name features, whose files are there: two tensors of one file, and a .npy file."""
    folder = tmp_path / "corpus" / "train"
    folder.mkdir(parents=True)
    save_file({"x": np.zeros((3, 2), np.float16), "y": np.ones((4, 2), np.float16)}, folder / "all.safetensors")
    np.save(folder / "z.npy", np.zeros((5, 2)))
    return [
        {"feature_file": name, "feature_rate": 1, "caption": "hm"}
        for name in ("all.safetensors::x", "all.safetensors::y", "z.npy")
    ]


def test_rows_may_name_features_instead_of_videos(corpus, features, tmp_path, monkeypatch):
    corpus(features, files=[])
    monkeypatch.chdir(tmp_path)
    rows = load_split("corpus", "train")
    assert set(rows.column_names) == {"features", "feature_rate", "video_id", "split", "caption"}
    assert list(rows["video_id"]) == ["x", "y", "z"] and list(rows["feature_rate"]) == [1.0] * 3
    monkeypatch.chdir("/")
    assert [load_features(reference).shape for reference in rows["features"]] == [(3, 2), (4, 2), (5, 2)]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"feature_file": "b.npy"}, "line 2: names 'b.npy': .*there is no file"),
        ({"feature_file": "all.safetensors::q"}, "line 2: names 'all.safetensors::q': .*none of them named 'q'"),
        ({"feature_file": 3}, "line 2: 'feature_file' must be a string"),
        ({"feature_file": None}, "line 2: 'feature_file' must be a string"),
        ({"feature_rate": None}, "line 2: has a 'feature_file' and no 'feature_rate'"),
        ({"feature_rate": 0}, "line 2: 'feature_rate' must be a number above 0"),
        ({"features": "all.safetensors::x"}, "line 2: 'features' must be left out: it is made from feature_file"),
    ],
)
def test_features_that_do_not_fit(corpus, features, change, message):
    first = features[0] | ({"features": None} if "features" in change else {})
    with pytest.raises(SchemaError, match=message):
        load_split(corpus([first, features[1] | change], files=[]), "train")


def test_made_rows_have_the_types_of_the_schema():
    rows = make_dataset({"start": [1, 2], "transcript": [[], []], "label": ["a", "b"]}, "here")
    assert rows.features["start"].dtype == "float64" and rows[0]["start"] == 1.0
    assert rows.features["transcript"] == load_split(BUNDLED / "kitchen", "test").features["transcript"]
    assert rows.features["label"].dtype == "string"
    with pytest.raises(SchemaError, match="here: column 'label' has values of different types"):
        make_dataset({"label": ["a", 3]}, "here")


# What does not fit


def test_missing_folders_and_splits_are_named(corpus, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere: expected .*train/metadata\.jsonl"):
        load_split(tmp_path / "nowhere", "train")
    with pytest.raises(FileNotFoundError, match="holds no data: expected"):
        load_split(tmp_path, "train")
    corpus([ROW], "val")
    with pytest.raises(FileNotFoundError, match="no split 'dev', only train, val$"):
        load_split(corpus([ROW]), "dev")


@pytest.mark.parametrize(
    "column, values, rule",
    [
        ("caption", [3, ["a"]], "a string"),
        ("captions", ["one", [], ["one", 2], [None]], "a list of strings"),
        ("frame_captions", ["one", []], "a list of strings"),
        (
            "steps",
            [
                STEP,
                [STEP | {"end": 0}],
                [STEP | {"start": "0"}],
                [{"label": "x"}],
                [STEP | {"more": 1}],
                [STEP | {"start": float("nan")}],
            ],
            "start < end",
        ),
        ("transcript", ["words", [{"text": 1, "start": 0, "end": 1}], [{"text": "hm", "start": 2, "end": 1}]], "text"),
        ("sentiment", [3.1, -4, "good", True, float("nan")], r"a number in \[-3, 3\]"),
        ("start", [-1, "0"], "a number"),
        ("end", [0, "1"], "a number"),
        ("feature_rate", [0, "1"], "a number above 0"),
        ("step_captions", ["one", ["one", 2]], "a list of strings"),
        ("task", [1], "a string"),
        ("video_id", [1], "a string"),
    ],
)
def test_wrong_values_are_reported_with_their_line(corpus, column, values, rule):
    for value in values:
        folder = corpus([ROW | {column: None}, ROW | {column: value}])
        with pytest.raises(
            SchemaError, match=f"metadata.jsonl does not fit the schema:\n  line 2: '{column}' must be .*{rule}"
        ):
            load_split(folder, "train")


def test_start_comes_before_end(corpus):
    with pytest.raises(SchemaError, match="line 1: 'start' must come before 'end', got 2 and 1"):
        load_split(corpus([ROW | {"start": 2, "end": 1}]), "train")
    for half in ({"start": 2}, {"end": 2}, {"start": None, "end": 2}):
        with pytest.raises(SchemaError, match="line 1: 'start' and 'end' go together"):
            load_split(corpus([ROW | half]), "train")


def test_every_step_has_its_sentence(corpus):
    for steps, sentences in (([STEP], []), ([STEP], ["one", "two"]), (None, ["one"])):
        with pytest.raises(SchemaError, match=f"line 1: 'step_captions' must be one per step, got {len(sentences)} "):
            load_split(corpus([ROW | {"steps": steps, "step_captions": sentences}]), "train")


def test_a_named_file_must_be_there(corpus):
    with pytest.raises(SchemaError, match="line 2: names 'c.mp4', which is not in"):
        load_split(corpus([ROW, ROW | {"file_name": "c.mp4"}]), "train")
    with pytest.raises(SchemaError, match="line 1: has no 'file_name' and no 'feature_file'"):
        load_split(corpus([{"caption": "hm"}]), "train")


def test_a_line_without_a_column_that_others_have(corpus):
    with pytest.raises(SchemaError, match="line 2: has no 'caption', which other lines have"):
        load_split(corpus([ROW, {name: value for name, value in ROW.items() if name != "caption"}]), "train")


def test_many_bad_lines_are_counted(corpus):
    with pytest.raises(SchemaError, match=r"line 5: .*\n  and 15 more$") as caught:
        load_split(corpus([ROW | {"caption": 1}] * 20), "train")
    assert "line 6" not in str(caught.value)


@pytest.mark.parametrize(
    "lines, message",
    [
        ('{"file_name": "a.mp4"}\n{"file_name": \n', "line 2 is not valid JSON"),
        ("[1, 2]\n", "line 1 must be an object"),
        ("\n\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_broken_metadata_names_the_line(corpus, lines, message):
    with pytest.raises(SchemaError, match=message):
        load_split(corpus(lines), "train")


def test_metadata_in_another_encoding(corpus):
    folder = corpus([ROW])
    (folder / "train" / "metadata.jsonl").write_bytes('{"file_name": "a.mp4", "caption": "café"}'.encode("latin-1"))
    with pytest.raises(SchemaError, match="line 1 is not valid JSON"):
        load_split(folder, "train")


def test_an_extra_column_with_mixed_types(corpus):
    with pytest.raises(SchemaError, match="column 'group' has values of different types"):
        load_split(corpus([ROW, ROW | {"group": "seven"}]), "train")
