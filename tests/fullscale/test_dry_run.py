"""Dry runs at tiny sizes: what they count is compared with torch's own counter and with formulas."""

import csv
import dataclasses
import gc

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from minivl.cli import app
from minivl.config import ConfigError, InputConfig, NarrationConfig, TaskConfig, TrainConfig, UniVLConfig
from minivl.fullscale import dry_run as module
from minivl.fullscale.dry_run import dry_run, scaled
from minivl.fullscale.measure import count_flops, fixed_bytes, saved_bytes
from minivl.fullscale.recipes import find_recipe
from minivl.fullscale.synthetic import build_model, made_up_batch

SIZES = UniVLConfig(
    vocab_size=60,
    video_dim=8,
    hidden_size=16,
    num_heads=2,
    intermediate_size=32,
    text_layers=1,
    video_layers=1,
    cross_layers=2,
    decoder_layers=1,
    text_positions=24,
    video_positions=24,
    cross_positions=48,
)


def tiny(name, **train):
    """A recipe at sizes of a test, with its own task, losses and batch."""
    recipe = find_recipe(name)
    settings, pretrained = recipe.settings, recipe.settings.univl_pretrain
    narration = NarrationConfig(max_words=12, max_frames=10)
    smaller = dataclasses.replace(pretrained, model=SIZES, narration=narration)
    task = recipe.task.partition("-")[0]
    if recipe.kind == "finetune":
        old = settings.univl_tasks[task].train
        tasks = settings.univl_tasks | {task: TaskConfig(dataclasses.replace(old, **train), 12, 10)}
        settings = dataclasses.replace(settings, univl_tasks=tasks, univl_pretrain=smaller)
    elif recipe.kind == "pretrain":
        settings = dataclasses.replace(settings, univl_pretrain=smaller)
    else:
        settings = dataclasses.replace(
            settings,
            clip=dataclasses.replace(settings.clip, name="kitchen", pretrained=None),
            inputs=InputConfig(max_frames=3, max_words=8),
            adapt=dataclasses.replace(settings.adapt, **train),
        )
    return dataclasses.replace(recipe, settings=settings)


NAMES = (
    "univl-stage-one",
    "univl-stage-two",
    "univl-youcook2-align",
    "univl-youcook2-captioning",
    "univl-coin",
    "univl-crosstask",
    "univl-mosi",
    "discovla-msrvtt-b32",
)


@pytest.mark.parametrize("name", NAMES)
def test_flops_grow_as_the_formula_says_and_torch_counts_the_same(name):
    recipe = tiny(name)
    torch.manual_seed(0)
    model = build_model(recipe).train()
    one, two, five = (count_flops(model.losses, made_up_batch(recipe, model, n, "cpu")) for n in (1, 2, 5))
    assert 0 < one < two and scaled((one, two), 5) == five
    model.zero_grad(set_to_none=True)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as real:
        model.losses(made_up_batch(recipe, model, 2, "cpu"))["total"].backward()
    assert two == real.get_total_flops()


def test_attention_and_both_passes_are_counted():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Linear(16, 16, bias=False)

        def losses(self, x):
            q = self.project(x)[None]
            return {"total": nn.functional.scaled_dot_product_attention(q, q, q).sum()}

    N, D = 5, 16
    linear, attention = 2 * N * D * D, 2 * 2 * N * N * D  # x W; q k' and p v
    assert count_flops(Attention().losses, torch.randn(1, N, D)) == 2 * linear + 3 * attention  # no gradient for x


def test_memory_of_a_linear_layer():
    model = nn.Sequential(nn.Linear(10, 20, bias=False), nn.Tanh(), nn.Linear(20, 30, bias=False))
    model[0].requires_grad_(False)
    assert fixed_bytes(model) == 4 * (200 + 600 + 3 * 600)
    x = torch.randn(7, 10)
    kept = saved_bytes(model, lambda batch: {"total": model(batch).sum()}, x)
    assert kept == 4 * 7 * 20  # only what the trained layer reads: the tanh below it needs no gradient
    model[0].requires_grad_(True)
    assert saved_bytes(model, lambda batch: {"total": model(batch).sum()}, x) == 4 * 7 * (20 + 10)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_run_takes_a_step(name):
    recipe = tiny(name)
    report = dry_run(recipe)
    model = build_model(recipe)
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert report.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert report.flops > 0 and report.peak_bytes > fixed_bytes(model) and report.micro_batch == 1
    assert f"{recipe.steps:,} updates" in str(report) and "GiB per GPU" in str(report)


def test_the_update_counts_every_process_and_accumulated_batch():
    recipe = tiny("univl-stage-two")  # 8 processes with 2 videos each, 60 times
    model = build_model(recipe).train()
    one, two = (count_flops(model.losses, made_up_batch(recipe, model, n, "cpu")) for n in (1, 2))
    assert dry_run(recipe).flops == 8 * 60 * two > 960 * one  # Align compares the clips of a process
    whole = tiny("discovla-msrvtt-b32", batch_size=6)  # compared over all processes
    model = build_model(whole).train()
    assert dry_run(whole).flops == count_flops(model.losses, made_up_batch(whole, model, 6, "cpu"))


def test_nothing_is_left_in_memory():
    def live():
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    recipe = tiny("univl-coin")
    dry_run(recipe)
    before = live()
    dry_run(recipe)
    assert live() == before


def test_captions_from_video_alone_read_no_text():
    with_text, without = (dry_run(tiny(f"univl-youcook2-captioning{kind}")).flops for kind in ("", "-video"))
    assert 0 < without < with_text


def test_gpu_hours_and_storage():
    recipe = tiny("univl-youcook2-joint", batch_size=4)
    report = dry_run(recipe, gpu="h100", precision="tf32", utilisation=0.5)
    assert report.gpu_hours == pytest.approx(report.flops * recipe.steps / (0.5 * 495e12) / 3600)
    assert report.storage_bytes == 176 * 3600 * 4096
    assert dry_run(tiny("discovla-msrvtt-b32", batch_size=2)).storage_bytes == 10_000 * 3 * 150_528
    with pytest.raises(ConfigError, match="no peak is known of v100 in bf16.*a100 in bf16 or tf32"):
        dry_run(recipe, gpu="v100")


def test_the_step_trains(monkeypatch):
    steps = []
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self, *rest: steps.append(
            [p.grad is not None and bool(p.grad.any()) for group in self.param_groups for p in group["params"]]
        ),
    )
    dry_run(tiny("discovla-msrvtt-b32", batch_size=2), micro_batch=2)
    assert len(steps) == 1 and any(steps[0])


def test_a_step_that_does_not_fit_is_halved(monkeypatch):
    tried, step = [], module._step

    def small_memory(recipe, model, device, size):
        tried.append(size)
        if size > 2:
            raise torch.OutOfMemoryError("full")
        return step(recipe, model, torch.device("cpu"), size)

    class Gpu:
        type = "gpu"

    monkeypatch.setattr(module, "_step", small_memory)
    monkeypatch.setattr(module, "_device_name", lambda device: "a small GPU")
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None)
    recipe = tiny("univl-youcook2-joint")
    model = build_model(recipe).train()
    assert module._largest_step(recipe, model, Gpu(), None, 8)[0] == 2 and tried == [8, 4, 2]
    with pytest.raises(ConfigError, match="a step of 4 example.*does not fit into the memory of a small GPU"):
        module._largest_step(recipe, model, Gpu(), 4, 8)


def test_commands_print_and_write_a_table(tmp_path, monkeypatch):
    small = {"univl-mosi": tiny("univl-mosi"), "univl-coin": tiny("univl-coin")}
    for place in ("minivl.fullscale.recipes.recipes", "minivl.cli.recipes.recipes"):
        monkeypatch.setattr(place, lambda: small)
    out = tmp_path / "numbers" / "dry.csv"
    answer = CliRunner().invoke(app, ["recipe", "dry-run", "all", "--utilisation", "0.2", "--out", str(out)])
    assert answer.exit_code == 0 and "univl-coin: COIN" in answer.output and "reaches 20% of 312" in answer.output
    rows = list(csv.DictReader(out.open()))
    assert [row["recipe"] for row in rows] == list(small)
    assert rows[0]["command"].startswith("minivl recipe dry-run univl")
    assert float(rows[0]["TFLOP per step"]) >= 0 and rows[0]["utilisation"] == "0.2"
    answer = CliRunner().invoke(app, ["finetune", "--recipe", "univl-mosi", "--dry-run"])
    assert answer.exit_code == 0 and "univl-mosi: CMU-MOSI" in answer.output


def test_train_config_of_a_step_may_be_given_in_steps():
    recipe = tiny("univl-mosi")
    stated = dataclasses.replace(
        recipe,
        settings=dataclasses.replace(
            recipe.settings, univl_tasks={"sentiment": TaskConfig(TrainConfig(steps=9, epochs=None), 12, 10)}
        ),
    )
    assert stated.steps == 9
