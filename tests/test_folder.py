"""Folders of the reader's own videos: all are found, the unreadable ones are named."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from minivl.data.folder import find_videos, load_videos
from minivl.data.images import preprocess
from minivl.data.video import VideoError, write_video


def write_clip(path, value=90, width=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.full((8, 16, width, 3), value, np.uint8), 4)
    return path


def write_garbage(path):
    path.write_bytes(b"not a video\n" * 50)
    return path


def test_videos_are_found_at_any_depth_in_order(tmp_path):
    names = ["b.mp4", "a.MOV", "deep/er/c.WebM", "deep/x.avi", "y.mkv", "z.m4v"]
    for name in names + ["notes.txt", "noise.mp3", ".hidden.mp4", ".trash/d.mp4", "deep/.git/e.mp4"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert find_videos(str(tmp_path)) == sorted(tmp_path / name for name in names)


def test_a_hidden_parent_hides_nothing(tmp_path):
    clip = tmp_path / ".cache" / "a.mp4"
    clip.parent.mkdir()
    clip.touch()
    assert find_videos(clip.parent) == [clip]


def test_folders_that_give_nothing_say_why(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"holds no videos: looked for \.mp4, \.webm"):
        find_videos(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        find_videos(tmp_path / "notes.txt")


def test_readable_videos_load_in_order_without_a_warning(tmp_path):
    paths = [write_clip(tmp_path / "b.mp4", 200), write_clip(tmp_path / "a.mp4", 50, width=48)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_videos(paths, 4, 2.0, progress=False)
    assert loaded.paths == paths and loaded.skipped == []
    assert [frames.shape for frames in loaded.frames] == [(4, 16, 32, 3), (4, 16, 48, 3)]
    assert [round(frames.mean(), -1) for frames in loaded.frames] == [200, 50]


def test_unreadable_videos_are_named_and_counted(tmp_path):
    paths = [write_clip(tmp_path / "a.mp4"), write_garbage(tmp_path / "b.mp4"), tmp_path / "c.mp4"]
    with pytest.warns(UserWarning, match=r"skipped 2 of 3 videos:\n.*b\.mp4: is no video.*\n.*c\.mp4: does not exist"):
        loaded = load_videos([str(path) for path in paths], 4, 1.0, progress=False)
    assert loaded.paths == paths[:1] and len(loaded.frames) == 1
    assert [path for path, _ in loaded.skipped] == paths[1:]


def test_a_long_list_of_unreadable_videos_is_shortened_only_in_the_warning(tmp_path):
    paths = [write_clip(tmp_path / "a.mp4")] + [tmp_path / f"missing{i}.mp4" for i in range(7)]
    with pytest.warns(UserWarning, match=r"skipped 7 of 8(.|\n)*missing4(.|\n)*and 2 more$"):
        loaded = load_videos(paths, 4, 1.0, progress=False)
    assert len(loaded.skipped) == 7


def test_nothing_readable_is_an_error_that_lists_everything(tmp_path):
    paths = [write_garbage(tmp_path / "a.mp4"), tmp_path / "b.mp4"]
    with pytest.raises(VideoError, match=r"none of 2 videos can be read:\n.*a\.mp4: is no video.*\n.*b\.mp4: does not"):
        load_videos(paths, 4, 1.0, progress=False)
    with pytest.raises(ValueError, match="no videos to load"):
        load_videos([], 4)


def test_small_squares_save_memory_and_change_nothing(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    whole, = load_videos([path], 4, 1.0, progress=False).frames
    small, = load_videos([path], 4, 1.0, progress=False, size=8).frames
    assert small.shape == (4, 8, 8, 3)
    assert np.array_equal(preprocess(small, 8), preprocess(whole, 8))


def test_progress_goes_to_stderr(tmp_path, capsys):
    load_videos([write_clip(tmp_path / "a.mp4")], 4, 1.0)
    output = capsys.readouterr()
    assert output.out == "" and "reading videos" in output.err
    load_videos([Path(tmp_path / "a.mp4")], 4, 1.0, progress=False)
    assert capsys.readouterr().err == ""
