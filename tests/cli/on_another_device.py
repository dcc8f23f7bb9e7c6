"""Commands where models are not on the CPU."""

import pytest

from helpers.pretend_device import There, pretend_device
from helpers.program import minivl
from minivl.config import BUNDLED

TEST = BUNDLED / "kitchen" / "test"


@pytest.fixture(autouse=True)
def on_the_other_device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIVL_RUNS", "runs")
    monkeypatch.setenv("MINIVL_SCALE", "tiny")
    with pretend_device():
        yield


def succeeds(*arguments):
    """What a command prints; it has to compute on the other device."""
    before = There.made
    answer = minivl(*arguments)
    assert answer.returncode == 0, answer.stderr
    assert There.made > before, "all was computed on the CPU"
    return answer.stdout


def test_clip():
    succeeds("adapt", "--name", "a")
    for command in (
        ("search", "someone cuts a carrot", TEST, "--model", "runs/a/model"),
        ("evaluate", "--model", "runs/a/model", "--subset", "8"),
        ("explore", "runs/a/model", "--out", "page.html", "--subset", "8"),
        ("diagnose", BUNDLED / "kitchen", "--model", "kitchen"),
    ):
        assert succeeds(*command)


def test_univl():
    succeeds("pretrain", "pretrained")
    for task in ("joint", "captioning"):  # for the others see tests/ablations
        succeeds("finetune", task, "--model", "pretrained")
    succeeds("explore", "runs/joint", "--out", "page.html", "--subset", "4")
    clips = sorted(TEST.glob("*.mp4"))[:1]
    assert succeeds("caption", *clips) and succeeds("features", *clips)
