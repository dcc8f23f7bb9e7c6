"""The small real run, against a server on this machine that speaks the hub's protocol, cuts files off, damages them."""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from helpers import commands_after_signals
from helpers.hub_server import serving
from minivl.config import BUNDLED

CLIPS = [json.loads(line) for line in (BUNDLED / "kitchen" / "test" / "metadata.jsonl").read_text().splitlines()]
WEIGHTS = "open_clip_model.safetensors"
OPTIONS = "--train 4 --test 3 --steps 2 --clip hf-hub:small/clip --set inputs.max_frames=2 --set adapt.batch_size=4"
OPTIONS += " --set discovla.vision_fusion_layers=1"


@pytest.fixture
def hub(tmp_path):
    """A small CLIP, and seven bundled clips in the form of friedrichor/MSR-VTT."""
    folder, model = tmp_path / "hub/datasets/friedrichor/MSR-VTT", tmp_path / "hub/models/small/clip"
    shutil.copytree(BUNDLED / "clip_kitchen", model)
    folder.mkdir(parents=True)
    rows = [{"video_id": f"video{n}", "caption": clip["caption"]} for n, clip in enumerate(CLIPS[:7])]
    train = [{**row, "caption": [row["caption"], "someone cooks"]} for row in rows[:4]]
    (folder / "train_9k.json").write_text(json.dumps(train))
    (folder / "test_1k.json").write_text(json.dumps(rows[4:]))
    configurations = [(name, name.partition("_")[0]) for name in ("train_9k", "test_1k")]
    (folder / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(
            f"- config_name: {name}\n  data_files:\n  - split: {split}\n    path: {name}.json\n"
            for name, split in configurations
        )
        + "---\n"
    )
    with zipfile.ZipFile(folder / "MSRVTT_Videos.zip", "w") as archive:
        for row, clip in zip(rows, CLIPS, strict=False):
            archive.write(BUNDLED / "kitchen" / "test" / clip["file_name"], f"video/{row['video_id']}.mp4")
    with serving(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def program(hub, tmp_path):
    """What runs the command once more and returns its status and all that it has said so far."""
    out, said = tmp_path / "out", tmp_path / "said.txt"
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, commands_after_signals.__file__, "reality-check", "--out", str(out), *OPTIONS.split()]
    with (
        said.open("w") as errors,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):

        def once_more():
            process.stdin.write("\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith("status "):
                    return int(line.split()[1]), said.read_text()
            raise AssertionError(said.read_text())

        yield once_more
        process.stdin.close()


def test_it_goes_on_after_interruptions_and_refuses_wrong_bytes(hub, program, tmp_path):
    out = tmp_path / "out"
    hub.damaged.add(WEIGHTS)
    status, said = program()
    assert status == 1 and f"{WEIGHTS} is not what the hub says it is" in said

    hub.damaged, hub.cut = set(), {WEIGHTS: 50_000, "MSRVTT_Videos.zip": 100}
    video = next((tmp_path / "hub").rglob("MSRVTT_Videos.zip"))
    whole = video.read_bytes()
    with zipfile.ZipFile(video) as archive:
        middle = archive.getinfo("video/video5.mp4").header_offset + 500
    video.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    begun = len(hub.asked)
    status, said = program()
    assert status == 1 and "video5.mp4 came damaged (Bad CRC-32" in said
    assert hub.asked[begun:].count(WEIGHTS) == 2, "cut off once, then whole"
    there = sorted(file.name for file in (out / "data").rglob("*.mp4"))
    assert there == [f"video{n}.mp4" for n in range(5)], "what came before is kept, whole"

    begun = len(hub.asked)
    video.write_bytes(whole)
    status, said = program()
    assert status == 0, said
    assert WEIGHTS not in hub.asked[begun:], "they are in the cache"
    scores, ledger = (list(csv.DictReader((out / name).open())) for name in ("scores.csv", "ledger.csv"))
    assert [row["cell"] for row in scores] == ["zero-shot", "adapted"]
    assert all(0 <= float(row["t2v R@1"]) <= 100 for row in scores)
    assert [row["source"] for row in ledger] == [f"scores.csv::{row['cell']}::t2v R@1" for row in scores]
    assert all("first 3 videos of test_1k" in row["protocol"] for row in ledger)
    assert (out / "adapted/model/config.json").is_file() and (out / "page.html").stat().st_size > 100_000
