"""`minivl diagnose` as it is typed."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from minivl.cli import app
from minivl.config import ConfigError


def minivl(*arguments):
    return CliRunner().invoke(app, ["diagnose", *map(str, arguments)])


def test_the_bundled_clips_are_diagnosed():
    told = minivl("--clips", 4, "--scale", "tiny")
    assert told.exit_code == 0, told.output
    for probe in ("video level", "best frame", "image level, mean", "frame finds its caption", "words no frame shows"):
        assert f"{probe} " in told.stdout
    assert "kitchen on 4 clips of train" in told.stdout and "in batches of 4" in told.stdout


def test_a_diagnosis_is_written_for_programs_and_people(tmp_path):
    told = minivl("--clips", 4, "--scale", "tiny", "--json", "--out", tmp_path / "found")
    record = json.loads(told.stdout)
    assert record == json.loads((tmp_path / "found" / "results.json").read_text())
    assert (record["kind"], record["data"]["examples"]) == ("diagnosis", 4)
    probes = pd.read_csv(tmp_path / "found" / "probes.csv").set_index("probe")
    assert list(probes.index) == list(record["probes"])
    assert probes["percent"]["video level"] == pytest.approx(record["probes"]["video level"]["percent"])
    assert record["probes"]["words no frame shows"]["guessing"] is None
    assert (tmp_path / "found" / "figure.png").stat().st_size > 1000


def test_a_folder_without_the_split_is_told_at_once(tmp_path):
    told = minivl(tmp_path)
    assert told.exit_code and "train" in str(told.exception) and isinstance(told.exception, ConfigError | OSError)
