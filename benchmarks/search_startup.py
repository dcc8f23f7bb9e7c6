"""CPU seconds of a query on a fresh index, beside those of `import torch` alone, in turn; and of indexing small clips.

python benchmarks/search_startup.py [rounds] [clips]
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from minivl.config import BUNDLED
from minivl.data.video import write_video


def cost(*command: str) -> tuple[float, float]:
    """CPU seconds, children included, and seconds that a command takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start


def small_clips(folder: Path, count: int) -> None:
    """Clips of five seconds, 160 x 120."""
    noise = np.random.default_rng(0)
    for number in range(count):
        frames = noise.integers(0, 255, (50, 15, 20, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        write_video(folder / f"{number:04d}.mp4", frames, 10)


def main(rounds: int = 5, clips: int = 200) -> None:
    """Print both comparisons."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        search = ("-m", "minivl", "search", "a red pot", str(BUNDLED / "kitchen" / "test"), "--index", folder)
        cost(*search)  # makes the index
        pairs = [(cost("-c", "import torch")[0], cost(*search)[0]) for _ in range(rounds)]
    ratio = median(query / plain for plain, query in pairs)
    plain, query = (median(column) for column in zip(*pairs, strict=True))
    print(f"import torch {plain:.2f} CPU s, a query {query:.2f}, ratio {ratio:.2f} (medians of {rounds})")

    with tempfile.TemporaryDirectory() as folder:
        small_clips(Path(folder), clips)
        for processes in ("1", "2"):
            with tempfile.TemporaryDirectory() as index:
                search = ("-m", "minivl", "search", "x", folder, "--index", index, "--processes", processes)
                (first, first_wall), (again, again_wall) = cost(*search), cost(*search)
            cpu, wall = (first - again) / clips, (first_wall - again_wall) / clips
            print(
                f"{processes} process(es): {1000 * cpu:.1f} CPU ms and {1000 * wall:.1f} ms per clip, loading included"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
