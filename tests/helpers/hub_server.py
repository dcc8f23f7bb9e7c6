"""A server on this machine that speaks the protocol of the Hugging Face hub, for its own client (HF_ENDPOINT).

It serves a folder, models/OWNER/NAME/... and datasets/OWNER/NAME/..., and can break off or damage what it sends.
"""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote

COMMIT = "0" * 40
LARGE = (".safetensors", ".zip")  # kept under their SHA-256, as Git LFS does; others under git's own hash


class HubServer(ThreadingHTTPServer):
    """Answers about the files below a folder.

    cut      name of a file -> after how many bytes its next download breaks off
    damaged  names of files of which one byte is sent wrong
    asked    names of files, one for each download that began
    """

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.cut, self.damaged, self.asked = folder, {}, set(), []
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        if path == "/":
            return self.answer_json({})
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            return self.answer_json(self.about(self.server.folder / found[1] / found[2], found[2]))
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/[^/]+", path):
            folder = self.server.folder / found[1] / found[2]
            return self.answer_json([entry(folder / name, name) for name in names_in(folder)])
        if found := re.fullmatch(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            return self.answer_file(self.server.folder / (found[1] or "models") / found[2] / found[3])
        self.send_error(404)

    def do_POST(self):
        """Sizes and hashes of files: paths-info."""
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["paths"]
        found = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/paths-info/[^/]+", self.path)
        folder = self.server.folder / found[1] / found[2]
        self.answer_json([entry(folder / name, name) for name in asked if (folder / name).is_file()])

    def about(self, folder, name):
        siblings = [{"rfilename": name} for name in names_in(folder)]
        return {"id": name, "sha": COMMIT, "private": False, "siblings": siblings}

    def answer_json(self, content):
        data = json.dumps(content).encode()
        self.begin(200, len(data), {"Content-Type": "application/json"})
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer_file(self, file):
        if not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        data, headers = file.read_bytes(), {"ETag": f'"{hash_of(file)}"', "Accept-Ranges": "bytes"}
        if file.name in self.server.damaged:
            data = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        status, whole = 200, len(data)
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), min(int(asked[2] or whole), whole - 1)
            status, data = 206, data[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{whole}"
        self.begin(status, len(data), headers)
        if self.command == "HEAD":
            return
        self.server.asked.append(file.name)
        if file.name in self.server.cut:
            self.wfile.write(data[: self.server.cut.pop(file.name)])
            self.close_connection = True
            return
        self.wfile.write(data)

    def begin(self, status, length, headers):
        self.send_response(status)
        for name, value in {"Content-Length": length, "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()


def names_in(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def hash_of(file: Path) -> str:
    data = file.read_bytes()
    if file.suffix in LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def entry(file: Path, name: str) -> dict:
    size, found = file.stat().st_size, hash_of(file)
    lfs = {"lfs": {"oid": found, "size": size, "pointerSize": 1}} if file.suffix in LARGE else {}
    return {"type": "file", "path": name, "size": size, "oid": found[:40], **lfs}


@contextmanager
def serving(folder: Path):
    """A server of a folder, until the end of the block."""
    server = HubServer(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
