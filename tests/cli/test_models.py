"""`minivl models`, and what is typed with models of other designs: files and folders of weights, LoRA in and out."""

import copy
import shutil

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from minivl.cli import app
from minivl.config import BUNDLED

SMALL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def minivl(*arguments):
    told = CliRunner().invoke(app, [*map(str, arguments)])
    assert told.exit_code == 0, f"{told.output}\n{told.exception!r}"
    return told.stdout


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two bundled clips, as a folder with train/ and test/."""
    folder = tmp_path_factory.mktemp("clips")
    source = BUNDLED / "kitchen" / "test"
    rows = (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()[:2]
    for split in ("train", "test"):
        (folder / split).mkdir()
        (folder / split / "metadata.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        for file in sorted(source.glob("*.mp4")):
            if file.name in "\n".join(rows):
                shutil.copy(file, folder / split)
    return folder


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Random weights of ViT-S-32, which is made small for this test, as a file in a folder."""
    architectures = copy.deepcopy(open_clip.factory._MODEL_CONFIGS) | {"ViT-S-32": SMALL}
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", architectures)
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32")
    (tmp_path / "weights").mkdir()
    save_file(model.state_dict(), tmp_path / "weights" / "open_clip_model.safetensors")
    return tmp_path / "weights" / "open_clip_model.safetensors"


def test_models_are_listed_with_what_works():
    lines = minivl("models", "RN50x").splitlines()
    assert lines[0].startswith("architecture") and any("no attention blocks" in line for line in lines[1:])
    one = minivl("models", "ViT-S-32")
    assert "causal" in one and "parameters" in one and "without a network" in one
    refused = CliRunner().invoke(app, ["models", "ViT-nowhere"])
    assert refused.exit_code and "`minivl models` lists all" in str(refused.exception)


def test_a_file_and_its_folder_are_the_same_model(weights, clips):
    by_file = minivl("evaluate", "--model", f"ViT-S-32/{weights}", "--data", clips)
    by_folder = minivl("evaluate", "--model", f"ViT-S-32/{weights.parent}", "--data", clips)
    assert by_file == by_folder and "test, 2 clips" in by_file
    page = weights.with_name("page.html")
    minivl("explore", f"ViT-S-32/{weights}", "kitchen", "--data", clips, "--out", page)
    assert page.stat().st_size > 10_000


def test_lora_of_a_run_goes_to_peft_and_comes_back(weights, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVL_RUNS", str(tmp_path / "runs"))
    clip = f"ViT-S-32/{weights}"
    minivl("adapt", "--name", "lora", "--clip", clip, "--data", clips, "--steps", 2, "--fusion-layers", 0,
           "--set", "adapt.learning_rate=0.1", "--scale", "tiny")  # fmt: skip
    minivl("export-lora", tmp_path / "runs" / "lora" / "model", tmp_path / "peft")
    assert (tmp_path / "peft" / "adapter_config.json").is_file()
    minivl("import-lora", tmp_path / "peft", tmp_path / "again", "--clip", clip)
    run, again = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "runs" / "lora" / "model", tmp_path / "again")
    )
    assert run.keys() == again.keys() and all(torch.equal(run[name], again[name]) for name in run)
    found = minivl("search", "a red pot", clips / "test", "--model", tmp_path / "again")
    assert found != minivl("search", "a red pot", clips / "test", "--model", clip)
