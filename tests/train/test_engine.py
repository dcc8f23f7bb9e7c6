"""Several processes, shards, checkpointed and compiled layers, mixed precision: the numbers stay what they are."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils.data import default_collate

from helpers import HELPERS
from helpers.engine_processes import CONFIG, SCENARIOS, SHARDED, Rows, discovla, stage_one, stage_two
from helpers.small_discovla import TEXT, VISION, aligned_batch, small_clip
from minivl.config import DiscoVLAConfig
from minivl.discovla import DiscoVLA
from minivl.train.engine import layer_options, layers_of
from minivl.train.loop import fit
from minivl.train.run_folder import RunFolder, TrainingError

SCRIPT = HELPERS / "engine_processes.py"


def test_processes(tmp_path):
    """Every scenario of engine_processes.py, in one script: importing everything takes longer than they do."""
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
    found = {name: tmp_path / f"{name}.json" for name in SCENARIOS}
    failures = {name: json.loads(file.read_text()) if file.exists() else "did not end" for name, file in found.items()}
    assert not any(failures.values()), "\n".join(filter(None, failures.values())) + done.stderr[-3000:]


def gradients(model, batch):
    torch.manual_seed(1)
    model.train().zero_grad()
    model.losses(batch)["total"].backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def batch_of(data):
    return default_collate([data[i] for i in range(len(data))])


@pytest.mark.parametrize("make", [discovla, lambda: stage_two(dropout=0.2)], ids=["DiscoVLA", "UniVL"])
def test_checkpointed_layers_have_the_same_gradients(make):
    model, data = make()
    expected = gradients(model, batch_of(data))
    calls = []
    layers = layers_of(model)
    layers[0].register_forward_pre_hook(lambda *_: calls.append("through the module"))
    inner = next(module for module in layers[0].modules() if isinstance(module, torch.nn.LayerNorm))
    inner.register_forward_pre_hook(lambda *_: calls.append("computed"))
    with layer_options(model, replace(CONFIG, activation_checkpointing=True)):
        found = gradients(model, batch_of(data))
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert calls.count("computed") == 2 * calls.count("through the module") > 0  # once again in the backward pass
    assert not any("forward" in vars(layer) for layer in layers)


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
def test_compiled_layers_have_nearly_the_same_gradients():
    model, data = stage_one(text_layers=1)
    expected = gradients(model, batch_of(data))
    with layer_options(model, replace(CONFIG, compile=True)):
        found = gradients(model, batch_of(data))
    largest = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * largest.item())


def test_every_variant_of_a_deep_tower_is_compiled(monkeypatch):
    """Layers of a tower are one function for torch, which stops compiling a function after eight variants."""
    clip = small_clip(VISION | {"layers": 6}, TEXT | {"layers": 4})
    model = DiscoVLA(clip, DiscoVLAConfig(lora_rank=2, vision_fusion_layers=2, text_fusion_layers=2))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # follows the code, makes no kernels
    with (
        torch._dynamo.config.patch(fail_on_recompile_limit_hit=True),
        layer_options(model, replace(CONFIG, compile=True)),
    ):
        assert gradients(model, aligned_batch())


def test_models_without_named_layers(tmp_path):
    data = Rows({"x": torch.randn(8, 2)})
    for option in ("compile", "activation_checkpointing"):
        with pytest.raises(TrainingError, match=r"Linear has no transformer_layers\(\)"):
            fit(torch.nn.Linear(2, 2), data, replace(CONFIG, **{option: True}), tmp_path, progress=False)


@pytest.mark.parametrize("make", [discovla, stage_one, stage_two])
def test_bfloat16(make, tmp_path):
    """Two steps with everything on; the losses are near those of single precision."""
    config = replace(CONFIG, steps=2, chunk_size=None if make is stage_two else 2, activation_checkpointing=True)
    exact = fit(*make(), config, tmp_path / "single", progress=False)
    half = fit(*make(), replace(config, mixed_precision="bf16"), tmp_path / "half", progress=False)
    assert half[0]["total"] == pytest.approx(exact[0]["total"], rel=0.1) and half[0] != exact[0]
    assert half[1]["total"] == pytest.approx(exact[1]["total"], rel=0.3)


def test_a_switch_that_is_off_is_no_other_setting(tmp_path):
    """Runs from before there was such a switch can be continued."""
    run = RunFolder(tmp_path)
    (run.checkpoints / "step-000001").mkdir(parents=True)
    run.config.write_text(json.dumps({"train": {"seed": 0}}))
    run.check({"train": {"seed": 0, "compile": False, "chunk_size": None, "activation_checkpointing": True}})
    with pytest.raises(TrainingError, match="train.compile is True now and was None"):
        run.check({"train": {"seed": 0, "compile": True}})


def test_engines_that_are_refused(monkeypatch, tmp_path):
    for name, value in SHARDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(TrainingError, match="--fsdp_version 2"):
        fit(*stage_one(), CONFIG, tmp_path, progress=False)
