"""Small models of both papers, trained by one and by two processes: run by test_engine.py.

    python engine_processes.py FOLDER

All runs are forked from one process that has imported everything. Each scenario writes what it found to its own file.
"""

import itertools
import json
import os
import random
import shutil
import signal
import socket
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from helpers.small_discovla import aligned_batch, build
from helpers.univl_processes import in_videos, random_batch, small_model
from minivl.config import ObjectiveConfig, TrainConfig
from minivl.train.loop import fit
from minivl.train.run_folder import RunFolder

CONFIG = TrainConfig(
    batch_size=4, learning_rate=1e-2, steps=4, epochs=None, seed=3, log_every=1, checkpoint_every=2, warmup=0.0
)
SHARDED = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


class Rows(torch.utils.data.Dataset):
    """The examples of one batch."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(next(iter(self.batch.values())))

    def __getitem__(self, i):
        return {name: value[i] for name, value in self.batch.items()}


def stage_two(**changes):
    """UniVL with all objectives, and narrated videos of two clips."""
    batch = random_batch([11, 9, 10, 8, 4, 3, 5, 3] * 2, [8, 6, 8, 5, 2, 1, 3, 1] * 2, [9, 10, 8, 7, 2, 1, 3, 2] * 2)
    return small_model(ObjectiveConfig(**changes.pop("objectives", {})), **changes), Rows(in_videos(batch, 2))


def stage_one(**changes):
    return stage_two(parts=(), **changes)


def local_stage_one():
    """As released: every process contrasts its own clips only."""
    return stage_one(objectives={"global_negatives": False})


def discovla():
    """A frozen CLIP with LoRA and fusion, and all three losses; one frame is padding."""
    batch = aligned_batch(videos=8)
    batch["video_mask"][3, 2:] = 0
    return build(mask_padding=True), Rows(batch)


class Stage:
    """`fit` in forked processes. `dies_at`: in this evaluation of the losses, every process kills itself."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, name, make, processes=1, environment=None, dies_at=None, **changes):
        config, run_dir = replace(CONFIG, **changes), self.folder / name
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(processes):
            child = os.fork()
            if child == 0:
                self.train(make, config, run_dir, rank, processes, port, environment or {}, dies_at)
            children.append(child)
        statuses = [os.waitpid(child, 0)[1] for child in children]
        if dies_at is None:
            assert not any(statuses), f"{name}: {statuses}"
            return RunFolder(run_dir).metrics()
        assert all(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL for status in statuses)

    @staticmethod
    def train(make, config, run_dir, rank, processes, port, environment, dies_at):
        """In a forked process; does not return."""
        try:
            torch.set_num_threads(1)  # renews the pool of threads that a fork breaks, before several threads need it
            if processes > 1:  # what torchrun sets
                os.environ |= {
                    "MASTER_ADDR": "localhost",
                    "MASTER_PORT": str(port),
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(processes),
                    "LOCAL_WORLD_SIZE": str(processes),
                    "OMP_NUM_THREADS": "1",
                }
            os.environ |= environment
            model, data = make()
            if dies_at is not None:
                kill_in_evaluation(dies_at, model)
            before = {name: p.clone() for name, p in model.named_parameters()}
            fit(model, data, config, run_dir, progress=False)
            for name, parameter in model.named_parameters():  # a whole model is left, and what is frozen has not moved
                assert type(parameter.data) is torch.Tensor, name
                assert parameter.requires_grad or torch.equal(parameter, before[name]), name
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)


def kill_in_evaluation(number, model):
    calls = itertools.count(1)
    evaluate = type(model).losses

    def losses(self, batch):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return evaluate(self, batch)

    type(model).losses = losses


def rows(metrics):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in metrics]


def same(name, one, other, tolerance=2e-4):
    assert len(one) == len(other) == CONFIG.steps
    for a, b in zip(rows(one), rows(other), strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert abs(a[key] - b[key]) <= tolerance * max(1, abs(a[key])), f"{name}, step {a['step']}, {key}: {a} {b}"


# Scenarios: each gets a Stage


def two_processes(stage):
    """Half a batch each, in chunks where that can be, are a run of one process."""
    for make, chunk_size in ((discovla, 1), (stage_one, 1), (stage_two, None)):
        name = make.__name__
        same(name, stage.run(f"{name}-2", make, 2, chunk_size=chunk_size), stage.run(f"{name}-1", make))


def local_negatives(stage):
    """Without global negatives, two processes do what one does that accumulates two batches."""
    alone = stage.run("accumulated", local_stage_one, batch_size=2, gradient_accumulation=2)
    same("local", stage.run("local", local_stage_one, 2, chunk_size=1), alone)
    together = stage.run("global", stage_one)
    assert abs(together[0]["joint"] - alone[0]["joint"]) > 1e-2


def killed_together(stage):
    """`kill -9` of both processes in the middle: the run continues to the same numbers, bit for bit."""
    for make in (lambda: stage_two(dropout=0.1), discovla):
        name = "univl" if make is not discovla else "discovla"
        expected = stage.run(f"{name}-whole", make, 2)
        stage.run(name, make, 2, dies_at=4)
        assert [row["step"] for row in RunFolder(stage.folder / name).metrics()] == [1, 2, 3]
        assert rows(stage.run(name, make, 2)) == rows(expected), name


def sharded(stage):
    """FSDP gives the numbers of one process, and either can continue what the other began."""
    alone = stage.run("whole", stage_two)
    shards = stage.run("shards", stage_two, 2, SHARDED)
    same("sharded", shards, alone)
    ends = [stage.folder / run / "checkpoints" / "step-000004" for run in ("whole", "shards")]
    one, other = (load_file(end / "model.safetensors") for end in ends)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
    one, other = (torch.load(end / "state.pt", weights_only=True)["optimizer"]["state"] for end in ends)
    torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)
    for end in ends:
        shutil.rmtree(end)
    same("continued by one process", stage.run("shards", stage_two), alone)
    same("continued in shards", stage.run("whole", stage_two, 2, SHARDED), alone)
    # A frozen CLIP with LoRA, with everything else that can be combined with it.
    shards = stage.run("lora", discovla, 2, SHARDED, chunk_size=1, activation_checkpointing=True)
    same("frozen CLIP with LoRA", shards, stage.run("lora-whole", discovla))


SCENARIOS = {f.__name__: f for f in (two_processes, local_negatives, killed_together, sharded)}


def main(folder, names):
    import accelerate  # noqa: F401
    import transformers.optimization  # noqa: F401

    torch.set_num_threads(1)  # forked processes have no thread pool
    random.seed(0)
    torch.optim.AdamW([*stage_two()[0].parameters(), *discovla()[0].parameters()])  # the first ones import a lot
    for name in names or SCENARIOS:
        (folder / name).mkdir(parents=True)
        try:
            SCENARIOS[name](Stage(folder / name))
            result = ""
        except Exception:
            result = traceback.format_exc()
        (folder / f"{name}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
