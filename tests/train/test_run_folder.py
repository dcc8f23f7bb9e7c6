"""Folders of runs that somebody or something has damaged: one message that names the file, and what to do."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.training_processes import train
from minivl.config import ConfigError
from minivl.train.run_folder import RunFolder, TrainingError


class Stop(Exception):
    pass


def stop_at_step_six(model, batch):
    if int(model.seen) >= 20:  # four examples a step
        raise Stop
    return model.losses(batch)


@pytest.fixture
def run(tmp_path):
    """A run that was stopped after step 5; its newest checkpoint is of step 4."""
    with pytest.raises(Stop):
        train(tmp_path, losses=stop_at_step_six)
    return RunFolder(tmp_path)


def edit(folder, change):
    state = torch.load(folder / "state.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "state.pt")


def of(state):
    """The optimiser's tensors of one parameter."""
    return state["optimizer"]["state"]["trained.weight"]


STATES = {
    "another parameter": lambda s: s["optimizer"]["state"].update({"stranger": of(s)}),
    "another shape": lambda s: of(s).update(exp_avg=torch.zeros(3)),
    "NaN": lambda s: of(s)["exp_avg"].fill_(torch.nan),
    "no tensor": lambda s: of(s).update(exp_avg="x"),
    "a list of tensors": lambda s: s["optimizer"].update(state=[1, 2]),
    "no groups": lambda s: s["optimizer"].pop("param_groups"),
    "one group more": lambda s: s["optimizer"]["param_groups"].append({}),
    "a group that is none": lambda s: s["optimizer"].update(param_groups=[3]),
    "a rate that is text": lambda s: s["optimizer"]["param_groups"][0].update(lr="fast"),
    "a setting more": lambda s: s["optimizer"]["param_groups"][0].update(speed=1),
    "a setting less": lambda s: s["optimizer"]["param_groups"][0].pop("betas"),
    "no schedule": lambda s: s["scheduler"].clear(),
    "a schedule with a method": lambda s: s["scheduler"].update(step=3),
    "a schedule of text": lambda s: s["scheduler"].update(base_lrs=["a"]),
}


@pytest.mark.parametrize("change", STATES)
def test_states(run, change):
    edit(run.newest(), STATES[change])
    with pytest.raises(TrainingError, match="step-000004 is damaged, it is not the state of this training"):
        train(run.path)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_passed_over(run, number, capsys):
    file = run.newest() / "model.safetensors"
    state = load_file(file)
    state["trained.weight"][0, 0] = number
    save_file(state, file)
    train(run.path)
    assert "step-000004 is damaged (trained.weight is NaN or infinite): going on from" in capsys.readouterr().err


def test_a_state_that_claims_more_than_the_file_has(run, capsys):
    edit(run.newest(), lambda s: of(s).update(exp_avg=torch.zeros(1).expand(10**9)))
    train(run.path)
    assert "exp_avg has shape (1000000000,), but the file has 4 bytes of it" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
@pytest.mark.parametrize("text", ["{", "[]", "3", "\udcff", "[" * 100_000])
def test_records(run, name, text):
    (run.path / name).write_text(text + "\n", errors="surrogateescape")
    with pytest.raises(TrainingError, match=rf"{name} is damaged: .*Delete .* to start over"):
        train(run.path)


def test_lines_without_a_step(run):
    run.lines.write_text(json.dumps({"total": 1}) + "\n")
    with pytest.raises(TrainingError, match="metrics.jsonl is damaged: a line has no step"):
        train(run.path)


def test_other_names_among_the_checkpoints_are_none(run):
    (run.checkpoints / "step-best").mkdir()
    (run.checkpoints / "step-").mkdir()
    assert run.newest().name == "step-000004"


def test_more_checkpoints_are_kept_where_it_is_asked_for(tmp_path, monkeypatch):
    for kept, steps, left in (("3", range(1, 5), [2, 3, 4]), ("2", [5], [4, 5])):
        monkeypatch.setenv("MINIVL_CHECKPOINTS", kept)
        run = RunFolder(tmp_path)
        for step in steps:
            run.save(step, {}, {})
        assert [folder.name for folder in run.saved()] == [f"step-{step:06d}" for step in left]
    for wrong in ("1", "many", "-3", ""):
        monkeypatch.setenv("MINIVL_CHECKPOINTS", wrong)
        with pytest.raises(ConfigError, match="MINIVL_CHECKPOINTS must be a whole number, 2 or more"):
            RunFolder(tmp_path)
