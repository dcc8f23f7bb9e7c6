"""Each command that trains, on two processes (gloo): to its end, killed and started again; two in shards (FSDP)."""

import os
import signal
import subprocess
import sys
import time

import pytest

COMMANDS = {
    "pretrain": (["pretrain", "OUT", "--scale", "tiny"], "OUT", ["config.json", "model.safetensors", "tokenizer.json"]),
    "finetune": (
        ["finetune", "joint", "--scale", "tiny", "--name", "run"],
        "runs/run/model",
        ["config.json", "model.safetensors", "tokenizer.json", "README.md"],
    ),
    "adapt": (
        ["adapt", "--scale", "tiny", "--name", "run"],
        "runs/run/model",
        ["config.json", "model.safetensors", "README.md"],
    ),
    "pretrain-clip": (
        ["pretrain-clip", "OUT", "--scale", "tiny", "--set", "clip_pretrain.train.checkpoint_every=1"],
        "OUT",
        ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "scores.json", "README.md"],
    ),
    "pretrain-s3d": (
        ["pretrain-s3d", "OUT", "--scale", "tiny", "--set", "s3d_pretrain.train.checkpoint_every=1"],
        "OUT",
        ["config.json", "model.safetensors", "README.md"],
    ),
}
SHARDS = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}  # what `accelerate launch --use_fsdp` tells its processes


def start(arguments, folder, launched_with):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "minivl"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MINIVL_RUNS": str(folder / "runs"), **launched_with}
    return subprocess.Popen(
        [*launcher, *(str(folder / word) if word == "OUT" else word for word in arguments)],
        cwd=folder,
        env=environment | {"MINIVL_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "command, launched_with",
    [(name, {}) for name in COMMANDS] + [(name, SHARDS) for name in ("pretrain", "finetune")],
    ids=[*COMMANDS, "pretrain-in-shards", "finetune-in-shards"],
)
def test_killed_and_to_its_end(tmp_path, command, launched_with):
    arguments, model, files = COMMANDS[command]
    first = start(arguments, tmp_path, launched_with)
    while not list((tmp_path / "runs").glob("**/checkpoints/step-*[0-9]")):
        assert first.poll() is None, first.communicate()[1][-3000:]
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()

    second = start(arguments, tmp_path, launched_with)
    told, errors = second.communicate(timeout=600)
    assert second.returncode == 0, errors[-3000:]
    assert "Traceback" not in errors and told.count("saved: ") == 1, "one process tells it"
    assert all((tmp_path / model / file).is_file() for file in files)
    assert not list(tmp_path.glob("**/*.partial"))
