"""Each command that trains, on two processes (gloo): to its end; killed and started again; in shards (FSDP).

Starting is what takes long, so commands share processes where they can.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import commands_in_turn

UNIVL = ["config.json", "model.safetensors", "tokenizer.json"]
EVERY_STEP = "train.checkpoint_every=1"
COMMANDS = {  # name: (arguments, folder of the model, files in it)
    "pretrain": (["pretrain", "OUT/univl", "--scale", "tiny"], "univl", UNIVL),
    "finetune": (["finetune", "joint", "--scale", "tiny", "--name", "task"], "runs/task/model", [*UNIVL, "README.md"]),
    "pretrain-clip": (
        ["pretrain-clip", "OUT/clip", "--scale", "tiny", "--set", f"clip_pretrain.{EVERY_STEP}"],
        "clip",
        ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "scores.json", "README.md"],
    ),
    "pretrain-s3d": (
        ["pretrain-s3d", "OUT/s3d", "--scale", "tiny", "--set", f"s3d_pretrain.{EVERY_STEP}"],
        "s3d",
        ["config.json", "model.safetensors", "README.md"],
    ),
    "adapt": (
        ["adapt", "--scale", "tiny", "--name", "clip"],
        "runs/clip/model",
        ["config.json", "model.safetensors", "README.md"],
    ),
}
RUNS = {"adapt": "clip", "pretrain": "pretrain-univl"}  # folders of the two that are killed
SHARDS = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}  # what `accelerate launch --use_fsdp` tells its processes


def start(commands, folder, launched_with):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = [word for name in commands for word in ("--then", *COMMANDS[name][0])][1:]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MINIVL_RUNS": str(folder / "runs"), **launched_with}
    return subprocess.Popen(
        [*launcher, Path(commands_in_turn.__file__), *(word.replace("OUT", str(folder)) for word in words)],
        cwd=folder,
        env=environment | {"MINIVL_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "to_its_end, killed, after, launched_with",
    [
        (["pretrain", "finetune", "pretrain-clip", "pretrain-s3d"], "adapt", [], {}),
        ([], "pretrain", ["finetune"], SHARDS),
    ],
    ids=["whole", "in-shards"],
)
def test_killed_and_to_its_end(tmp_path, to_its_end, killed, after, launched_with):
    first = start([*to_its_end, killed], tmp_path, launched_with)
    while not list((tmp_path / "runs" / RUNS[killed]).glob("**/checkpoints/step-*[0-9]")):
        assert first.poll() is None, first.communicate()[1][-3000:]
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    told, _ = first.communicate()
    assert told.count("saved: ") >= len(to_its_end)

    second = start([killed, *after], tmp_path, launched_with)
    told, errors = second.communicate(timeout=600)
    assert second.returncode == 0, errors[-3000:]
    assert "Traceback" not in errors and told.count("saved: ") == 1 + len(after), "one process tells it"
    for name in (*to_its_end, killed, *after):
        _, model, files = COMMANDS[name]
        assert all((tmp_path / model / file).is_file() for file in files), name
    assert not list(tmp_path.glob("**/*.partial"))
