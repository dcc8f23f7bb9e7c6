"""Worlds of own videos: which clips they have, how they are split, and that they fit the schema."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minivl.config import ConfigError
from minivl.data.own_labels import Label, LabelError
from minivl.data.own_world import (
    CLIPS,
    OwnVideo,
    check_lengths,
    speech_clips,
    split_videos,
    within,
    world_hash,
    write_world,
)
from minivl.data.schema import load_split


def said(*times):
    return [{"text": f"from {start}", "start": float(start), "end": float(end)} for start, end in times]


def label(video, start=None, end=None, **says):
    return Label("labels.csv, line 2", video, start, end, **says)


def video(name, *labels, seconds=20.0, transcript=()):
    return OwnVideo(name, Path(f"{name}.mp4"), seconds, list(transcript), list(labels))


def written(folder, videos, splits=None, clip_seconds=10.0, speech=False, files=False):
    """The rows of (videos, clips) in train, once they are written."""
    (folder / "features").mkdir(exist_ok=True)
    for one in videos:
        np.save(folder / "features" / f"{one.name}.npy", np.zeros((int(one.seconds), 4), np.float32))
    splits = splits or dict.fromkeys([one.name for one in videos], "train")
    write_world(folder, videos, splits, clip_seconds, speech, files)
    return load_split(folder, "train"), load_split(folder / CLIPS, "train")


@pytest.mark.parametrize(
    "count, expected",
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (5, (3, 1, 1)), (10, (8, 1, 1)), (40, (32, 4, 4))],
)
def test_each_split_gets_a_video_as_soon_as_it_can(count, expected):
    splits = Counter(split_videos([video(f"v{n}") for n in range(count)]).values())
    assert (splits["train"], splits["val"], splits["test"]) == expected


def test_the_split_follows_from_the_seed():
    videos = [video(f"v{n}") for n in range(20)]
    assert split_videos(videos) == split_videos(videos[::-1])
    assert split_videos(videos) != split_videos(videos, seed=1)


def test_few_videos_of_different_kinds_still_get_all_splits():
    kinds = [{"caption": "x"}, {"sentiment": 1.0}, {"label": "x"}]
    splits = split_videos([video(f"v{n}", label(f"v{n}", 1, 2, **kinds[n])) for n in range(3)])
    assert sorted(splits.values()) == ["test", "train", "val"]


def test_labelled_videos_are_in_every_split():
    videos = [video(f"v{n}", *([label(f"v{n}", sentiment=1.0)] if n < 3 else [])) for n in range(30)]
    splits = split_videos(videos)
    assert {splits[f"v{n}"] for n in range(3)} == {"train", "val", "test"}


@pytest.mark.parametrize("shares", [(0.5, 0.1, 0.1), (0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.1, 0.1)])
def test_shares_must_make_one(shares):
    with pytest.raises(ConfigError, match="must make 1"):
        split_videos([video("a")], shares)


def test_a_share_of_nothing_is_nothing():
    assert set(split_videos([video(f"v{n}") for n in range(9)], (0.9, 0.1, 0)).values()) == {"train", "val"}


def test_sentences_make_clips_until_they_are_long_enough():
    assert speech_clips(said((0, 2), (2, 4), (4, 6), (6, 7)), 4) == [(0, 4), (4, 7)]
    assert speech_clips(said((0, 9), (1, 2), (9, 10)), 4) == [(0, 9), (1, 2), (9, 10)]
    assert speech_clips(said((1, 2), (7, 8)), 4) == [(1, 2), (7, 8)], "a silence ends a clip"
    assert speech_clips([], 4) == []


def test_speech_after_the_end_is_left_out():
    assert within(said((0, 2), (3, 9), (5, 6)), 5) == [
        {"text": "from 0", "start": 0, "end": 2},
        {"text": "from 3", "start": 3, "end": 5},
    ]


def test_clips_are_windows_speech_or_what_labels_say(tmp_path):
    videos = [
        video("silent", seconds=24),
        video("spoken", transcript=said((2, 13), (14, 18))),
        video("told", label("told", 3, 5, caption="a pot"), transcript=said((2, 4))),
    ]
    rows, clips = written(tmp_path, videos)
    assert [len(row["transcript"]) for row in rows] == [0, 2, 1] and "steps" not in rows.column_names
    assert [(clip["video_id"], clip["start"], clip["end"]) for clip in clips] == [
        *[("silent", 0, 10), ("silent", 10, 24), ("spoken", 2, 13), ("spoken", 14, 18), ("told", 3, 5)]
    ]
    assert clips["caption"] == [None] * 4 + ["a pot"] and "sentiment" not in clips.column_names
    assert [one["text"] for one in clips[4]["transcript"]] == ["from 2"]


def test_speech_can_be_the_caption_and_is_then_not_read_as_well(tmp_path):
    videos = [
        video("spoken", transcript=said((0, 4), (5, 9))),
        video("told", label("told", 3, 5, caption="a pot"), transcript=said((2, 4))),
    ]
    _, clips = written(tmp_path, videos, clip_seconds=8, speech=True)
    assert clips["caption"] == ["from 0 from 5", "a pot"]
    assert [len(one) for one in clips["transcript"]] == [0, 1]


def test_several_captions_of_one_stretch(tmp_path):
    labels = [label("a", 3, 5, caption=words) for words in ("a pot", "a red pot", "a pot")]
    _, clips = written(tmp_path, [video("a", *labels), video("b")])
    assert clips["captions"] == [["a pot", "a red pot"], None, None] and "caption" not in clips.column_names


def test_steps_belong_to_videos(tmp_path):
    videos = [
        video("a", label("a", 12, 20.5, label="fry"), label("a", 1, 5, label="cut")),
        video("b", label("b", 15, 19, label="eat", task="dinner")),
        video("c"),
    ]
    rows, clips = written(tmp_path, videos)
    assert rows[0]["steps"] == [{"label": "cut", "start": 1, "end": 5}, {"label": "fry", "start": 12, "end": 20}]
    assert rows["task"] == ["own videos", "dinner", None]
    assert rows["task_steps"] == [["cut", "fry"], ["eat"], None] and rows[2]["steps"] is None
    assert len(clips) == 6, "two windows each: steps are no clips"


def test_sentiments_of_one_stretch_are_averaged(tmp_path):
    _, clips = written(tmp_path, [video("a", label("a", sentiment=1.0), label("a", sentiment=-2.0)), video("b")])
    assert clips[0]["sentiment"] == -0.5 and (clips[0]["start"], clips[0]["end"]) == (0, 20)
    assert clips["sentiment"][1:] == [None, None]


def test_labels_outside_of_their_videos(tmp_path):
    check_lengths([video("a", label("a", 1, 20.9, caption="x"), label("a", caption="x"))])
    for start, end in ((1, 21.5), (20, 20.5)):
        with pytest.raises(LabelError, match=r"labels.csv, line 2: from second .* a\.mp4 lasts 20"):
            check_lengths([video("a", label("a", start, end, caption="x"))])


def test_steps_of_a_video_have_one_task(tmp_path):
    labels = [label("a", 1, 2, label="cut", task="soup"), label("a", 3, 4, label="fry", task="cake")]
    with pytest.raises(LabelError, match="the steps of a belong to several tasks"):
        written(tmp_path, [video("a", *labels)])


def test_a_split_of_before_does_not_stay(tmp_path):
    videos = [video("a"), video("b")]
    written(tmp_path, videos, {"a": "train", "b": "val"})
    before = world_hash(tmp_path)
    assert len(load_split(tmp_path, "val")) == 1
    written(tmp_path, videos)
    assert not (tmp_path / "val" / "metadata.jsonl").exists() and len(load_split(tmp_path, "train")) == 2
    assert world_hash(tmp_path) != before


def test_clips_can_name_their_files(tmp_path):
    file = tmp_path / "videos" / "a.mp4"
    file.parent.mkdir()
    file.touch()
    _, clips = written(tmp_path, [OwnVideo("a", file, 20.0, [])], files=True)
    assert Path(clips[0]["video"]["path"]).samefile(file)
