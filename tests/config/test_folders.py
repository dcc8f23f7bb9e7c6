"""Where runs go, from wherever a command is given."""

from pathlib import Path

import pytest

from minivl.config import CHECKOUT, runs_dir


@pytest.mark.parametrize(
    ("here", "runs"), [(".", "runs"), ("notebooks", "../runs"), ("docs/teaching", "../../runs"), (None, "runs")]
)
def test_a_clone_has_one_folder_of_runs(here, runs, tmp_path, monkeypatch):
    monkeypatch.delenv("MINIVL_RUNS", raising=False)
    monkeypatch.chdir(tmp_path if here is None else CHECKOUT / here)
    assert runs_dir() == Path(runs)


def test_a_variable_moves_it(monkeypatch):
    monkeypatch.setenv("MINIVL_RUNS", "/elsewhere/runs")
    assert runs_dir() == Path("/elsewhere/runs")
