"""Transcripts that come with a reader's own videos: subtitle files (.srt, .vtt) and plain text (.txt), in and out."""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pysubs2 import SSAEvent, SSAFile
from pysubs2.formats.subrip import SubripFormat
from pysubs2.formats.webvtt import WebVTTFormat

from minivl.config.limits import how_to_raise, limit
from minivl.data.atomic import write_text

READABLE = (".srt", ".vtt", ".txt")
LANGUAGE = re.compile(r"\.[A-Za-z]{2,3}(?:[-_]\w+)?")  # .en, .pt-BR
TAG = re.compile(r"</?[A-Za-z][^<>\n]*>|<[\d:.]+>|\{\\[^{}\n]*\}")  # <i>, <c.red>, <00:01.500>, {\an8}
NOT_CUES = re.compile(r"(?:\A|(?<=\n\n))(?:WEBVTT|NOTE|STYLE|REGION)\b(?:.+\n?)*")  # blocks that nobody says
TIMES = re.compile(r".*\d *-->")
CUE_START = re.compile(rf"(?:(?<=\n\n)(?!{TIMES.pattern}).+\n)?^({TIMES.pattern})", re.MULTILINE)  # name, then times


class SubtitleError(ValueError):
    """A transcript that cannot be read: says which file and line, what is wrong and what to do."""

    def __init__(self, path: Path | str, reason: str, line: int | None = None):
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {reason}")


def read_transcript(path: Path | str, duration: float) -> list[dict]:
    """The sentences of a video of `duration` seconds: a list of {text, start, end}, in the order of the starts.

    .srt, .vtt   one entry per cue, without tags; cues may overlap. Cues without words or of no length are left out.
    .txt         one sentence per line. The file has no times: they are spread over the video by their words.

    A file in which nobody says anything gives []. Raises SubtitleError for a file that is missing, of another kind,
    not UTF-8 (or UTF-16 with its mark), and for times that cannot be read, run backwards, or are not there at all.
    """
    path = Path(path)
    if path.suffix.lower() not in READABLE:
        raise SubtitleError(path, f"is no transcript: expected one of {', '.join(READABLE)}")
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", _read_text(path))]
    if path.suffix.lower() == ".txt":
        return _spread([line for line in lines if line], duration)
    cues = [cue for cue in _cues(path, "\n".join(lines)) if cue["text"] and cue["start"] < cue["end"]]
    return sorted(cues, key=lambda cue: cue["start"])


def find_subtitles(videos: Iterable[Path], language: str | None = None) -> dict[Path, Path]:
    """Video -> the subtitles beside it, for those that have any.

    They are called talk.srt or talk.vtt for talk.mp4, or talk.en.srt, where `en` is a language; with `language` those
    of that one come first. Raises SubtitleError where there are several languages to choose from.
    """
    found: dict[Path, Path] = {}
    beside: dict[Any, list[Path]] = defaultdict(list)  # by name without suffix, and by that without language
    for folder, some in groupby(sorted(videos), key=lambda video: video.parent):
        beside.clear()
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in (".srt", ".vtt"):
                beside[file.stem].append(file)
                if LANGUAGE.fullmatch(Path(file.stem).suffix):
                    beside[Path(file.stem).stem, "any language"].append(file)
        for video in some:
            wanted = [f"{video.stem}.{language}", video.stem, (video.stem, "any language")]
            named = next((beside[name] for name in wanted if name in beside), [])
            if len({file.stem for file in named}) > 1:
                names = ", ".join(file.name for file in named[:4])
                raise SubtitleError(video, f"has subtitles in several languages ({names}): say which, such as en")
            if named:
                found[video] = named[0]
    return found


def write_subtitles(path: Path | str, cues: Sequence[dict]) -> None:
    """Write {text, start, end} as an .srt or .vtt file, whole or not at all. Raises SubtitleError for another kind."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".srt", ".vtt"):
        raise SubtitleError(path, "subtitles are written as .srt or .vtt")
    subtitles = SSAFile()
    for cue in cues:
        text = " ".join(cue["text"].split())
        text = text.replace("-->", "->") if kind == ".srt" else html.escape(text, quote=False)
        subtitles.append(SSAEvent(round(1000 * cue["start"]), round(1000 * cue["end"]), text))
    write_text(path, subtitles.to_string(kind[1:], keep_ssa_tags=True))  # braces of a text are no tags of ours


def _read_text(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe or device may have no end
        raise SubtitleError(path, "is not a regular file: copy the transcript to one")
    try:
        if path.stat().st_size > limit("metadata_mb") * 10**6:
            raise SubtitleError(path, f"is too large for a transcript: {how_to_raise('metadata_mb')}")
        data = path.read_bytes()
    except OSError as error:
        raise SubtitleError(path, f"cannot be read ({error.strerror}): check its name") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SubtitleError(path, f"is not {encoding.upper().removesuffix('-SIG')}: save it as UTF-8", line) from error


def _cues(path: Path, text: str) -> list[dict]:
    """All cues of a subtitle file, in its order. What it holds, not its name, says which kind it is.

    pysubs2 takes everything between two lines of times for speech but a number at the end. So notes and tags go
    before it reads the text (two tags like <00:01.500> would be a line of times), and every cue gets a number.
    """
    kind = "vtt" if text.startswith("WEBVTT") else "srt"
    text = TAG.sub("", NOT_CUES.sub(lambda block: "\n" * block[0].count("\n"), text) if kind == "vtt" else text)
    places = _lines_of_times(path, text, (WebVTTFormat if kind == "vtt" else SubripFormat).TIMESTAMP)
    numbered = CUE_START.sub(r"0\n\1", text) + "\n\n0"
    cues = []
    for place, event in zip(places, SSAFile.from_string(numbered, kind, keep_html_tags=True), strict=True):
        if event.end < event.start:
            raise SubtitleError(path, "the cue ends before it starts", place)
        words = html.unescape(event.text.replace(r"\N", " ")).split()
        cues.append({"text": " ".join(words), "start": event.start / 1000, "end": event.end / 1000})
    return cues


def _lines_of_times(path: Path, text: str, stamp: re.Pattern) -> list[int]:
    """Numbers, from 1, of the lines that start a cue; SubtitleError for one that is broken, or a text without any."""
    places = []
    for number, line in enumerate(text.split("\n"), start=1):
        if len(stamp.findall(line)) == 2:
            places.append(number)
        elif TIMES.match(line):
            raise SubtitleError(path, f"expected times like 00:00:01,000 --> 00:00:02,500, found {line!r:.60}", number)
    if not places and text.strip():
        raise SubtitleError(path, "holds a text without times like 00:00:01,000 --> 00:00:02,500: save it as .txt")
    return places


def _spread(sentences: list[str], duration: float) -> list[dict]:
    """Sentences one after the other over the whole video, each as long as its share of the words."""
    said, spread = 0, []
    words = sum(len(sentence.split()) for sentence in sentences)
    for sentence in sentences:
        start, said = said, said + len(sentence.split())
        spread.append({"text": sentence, "start": duration * start / words, "end": duration * said / words})
    return spread
