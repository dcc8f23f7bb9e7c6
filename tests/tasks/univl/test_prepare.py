"""From a folder of videos to a world, and from there to pretraining, fine-tuning and scores."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from helpers.tiny_univl import FEATURES, config, tiny_univl, tokenizer_in
from minivl.config import S3DConfig, scale
from minivl.data.folder import named_videos
from minivl.data.own_source import read_source
from minivl.data.schema import SchemaError, load_split
from minivl.data.subtitles import SubtitleError
from minivl.data.video import write_video
from minivl.s3d.model import S3D
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.data import labelled_rows, load_rows, pretraining_videos, task_rows
from minivl.tasks.univl.localization import Localization
from minivl.tasks.univl.prepare import prepare
from minivl.tasks.univl.retrieval import Retrieval
from minivl.tasks.univl.segmentation import Segmentation
from minivl.tasks.univl.sentiment import Sentiment
from minivl.train.run_folder import TrainingError

CUE = "1\n00:00:00,000 --> 00:00:01,500\nstir the soup\n\n2\n00:00:02,000 --> 00:00:09,000\nadd salt\n"
LABELS = """video,start,end,caption,label,sentiment
v0,0,1,stir the soup,stir,
v0,1,3,add salt,salt,2
v1,0,2,add salt,salt,
v1,2,3,stir the soup,stir,-1
v2.mp4,0,2,stir the soup,stir,
v2.mp4,,,,,1
"""


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return S3D(S3DConfig(width=0.0625, feature_dim=FEATURES, embed_dim=8, image_size=16, frames_per_second=2)).eval()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos of three seconds, two of them with subtitles, and labels of three."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_video(folder / f"v{number}.mp4", np.full((3, 16, 16, 3), 60 * number, np.uint8), 1)
    (folder / "v0.srt").write_text(CUE)
    (folder / "v1.en.srt").write_text(CUE)
    (folder / "labels.csv").write_text(LABELS)
    return folder


def prepared(folder, out, net, tables=(), **options):
    source = read_source(named_videos([folder]), folder, tables)
    return prepare(source, out, net, progress=False, **options)


@pytest.fixture(scope="module")
def world(videos, net, tmp_path_factory):
    out = tmp_path_factory.mktemp("world")
    return prepared(videos, out, net, [videos / "labels.csv"], clip_seconds=1.0).folder


def test_a_second_call_keeps_features_but_of_new_videos(videos, net, tmp_path):
    with pytest.warns(UserWarning, match="1 sentences that begin after the end of v0|are these its subtitles"):
        (videos / "v0.srt").write_text(CUE + "\n3\n00:00:10,000 --> 00:00:11,000\nlate\n")
        assert len(prepared(videos, tmp_path, net).features.written) == 4
    (videos / "v0.srt").write_text(CUE)
    stamp = (tmp_path / "features" / "v2.npy").stat().st_mtime + 10
    os.utime(videos / "v2.mp4", (stamp, stamp))
    again = prepared(videos, tmp_path, net)
    assert again.features.written == ["v2"] and len(again.features.kept) == 3
    assert "features: 1 written, 3 kept, 0 failed" in str(again)


def test_the_world_is_one_of_the_schema_with_a_card(world):
    splits = {split: load_split(world, split) for split in ("train", "val", "test")}
    assert sum(len(rows) for rows in splits.values()) == 4
    spoken = [row["transcript"] for rows in splits.values() for row in rows if row["transcript"]]
    assert len(spoken) == 2 and all(said[-1]["end"] == 3 for said in spoken), "cut to the length of the video"
    card = (world / "README.md").read_text()
    assert "Made of 4 videos, of which 2 have speech" in card and "Split by video" in card


def test_every_task_learns_from_own_videos(world, tmp_path):
    """Steps, captions and sentiments of two videos; batches shrink to what there is."""
    settings = dataclasses.replace(scale("tiny"), own=world)
    tokenizer = tokenizer_in(tmp_path / "tokenizer")
    for kind in (Retrieval, Captioning, Segmentation, Sentiment):
        with pytest.warns(UserWarning, match=rf"univl_tasks\.{kind.kind[:3]}.*batch_size is \d instead of 4|.*joint"):
            rows = task_rows(kind.kind, "train", settings)
            kind(tiny_univl(tokenizer), tokenizer, config(steps=1)).fit(rows, tmp_path / kind.kind, progress=False)
    localization = Localization(tiny_univl(tokenizer), tokenizer, config(steps=1))
    with pytest.raises(TrainingError, match=r"univl_tasks\.localization\.train\.batch_size\) needs at least 2"):
        localization.fit(pretraining_videos(settings), tmp_path / "localization", progress=False)


def test_rows_without_labels_are_left_out_for_scores_alone(world):
    """One clip of training has a sentiment and no caption; the video of the test split has nothing."""
    assert len(load_rows("captioning", world, "train")) == 4
    with pytest.warns(UserWarning, match="1 of 4 rows of train have no label"):
        assert None not in labelled_rows("captioning", world, "train")["caption"]
    assert len(load_rows("captioning", world, "test")) == 3
    with pytest.raises(SchemaError, match="no row of test"):
        labelled_rows("captioning", world, "test")


def test_own_videos_without_labels_say_which_option_gives_them(videos, net, tmp_path):
    prepared(videos, tmp_path, net)
    with pytest.raises(SchemaError, match="which captioning needs: .*--labels.*--speech-captions"):
        labelled_rows("captioning", tmp_path, "train")
    with pytest.raises(SchemaError, match="has steps, which segmentation needs: .*--labels`$"):
        labelled_rows("segmentation", tmp_path, "train")


def test_broken_subtitles_are_told_before_anything_is_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").touch()
        (tmp_path / f"{name}.srt").write_text("1\n00:00:02,000 --> soon\nx\n")
    with pytest.raises(SubtitleError, match=r"(?s)cannot be read; .*a\.srt, line 2.*b\.srt, line 2"):
        read_source(named_videos([tmp_path]), tmp_path)


def test_a_video_that_cannot_be_read_takes_its_labels_along(videos, net, tmp_path):
    for number in range(2):
        write_video(tmp_path / f"v{number}.mp4", np.full((3, 16, 16, 3), 60 * number, np.uint8), 1)
    (tmp_path / "v2.mp4").write_text("no video")
    with pytest.warns(UserWarning) as told:
        report = prepared(tmp_path, tmp_path / "w", net, [videos / "labels.csv"])
    assert any("2 labels are about videos that cannot be read" in str(one.message) for one in told)
    assert list(report.features.failed) == ["v2"] and sum(c["videos"] for c in report.counts.values()) == 2
