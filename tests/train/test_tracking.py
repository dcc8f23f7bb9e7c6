"""Trackers: what they are given is what the run writes, and one that is missing is told before anything is loaded."""

import json

import pytest
from accelerate.tracking import GeneralTracker
from typer.testing import CliRunner

from helpers.training_processes import train
from minivl.cli import app
from minivl.config import ConfigError
from minivl.train import tracking


class Recorder(GeneralTracker):
    name, requires_logging_directory = "recorder", False

    def __init__(self):
        super().__init__()
        self.rows, self.config, self.finished = [], {}, 0

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None, **_):
        self.rows.append((step, values))

    def finish(self):
        self.finished += 1


def test_a_tracker_gets_settings_and_metrics_and_is_closed(tmp_path, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr("minivl.train.engine.chosen_tracker", lambda: recorder)
    train(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(step, values) for step, values in recorder.rows] == [(line["step"], line) for line in lines]
    assert recorder.config["train.learning_rate"] == 0.01 and recorder.finished == 1
    train(tmp_path / "run")
    assert len(recorder.rows) == len(lines), "a finished run is read, not tracked again"


def test_none_is_left_out_and_settings_are_flat():
    assert tracking._flat({"train": {"betas": (0.9, 0.99), "steps": 3}, "examples": 4}) == {
        "train.betas": "(0.9, 0.99)",
        "train.steps": 3,
        "examples": 4,
    }


def test_without_a_choice_nothing_is_tracked(monkeypatch):
    monkeypatch.delenv("MINIVL_TRACK", raising=False)
    assert tracking.chosen_tracker() is None


def test_the_environment_chooses_too(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda package: package == "wandb" or None)
    monkeypatch.setenv("MINIVL_TRACK", "wandb")
    assert tracking.chosen_tracker() == "wandb"
    monkeypatch.setenv("MINIVL_TRACK", "trackio")
    with pytest.raises(ConfigError, match="the tracker trackio is not installed: pip install trackio"):
        tracking.chosen_tracker()


@pytest.mark.parametrize("command", [["adapt"], ["finetune", "joint"], ["pretrain", "out"]])
def test_a_wrong_tracker_is_told_by_every_command_that_trains(command, monkeypatch):
    answer = CliRunner().invoke(app, [*command, "--track", "paper"])
    assert "unknown tracker 'paper': choose one of tensorboard, wandb, trackio" in str(answer.exception)
    monkeypatch.setattr(tracking, "find_spec", lambda package: None)
    answer = CliRunner().invoke(app, [*command, "--track", "tensorboard"])
    assert "tensorboard is not installed: pip install tensorboard" in str(answer.exception)
