"""Errors of the program: one message, whatever was raised; Ctrl-C; names that steer a terminal."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import psutil
import pytest

from helpers.program import minivl
from minivl.cli.errors import printable, run, told
from minivl.config import BUNDLED

CLIPS = sorted((BUNDLED / "kitchen" / "test").glob("*.mp4"))


def raising(error):
    def program():
        raise error

    return program


@pytest.mark.parametrize(
    "error, message",
    [
        (ValueError("batch_size must be at least 1"), "minivl: batch_size must be at least 1\n"),
        (FileNotFoundError(2, "No such file or directory", "x\x1b[2J"), "No such file or directory: x\\x1b[2J (is the"),
        (KeyError("clip"), "KeyError: 'clip'\nThis was not foreseen"),
        (AttributeError("'int' object has no attribute 'get'"), "AttributeError: 'int' object"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "UnicodeDecodeError: 'utf-8'"),
        (MemoryError(), "not enough memory"),
        (RecursionError("too deep"), "too deep"),
    ],
)
def test_any_error_is_one_message(capsys, monkeypatch, error, message):
    monkeypatch.delenv("MINIVL_DEBUG", raising=False)
    assert run(raising(error)) == 1
    assert message in capsys.readouterr().err
    monkeypatch.setenv("MINIVL_DEBUG", "1")
    with pytest.raises(type(error)):
        run(raising(error))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(130)])
def test_an_interrupt_is_one_line(capsys, error):
    assert run(raising(error)) == 130
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_a_warning_is_one_message_without_a_line_of_code(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    run(lambda: None)
    text = warnings.formatwarning("bad\x1b[2J.mp4 was skipped", UserWarning, "minivl/x.py", 7)
    assert text == "minivl: bad\\x1b[2J.mp4 was skipped\n"


def test_exit_status_is_passed_on():
    assert run(raising(SystemExit(2))) == 2 and run(raising(SystemExit(0))) == 0 and run(lambda: None) == 0


def test_printable():
    assert printable("pot\x1b[31m\r.mp4") == "pot\\x1b[31m\\r.mp4"
    assert printable("Töpfe 鍋.mp4\nnext") == "Töpfe 鍋.mp4\nnext"
    assert printable(os.fsdecode(b"\xff.mp4")) == "\\udcff.mp4"
    assert told(ValueError("bad\x07")) == "bad\\x07"


def test_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "minivl", "features", str(CLIPS[0].parent), "--out", str(tmp_path / "features")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("features/*.npy")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told_at_the_end = process.communicate()
    assert process.returncode == 130 and "minivl: interrupted" in told_at_the_end and "Traceback" not in told_at_the_end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_lesson_is_interrupted(number, tmp_path):
    """Its kernel ends, too, and the notebook is written with what it had."""
    command = [sys.executable, "-m", "minivl", "lesson", "09_ledger", "--scale", "tiny", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while "scale: tiny" not in process.stdout.readline():
        assert process.poll() is None
    (kernel,) = psutil.Process(process.pid).children()
    process.send_signal(number)
    _, told_at_the_end = process.communicate()
    assert process.returncode == 130 and "minivl: interrupted" in told_at_the_end and "Traceback" not in told_at_the_end
    assert "scale: tiny" in (tmp_path / "09_ledger.ipynb").read_text() and not kernel.is_running()


def test_odd_names_of_files_are_searched(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for clip, name in zip(
        CLIPS, (b"\xff\xfe.mp4", b"red\x1b[31m.mp4", b"plain.mp4", b"n" * 245 + b".mp4"), strict=False
    ):
        shutil.copy(clip, os.path.join(os.fsencode(videos), name))
    words, cache = ["search", "a red pot", str(videos)], {"MINIVL_CACHE": str(tmp_path / "cache")}

    def started(*words):
        command, environment = [sys.executable, "-m", "minivl", *words], {**os.environ, **cache}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    for done in (minivl(*words, **cache), started(*words)):  # the second reads the index
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout and "\\x1b[31m.mp4" in done.stdout and "\\udcff" in done.stdout
