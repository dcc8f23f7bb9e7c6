"""Videos that several processes decode come out as one process decodes them, whatever some of them are."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minivl.data.video import VideoError, write_video
from minivl.tasks.clip.reading import WindowReader, read_windows

READER = WindowReader(4, 1.0, 16, 10.0)


@pytest.fixture
def clips(tmp_path):
    """Nine clips, the third of which has four windows, the fifth of which is broken."""
    noise = np.random.default_rng(0)
    for number in range(9):
        frames = noise.integers(0, 255, (35 if number == 2 else 5, 16, 16, 3), dtype=np.uint8)
        write_video(tmp_path / f"{number}.mp4", frames, 1)
    (tmp_path / "4.mp4").write_bytes(b"no video")
    return sorted(tmp_path.glob("*.mp4"))


def by_video(clips, processes):
    found = {path: [] for path in clips}
    for path, item in read_windows(clips, READER, processes):
        found[path].append(item)
    return found


def test_processes_change_nothing(clips):
    alone, together = by_video(clips, 1), by_video(clips, 2)
    assert list(map(len, alone.values())) == [2, 2, 5, 2, 1, 2, 2, 2, 2]
    for path in clips:
        *windows, last = together[path]
        assert isinstance(last, VideoError) == (path.name == "4.mp4")
        assert str(last) == str(alone[path][-1])
        for mine, other in zip(windows, alone[path], strict=False):
            assert mine[:2] == other[:2] and np.array_equal(mine[2], other[2])


SCRIPT = """
import sys, time
from pathlib import Path
from minivl.tasks.clip.reading import WindowReader, read_windows
from minivl.cli.errors import run

class Slow(WindowReader):
    def windows(self, path):
        time.sleep(60)
        yield

def program():
    print("started", flush=True)
    list(read_windows([Path("a"), Path("b")], Slow(4, 1.0, 16, 10.0), 2))

sys.exit(run(program))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_all_processes_with_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "started\n"
    time.sleep(1)  # for the workers to begin; if they have not, they are ended all the same
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip().startswith("minivl: interrupted") and "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody is left
