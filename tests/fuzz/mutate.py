"""Changes of a file's bytes that real damage and hostile hands make, each repeatable from a seed.

A file whose parts are guarded by lengths or checksums (JSON, zip, safetensors) is opened, changed inside and closed
again, because a reader refuses the rest at its first byte.
"""

import io
import json
import random
import re
import struct
import zipfile
import zlib

NUMBERS = [
    "0",
    "-1",
    "1e308",
    "1e999",
    "-0.0",
    "NaN",
    "Infinity",
    "9" * 400,
    "9999999",
    "0x10",
    "1_000",
    "٣",
    "2.5",
    "",
]
VALUES = [
    None,
    True,
    -1,
    0,
    2.5,
    1e308,
    10**30,
    9_999_999,
    "",
    "x" * 5000,
    "\x1b[2J",
    "../../x",
    "\ud800",
    [],
    {},
    [[]],
]
VALUES += [[None], {"": None}, "NaN", [1, "two", None], float("nan"), float("inf")]
MOST_UNPACKED = 2**24  # bytes of a file inside a zip that are changed; larger ones are left as they are


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The bytes of a file after one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = _changed(data, rng)
    return data


def _changed(data: bytes, rng: random.Random) -> bytes:
    ways = [_bytes_changed, _bytes_changed, _blocks_changed]
    if data[:4] == b"PK\x03\x04":
        ways += [_zip_changed] * 6
    elif len(data) > 8 and data[8:9] == b"{":
        ways += [_safetensors_changed] * 6
    elif b"\0" not in data[:1000]:
        ways += [_numbers_changed, _lines_changed]
        ways += [_json_changed] * 6 if data.lstrip()[:1] in (b"{", b"[") else []
    try:
        return rng.choice(ways)(data, rng)
    except (
        ValueError,
        KeyError,
        IndexError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RecursionError,
    ):
        return _bytes_changed(data, rng)  # earlier changes have left nothing that could be opened


def _bytes_changed(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and place < len(changed):
            changed[place] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
        elif kind == 2:
            changed[place:place] = rng.randbytes(rng.choice((1, 2, 8)))
        else:
            del changed[place : place + rng.choice((1, 2, 8))]
    return bytes(changed)


def _blocks_changed(data: bytes, rng: random.Random) -> bytes:
    """Cut off, empty, with a hole, with a part twice, or with something behind it."""
    start, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return rng.choice(
        (
            data[:start],
            b"",
            data[:start] + bytes(end - start) + data[end:],
            data[:start] + data[end:],
            data[:end] + data[start:],
            data + rng.randbytes(100),
            b"\xef\xbb\xbf" + data,
        )
    )


def _numbers_changed(data: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    match = rng.choice(found or [re.search(b"$", data)])
    return data[: match.start()] + rng.choice(NUMBERS).encode() + data[match.end() :]


def _lines_changed(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    place, kind = rng.randrange(len(lines)), rng.randrange(6)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, lines[rng.randrange(len(lines))])
    elif kind == 2:
        rng.shuffle(lines)
    elif kind == 3:
        lines[place] = lines[place].replace(b" ", b"\t").replace(b",", b";")
    elif kind == 4:
        lines[place] = lines[place].rstrip() + b"\r"
    else:
        lines[place] = lines[place] * 50
    return b"".join(lines)


def _json_changed(data: bytes, rng: random.Random) -> bytes:
    """One value anywhere in it is another one, gone, renamed, or nested; of JSON lines, in one of the lines."""
    lines = data.splitlines() if data.count(b"\n{") else [data]
    place = rng.randrange(len(lines))
    content = json.loads(lines[place])
    parts = [content]
    for part in parts:
        parts += [
            value for value in (part.values() if isinstance(part, dict) else part) if isinstance(value, (dict, list))
        ]
    part = rng.choice([part for part in parts if part] or [content])
    keys = list(part) if isinstance(part, dict) else list(range(len(part)))
    key, kind = rng.choice(keys), rng.randrange(8)
    if kind < 5:
        part[key] = rng.choice(VALUES)
    elif kind == 5:
        del part[key]
    elif kind == 6:
        part[key] = [part[key]]
    else:
        for _ in range(rng.choice((1, 50))):
            part[key] = {"more": part[key]}
    lines[place] = json.dumps(rng.choice(VALUES) if rng.random() < 0.05 else content).encode()
    return b"\n".join(lines)


def _safetensors_changed(data: bytes, rng: random.Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header, tensors = data[8 : 8 + length], data[8 + length :]
    kind = rng.randrange(4)
    if kind == 0:
        return struct.pack("<Q", rng.choice((0, 1, 2**63, length * 1000, length - 1))) + data[8:]
    if kind == 1:  # numbers that are none
        values = bytearray(tensors)
        place = 4 * rng.randrange(max(1, len(values) // 4))
        values[place : place + 4] = struct.pack("<f", rng.choice((float("nan"), float("inf"), -1e30)))
        return data[: 8 + length] + bytes(values)
    header = _json_changed(header, rng) if kind == 2 else _numbers_changed(header, rng)
    return struct.pack("<Q", len(header)) + header + tensors


def _zip_changed(data: bytes, rng: random.Random) -> bytes:
    """A zip with one of its files changed, gone, empty, twice or much larger."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        files = [(info.filename, old.read(info)) for info in old.infolist() if info.file_size <= MOST_UNPACKED]
    place = rng.randrange(len(files))
    name, content = files[place]
    kind = rng.randrange(6)
    if kind < 3:
        files[place] = (name, mutated(content, rng) if content else b"")
    elif kind == 3:
        del files[place]
    elif kind == 4:
        files[place] = (rng.choice(("../x", name + "x", "/etc/x")), content)
    else:
        files[place] = (name, content + bytes(MOST_UNPACKED))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as new:
        for name, content in files:
            new.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()
