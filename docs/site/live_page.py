"""The page "Try it": models as ONNX, what they are shown, and the program that runs them, for a page without server.

Two packages of the npm registry run the models and their tokenizers in the browser. Each is fetched once, in a version
whose hash is known, and kept in build/live. So is the adapted CLIP, which is trained there by the quick start's recipe,
and what the explorers show of UniVL.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.colors import to_hex
from PIL import Image

from minivl.config import BUNDLED
from minivl.data.segments import speech_within
from minivl.data.video import probe
from minivl.data.windows import spans
from minivl.export import export_caption_reader, export_next_word, export_query_encoder
from minivl.plots.picture import MATCHING, OTHER, TEXT
from minivl.s3d import S3D
from minivl.s3d.features import extract_features, seconds_of_video
from minivl.tasks.clip.search import Searcher, open_searcher
from minivl.tasks.univl.data import CAPTIONER
from minivl.tasks.univl.own_videos import window_features
from minivl.tasks.univl.saving import read_inputs
from minivl.univl import UniVL

HERE = Path(__file__).resolve().parent / "live"
KEPT = HERE.parents[2] / "build" / "live"  # what is fetched and trained once
NPM = {  # package: version, SHA-256 of its archive
    "onnxruntime-web": ("1.30.0", "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"),
    "@huggingface/tokenizers": ("0.2.0", "2800014c83b8186b2e4210c20672f1fb65a12cef85d7e95e0f2003e022611b4a"),
}
CLIPS = BUNDLED / "kitchen" / "test"
CAPTIONED, WINDOW, BEAMS = 8, 4.0, 5  # clips; seconds and beams, as of `minivl caption`
STRIP, SIDE, BINS = 8, 64, 40  # frames of a clip and their pixels; bins of a histogram
EXAMPLES = (
    "someone pours milk into the yellow pot",
    "the fridge chills a bowl",
    "a knife slices an onion",
    "a dog on a beach",
)
TRAINED = {  # run: the command that makes it
    "adapted": "adapt --seed 0 --scale small",
    "joint": "finetune joint --seed 0 --scale small --steps 25",
    "align": "finetune align --seed 0 --scale small --steps 25",
}
SEARCHERS = {  # title: name of the model, None for the adapted one
    "CLIP as it is": "kitchen",
    "CLIP adapted with DiscoVLA": None,
}


class NotFetched(RuntimeError):
    """What runs the models in a browser can't be had, and why."""


def write_live(source: Path) -> None:
    """Write the page into the sources of the site. Without npm it says that it was left out, and so is printed."""
    try:
        packages = {name: _fetched(name) for name in NPM}
    except NotFetched as error:
        print(f"left out: the page 'Try it' ({error})")
        (source / "live.md").write_text("# Try it\n\nThis copy of the site was built without the live demo.\n", "utf-8")
        return
    folder = source / "_static" / "live"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.md"))
    _write_programs(packages, folder)
    facts = _write_search(folder) | {"ATTENTION": to_hex(TEXT)}
    _write_captions(folder)
    facts["MEGABYTES"] = f"{sum(file.stat().st_size for file in folder.iterdir()) / 2**20:.0f}"
    text = re.sub(r"@([A-Z]+)@", lambda found: facts[found[1]], (HERE / "page.md").read_text(encoding="utf-8"))
    (source / "live.md").write_text(text, encoding="utf-8")


def _fetched(package: str) -> tarfile.TarFile:
    """The archive of a package, from the registry that npm is set up with. Raises NotFetched."""
    version, expected = NPM[package]
    file = KEPT / f"{package.strip('@').replace('/', '-')}-{version}.tgz"
    if not file.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        try:
            command = ["npm", "pack", f"{package}@{version}", "--silent", "--pack-destination", str(KEPT)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        except FileNotFoundError as error:
            raise NotFetched("npm is not installed: install Node.js, which brings it") from error
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise NotFetched(f"npm could not fetch {package} {version}: {str(error.stderr or error)[-500:]}") from error
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise RuntimeError(
            f"{file} is not the {package} {version} that was tried: delete it, or mend NPM in {__file__}"
        )
    return tarfile.open(fileobj=io.BytesIO(data))


def _write_programs(packages: dict[str, tarfile.TarFile], folder: Path) -> None:
    """ONNX Runtime and tokenizers, as scripts of their own."""

    def content(package: str, name: str) -> bytes:
        member = packages[package].extractfile(f"package/dist/{name}")
        assert member is not None
        return member.read()

    ort = "onnxruntime-web"
    source = re.sub(rb"//# sourceMappingURL=.*", b"", content(ort, "ort.wasm.min.js"))
    (folder / "ort.js").write_bytes(source)
    parts = {kind: _packed(content(ort, f"ort-wasm-simd-threaded.{kind}")) for kind in ("mjs", "wasm")}
    _write_data(folder / "runtime.js", "runtime", parts)
    module = content("@huggingface/tokenizers", "tokenizers.min.cjs").decode()
    wrapped = f"const Tokenizers = (module => {{\n{module}\nreturn module.exports\n}})({{ exports: {{}} }})\n"
    (folder / "tokenizers.js").write_text(wrapped, encoding="utf-8")


def _write_search(folder: Path) -> dict[str, str]:
    """Clips, models and distributions of the search; what the page says of them."""
    rows = _rows()
    paths, captions = [CLIPS / row["file_name"] for row in rows], [row["caption"] for row in rows]
    models, first = [], []
    for title, name in SEARCHERS.items():
        searcher = open_searcher(name or str(trained("adapted") / "model"))
        texts = np.stack([searcher.encode_text(caption) for caption in captions])  # (N, D)
        videos = _videos(searcher, paths)  # (N, D)
        cosines = texts @ videos.T  # (N, N)
        first.append(int((cosines.argmax(axis=1) == np.arange(len(paths))).sum()))
        model = export_query_encoder(searcher.text, searcher.inputs.max_words)
        models.append({"title": title, "weights": _packed(model), "videos": _floats(videos), **_distribution(cosines)})
    tokenizer = _tokenizer(BUNDLED / "clip_kitchen")
    ids = {token["content"]: token["id"] for token in tokenizer["json"]["added_tokens"]}
    data = {
        "tokenizer": tokenizer,
        "special": [ids[tokenizer["config"][name]] for name in ("bos_token", "eos_token")],
        "max_words": searcher.inputs.max_words,
        "clips": [
            {"name": path.stem, "caption": caption, "strip": _strip(path)}
            for path, caption in zip(paths, captions, strict=True)
        ],
        "models": models,
    }
    _write_data(folder / "search-data.js", "search", data)
    return {
        "CLIPS": str(len(paths)),
        "BEFORE": str(first[0]),
        "AFTER": str(first[1]),
        "MATCHING": to_hex(MATCHING),
        "OTHER": to_hex(OTHER),
        "EXAMPLES": "\n".join(f'<button type="button">{example}</button>' for example in EXAMPLES),
        "WORDS": ", ".join(sorted({word for caption in captions for word in caption.split()})),
    }


def _rows() -> list[dict[str, Any]]:
    """The bundled clips, in the order of their names."""
    lines = (CLIPS / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted(map(json.loads, lines), key=lambda row: row["file_name"])


def trained(name: str) -> Path:
    """The folder of one of the runs in TRAINED; trained where it is not yet there."""
    run = KEPT / name
    if not (run / "model" / "config.json").is_file():
        command = [sys.executable, "-m", "minivl", *TRAINED[name].split(), "--name", name]
        environment = os.environ | {"MINIVL_RUNS": str(KEPT)}
        subprocess.run(command, check=True, cwd=HERE.parents[2], env=environment)
    return run


def _videos(searcher: Searcher, paths: list[Path]) -> np.ndarray:
    """Embeddings (N, D) of clips, of length 1."""
    found: dict[Path, Any] = dict(searcher.encode_videos(paths))
    rows = np.concatenate([found[path][1] for path in paths])  # one window each: clips are shorter
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _distribution(cosines: np.ndarray) -> dict[str, Any]:
    """Histograms, in shares, of cosines (N, N) on the diagonal and off it, and the cosines themselves."""
    own = np.eye(len(cosines), dtype=bool)
    edges = np.linspace(cosines.min(), cosines.max(), BINS + 1)
    shares = {
        name: (np.histogram(cosines[which], edges)[0] / which.sum()).round(5).tolist()
        for name, which in (("matching", own), ("other", ~own))
    }
    values = {"match_values": _floats(cosines[own]), "other_values": _floats(cosines[~own])}
    return {"edges": edges.round(5).tolist(), **shares, **values}


@torch.inference_mode()
def _write_captions(folder: Path) -> None:
    """UniVL, and windows of clips with what is said in them, encoded as far as nobody can change them."""
    univl, s3d, inputs = (
        UniVL.from_pretrained(CAPTIONER),
        S3D.from_pretrained(BUNDLED / "s3d_kitchen"),
        read_inputs(CAPTIONER),
    )
    words, frames = inputs["max_words"], inputs["max_frames"]
    windows = []
    for row in _rows()[:CAPTIONED]:
        path = CLIPS / row["file_name"]
        features = extract_features(path, s3d)
        pictures = [second[len(second) // 2] for second in seconds_of_video(path, s3d.config.frames_per_second, SIDE)]
        duration = float(np.clip(probe(path).duration, len(features) - 1, len(features)))
        for start, end in spans(duration, WINDOW):
            video, mask = window_features(features, [(start, end)], frames)
            windows.append(
                {
                    "title": f"{path.stem}, seconds {start:g} to {end:.1f}",
                    "speech": speech_within(row["transcript"], start, end),
                    "seconds": [_jpeg(picture) for picture in pictures[int(start) : int(start) + int(mask.sum())]],
                    "video": _floats(univl.encode_video(video, mask)[0].numpy()),
                }
            )
    special = {"pad": univl.config.pad_token_id, "cls": univl.config.bos_token_id, "sep": univl.config.eos_token_id}
    data = {
        "max_words": words,
        "max_frames": frames,
        "width": univl.config.hidden_size,
        "beams": BEAMS,
        "special": special,
    }
    data |= {"tokenizer": _tokenizer(CAPTIONER), "windows": windows}
    _write_data(folder / "captions-data.js", "captions", data)
    models = {
        "reader": export_caption_reader(univl, words, frames),
        "next": export_next_word(univl, BEAMS, words, frames),
    }
    packed = {name: _packed(model) for name, model in models.items()}
    _write_data(folder / "captions-models.js", "caption_models", packed)


def _tokenizer(folder: Path) -> dict[str, Any]:
    """The two files of a tokenizer, as the tokenizers of the page read them."""
    names = {"json": "tokenizer.json", "config": "tokenizer_config.json"}
    return {name: json.loads((folder / file).read_text(encoding="utf-8")) for name, file in names.items()}


def _write_data(file: Path, name: str, data: Any) -> None:
    file.write_text(f"live.data.{name} = {json.dumps(data, separators=(',', ':'))}\n", encoding="utf-8")


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _floats(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _strip(path: Path) -> str:
    """A few frames of a clip beside each other."""
    seconds = list(seconds_of_video(path, 4, SIDE))
    frames = np.concatenate(seconds)  # (4 * seconds, SIDE, SIDE, 3)
    return _jpeg(np.concatenate(list(frames[np.linspace(0, len(frames) - 1, STRIP).astype(int)]), axis=1))


def _jpeg(image: np.ndarray) -> str:
    """A picture (H, W, 3) as an address that holds it."""
    drawn = io.BytesIO()
    Image.fromarray(image).save(drawn, format="jpeg", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(drawn.getvalue()).decode()
