"""minivl where models are not on the CPU, as on a GPU, which CI does not have: see `helpers.pretend_device`."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("file", ["ablations/on_another_device.py", "cli/on_another_device.py"])
def test_on_another_device(file):
    """In a process of its own, because torch counts its devices when it computes its first gradient."""
    command = [sys.executable, "-m", "pytest", "-n", "0", TESTS / file]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent)
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-5000:]
