"""Broken corpora: every file that can be wrong is named, with the line and the reason, and nothing in it is run."""

import json
import os
import pickle

import numpy as np
import pytest

from helpers import corpora_samples as samples
from minivl.data.corpora import check, load
from minivl.data.corpora.files import read_json, read_table, stream_json
from minivl.data.corpora.pickles import read_pickle
from minivl.data.schema import SchemaError

CLIP = b"a file that is only looked for"


def edit(path, change):
    """Rewrite a JSON file with `change` made to its content."""
    content = json.loads(path.read_text())
    change(content)
    samples.write(path, content)


def fails(name, folder, split, match, **settings):
    """Loading and checking both say it."""
    with pytest.raises((SchemaError, FileNotFoundError), match=match) as error:
        load(name, folder, split, **settings)
    report = check(name, folder)
    said = str(error.value).splitlines()[0]
    assert not report.ok and said in str(report), f"{said}\n--- is not in\n{report}"


# ---- missing splits


@pytest.mark.parametrize(
    "name, maker, split, file",
    [
        ("msrvtt", "msrvtt", "test", "MSRVTT_JSFUSION_test.csv"),
        ("lsmdc", "lsmdc", "val", "LSMDC16_annos_val.csv"),
        ("activitynet", "activitynet", "val_2", "val_2.json"),
        ("didemo", "didemo", "test", "test_data.json"),
        ("youcook2", "youcook2_release", "val", "youcookii_val.csv"),
        ("crosstask", "crosstask", "val", "crosstask_release/videos_val.csv"),
        ("mosi", "mosi", "train", "cmu_mosi_std_folds.py"),
    ],
)
def test_the_file_of_a_missing_split_is_named(tmp_path, name, maker, split, file):
    folder = getattr(samples, maker)(tmp_path, *([CLIP] if name in ("msrvtt", "lsmdc", "didemo") else []))
    (folder / file).unlink()
    fails(name, folder, split, file.split("/")[-1].replace(".", r"\."))


def test_a_split_that_the_annotations_do_not_have(tmp_path):
    folder = samples.coin(tmp_path)
    edit(folder / "COIN.json", lambda content: content["database"].pop("LtRSn-ntcLY"))
    with pytest.raises(SchemaError, match="coin train in .* has no rows"):
        load("coin", folder, "train")
    assert "train: the annotations have no rows" in str(check("coin", folder))
    edit(folder / "COIN.json", lambda content: content["database"]["cTYg4lDjGgE"].update(subset="dev"))
    fails("coin", folder, "test", "cTYg4lDjGgE has the subset 'dev', expected one of training, testing")


# ---- twice the same


def test_ids_that_are_there_twice(tmp_path):
    folder = samples.coin(tmp_path / "coin")
    text = (folder / "COIN.json").read_text()
    samples.write(folder / "COIN.json", text.replace("cTYg4lDjGgE", "LtRSn-ntcLY"))
    fails("coin", folder, "train", "COIN.json: 'LtRSn-ntcLY' is there twice")

    folder = samples.msrvtt(tmp_path / "msrvtt", CLIP)
    table = folder / "MSRVTT_JSFUSION_test.csv"
    samples.write(table, table.read_text() + "ret2,msr7010,video7010,a dog eats\n")
    fails("msrvtt", folder, "test", r"csv, line 4 names 'video7010', which an earlier line describes differently")
    table = folder / "MSRVTT_train.9k.csv"
    samples.write(table, table.read_text() + "video1\n")
    with pytest.warns(UserWarning, match="1 lines that are there twice, read once: .*9k.csv, line 5"):
        assert len(load("msrvtt", folder, "train")) == 3
    edit(folder / "MSRVTT_data.json", lambda content: content["videos"][5].update(video_id="video0"))
    fails("msrvtt", folder, "train", "lists 1 videos twice", protocol="captioning")

    folder = samples.mosi(tmp_path / "mosi")
    labels = folder / "Raw/Labels/OpinionLevelSentiment.csv"
    samples.write(labels, labels.read_text() + "9,10,03bSnISJMiM,1,0\n")
    fails("mosi", folder, "train", "line 5: opinion 1 of 03bSnISJMiM is there twice")

    folder = samples.crosstask(tmp_path / "crosstask")
    videos = folder / "crosstask_release/videos.csv"
    samples.write(videos, videos.read_text() + "23521,video-00005,again\n")
    with pytest.warns(UserWarning, match="twice, read once: .*videos.csv, line 36"):
        assert len(load("crosstask", folder, "train")) == 31


# ---- times


def test_reversed_empty_and_negative_segments_are_put_right_and_reported(tmp_path):
    folder = samples.youcook2_official(tmp_path)

    def change(content):
        steps = content["database"]["GLd3aX16zBg"]["annotations"]
        steps[0]["segment"], steps[1]["segment"] = [20, 10], [25, 25]
        content["database"]["fn9anlEL4FI"]["annotations"][0]["segment"] = [-2, 9]

    edit(folder / "youcookii_annotations_trainval.json", change)
    with pytest.warns(UserWarning) as caught:
        rows = load("youcook2", folder, "train")
    assert [(row["start"], row["end"]) for row in rows] == [(10, 20), (25, 25.01), (0, 9)]
    said = str(caught[0].message)
    for line in (
        "1 reversed segments, turned round: GLd3aX16zBg [20, 10]",
        "1 segments without length",
        "1 segments that begin before 0, cut: fn9anlEL4FI [-2, 9]",
    ):
        assert line in said and f"train: {line}" in str(check("youcook2", folder))
    assert caught[0].filename == __file__, "the warning points to the line that loads"


def test_overlapping_segments_are_reported_where_there_should_be_none(tmp_path):
    folder = samples.coin(tmp_path / "coin")
    edit(
        folder / "COIN.json",
        lambda content: content["database"]["LtRSn-ntcLY"]["annotation"][0].update(segment=[8.0, 14.0]),
    )
    with pytest.warns(UserWarning, match=r"1 overlapping segments, kept: LtRSn-ntcLY \[6, 9\] and \[8, 14\]"):
        assert len(load("coin", folder, "train")[0]["steps"]) == 2
    load("crosstask", samples.crosstask(tmp_path / "crosstask"), "train")  # its sample overlaps; warnings are errors


@pytest.mark.parametrize(
    "segment, reason",
    [
        ([1], r"a segment must be \[start, end\], got \[1\]"),
        ([1, None], "a time must be a number of seconds, got None"),
        ([1, float("nan")], "got nan"),
        ("1-2", "'segment' must be a list, got '1-2'"),
        ([True, 2], "got True"),
    ],
)
def test_times_that_are_none(tmp_path, segment, reason):
    folder = samples.coin(tmp_path)
    edit(
        folder / "COIN.json",
        lambda content: content["database"]["LtRSn-ntcLY"]["annotation"][0].update(segment=segment),
    )
    fails("coin", folder, "train", f"LtRSn-ntcLY.*{reason}")


def test_lists_that_do_not_belong_together(tmp_path):
    folder = samples.activitynet(tmp_path / "activitynet")
    edit(folder / "train.json", lambda content: content["v_QOlSCBRmfWY"]["timestamps"].pop())
    fails("activitynet", folder, "train", "as many timestamps as sentences, got 1 and 2")
    folder = samples.youcook2_release(tmp_path / "youcook2")
    data = {video: {"start": [1.0, 2.0], "end": [2.0], "text": ["a", "b"]} for video in samples.YOUCOOK2}
    (folder / "youcookii_data.pickle").write_bytes(pickle.dumps(data))
    fails("youcook2", folder, "train", "GLd3aX16zBg has lists of different lengths: 2 start, 1 end, 2 text")


# ---- other contents than expected


@pytest.mark.parametrize(
    "name, file, change, reason",
    [
        ("coin", "COIN.json", lambda c: c.pop("database"), "has no 'database'"),
        (
            "coin",
            "COIN.json",
            lambda c: c["database"].update({"LtRSn-ntcLY": 3}),
            "LtRSn-ntcLY must be an object, got 3",
        ),
        ("coin", "COIN.json", lambda c: c["database"]["LtRSn-ntcLY"].pop("class"), "LtRSn-ntcLY has no 'class'"),
        ("activitynet", "train.json", lambda c: c["v_QOlSCBRmfWY"].update(sentences="x"), "'sentences' must be a list"),
        ("didemo", "train_data.json", lambda c: c[0].pop("description"), "description 0 has no 'description'"),
        ("msrvtt", "MSRVTT_data.json", lambda c: c["sentences"][3].pop("video_id"), "sentence 3 has no 'video_id'"),
    ],
)
def test_a_missing_or_wrong_entry_is_named(tmp_path, name, file, change, reason):
    folder = getattr(samples, name)(tmp_path, *([CLIP] if name in ("msrvtt", "didemo") else []))
    edit(folder / file, change)
    fails(name, folder, "train", reason)


def test_wrong_steps_and_sentiments(tmp_path):
    folder = samples.crosstask(tmp_path / "crosstask")
    for path in (folder / "crosstask_release/annotations").iterdir():
        path.write_text("4,1,2\n")
    fails("crosstask", folder, "train", "line 1: the step must be a number from 1 to [23], got '4'")
    samples.write(folder / "crosstask_release/tasks_primary.txt", "1\ntitle\nlink\n3\nonly,two\n\n")
    fails("crosstask", folder, "train", "expected number, title, link, count, steps of a new task")
    folder = samples.mosi(tmp_path / "mosi")
    labels = folder / "Raw/Labels/OpinionLevelSentiment.csv"
    samples.write(labels, labels.read_text().replace("-1.6", "-4"))
    fails("mosi", folder, "train", "line 1: the sentiment must be a number from -3 to 3, got '-4'")


def test_what_a_corpus_lacks_is_left_out_with_a_count(tmp_path):
    folder = samples.crosstask(tmp_path / "crosstask")
    (folder / "crosstask_release/annotations/59684_video-00000.csv").unlink()
    with pytest.warns(UserWarning, match="1 videos without annotations, left out: 59684_video-00000"):
        assert len(load("crosstask", folder, "train")) == 30
    folder = samples.mosi(tmp_path / "mosi")
    samples.write(folder / "Raw/Transcript/Segmented/03bSnISJMiM.annotprocessed", "1_DELIM_ONE\n")
    with pytest.warns(UserWarning, match="1 opinions without a transcript, left out: 03bSnISJMiM_2"):
        assert len(load("mosi", folder, "train")) == 1
    samples.write(folder / "Raw/Transcript/Segmented/03bSnISJMiM.annotprocessed", "1;ONE\n")
    fails("mosi", folder, "train", "annotprocessed, line 1 must be like 1_DELIM_text, got '1;ONE'")


# ---- files: JSON


@pytest.mark.parametrize(
    "text, reason",
    [
        ('{"a": {"b": 1},\n "c": {"d": }}', "line 2.* not valid JSON"),
        ('{"a": {"b": [1, 2', "not valid JSON"),
        ('{"a": {}\n "c": {}}', "line [12].* not valid JSON"),
        ('{"a": {},}', "not valid JSON"),
        ("", "not valid JSON"),
        ('{"a": {"b": 1, "b": 2}}', "'b' is there twice"),
        ('{"a": ' + 100_000 * "[", "recursion|JSON"),
    ],
)
def test_broken_json_is_named_with_its_line(tmp_path, text, reason):
    path = samples.write(tmp_path / "a.json", text)
    for read in (read_json, lambda path: list(stream_json(path))):
        with pytest.raises(SchemaError, match=f"(?s)a.json.*({reason})"):
            read(path)
    (tmp_path / "b.json").write_bytes(b'{"a": {"b": "\xff\xfe"}}')
    for read in (read_json, lambda path: list(stream_json(path))):
        with pytest.raises(SchemaError, match="b.json is not UTF-8"):
            read(tmp_path / "b.json")


def test_streamed_json_equals_json(tmp_path, monkeypatch):
    monkeypatch.setattr("minivl.data.corpora.files.CHUNK", 7)
    content = {
        f"k{n}\u00e9": {"text": ["a", '"}, {', "\\"], "start": [n, 1e-3, -2.5], "deep": {"x": {}}} for n in range(20)
    }
    for text in (
        json.dumps(content),
        json.dumps(content, indent=3),
        "\ufeff" + json.dumps(content, ensure_ascii=False),
        " {}\n",
    ):
        path = samples.write(tmp_path / "a.json", text)
        assert dict(stream_json(path)) == read_json(path) == ({} if text == " {}\n" else content)
    with pytest.raises(SchemaError, match="expected an object"):
        list(stream_json(samples.write(path, '{"a": [1]}')))


# ---- files: csv


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_any_delimiter_and_byte_order_mark(tmp_path, delimiter, mark, end):
    path = tmp_path / "a.csv"
    path.write_bytes(
        (
            mark
            + end.join(
                [
                    f"key{delimiter} video_id{delimiter}sentence",
                    f"1{delimiter}v1{delimiter}hello",
                    "",
                    f"2{delimiter}v2{delimiter}caf\u00e9",
                    "",
                ]
            )
        ).encode()
    )
    rows = [row for _, row in read_table(path, ("video_id", "sentence"))]
    assert rows == [
        {"key": "1", "video_id": "v1", "sentence": "hello"},
        {"key": "2", "video_id": "v2", "sentence": "caf\u00e9"},
    ]
    path.write_bytes((mark + f"v1{delimiter}1.5{delimiter}2{end}v2{delimiter}3{delimiter}4").encode())
    rows = [row for _, row in read_table(path, ("video", "start", "end"), header=False)]
    assert rows == [{"video": "v1", "start": "1.5", "end": "2"}, {"video": "v2", "start": "3", "end": "4"}]


def test_a_whole_corpus_with_another_delimiter_and_mark(tmp_path):
    folder = samples.msrvtt(tmp_path, CLIP)
    table = folder / "MSRVTT_JSFUSION_test.csv"
    before = load("msrvtt", folder, "test").to_list()
    samples.write(
        table,
        "\ufeffkey;vid_key;video_id;sentence\nret0;msr9999;video9999;a man, laughing, sings\n"
        "ret1;msr7010;video7010;a cat eats\n",
    )
    assert load("msrvtt", folder, "test").to_list() == before


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a,b\n1,2\n", "must have a header with the columns video_id, feature_file, and begins with 'a,b'"),
        ("", "must have a header"),
        ("video_id,feature_file\nv1\n", "line 2 has 1 fields, expected 2"),
        ("video_id,feature_file\nv1,a,b\n", "line 2 has 3 fields, expected 2"),
    ],
)
def test_csv_of_other_columns(tmp_path, text, reason):
    folder = samples.youcook2_release(tmp_path)
    samples.write(folder / "youcookii_train.csv", text)
    fails("youcook2", folder, "train", f"youcookii_train.csv.*{reason}")


def test_csv_of_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"video_id,feature_file\nv1,\xff\xfe\n")
    with pytest.raises(SchemaError, match="a.csv is not a csv of UTF-8 text"):
        list(read_table(tmp_path / "a.csv", ("video_id", "feature_file")))


# ---- files: pickles

DATA = {
    "a": {
        "start": np.array([0.08, "x", None], dtype=object),
        "texts": np.array(["ab", "c"]),
        "values": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.ones((2, 2), np.float16),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "number": np.float32(3),
        "big": np.arange(3, dtype=">i4"),
    },
    "plain": [1, 2.5, ("x", b"y", {1, 2}), None, True],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_arrays_and_plain_containers_are_read(tmp_path, protocol):
    path = tmp_path / "a.pickle"
    content = pickle.dumps(DATA, protocol)
    for version in (content, content.replace(b"numpy._core", b"numpy.core")) if protocol < 4 else (content,):
        path.write_bytes(version)  # as numpy 2 and numpy 1 write it
        read = read_pickle(path)
        assert read["plain"] == DATA["plain"]
        for name, value in DATA["a"].items():
            np.testing.assert_array_equal(np.asarray(read["a"][name]), value)
            assert np.asarray(read["a"][name]).dtype.newbyteorder("=") == value.dtype.newbyteorder("=")


class Calls:
    """An object whose pickle calls a function when it is read."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "function, named",
    [
        (os.mkdir, r"posix\.mkdir"),
        (eval, r"__builtin__\.eval|builtins\.eval"),
        (np.fromfile, r"numpy.*\.fromfile"),
        (getattr, r".*\.getattr"),
    ],
)
def test_a_pickle_that_would_run_code_is_refused_by_name(tmp_path, protocol, function, named):
    mark = tmp_path / "ran"
    argument = f"__import__('os').mkdir({str(mark)!r})" if function is eval else str(mark)
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"video": Calls(function, argument)}, protocol))
    with pytest.raises(SchemaError, match=f"a.pickle is refused: it names ({named}), and only arrays"):
        read_pickle(path)
    assert not mark.exists()


def test_a_pickle_that_forges_a_numpy_type_is_refused(tmp_path):
    """Bytes that numpy would take for the addresses of objects."""
    from numpy._core.multiarray import _reconstruct, scalar

    forged = Calls(np.dtype, "O8", False, True, state=(3, "|", None, None, None, -1, -1, 0))
    array = Calls(_reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), forged, False, b"A" * 8))
    nested = Calls(np.dtype, [("x", "O")])
    for number, content in enumerate(
        [
            array,
            Calls(np.ndarray, (1,), forged, b"A" * 8),
            Calls(scalar, forged, b"A" * 8),
            Calls(_reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), nested, False, b"A" * 8)),
        ]
    ):
        path = tmp_path / f"{number}.pickle"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(SchemaError, match=f"{number}.pickle is (refused|not a readable pickle)"):
            read_pickle(path)


def test_broken_pickles(tmp_path):
    content = pickle.dumps(DATA)
    for number, broken in enumerate([b"", b"no pickle", content[:-20], content[:40]]):
        (tmp_path / f"{number}.pickle").write_bytes(broken)
        with pytest.raises(SchemaError, match=f"{number}.pickle is not a readable pickle"):
            read_pickle(tmp_path / f"{number}.pickle")


def test_hostile_pickles_in_a_corpus(tmp_path):
    mark = tmp_path / "ran"
    folder = samples.youcook2_release(tmp_path / "youcook2")
    hostile = pickle.dumps({"GLd3aX16zBg": Calls(os.mkdir, str(mark))})
    (folder / "youcookii_videos_features.pickle").write_bytes(hostile)
    with pytest.raises(SchemaError, match="youcookii_videos_features.pickle is refused: it names posix.mkdir"):
        load("youcook2", folder, "train")
    (folder / "youcookii_data.pickle").write_bytes(hostile)
    fails("youcook2", folder, "train", "youcookii_data.pickle is refused: it names posix.mkdir")
    assert not mark.exists() and not list(folder.glob("*.partial"))


@pytest.mark.parametrize(
    "content, reason",
    [
        ([1], "must hold {name: array"),
        ({"v": [["a"]]}, "features of 'v' must be numbers"),
        ({}, "must hold"),
        ({"v": np.zeros(3)}, r"must be numbers \(T, F\), got float64 \(3,\)"),
    ],
)
def test_pickles_of_features_that_are_none(tmp_path, content, reason):
    folder = samples.youcook2_release(tmp_path)
    (folder / "youcookii_videos_features.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(SchemaError, match=f"youcookii_videos_features.pickle.*{reason}"):
        load("youcook2", folder, "train")


def test_a_broken_safetensors_file_is_named(tmp_path):
    folder = samples.coin(tmp_path)
    (folder / "features.safetensors").write_bytes(b"nothing of the kind")
    fails("coin", folder, "train", "features.safetensors is not a readable safetensors file")
