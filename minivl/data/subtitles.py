"""Transcripts that come with a reader's own videos: subtitle files (.srt, .vtt) and plain text (.txt), in and out."""

import html
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

READABLE = (".srt", ".vtt", ".txt")
CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"  # hours may be left out; .srt has a comma, .vtt a dot
TIMING = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?=\s|$)")
TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")  # <i>, <c.red>, <00:01.500>, {\an8}
NOT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION")  # first words of blocks of a .vtt that nobody says


class SubtitleError(ValueError):
    """A transcript that cannot be read: says which file and line, what is wrong and what to do."""

    def __init__(self, path: Path | str, reason: str, line: int | None = None):
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {reason}")


def read_transcript(path: Path | str, duration: float) -> list[dict]:
    """What is said in a video of `duration` seconds: a list of {text, start, end}, in the order of the starts.

    .srt, .vtt   one entry per cue, without tags; cues may overlap. Cues without words or of no length are left out.
    .txt         one sentence per line. The file has no times: they are spread over the video by their words.

    A file in which nobody says anything gives []. Raises SubtitleError for a file that is missing, of another kind,
    not UTF-8 (or UTF-16 with its mark), and for a cue that is broken.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in READABLE:
        raise SubtitleError(path, f"is no transcript: expected one of {', '.join(READABLE)}")
    lines = re.split(r"\r\n|\r|\n", _read_text(path))
    if kind == ".txt":
        return _spread([line.strip() for line in lines if line.strip()], duration)
    if kind == ".vtt" and not lines[0].startswith("WEBVTT"):
        raise SubtitleError(path, "must begin with WEBVTT: is it an .srt file?", 1)
    cues = [
        _cue(path, number, block)
        for number, block in _blocks(lines)
        if not (kind == ".vtt" and block[0].split()[0].startswith(NOT_CUES) and "-->" not in block[0])
    ]
    cues = [cue for cue in cues if cue["text"] and cue["start"] < cue["end"]]
    return sorted(cues, key=lambda cue: cue["start"])


def write_subtitles(path: Path | str, cues: Sequence[dict]) -> None:
    """Write {text, start, end} as an .srt or .vtt file, whole or not at all. Raises SubtitleError for another kind."""
    path = Path(path)
    if path.suffix.lower() not in (".srt", ".vtt"):
        raise SubtitleError(path, "subtitles are written as .srt or .vtt")
    srt = path.suffix.lower() == ".srt"
    blocks, point = ([], ",") if srt else (["WEBVTT"], ".")
    for number, cue in enumerate(cues, start=1):
        text = " ".join(cue["text"].split())
        text = text.replace("-->", "->") if srt else html.escape(text, quote=False)
        blocks.append(f"{number}\n{_clock(cue['start'], point)} --> {_clock(cue['end'], point)}\n{text}")
    write_text(path, "\n\n".join(blocks) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises OSError that names the file."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write the file ({error.strerror})", str(path)) from error


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SubtitleError(path, f"cannot be read ({error.strerror}): check its name") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SubtitleError(path, f"is not {encoding.upper().removesuffix('-SIG')}: save it as UTF-8", line) from error


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Lines between empty lines, with the number of the first, from 1."""
    block = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _cue(path: Path, number: int, block: list[str]) -> dict:
    """A cue of the block of lines that starts at line `number`: perhaps a name, then the times, then the text."""
    place = next((place for place, line in enumerate(block[:2]) if "-->" in line), None)
    if place is None:
        place = 1 if block[0].strip().isdigit() and len(block) > 1 else 0
        raise SubtitleError(
            path,
            f"expected times like 00:00:01,000 --> 00:00:02,500, found {block[place]!r:.60}: "
            "correct this cue, or take away the empty line before its text",
            number + place,
        )
    if not (match := TIMING.match(block[place])):
        raise SubtitleError(path, f"cannot read these times: {block[place]!r:.60}", number + place)
    start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end < start:
        raise SubtitleError(path, f"the cue ends before it starts: {block[place]!r:.60}", number + place)
    for line, text in enumerate(block[place + 1 :], start=number + place + 1):
        if TIMING.match(text):
            raise SubtitleError(path, "times where a text is expected: put an empty line before this cue", line)
    text = html.unescape(TAG.sub("", " ".join(block[place + 1 :])))
    return {"text": " ".join(text.split()), "start": start, "end": end}


def _seconds(clock: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = clock
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}")


def _clock(seconds: float, point: str) -> str:
    """3725.5 -> 01:02:05,500."""
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{thousandths:03d}"


def _spread(sentences: list[str], duration: float) -> list[dict]:
    """Sentences one after the other over the whole video, each as long as its share of the words."""
    said, spread = 0, []
    words = sum(len(sentence.split()) for sentence in sentences)
    for sentence in sentences:
        start, said = said, said + len(sentence.split())
        spread.append({"text": sentence, "start": duration * start / words, "end": duration * said / words})
    return spread
