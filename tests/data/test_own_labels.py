"""Tables of labels that come with a reader's own videos."""

import inspect
import json
import re
from pathlib import Path

import pytest

from minivl.config import BUNDLED
from minivl.data import own_labels
from minivl.data.own_labels import LabelError, read_labels

ROOT = Path("videos")
FILES = {"soup": "soup.mp4", "a-x": "a/x.mp4", "b-x": "b/x.mkv", "review": "review.mp4"}
VIDEOS = {name: ROOT / file for name, file in FILES.items()}


def read(tmp_path, text, name="labels.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(tmp_path / name, VIDEOS, ROOT)


def test_the_documented_examples_are_read(tmp_path):
    text = inspect.getdoc(own_labels)
    table = re.search(r"    video,start.*?(?=\n\n)", text, re.DOTALL)[0]
    rows = read(tmp_path, inspect.cleandoc(table))
    assert [(row.video, row.start, row.end, row.kinds) for row in rows] == [
        ("soup", 5, 12.5, ("caption", "label")),
        ("soup", 14, 21, ("caption", "label")),
        ("review", None, None, ("sentiment",)),
    ]
    line = re.search(r'    \{"video".*', text)[0].strip()
    assert read(tmp_path, line, "labels.jsonl")[0].label == "stir" and json.loads(line)


def test_the_errors_of_the_guide_are_printed_so(tmp_path, monkeypatch):
    guide = (BUNDLED.parent / "docs" / "own-videos.md").read_text(encoding="utf-8")
    table, told = re.search(
        r"\$ cat bad.csv\n(.*?)    \$ minivl prepare.*?bad.csv\n    minivl: (.*?)\n\n", guide, re.S
    ).groups()
    (tmp_path / "bad.csv").write_text(inspect.cleandoc(table))
    monkeypatch.chdir(tmp_path)
    videos = {
        f"meal{n:02d}": ROOT / f"meal{n:02d}{suffix}" for n, suffix in enumerate([".mp4", ".mkv", *[".avi"] * 10])
    }
    with pytest.raises(LabelError) as refused:
        read_labels(Path("bad.csv"), videos, ROOT)
    assert str(refused.value).split() == told.split()


@pytest.mark.parametrize("video", ["soup", "soup.mp4", "a-x", "a/x", "a/x.mp4", "x.mkv"])
def test_a_video_may_be_called_by_name_or_path(tmp_path, video):
    (row,) = read(tmp_path, f"video,caption\n{video},a pot\n")
    assert row.video in VIDEOS and row.place.endswith("line 2")


@pytest.mark.parametrize(
    "start, seconds", [("3", 3), ("3.25", 3.25), ("0:03", 3), ("1:02:03.5", 3723.5), ("90:00", 5400), ("007", 7)]
)
def test_times_are_seconds_or_a_clock(tmp_path, start, seconds):
    assert read(tmp_path, f"video,start,end,caption\nsoup,{start},9999,x\n")[0].start == seconds


def test_spreadsheets_of_other_languages(tmp_path):
    """A mark of the encoding, semicolons, and line breaks of Windows."""
    (row,) = read(tmp_path, "\ufeffvideo;caption\r\nsoup;“a, b”\r\n\r\n")
    assert row.caption == "“a, b”"


BAD = {
    "video,start,end,caption\nsoup,5,4,x\n": "line 2: start must come before end",
    "video,start,caption\nsoup,5,x\n": "line 2: start and end go together",
    "video,start,end,label\nsoup,,,stir\n": "line 2: the step 'stir' needs its start and end",
    "video,sentiment\nsoup,3.5\n": "line 2: sentiment must be from -3 to 3",
    "video,sentiment\nsoup,nan\n": "line 2: sentiment must be a number, got 'nan'",
    "video,start,end,caption\nsoup,-1,2,x\n": "line 2: start must be seconds or h:mm:ss, got '-1'",
    "video,start,end,caption\nsoup,1e400,2,x\n": "start must be seconds",
    "video,caption\npizza,x\n": "line 2: there is no video 'pizza' in the folder",
    "video,caption\nx,x\n": "line 2: several videos are called 'x'",
    "video,caption\n,x\n": "line 2: names no video",
    "video,caption\nsoup,\n": "line 2: says nothing: give one of caption, label, sentiment",
    "video,caption\nsoup,x,y\n": "line 2: more cells than the header has",
    'video,caption\nsoup,"x\n': "line 2 is no line of a csv file",
    "video,sentence\nsoup,x\n": "line 1: the header must be .*unknown: 'sentence'",
    "caption\nx\n": "line 1: the header must be .* video among them",
    "video,caption\n": "has no rows",
    "": "line 1: the header must be",
    b"video,caption\nsoup,\xff\n": "is not UTF-8",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_rows_are_named_with_their_line(tmp_path, text):
    with pytest.raises(LabelError, match=BAD[text]) as caught:
        read(tmp_path, text)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize(
    "line, reason",
    [
        ('{"video": "soup", "caption": 3}', "caption must be a text, got 3"),
        ('{"video": "soup", "caption": "\\ud800"}', "caption must be a text"),
        ('{"video": "soup", "sentiment": true}', "sentiment must be a number"),
        ('{"video": "soup", "sentiment": NaN}', "sentiment must be a number"),
        ('{"video": "soup", "start": -1, "end": 2, "caption": "x"}', "start must be 0 or more"),
        ('{"video": "soup", "note": "x"}', "must be an object with some of the names"),
        ("[1]", "must be an object"),
        ('{"video"', "line 2 is not valid JSON"),
        ("[" * 100_000, "line 2 is not valid JSON"),
    ],
)
def test_bad_lines_of_json_are_named(tmp_path, line, reason):
    with pytest.raises(LabelError, match=f"line 2.*{reason}|{reason}"):
        read(tmp_path, '{"video": "soup", "caption": "x"}\n' + line, "labels.jsonl")


def test_all_bad_rows_are_told_together(tmp_path):
    with pytest.raises(LabelError, match=r"line 2: .*\n.*line 3: .*(\n.*){3}\n  and 15 more"):
        read(tmp_path, "video,caption\n" + "pizza,x\n" * 20)


def test_files_that_are_no_tables(tmp_path, monkeypatch):
    with pytest.raises(LabelError, match=r"are a \.csv or a \.jsonl file"):
        read(tmp_path, "x", "labels.xlsx")
    with pytest.raises(LabelError, match="is not there, or is no regular file"):
        read_labels(tmp_path / "none.csv", VIDEOS, ROOT)
    monkeypatch.setenv("MINIVL_LIMIT_METADATA_MB", "1")
    with pytest.raises(LabelError, match="too large for labels: .* MINIVL_LIMIT_METADATA_MB"):
        read(tmp_path, "x" * 1_000_001)
