"""Detection of video files that are shorter than they say: broken-off copies, downloads and recordings, and bombs."""

import struct
from pathlib import Path

SEGMENT = b"\x18\x53\x80\x67"  # the element of webm and mkv files that holds everything after their short header

BOXES = (b"ftyp", b"styp", b"free", b"wide", b"sidx", b"moov", b"moof", b"mdat")  # of an mp4, up to its last frame
# Boxes that hold boxes, and those that hold a number of samples, with its place after length and type.
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex", b"moof", b"traf")
COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}

# How much shorter a whole AVI may be than its header says. Encoders count frames that they held back and never wrote
# (B-frames: one to three), and cameras round when they stop; more than one frame in fifty is a loss that can be seen.
FEW_FRAMES = 3
SMALL_SHARE = 0.02


def missing_bytes(path: Path) -> int:
    """Number of bytes missing at the end of an mp4, mov, webm or mkv file; 0 if none are, or if it does not say.

    A live recording does not say, nor an mp4 made of fragments that is cut exactly between two of them.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(1024)
        if start[4:8] == b"ftyp":
            return max(0, _mp4_length(file, size) - size)
        return max(0, _matroska_length(start) - size)


def ends_early(path: Path, numbered: int, promised: int) -> bool:
    """Whether an AVI is cut off that promises so many frames and whose last one has the number `numbered`, from 1.

    It is if bytes are missing at its end; also if more than FEW_FRAMES and more than SMALL_SHARE of the frames are.
    """
    return _riff_end(path) > path.stat().st_size or promised - numbered > max(FEW_FRAMES, SMALL_SHARE * promised)


def _riff_end(path: Path) -> int:
    """End of an AVI as it says itself: one or more lists RIFF, each with its length; 0 if it does not say."""
    position, end, size = 0, 0, path.stat().st_size
    with open(path, "rb") as file:
        while position + 8 <= size:
            file.seek(position)
            kind, length = struct.unpack("<4sI", file.read(8))
            if kind != b"RIFF":
                break
            end = position + 8 + length
            position = end + length % 2  # the next one begins at an even place
    return end


def _mp4_length(file, size: int) -> int:
    """An mp4 is a row of boxes, and each begins with its length: 4 bytes, or 8 after the type if these say 1."""
    position = 0
    while position + 16 <= size:
        file.seek(position)
        length, kind, long_length = struct.unpack(">I4sQ", file.read(16))
        length = long_length if length == 1 else length
        if length < 8 or kind not in BOXES:
            break  # 0 means up to the end of the file, wherever that is; other boxes hold no frames
        position += length
    return position


def index_entries(path: Path) -> int:
    """Number of samples that the index of an mp4 says there are, in all of its tracks and fragments; else 0.

    Readers make a table of them, whose length nothing but this number bounds.
    """
    count, position, ends = 0, 0, [path.stat().st_size]
    with open(path, "rb") as file:
        while ends:
            if position + 8 > ends[-1]:
                position = ends.pop()
                continue
            file.seek(position)
            head = file.read(28).ljust(28, b"\0")
            length, kind, long_length = struct.unpack_from(">I4sQ", head)
            header = 16 if length == 1 else 8
            length = {0: ends[-1] - position, 1: long_length}.get(length, length)
            if length < header:  # damaged: the rest of the box around it is not read
                position = ends.pop()
                continue
            end = min(position + length, ends[-1])
            if kind in PARENTS:
                ends.append(end)
                end = position + header
            elif kind in COUNTS:
                count += int.from_bytes(head[header + COUNTS[kind] :][:4])
            position = end
    return count


def _matroska_length(start: bytes) -> int:
    """End of the segment: after the EBML header, each a four-byte name and a length of one to eight bytes."""
    header_end = _element_end(start, 0)
    if start[header_end : header_end + 4] != SEGMENT:
        return 0
    return _element_end(start, header_end)


def _element_end(data: bytes, position: int) -> int:
    """Leading zero bits of a length tell how many more bytes it has; all ones after them means unknown."""
    length_bytes = data[position + 4 : position + 12]
    if not length_bytes or length_bytes[0] == 0:
        return 0
    count = 9 - length_bytes[0].bit_length()
    unknown = (1 << 7 * count) - 1
    length = int.from_bytes(length_bytes[:count]) & unknown
    return 0 if length == unknown else position + 4 + count + length
