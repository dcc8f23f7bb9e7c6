"""The main job at the tiny scale: adapt, score, search, on real files."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from minivl.clip import load_clip
from minivl.config import BUNDLED, scale
from minivl.discovla import DiscoVLA
from minivl.tasks.clip import retrieval

KITCHEN = BUNDLED / "kitchen"


@pytest.fixture(scope="module")
def settings():
    return scale("tiny")


@pytest.fixture(scope="module")
def clip():
    return load_clip("kitchen")


@pytest.fixture(scope="module")
def adapted(settings, clip, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    train = retrieval.clips(KITCHEN, "train", clip, settings)
    return retrieval.adapt_at_scale(settings, 0, run / "a", train=train, progress=False), run / "a", train


def test_zero_shot_is_plain_clip_on_frames(clip, settings):
    data = retrieval.clips(KITCHEN, "test", clip, settings, subset=2)
    with torch.inference_mode():
        item = data[0]
        video, frames = retrieval.zero_shot(clip).encode_video(item["video"][None], item["video_mask"][None])
        expected = clip.model.encode_image(item["video"])
    torch.testing.assert_close(frames[0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(video[0], torch.nn.functional.normalize(expected, dim=-1).mean(0), atol=1e-6, rtol=1e-4)


def test_adaptation_changes_the_model_and_can_be_read_back(adapted, clip, settings):
    model, run, _ = adapted
    data = retrieval.clips(KITCHEN, "test", clip, settings, subset=8)
    scores = retrieval.evaluate(model, data, progress=False)
    again = retrieval.evaluate(DiscoVLA.from_pretrained(run / "model").eval(), data, progress=False)
    assert np.array_equal(scores.similarity, again.similarity)
    before = retrieval.evaluate(retrieval.zero_shot(clip), data, progress=False)
    assert not np.allclose(scores.similarity, before.similarity)
    assert {"t2v R@1", "v2t MedR", "R@sum", "within group"} <= scores.row().keys()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == settings.adapt.steps


def test_scores_do_not_depend_on_the_batch_size(adapted, clip, settings):
    data = retrieval.clips(KITCHEN, "test", clip, settings, subset=6)
    one, all_at_once = (retrieval.evaluate(adapted[0], data, batch_size=size, progress=False) for size in (1, 6))
    np.testing.assert_allclose(one.similarity, all_at_once.similarity, atol=1e-5)


def test_a_finished_run_is_read_back_and_a_changed_one_refused(adapted, settings):
    model, run, train = adapted
    again = retrieval.adapt_at_scale(settings, 0, run, train=train, progress=False)
    assert all(
        torch.equal(a, b) for a, b in zip(model.trainable_parameters(), again.trainable_parameters(), strict=True)
    )
    other = dataclasses.replace(settings, discovla=dataclasses.replace(settings.discovla, lora_rank=4))
    with pytest.raises(RuntimeError, match="lora_rank is 4 now and was 8"):
        retrieval.adapt_at_scale(other, 0, run, train=train, progress=False)


def test_clips_without_captions_or_split(tmp_path, clip, settings):
    (tmp_path / "test").mkdir()
    source = sorted((KITCHEN / "test").glob("*.mp4"))[0]
    shutil.copy(source, tmp_path / "test")
    (tmp_path / "test" / "metadata.jsonl").write_text(json.dumps({"file_name": source.name}) + "\n")
    with pytest.raises(ValueError, match="no `caption` or `captions` column"):
        retrieval.clips(tmp_path, "test", clip, settings)
    with pytest.raises(FileNotFoundError, match="no split 'dev', only test"):
        retrieval.clips(tmp_path, "dev", clip, settings)


def test_clips_that_nobody_captioned_are_left_out(tmp_path, clip, settings):
    (tmp_path / "test").mkdir()
    names = [path.name for path in sorted((KITCHEN / "test").glob("*.mp4"))[:3]]
    for name in names:
        shutil.copy(KITCHEN / "test" / name, tmp_path / "test")
    rows = [
        {"file_name": name, "caption": caption} for name, caption in zip(names, ("one", None, "three"), strict=True)
    ]
    (tmp_path / "test" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="1 of 3 clips of test have no caption"):
        data = retrieval.clips(tmp_path, "test", clip, settings)
    assert data.captions == ["one", "three"] and data.video_of_text.tolist() == [0, 1] and len(data.paths) == 2


def test_models_by_name(adapted):
    assert retrieval.load_model("kitchen")[1].config.vision_fusion_layers == 0
    clip, model, inputs = retrieval.load_model(str(adapted[1] / "model"))
    assert model.config.vision_fusion_layers == 2 and clip.name == "kitchen"
    assert inputs == scale("tiny").inputs and inputs.max_frames == 4, "as it was trained, not as is usual"
    for name in ("ViT-B-32", "nonsense", "no/such/folder"):
        with pytest.raises(ValueError, match="unknown model"):
            retrieval.load_model(name)


def test_several_captions_of_a_clip(adapted, clip, settings, tmp_path):
    """Each is a training pair and a query of its own; a clip finds its captions if it finds the best of them."""
    source = [json.loads(line) for line in (KITCHEN / "test" / "metadata.jsonl").read_text().splitlines()[:3]]
    folder = tmp_path / "test"
    folder.mkdir()
    for row in source:
        shutil.copy(KITCHEN / "test" / row["file_name"], folder)
    texts = [[source[0]["caption"], "a red pot"], [source[1]["caption"]], [source[2]["caption"]] * 3]
    (folder / "metadata.jsonl").write_text(
        "".join(
            json.dumps({"file_name": row["file_name"], "captions": captions}) + "\n"
            for row, captions in zip(source, texts, strict=True)
        )
    )
    data = retrieval.clips(tmp_path, "test", clip, settings)
    assert len(data) == 6 and data.video_of_text.tolist() == [0, 0, 1, 2, 2, 2]
    torch.testing.assert_close(data[5]["video"], data.video(2)["video"])
    scores = retrieval.evaluate(adapted[0], data, progress=False)
    assert scores.similarity.shape == (6, 3) and scores.groups is None
    single = retrieval.evaluate(adapted[0], retrieval.clips(KITCHEN, "test", clip, settings, subset=3), progress=False)
    np.testing.assert_allclose(scores.similarity[[0, 2, 3]], single.similarity, atol=1e-5)


TWO_PROCESSES = """
import sys
from pathlib import Path
from helpers.launching import in_two_processes
from minivl.clip import load_clip
from minivl.config import BUNDLED, scale
from minivl.tasks.clip import retrieval

def adapt(run_dir):
    train = retrieval.clips(BUNDLED / "kitchen", "train", load_clip("kitchen"), scale("tiny"))
    retrieval.adapt_at_scale(scale("tiny"), 0, run_dir, train, progress=False)

in_two_processes(adapt, Path(sys.argv[1]))
"""


def test_two_processes_adapt_as_one_does(adapted, tmp_path):
    """Each process has half of every batch; losses, gradients and weights are those of the whole batch."""
    (tmp_path / "adapt.py").write_text(TWO_PROCESSES)
    subprocess.run(
        [sys.executable, tmp_path / "adapt.py", tmp_path / "run"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    one, two = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (adapted[1], tmp_path / "run")
    )
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2]
    for a, b in zip(one, two, strict=True):
        assert a["total"] == pytest.approx(b["total"], rel=1e-4)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
    weights = [load_file(run / "model" / "model.safetensors") for run in (adapted[1], tmp_path / "run")]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], atol=1e-4, rtol=0)
