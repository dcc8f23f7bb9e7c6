"""Find files that minivl's readers answer badly, by changing good ones at random.

    .venv/bin/python tests/fuzz/fuzz.py --seconds 60            # all kinds of files, as .ci/run does
    .venv/bin/python tests/fuzz/fuzz.py --seconds 3600 --seed 7 clip univl

A reader may read a changed file, or raise an error that minivl tells in a line. It fails if the error is of another
kind or names no file, if it takes long or much memory, if a warning names no file, or if the process dies.
What failed is kept in `--found`, with the error, and named at the end; put the file into `corpus/KIND/`, where
`test_corpus.py` reads it from then on.
"""

import argparse
import faulthandler
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests")]
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}

SECONDS = 20  # of CPU that reading one small file may take
MEMORY = 1 << 30  # bytes that it may take

from fuzz.mutate import mutated  # noqa: E402
from fuzz.targets import TARGETS, Target  # noqa: E402
from minivl.cli.errors import told  # noqa: E402


class TooSlow(BaseException):
    """Reading took longer than SECONDS: no Exception, so that no reader takes it for a damaged file."""


def problem_with(target: Target, folder: Path) -> str | None:
    """What is wrong with how the files of a folder are read; None if nothing is."""
    before = _most_memory()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            with _limited():
                target.read(folder)
        except TooSlow:
            return f"took more than {SECONDS} s:\n{traceback.format_exc(limit=-6)}"
        except Exception as error:
            text = told(error)
            if "not foreseen" in text or isinstance(error, MemoryError):
                return traceback.format_exc(limit=-8)
            if str(folder) not in text:
                return f"the error names no file: {text}\n{traceback.format_exc(limit=-4)}"
    if _most_memory() - before > MEMORY:
        return f"took {(_most_memory() - before) / 2**20:.0f} MB"
    loud = [str(warning.message) for warning in heard if str(folder) not in str(warning.message)]
    return f"a warning names no file: {loud[0]}" if loud else None


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _limited() -> Iterator[None]:
    """Raise TooSlow after SECONDS of CPU; where no line of Python is reached, the process ends with a traceback."""

    def too_slow(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGVTALRM, too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    faulthandler.dump_traceback_later(20 * SECONDS, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.cancel_dump_traceback_later()


def cases(target: Target, good: Path, folder: Path, rng: random.Random) -> Iterator[Path]:
    """Without end: `folder` as a copy of the good files, with one of them changed, whose path is given."""
    files = sorted(path.relative_to(good) for path in good.glob(target.files) if path.is_file())
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        chosen = folder / rng.choice(files)
        chosen.write_bytes(mutated(chosen.read_bytes(), rng))
        yield chosen


def fuzz(names: list[str], seconds: float, seed: int, found: Path) -> int:
    """Fuzz the targets in turn for so many seconds in all; the number of different problems."""
    work = Path(tempfile.mkdtemp(prefix="minivl-fuzz-"))
    print(f"seed {seed}; the file that is read at the moment is below {work}", flush=True)
    makers = {}
    for name in names:
        (work / "good" / name).mkdir(parents=True)
        TARGETS[name].make(work / "good" / name)
        TARGETS[name].read(work / "good" / name)
        makers[name] = cases(TARGETS[name], work / "good" / name, work / name, random.Random(f"{seed} {name}"))
    counts: Counter[str] = Counter()
    problems: dict[str, str] = {}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        name = min(names, key=lambda name: counts[name])
        changed = next(makers[name])
        counts[name] += 1
        if wrong := problem_with(TARGETS[name], work / name):
            kept = found / name / f"{seed}-{counts[name]}-{changed.name}"
            place = "\n".join(line for line in wrong.splitlines() if "minivl/" in line or "Error" in line)
            if f"{name}{place}" not in problems:
                problems[f"{name}{place}"] = f"{kept}\n{wrong}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(changed, kept)
                kept.with_name(f"{kept.name}.error").write_text(f"{changed.relative_to(work / name)}\n{wrong}")
    shutil.rmtree(work)
    for text in problems.values():
        print(f"\n{text}")
    print(f"{sum(counts.values()):,} files, each kind {min(counts.values())} or more; {len(problems)} problems")
    return len(problems)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="*", default=list(TARGETS), help=f"which kinds of files: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="the changes follow from it (default: the time)"
    )
    parser.add_argument("--found", type=Path, default=Path("runs/fuzz"), help="where to keep files that failed")
    arguments = parser.parse_args()
    if unknown := set(arguments.kind) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    sys.exit(bool(fuzz(arguments.kind, arguments.seconds, arguments.seed, arguments.found)))
