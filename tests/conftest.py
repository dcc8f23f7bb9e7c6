"""Tests run on all cores, a process on each: more threads than that would only wait for each other.

Long ones come first, so that no core runs one of them at the end while the others have nothing left to do.

Programs that tests start use the package and the helpers of this checkout, wherever else minivl is installed.
"""

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parent

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(TESTS.parent), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# The suite is about numbers that a CPU gives; what differs elsewhere is tested on a device that pretends.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

LONG = (
    "cli/test_two_processes",
    "test_wheel",
    "test_notebooks",
    "test_other_devices",
    "test_killed_anywhere",
    "test_reality_check",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))
