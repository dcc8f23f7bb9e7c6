"""The training loop: killed anywhere, split over processes or stopped by a full disk, the numbers stay the same."""

import json
import random
import resource
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from helpers import HELPERS, RECORDINGS
from helpers.training_processes import CONFIG, Points, Toy, assert_same, train
from minivl.train.loop import MicroBatches, fitting, seed_everything
from minivl.train.run_folder import RunFolder, TrainingError

SCRIPT = HELPERS / "training_processes.py"
RECORDED = load_file(RECORDINGS / "optimizer.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: (folder, metrics, weights)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, *train(folder)


class Stop(Exception):
    pass


def stop_at(step, action):
    """Losses that do `action` to their result at one step of this call."""
    calls = iter(range(1, 1000))

    def losses(model, batch):
        result = model.losses(batch)
        return action(result) if next(calls) == step else result

    return losses


def stop(result):
    raise Stop


# What a run leaves on disk


def test_run_folder(whole):
    folder, metrics, weights = whole
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["epoch"] for row in metrics] == [1, 1, 1, 2, 2, 2, 3]  # 14 examples: three batches of four
    assert set(metrics[0]) == {"step", "epoch", "lr", "error", "size", "total", "grad_norm"}
    assert metrics[-1]["total"] < metrics[0]["total"]
    assert json.loads((folder / "config.json").read_text())["train"]["learning_rate"] == 0.01
    assert all("seconds" in json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["step-000006", "step-000007"]
    saved = load_file(folder / "checkpoints" / "step-000007" / "model.safetensors")
    assert saved.keys() == {"trained.weight", "trained.bias", "seen"}  # not the frozen layer
    assert torch.equal(saved["trained.weight"], weights["trained.weight"])
    assert not any(torch.equal(weights[n], t) for n, t in Toy().state_dict().items() if n.startswith("trained"))


def test_log_every(tmp_path):
    metrics, _ = train(tmp_path, replace(CONFIG, log_every=3))
    assert [row["step"] for row in metrics] == [1, 3, 6, 7]


def test_every_epoch_is_another_shuffle_of_all_full_batches(tmp_path):
    data = Points()
    train(tmp_path, replace(CONFIG, steps=None, epochs=2), data=data)
    first, second = data.read[:12], data.read[12:]
    assert len(set(first)) == len(set(second)) == 12 and first != second


def test_frozen_layer_and_callers_state(whole, tmp_path):
    """Neither the generators' states before the call nor the number of workers change anything."""
    seed_everything(99)
    assert_same(train(tmp_path, replace(CONFIG, num_workers=2)), whole[1:])
    assert torch.equal(whole[2]["frozen.weight"], Toy().frozen.weight)


# The numbers


def test_recorded_schedule_and_optimizer(tmp_path):
    """Fixed gradients, as recorded from the released code; its AdamW has another form (see make_optimizer)."""
    model = nn.Module()
    model.weight = nn.Parameter(RECORDED["param_init"].clone())
    steps, seen = iter(RECORDED["grads"]), []

    def losses(model, batch):
        seen.append(model.weight.detach().clone())
        return {"total": (model.weight * next(steps)).sum()}

    config = replace(CONFIG, learning_rate=0.03, weight_decay=0.2, steps=12, max_grad_norm=1e9)
    metrics, _ = train(tmp_path, config, model, losses=losses)
    assert [row["lr"] for row in metrics] == pytest.approx(RECORDED["lr_used"].tolist(), rel=1e-12)
    after = torch.stack([*seen[1:], model.weight.detach()])
    difference = (after - RECORDED["params_after_step"]).abs().max().item()
    assert 0 < difference < 1e-3
    assert torch.equal(after[0], RECORDED["param_init"])  # the first step has rate 0


def test_accumulated_micro_batches_are_one_batch(tmp_path):
    data = Points(noise=0)
    big, big_weights = train(tmp_path / "8", replace(CONFIG, batch_size=8), Toy(dropout=0), data)
    small, small_weights = train(tmp_path / "2x4", replace(CONFIG, gradient_accumulation=2), Toy(dropout=0), data)
    for one, other in zip(big, small, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    torch.testing.assert_close(small_weights["trained.weight"], big_weights["trained.weight"], rtol=0, atol=1e-5)


def test_gradient_is_clipped(tmp_path):
    """Adam hides the size of a gradient, unless it is far below its eps."""
    model = Toy(dropout=0)
    before = model.trained.weight.detach().clone()
    metrics, _ = train(tmp_path, replace(CONFIG, steps=2, warmup=0, max_grad_norm=1e-9, weight_decay=0), model)
    assert metrics[0]["grad_norm"] > 1e-3  # logged as it was before
    assert 0 < (model.trained.weight - before).abs().max() < 1e-5  # without clipping, the learning rate: 0.01


def test_precision_can_change_within_a_process(tmp_path, whole):
    half, _ = train(tmp_path / "bf16", replace(CONFIG, mixed_precision="bf16"))
    assert half[-1]["total"] == pytest.approx(whole[1][-1]["total"], rel=0.05)
    assert half[-1]["total"] != whole[1][-1]["total"]
    assert_same(train(tmp_path / "again"), whole[1:])


# Stopped and started again


def test_skipped_batches_are_not_read_again(tmp_path, whole):
    with pytest.raises(Stop):
        train(tmp_path, losses=stop_at(6, stop))
    data = Points()
    assert_same(train(tmp_path, data=data), whole[1:])
    assert len(data.read) == 3 * 4  # of 7 steps, 4 were in the checkpoint


def test_line_cut_short(tmp_path, whole):
    with pytest.raises(Stop):
        train(tmp_path, losses=stop_at(6, stop))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "tot')
    assert len(RunFolder(tmp_path).metrics()) == 5
    assert_same(train(tmp_path), whole[1:])


DAMAGE = {
    "weights cut off": lambda folder: cut(folder / "model.safetensors"),
    "weights missing": lambda folder: (folder / "model.safetensors").unlink(),
    "state cut off": lambda folder: cut(folder / "state.pt"),
    "state empty": lambda folder: (folder / "state.pt").write_bytes(b""),
    "state missing": lambda folder: (folder / "state.pt").unlink(),
    "state of something else": lambda folder: torch.save([1, 2], folder / "state.pt"),
    "state without a schedule": lambda folder: torch.save({"optimizer": {}}, folder / "state.pt"),
}


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_costs_only_the_steps_after_the_one_before(tmp_path, whole, capsys, damage):
    with pytest.raises(Stop):
        train(tmp_path, losses=stop_at(6, stop))
    earlier, newest = RunFolder(tmp_path).saved()
    DAMAGE[damage](newest)
    assert_same(train(tmp_path), whole[1:])
    told = capsys.readouterr().err
    assert f"{newest} is damaged" in told and f"going on from {earlier}" in told


def test_all_checkpoints_damaged(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, losses=stop_at(6, stop))
    for folder in RunFolder(tmp_path).saved():
        cut(folder / "state.pt")
    with pytest.raises(TrainingError, match="is damaged.*is damaged.*Delete .*checkpoints to start over"):
        train(tmp_path)


def test_two_runs_under_one_name(tmp_path):
    """The second is told who has the folder; when that process is killed, the folder is free again."""
    program = "import sys, time; from minivl.train.run_folder import RunFolder\nwith RunFolder(sys.argv[1]).held():\n"
    program += "    print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
    assert other.stdout.readline()
    with pytest.raises(TrainingError, match=f"in use: process {other.pid} on .*, since 20.* is training there"):
        train(tmp_path)
    assert not RunFolder(tmp_path).saved()
    other.kill()
    other.wait()
    train(tmp_path)


def test_killed_anywhere(tmp_path):
    """SIGKILL at every file operation and every step, in turn, of a new run and of one that was killed before."""
    done = subprocess.run([sys.executable, SCRIPT, "killed", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    new, continued = map(int, done.stdout.split())  # places where it was killed
    assert new > 40 and continued > 15


def test_finished_run_is_only_read(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "copy")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").rglob("*")}
    assert_same(train(tmp_path / "copy", losses=stop_at(1, stop)), whole[1:])
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").rglob("*")} == before


def test_other_settings_are_named(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, settings={"clip": {"name": "kitchen"}, "rank": 8}, losses=stop_at(4, stop))
    with pytest.raises(TrainingError) as error:
        train(tmp_path, replace(CONFIG, seed=4, log_every=2), settings={"clip": {"name": "ViT-B-32"}, "rank": 8})
    message = str(error.value)
    assert "train.seed is 4 now and was 3" in message
    assert "settings.clip.name is 'ViT-B-32' now and was 'kitchen'" in message
    assert "rank" not in message and "log_every" not in message and "another run name" in message
    with pytest.raises(TrainingError, match="examples is 15 now and was 14"):
        train(tmp_path, data=Points(15), settings={"clip": {"name": "kitchen"}, "rank": 8})


def test_other_model_is_named(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "copy")
    model = Toy()
    model.extra = nn.Linear(2, 2)
    with pytest.raises(TrainingError, match="another model.*extra.bias, extra.weight"):
        train(tmp_path / "copy", model=model)


# Errors


@pytest.mark.parametrize(
    "poison",
    [
        lambda result: result | {"total": result["total"] * float("nan")},
        lambda result: result | {"size": result["size"] * float("inf")},
        lambda result: result | {"total": result["total"] + (result["total"].detach() - result["total"]).sqrt()},
    ],
    ids=["total", "other loss", "gradient"],
)
def test_not_finite(tmp_path, poison):
    model, good = Toy(), Toy()
    with pytest.raises(TrainingError, match=r"step 4: .*total .*step-000002") as error:
        train(tmp_path / "poisoned", model=model, losses=stop_at(4, poison))
    assert "nan" in str(error.value) or "inf" in str(error.value)
    assert [row["step"] for row in RunFolder(tmp_path / "poisoned").metrics()] == [1, 2, 3]
    with pytest.raises(Stop):
        train(tmp_path / "good", model=good, losses=stop_at(4, stop))
    assert torch.equal(model.trained.weight, good.trained.weight)  # step 4 has changed nothing


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    data = Points()
    with pytest.raises(TrainingError, match="cannot write .*file/run: .*Choose a folder"):
        train(tmp_path / "file" / "run", data=data, losses=stop_at(1, stop))
    assert not data.read


@pytest.fixture
def disk():
    """disk(n): from now on no file can grow beyond n bytes, a real failure of the write; disk(None) lifts it."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    yield limit
    limit(None)


@pytest.mark.parametrize(
    "size, path",
    [(8_000, "step-000004"), (20_000, "step-000004"), (400, "metrics.jsonl")],
    ids=["weights", "optimizer", "metrics"],
)
def test_disk_full(tmp_path, whole, disk, size, path):
    def fill(result):
        disk(size)
        return result

    with pytest.raises(TrainingError, match=rf"cannot write .*{path}: .* continues from .*step-000002"):
        train(tmp_path, losses=stop_at(4, fill))
    disk(None)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000002"]
    assert_same(train(tmp_path), whole[1:])


def test_errors_before_training(tmp_path):
    with pytest.raises(TrainingError, match="14 examples and one step takes 16"):
        train(tmp_path, replace(CONFIG, gradient_accumulation=4))
    with pytest.raises(TrainingError, match="nothing to train"):
        train(tmp_path, model=Toy().requires_grad_(False))
    with pytest.raises(TrainingError, match=r"must have a 'total'.*\['loss'\]"):
        train(tmp_path, losses=lambda model, batch: {"loss": model.losses(batch)["total"]})


def test_a_batch_is_no_larger_than_the_data():
    """And so are the batches that make a step; what fits stays as it was."""
    config = replace(CONFIG, batch_size=32, gradient_accumulation=4)
    with pytest.warns(
        UserWarning, match=r"10 training examples: adapt\.batch_size is 10 instead of 32, .*accum.* 1 inst"
    ):
        assert fitting(config, 10, "adapt") == replace(config, batch_size=10, gradient_accumulation=1)
    with pytest.warns(UserWarning, match=r"adapt\.gradient_accumulation is 2 instead of 4$"):
        assert fitting(config, 70, "adapt") == replace(config, gradient_accumulation=2)
    assert fitting(config, 128, "adapt") == config
    with pytest.raises(TrainingError, match=r"1 training examples: a batch \(adapt\.batch_size\) needs at least 2"):
        fitting(config, 1, "adapt", least=2)


# Several processes


class Draws(torch.utils.data.Dataset):
    """What a data set that augments or masks draws for an example, from each of the three generators."""

    def __len__(self):
        return 16

    def __getitem__(self, i):
        return torch.rand(()).item(), random.random(), np.random.rand()


def test_no_two_processes_and_steps_draw_the_same():
    def drawn(process, step):
        return torch.stack(MicroBatches(Draws(), CONFIG, process, processes=2)[step])  # (3 generators, 2 examples)

    numbers = torch.cat([drawn(process, step) for process in range(2) for step in range(2)], dim=1)
    assert all(len(set(row)) == 8 for row in numbers.tolist())  # 2 processes x 2 steps x 2 examples
    assert torch.equal(drawn(1, 1), drawn(1, 1))  # after a restart


def test_two_processes(tmp_path):
    """Half a batch each: the numbers of one process, written once."""
    data = Points(noise=0)
    alone, weights = train(tmp_path / "alone", model=Toy(dropout=0), data=data)
    done = subprocess.run([sys.executable, SCRIPT, "two", tmp_path / "two"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    together = RunFolder(tmp_path / "two").metrics()
    assert len(together) == len(alone)
    for one, both in zip(alone, together, strict=True):
        assert {k: both[k] for k in one} == pytest.approx(one, rel=1e-4)
    saved = load_file(tmp_path / "two" / "checkpoints" / "step-000007" / "model.safetensors")
    torch.testing.assert_close(saved["trained.weight"], weights["trained.weight"], rtol=0, atol=1e-5)
