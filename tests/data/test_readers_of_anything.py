"""Whatever a file of text holds, its reader gives well-formed values or says which file is wrong."""

import json
import math
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minivl.config import ConfigError, scale
from minivl.config.changes import with_changes
from minivl.data.corpora.files import read_table, seconds, stream_json
from minivl.data.schema import SchemaError, load_split
from minivl.data.subtitles import SubtitleError, read_transcript, write_subtitles
from minivl.data.trust import UntrustedFile, read_json
from minivl.discovla.pseudo_captions import read_pseudo_captions, write_pseudo_captions

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)  # files are replaced

SOMETIME = st.integers(0, 10**7).map(lambda milliseconds: milliseconds / 1000)
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=60)
ANY_TEXT = st.text(max_size=200) | st.binary(max_size=200)
CUE_LINES = st.sampled_from(
    [
        "1",
        "00:00:01,000 --> 00:00:02,500",
        "00:01.000 --> 00:02.000 align:start",
        "99:99:99,999 --> 1",
        "WEBVTT",
        "NOTE",
    ]
    + ["-->", "<v Cook>stir", "</i>", "&amp;", "STYLE", "{\\an8}up", "", "\ufeff1", "00:00:05,000 --> 00:00:01,000"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
COLUMNS = [
    "file_name",
    "caption",
    "captions",
    "transcript",
    "steps",
    "start",
    "end",
    "sentiment",
    "feature_rate",
    "task",
]


def write(file, content):
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return file


REFUSED = object()


def read(reader, file, error):
    """What a reader makes of a file, or REFUSED, with an error that names it."""
    try:
        return reader(file)
    except error as problem:
        assert str(file) in str(problem)
        return REFUSED


@ONE_FOLDER
@given(text=ANY_TEXT | st.lists(CUE_LINES, max_size=12).map("\n".join), kind=st.sampled_from([".srt", ".vtt", ".txt"]))
def test_any_transcript(tmp_path, text, kind):
    file = write(tmp_path / f"a{kind}", text)
    said = read(lambda file: read_transcript(file, 60.0), file, SubtitleError)
    if said is not REFUSED:
        assert said == sorted(said, key=lambda cue: cue["start"])
        assert all(cue["text"].strip() and 0 <= cue["start"] < cue["end"] for cue in said)


@ONE_FOLDER
@given(cues=st.lists(st.tuples(WORDS, SOMETIME, SOMETIME), max_size=5), kind=st.sampled_from([".srt", ".vtt"]))
def test_written_subtitles_are_read_again(tmp_path, cues, kind):
    cues = [{"text": text, "start": min(a, b), "end": max(a, b)} for text, a, b in cues]
    write_subtitles(tmp_path / f"a{kind}", cues)
    said = [cue for cue in cues if cue["text"].split() and cue["start"] < cue["end"]]
    found = read_transcript(tmp_path / f"a{kind}", 60.0)
    assert sorted((cue["start"], cue["end"]) for cue in found) == sorted((cue["start"], cue["end"]) for cue in said)


@settings(ONE_FOLDER, max_examples=40)
@given(rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), JSON, min_size=1), min_size=1, max_size=3))
def test_any_metadata(tmp_path, rows):
    (tmp_path / "train").mkdir(exist_ok=True)
    (tmp_path / "train" / "clip.mp4").touch()
    rows = [{"file_name": "clip.mp4", **row} for row in rows]
    file = write(tmp_path / "train" / "metadata.jsonl", "\n".join(json.dumps(row) for row in rows))
    table = read(lambda _: load_split(tmp_path, "train"), file, SchemaError)
    if table is not REFUSED:
        assert len(table) == len(rows)


@ONE_FOLDER
@given(content=ANY_TEXT | JSON.map(json.dumps))
def test_any_captions_of_frames(tmp_path, content):
    file = write(tmp_path / "captions.json", content)
    captions = read(read_pseudo_captions, file, SchemaError)
    if captions is not REFUSED:
        assert all(isinstance(caption, str) for frames in captions.values() for caption in frames)
        write_pseudo_captions(tmp_path / "again.json", captions)
        assert read_pseudo_captions(tmp_path / "again.json") == captions


@ONE_FOLDER
@given(content=ANY_TEXT | JSON.map(json.dumps))
def test_any_configuration(tmp_path, content):
    file = write(tmp_path / "config.json", content)
    content = read(read_json, file, UntrustedFile)
    if content is not REFUSED:
        assert json.loads(file.read_text(encoding="utf-8")) == content


@ONE_FOLDER
@given(content=ANY_TEXT | st.lists(st.lists(st.sampled_from(["a", "b", '"', "1,2", " "])).map(",".join)).map("\n".join))
def test_any_table(tmp_path, content):
    file = write(tmp_path / "a.csv", content)
    rows = read(lambda file: list(read_table(file, ("a", "b"))), file, SchemaError)
    if rows is not REFUSED:
        assert all({"a", "b"} <= row.keys() and str(file) in where for where, row in rows)


@ONE_FOLDER
@given(
    content=ANY_TEXT
    | JSON.map(json.dumps)
    | st.dictionaries(st.text(), st.dictionaries(st.text(), JSON)).map(json.dumps)
)
def test_any_stream_of_json(tmp_path, content):
    file = write(tmp_path / "a.json", content)
    entries = read(lambda file: list(stream_json(file)), file, SchemaError)
    if entries is not REFUSED:
        whole = json.loads(file.read_bytes())
        assert [name for name, _ in entries] == list(whole)


@given(value=JSON)
def test_any_time(value):
    try:
        assert math.isfinite(seconds(value, "here"))
    except SchemaError as error:
        assert str(error).startswith("here: ")


@given(
    name=st.sampled_from(
        ["adapt.steps", "adapt.learning_rate", "inputs.max_frames", "discovla.alpha", "world", "no.such"]
    )
    | st.text(string.ascii_lowercase + "._", max_size=20),
    value=st.text(max_size=20) | JSON.map(json.dumps),
)
def test_any_change_of_settings(name, value):
    small = scale("small")
    try:
        assert type(with_changes(small, [f"{name}={value}"])) is type(small)
    except ConfigError as error:
        assert str(error)


def test_a_number_too_large_for_a_float_is_no_time():
    with pytest.raises(SchemaError, match="a time must be a number of seconds"):
        seconds(10**400, "here")
