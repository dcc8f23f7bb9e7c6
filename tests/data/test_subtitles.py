"""Transcripts of one's own videos: what the files of the wild look like, and clear errors for broken ones."""

import pytest

from minivl.data.subtitles import SubtitleError, find_subtitles, read_transcript, write_subtitles

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello there

2
00:00:02,000 --> 00:01:04,25
two
lines
"""
VTT = """WEBVTT - some title
Kind: captions

STYLE
::cue { color: red }

NOTE two lines that
nobody says

intro
00:01.500 --> 00:03.000 align:start position:0%
<v Ann>Hi <i>you</i> <c.red>&amp;</c> <00:02.000>me</v>

01:00:00.000 --> 01:00:01.000
later
"""


@pytest.fixture
def save(tmp_path):
    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def read(path, duration=10.0):
    return [(cue["text"], cue["start"], cue["end"]) for cue in read_transcript(path, duration)]


EXPECTED = [("Hello there", 1.0, 2.5), ("two lines", 2.0, 64.25)]  # they overlap


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_srt_of_every_system(save, ends, encoding):
    assert read(save("a.SRT", SRT.replace("\n", ends), encoding)) == EXPECTED


def test_vtt_with_all_that_nobody_says(save):
    expected = [("Hi you & me", 1.5, 3.0), ("later", 3600.0, 3601.0)]
    assert read(save("a.vtt", VTT)) == expected
    assert read(save("a.vtt", "\ufeff" + VTT.replace("\n", "\r\n"))) == expected


def test_tags_go_and_other_brackets_stay(save):
    path = save("a.srt", '1\n0:0:1,0 --> 0:0:2,0\n{\\an8}<font color="red">add</font> 2 < 3 cups {x} a<b\n')
    assert read(path) == [("add 2 < 3 cups {x} a<b", 1.0, 2.0)]


def test_cues_are_sorted_and_empty_ones_left_out(save):
    path = save(
        "a.srt",
        "1\n00:00:05,000 --> 00:00:06,000\nlast\n\n2\n00:00:01,000 --> 00:00:02,000\n\n"
        "3\n00:00:03,000 --> 00:00:03,000\nno time\n\n00:00:02,000 --> 00:00:04,000\nunnumbered\n\n\n",
    )
    assert read(path) == [("unnumbered", 2.0, 4.0), ("last", 5.0, 6.0)]


@pytest.mark.parametrize("name, content", [("a.srt", ""), ("a.vtt", "WEBVTT\n"), ("a.txt", " \n\n"), ("a.srt", "\n\n")])
def test_silence_is_no_error(save, name, content):
    assert read(save(name, content)) == []


def test_plain_text_is_spread_by_its_words(save):
    path = save("a.txt", "\ufeffone two three\r\n\r\nfour\r\n")
    assert read(path, 8.0) == [("one two three", 0.0, 6.0), ("four", 6.0, 8.0)]


GOOD = "1\n00:00:01,000 --> 00:00:02,000\nfine\n\n"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.srt", GOOD + "2\n00:00:03,000 --> later\ntext\n", "srt, line 6: expected times .* found '00:00:03"),
        ("a.srt", GOOD + "2\n00:03 --> 00:04\ntext\n", "line 6: expected times like 00:00:01,000"),
        ("a.vtt", VTT + "\n00:01 --> 00:04\ntext\n", "line 17: expected times"),
        ("a.srt", GOOD + "2\n00:00:04,000 --> 00:00:03,000\ntext\n", "line 6: the cue ends before it starts"),
        ("a.vtt", "WEBVTT\n\nintro\ntext\n", "holds a text without times .* save it as .txt"),
        ("a.srt", "all that is said\n", "holds a text without times"),
        ("a.srt", GOOD.encode() + b"2\n\xe9t\xe9\n", "line 6: is not UTF-8: save it as UTF-8"),
        ("a.ass", "", "is no transcript: expected one of .srt, .vtt, .txt"),
    ],
)
def test_broken_files_name_the_line(save, name, content, message):
    with pytest.raises(SubtitleError, match=message):
        read(save(name, content))


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("a.srt", GOOD + "after an empty line\n", [("fine after an empty line", 1.0, 2.0)]),
        ("a.srt", GOOD.rstrip() + "\n00:00:03,000 -> 00:00:04,000\nmore\n", [("fine", 1.0, 2.0), ("more", 3.0, 4.0)]),
        ("a.vtt", GOOD, [("fine", 1.0, 2.0)]),
        ("a.srt", VTT, [("Hi you & me", 1.5, 3.0), ("later", 3600.0, 3601.0)]),
        ("a.srt", GOOD + "press --> here\n", [("fine press --> here", 1.0, 2.0)]),
    ],
)
def test_what_can_be_guessed_is_no_error(save, name, content, expected):
    assert read(save(name, content)) == expected


def test_only_what_is_said_is_text(save):
    """Of what pysubs2 alone would take for speech, or for times."""
    path = save(
        "a.vtt",
        "WEBVTT\n\n00:01.000 --> 00:02.000\nheat to\n350\n\n"
        "NOTE about that\nNOTE and that\n \n"
        "00:02.000 --> 00:03.000\nand<00:02.300><c> so</c><00:02.600><c> on</c>\nNOTE well\n\n"
        "end\n00:03.000 --> 00:04.000\n100\n",
    )
    assert read(path) == [("heat to 350", 1.0, 2.0), ("and so on NOTE well", 2.0, 3.0), ("100", 3.0, 4.0)]


def test_a_missing_file(tmp_path):
    with pytest.raises(SubtitleError, match="nothing.srt: cannot be read .No such file"):
        read_transcript(tmp_path / "nothing.srt", 1.0)


@pytest.mark.parametrize("suffix, first", [(".srt", "1\n00:00:00,000 --> 00:00:10,000\n"), (".vtt", "WEBVTT\n\n1\n")])
def test_what_is_written_can_be_read(tmp_path, suffix, first):
    cues = [
        {"text": "salt & pepper", "start": 0.0, "end": 10.0},
        {"text": "a  b\nc", "start": 10.0, "end": 3725.5},
        {"text": "x --> y", "start": 3725.5, "end": 3725.9996},
    ]
    path = tmp_path / f"a{suffix}"
    write_subtitles(path, cues)
    assert path.read_text().startswith(first) and [p.name for p in tmp_path.iterdir()] == [path.name]
    arrow = "->" if suffix == ".srt" else "-->"
    assert read(path) == [("salt & pepper", 0.0, 10.0), ("a b c", 10.0, 3725.5), (f"x {arrow} y", 3725.5, 3726.0)]


def test_other_kinds_and_places_that_cannot_be_written(tmp_path):
    with pytest.raises(SubtitleError, match="written as .srt or .vtt"):
        write_subtitles(tmp_path / "a.txt", [])
    with pytest.raises(FileNotFoundError, match=r"No such file.*no.a\.srt"):
        write_subtitles(tmp_path / "no" / "a.srt", [])


def test_subtitles_are_found_beside_their_videos(tmp_path):
    names = ["a.srt", "a.vtt", "a.en.srt", "b.pt-BR.VTT", "c.part2.srt", "c.txt", "deep/d.srt", "e.s.srt", "other.srt"]
    (tmp_path / "deep").mkdir()
    for name in names:
        (tmp_path / name).touch()
    videos = [tmp_path / name for name in ("a.mp4", "b.mkv", "c.mp4", "deep/d.mp4", "e.mp4")]
    found = {video.name: file.name for video, file in find_subtitles(videos).items()}
    assert found == {"a.mp4": "a.srt", "b.mkv": "b.pt-BR.VTT", "d.mp4": "d.srt"}
    assert find_subtitles(videos, "en")[videos[0]].name == "a.en.srt"


def test_which_of_several_languages_is_a_question(tmp_path):
    for name in ("a.en.srt", "a.en.vtt", "a.de.vtt"):
        (tmp_path / name).touch()
    with pytest.raises(SubtitleError, match=r"a\.mp4: has subtitles in several languages \(a\.de\.vtt, a\.en\.srt"):
        find_subtitles([tmp_path / "a.mp4"])
    assert find_subtitles([tmp_path / "a.mp4"], "de")[tmp_path / "a.mp4"].name == "a.de.vtt"
    assert find_subtitles([tmp_path / "a.mp4"], "en")[tmp_path / "a.mp4"].name == "a.en.srt"
    assert find_subtitles([tmp_path / "b.mp4"]) == {}
