"""Whole or not at all: kills, exceptions, full disks, very long names and several writers at once."""

import multiprocessing
import os
import signal

import pytest

from minivl.data.atomic import replacing, replacing_folder, write_bytes, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed_before_the_rename(path):
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    write_text(path, "new")


def killed_in_a_folder(path):
    with replacing_folder(path) as unfinished:
        (unfinished / "part").write_text("new")
        os.kill(os.getpid(), signal.SIGKILL)


def rewrites(path, content, start):
    start.wait()
    for _ in range(50):
        write_bytes(path, content)


def rewrites_folder(path, content, start):
    start.wait()
    for _ in range(20):
        with replacing_folder(path) as unfinished:
            for name in "ab":
                (unfinished / name).write_bytes(content)


def run(target, *arguments):
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    process = run(killed_before_the_rename, path)
    process.join()
    assert process.exitcode == -signal.SIGKILL and path.read_text() == "old"
    (left,) = set(names(tmp_path)) - {"a.txt"}
    assert left.startswith(".") and left.endswith(".partial"), "what readers of the folder skip"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_kill_leaves_the_old_folder(tmp_path):
    with replacing_folder(tmp_path / "a") as unfinished:
        (unfinished / "part").write_text("old")
    process = run(killed_in_a_folder, tmp_path / "a")
    process.join()
    assert process.exitcode == -signal.SIGKILL and (tmp_path / "a" / "part").read_text() == "old"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, OSError])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, kind):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(kind, match="no luck"), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise kind("no luck")
    assert names(tmp_path) == ["a.txt"] and path.read_text() == "old"


def test_an_exception_leaves_the_old_folder_and_nothing_else(tmp_path):
    with replacing_folder(tmp_path / "a") as unfinished:
        (unfinished / "old").touch()
    with pytest.raises(KeyboardInterrupt), replacing_folder(tmp_path / "a") as unfinished:
        (unfinished / "new").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["old"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "above" / "a") as unfinished:
            (unfinished / "below").mkdir()
            (unfinished / "below" / name).touch()
    assert names(tmp_path / "above") == ["a"] and names(tmp_path / "above" / "a" / "below") == ["new"]


@pytest.mark.parametrize("name", ["a" * 245, "a" * 255, "ä" * 127, "a" * 251 + ".txt"])
def test_long_names(tmp_path, name):
    write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text" and names(tmp_path) == [name]
    with replacing_folder(tmp_path / f"{name[:-1]}z"):
        pass
    assert (tmp_path / f"{name[:-1]}z").is_dir()


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "no folder" / "a.txt", "text")
    assert caught.value.filename == str(tmp_path / "no folder" / "a.txt")
    (tmp_path / "a file").touch()
    with pytest.raises(OSError) as caught, replacing_folder(tmp_path / "a file" / "a"):
        pass
    assert caught.value.filename == str(tmp_path / "a file" / "a")
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.txt"):
        (tmp_path / "another").read_text()
    assert caught.value.filename == str(tmp_path / "another")


def test_files_are_for_whoever_the_umask_allows(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("target", [rewrites, rewrites_folder])
def test_two_processes_write_the_same_path(tmp_path, target):
    context, path = multiprocessing.get_context("spawn"), tmp_path / "a"
    start, contents = context.Barrier(2), [b"1" * 100_000, b"2" * 100_000]
    processes = [context.Process(target=target, args=(path, content, start)) for content in contents]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert names(tmp_path) == ["a"]
    files = [path] if path.is_file() else [path / "a", path / "b"]
    assert {file.read_bytes() for file in files} in [{contents[0]}, {contents[1]}], "all of one, nothing of the other"
