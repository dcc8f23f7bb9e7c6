"""Folders of the reader's own videos: all are found."""

import warnings

import pytest

from minivl.data.folder import find_videos, named_videos


def test_videos_are_found_at_any_depth_in_order(tmp_path):
    names = ["b.mp4", "a.MOV", "deep/er/c.WebM", "deep/x.avi", "y.mkv", "z.m4v", "v.WMV", "v.3gp", "v.m2ts", "v.gif"]
    for name in names + ["notes.txt", "b.srt", ".hidden.mp4", ".trash/d.mp4", "deep/.git/e.mp4"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert find_videos(str(tmp_path)) == sorted(tmp_path / name for name in names)


def test_what_is_left_out_is_counted(tmp_path):
    for name in ("a.mp4", "a.srt", "labels.csv", "old.rm", "cover.jpg", "deep/b.JPG", "Makefile", ".hidden.rm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"4 files are left out, .* \(2 \.jpg, 1 \.rm, 1 no suffix\)"):
        assert find_videos(tmp_path) == [tmp_path / "a.mp4"]


@pytest.mark.parametrize(
    "start, is_video", [(b"G" + bytes(187) + b"G", True), (bytes(4) + b"G", True), (b"Get = import(1)" * 20, False)]
)
def test_a_transport_stream_is_told_from_a_program(tmp_path, start, is_video):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.ts").write_bytes(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (tmp_path / "b.ts" in find_videos(tmp_path)) == is_video


def test_a_hidden_parent_hides_nothing(tmp_path):
    clip = tmp_path / ".cache" / "a.mp4"
    clip.parent.mkdir()
    clip.touch()
    assert find_videos(clip.parent) == [clip]


def test_folders_that_give_nothing_say_why(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"holds no videos: looked for \.mp4, .* \.webm"):
        find_videos(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        find_videos(tmp_path / "notes.txt")


def test_no_file_loses_its_name_to_another(tmp_path):
    for name in ("a/x.mp4", "b/x.mp4", "y.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = {name: path.relative_to(tmp_path).as_posix() for name, path in named_videos([tmp_path]).items()}
    assert names == {"a-x": "a/x.mp4", "b-x": "b/x.mp4", "y": "y.mp4"}
    assert named_videos([tmp_path / "y.mp4", tmp_path / "y.mp4"]) == {"y": tmp_path / "y.mp4"}
    with pytest.raises(ValueError, match=r"b.x.mp4 would both be called x: rename one"):
        named_videos([tmp_path / "a", tmp_path / "b"])
