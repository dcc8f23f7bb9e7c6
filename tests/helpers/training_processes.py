"""A small model to train, and scripts that need processes of their own: run by test_training.py.

python training_processes.py killed FOLDER
python training_processes.py two FOLDER
"""

import itertools
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from helpers.launching import in_two_processes
from minivl.config import TrainConfig
from minivl.train import run_folder
from minivl.train.loop import fit, seed_everything

CONFIG = TrainConfig(batch_size=4, learning_rate=0.01, steps=7, epochs=None, seed=3, log_every=1, checkpoint_every=2)


class Points(torch.utils.data.Dataset):
    """Noisy points; the noise comes from all three generators, as in a data set that augments or masks."""

    def __init__(self, size=14, noise=1.0):
        self.x, self.noise, self.read = torch.randn(size, 64, generator=torch.Generator().manual_seed(0)), noise, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.read.append(i)
        return {"x": self.x[i] + self.noise * (torch.randn(64) + random.random() + np.random.rand())}


class Toy(nn.Module):
    """A frozen and a trained layer, dropout, and a buffer that training changes."""

    def __init__(self, dropout=0.2):
        super().__init__()
        seed_everything(7)
        self.frozen = nn.Linear(64, 64).requires_grad_(False)
        self.trained = nn.Linear(64, 64)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("seen", torch.zeros(()))

    def losses(self, batch):
        self.seen += len(batch["x"])
        error = (self.trained(self.dropout(self.frozen(batch["x"]))) - batch["x"]).square().mean()
        size = self.trained.weight.square().mean()
        return {"error": error, "size": size, "total": error + 0.1 * size}


def train(run_dir, config=CONFIG, model=None, data=None, **options):
    """(metrics without their times, weights) of one call of fit."""
    model = model or Toy()
    metrics = fit(model, data or Points(), config, run_dir, progress=False, **options)
    return [{k: v for k, v in row.items() if k != "seconds"} for row in metrics], model.state_dict()


def assert_same(result, expected):
    assert result[0] == expected[0]
    assert all(torch.equal(result[1][name], expected[1][name]) for name in expected[1])


def two_processes(run_dir):
    """`one_of_two` in each of two processes."""
    in_two_processes(one_of_two, run_dir)


def one_of_two(run_dir):
    """In each of two processes: a run, and the same run continued after its last checkpoint was lost."""
    import torch.distributed as dist

    metrics = train(run_dir, model=Toy(dropout=0), data=Points(noise=0))[0]
    assert dist.get_world_size() == 2
    dist.barrier()
    if dist.get_rank() == 0:
        shutil.rmtree(Path(run_dir) / "checkpoints" / "step-000007")
    dist.barrier()
    data = Points(noise=0)
    assert train(run_dir, model=Toy(dropout=0), data=data)[0] == metrics
    assert len(data.read) == 2
    dist.barrier()
    dist.destroy_process_group()


# Killed anywhere


def kill_at(event, run_dir):
    """From now on, count file operations below run_dir and evaluations of the losses; die at number `event`."""
    left = [event]

    def count(*_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name, arguments):
        if name in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and str(run_dir) in str(arguments[0]):
            count()

    def torn(write, path_at):
        def wrapped(*arguments):
            write(*arguments)
            path = arguments[path_at]
            os.truncate(path, path.stat().st_size // 2)  # as if killed while writing
            count()
            write(*arguments)

        return wrapped

    sys.addaudithook(hook)
    run_folder.save_file, run_folder.torch.save = torn(run_folder.save_file, 1), torn(torch.save, 1)
    Path.write_text = torn(Path.write_text, 0)
    evaluate = Toy.losses

    def losses(model, batch):
        count()
        return evaluate(model, batch)

    Toy.losses = losses


def survives(run_dir, event):
    """Run in a forked process that is killed at an event; True if it got to its end before that."""
    child = os.fork()
    if child == 0:
        kill_at(event, run_dir)
        train(run_dir)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, "the run failed in another way than by being killed"
    return True


def killed_anywhere(folder):
    torch.set_num_threads(1)  # forked processes have no thread pool
    expected = train(folder / "whole")
    (folder / "new").mkdir()
    assert not survives(folder / "continued", 30)
    for start in ("new", "continued"):
        for event in itertools.count(1):
            run_dir = folder / f"{start}-{event}"
            shutil.copytree(folder / start, run_dir)
            survived = survives(run_dir, event)
            assert_same(train(run_dir), expected)
            left = sorted(p.name for p in (run_dir / "checkpoints").iterdir())
            # A kill during the very last clean-up leaves an old folder, whole or not; the run is finished all the same.
            assert left[-2:] == ["step-000006", "step-000007"] and len(left) <= 3, left
            if survived:
                break
        print(event - 1)


if __name__ == "__main__":
    {"killed": killed_anywhere, "two": two_processes}[sys.argv[1]](Path(sys.argv[2]))
