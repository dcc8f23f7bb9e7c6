"""What is fuzzed: for each kind of file a folder with small good ones, and what reads them as minivl's commands do."""

import dataclasses
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file

from helpers import corpora_samples as samples
from helpers.explorations import exploration
from helpers.saved_tasks import tiny_task, write_split
from helpers.tiny_univl import tiny_univl, tokenizer_in
from helpers.training_processes import CONFIG, train
from minivl.ablations.comparing import read_results
from minivl.clip import load_clip
from minivl.config import BUNDLED, DiscoVLAConfig, InputConfig, scale
from minivl.data import corpora
from minivl.data.corpora.pickles import read_pickle
from minivl.data.features import SEPARATOR, load_features
from minivl.data.schema import load_split
from minivl.data.subtitles import read_transcript
from minivl.data.video import opened, pick_frames, write_video
from minivl.discovla import DiscoVLA
from minivl.discovla.pseudo_captions import read_pseudo_captions
from minivl.explorer import load_exploration, save_exploration
from minivl.hub.checkpoints import read_weights
from minivl.metrics.retrieval import retrieval_metrics
from minivl.results.comparison import compare_results
from minivl.results.files import load_results, write_results
from minivl.results.names import QUERIES
from minivl.results.queries import retrieval_table
from minivl.results.record import record_of, scores_record
from minivl.results.scores import scored
from minivl.s3d.model import S3D
from minivl.tasks.univl.finetuning import load_task
from minivl.univl import UniVL

RUN = dataclasses.replace(CONFIG, steps=3, checkpoint_every=1)


class Target(NamedTuple):
    """One kind of file: `make(folder)` writes good ones, `files` says which are changed, `read(folder)` reads them."""

    make: Callable[[Path], object]
    files: str  # pattern below the folder
    read: Callable[[Path], object]


def _clip() -> bytes:
    return next(BUNDLED.rglob("*.mp4")).read_bytes()


def _subtitles(folder: Path) -> None:
    samples.write(
        folder / "a.srt", "1\n00:00:01,000 --> 00:00:02,500\nstir the soup\n\n2\n00:00:03,000 --> 00:00:04,000\nsalt\n"
    )
    samples.write(
        folder / "a.vtt",
        "WEBVTT\n\n00:01.000 --> 00:02.500 align:start\n<v Cook>stir the soup\n\n00:03.000 --> 00:04.000\nsalt\n",
    )
    samples.write(folder / "a.txt", "stir the soup\nadd salt\n")


def _captions(folder: Path) -> None:
    samples.write(folder / "captions.json", {"a_a pot on a stove": ["a pot", "a pan"], "b_a cup": ["a cup"]})


def _weights(folder: Path) -> None:
    state = {"bert.layer.0.weight": torch.randn(4, 4), "visual.layer.1.bias": torch.zeros(3), "step": torch.tensor(3)}
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "model.safetensors")


def _clip_folder(folder: Path) -> None:
    shutil.copytree(BUNDLED / "clip_kitchen", folder, dirs_exist_ok=True)


def _univl(folder: Path) -> None:
    tokenizer = tokenizer_in(folder / "words")
    tiny_univl(tokenizer).save_pretrained(folder / "model", tokenizer)


def _s3d(folder: Path) -> None:
    S3D(scale("tiny").s3d_pretrain.net).save_pretrained(folder)


def _discovla(folder: Path) -> None:
    model = DiscoVLA.from_open_clip("kitchen", config=DiscoVLAConfig(lora_rank=1))
    model.save_pretrained(folder, inputs=InputConfig(max_frames=4))


def _task(folder: Path) -> None:
    tiny_task("segmentation", folder).save_pretrained(folder / "model")


def _run(folder: Path) -> None:
    """A run that was cut off after its second step of three."""
    train(folder, RUN)
    shutil.rmtree(folder / "checkpoints" / "step-000003")


def _read_run(folder: Path) -> None:
    train(folder, RUN)


def _features(folder: Path) -> None:
    np.save(folder / "one.npy", samples.values(1))
    save_file({"a": torch.from_numpy(samples.values(2))}, folder / "many.safetensors")


def _read_features(folder: Path) -> None:
    load_features(folder / "one.npy")
    load_features(f"{folder / 'many.safetensors'}{SEPARATOR}a")


def _pickles(folder: Path) -> None:
    content = {"a": samples.values(1, 3), "b": [1.5, "text", None, (1, 2)], "c": samples.texts("stir", "salt")}
    for protocol in (0, 2, 4):
        (folder / f"{protocol}.pickle").write_bytes(pickle.dumps(content, protocol))


def _videos(folder: Path) -> None:
    write_video(folder / "a.mp4", np.random.default_rng(0).integers(0, 255, (6, 32, 48, 3), np.uint8), 5.0)


def _read_video(path: Path) -> None:
    with opened(path) as (info, frames):
        pick_frames(path, frames, [0, info.num_frames - 1])


def _scores(folder: Path) -> None:
    """Two results of retrieval on the same clips, as `minivl evaluate --out` writes them."""
    clips, rng = ["a", "b", "c", "d"], np.random.default_rng(0)
    for name in ("first", "second"):
        similarity = rng.normal(size=(4, 4)).astype(np.float32)
        queries = retrieval_table(similarity, np.arange(4), [f"caption {clip}" for clip in clips], clips, None)
        metrics = {"R@sum": retrieval_metrics(similarity, np.arange(4))["R@sum"]}
        scores = scores_record(scored(metrics, {}, queries))
        record = record_of("scores", "minivl evaluate", task="retrieval", data={"sha256": "1"}, scores=scores)
        write_results(folder / name, record, {QUERIES: queries}, {}, None)


def _compare(folder: Path) -> None:
    compare_results(load_results(folder / "first"), load_results(folder / "second"))


def _study(folder: Path) -> None:
    lines = (BUNDLED / "results" / "joint-and-shift" / "runs.csv").read_text(encoding="utf-8").splitlines()
    (folder / "runs.csv").write_text("\n".join(lines[:7]) + "\n", encoding="utf-8")


def _each(read: Callable[[Path], object], pattern: str = "*") -> Callable[[Path], None]:
    """Read every file of a folder; the first error is the one that counts."""

    def read_all(folder: Path) -> None:
        for file in sorted(folder.glob(pattern)):
            if file.is_file():
                read(file)

    return read_all


def _corpus(make: Callable, name: str, *splits: str) -> Target:
    def read(folder: Path) -> None:
        corpora.check(name, folder)
        for split in splits:
            corpora.load(name, folder, split)

    takes_clip = name in ("msrvtt", "lsmdc", "didemo")
    return Target(lambda folder: make(folder, _clip()) if takes_clip else make(folder), "**/*", read)


TARGETS = {
    "subtitles": Target(_subtitles, "*", _each(lambda file: read_transcript(file, 60.0))),
    "metadata": Target(
        lambda folder: write_split(folder, "train"), "train/metadata.jsonl", lambda f: load_split(f, "train")
    ),
    "captions": Target(_captions, "*", _each(read_pseudo_captions)),
    "weights": Target(_weights, "*", _each(read_weights)),
    "clip": Target(_clip_folder, "*.json", lambda folder: load_clip(str(folder))),
    "univl": Target(_univl, "model/*", lambda folder: UniVL.from_pretrained(folder / "model")),
    "s3d": Target(_s3d, "*", S3D.from_pretrained),
    "discovla": Target(_discovla, "*", DiscoVLA.from_pretrained),
    "task": Target(_task, "model/*", lambda folder: load_task(folder / "model")),
    "run": Target(_run, "**/*", _read_run),
    "features": Target(_features, "*", _read_features),
    "pickle": Target(_pickles, "*", _each(read_pickle)),
    "video": Target(_videos, "*", _each(_read_video)),
    "alignment": Target(lambda folder: save_exploration(exploration(), folder), "*", load_exploration),
    "scores": Target(_scores, "*/*", _compare),
    "study": Target(_study, "*", read_results),
    "howto100m": _corpus(samples.howto100m, "howto100m", "train"),
    "youcook2": _corpus(samples.youcook2_release, "youcook2", "train"),
    "youcook2-official": _corpus(samples.youcook2_official, "youcook2", "train"),
    "msrvtt": _corpus(samples.msrvtt, "msrvtt", "test"),
    "lsmdc": _corpus(samples.lsmdc, "lsmdc", "test"),
    "activitynet": _corpus(samples.activitynet, "activitynet", "train"),
    "didemo": _corpus(samples.didemo, "didemo", "test"),
    "coin": _corpus(samples.coin, "coin", "train"),
    "crosstask": _corpus(samples.crosstask, "crosstask", "train"),
    "mosi": _corpus(samples.mosi, "mosi", "train"),
}
