"""What models make of clips, for the explorer, is what their evaluation computes."""

import dataclasses
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from helpers.saved_tasks import tiny_task, write_split
from minivl.config import BUNDLED, ConfigError, scale
from minivl.tasks.alignments import explore_clip, explore_univl, is_run
from minivl.tasks.clip import retrieval
from minivl.tasks.univl import load_rows

KITCHEN = BUNDLED / "kitchen"


def test_zero_shot_clip_and_its_pictures():
    found = explore_clip("kitchen", KITCHEN, "test", scale("tiny"), subset=3, progress=False)
    clip, model, inputs = retrieval.load_model("kitchen")
    data = retrieval.clips(KITCHEN, "test", clip, dataclasses.replace(scale("tiny"), inputs=inputs), subset=3)
    alignment = found.models["kitchen"][""]
    expected = retrieval.evaluate(model, data, progress=False).similarity
    np.testing.assert_allclose(alignment.similarity, expected, atol=1e-5)
    assert alignment.frames.shape[:2] == alignment.frame_mask.shape == (3, inputs.max_frames)
    assert alignment.logit_scale == pytest.approx(clip.model.logit_scale.exp().item())
    assert found.clips.strips.shape == (3, 8, 64, 64, 3) and len(set(found.clips.groups)) == 1
    assert found.clips.captions == data.captions and found.clips.names[0] == "test-00000"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of UniVL's FT-Joint with two checkpoints, and a split of data."""
    folder = tmp_path_factory.mktemp("joint")
    task = tiny_task("joint", folder)
    task.save_pretrained(folder / "run" / "model")
    last = folder / "run" / "checkpoints" / "step-000002"
    before = shutil.copytree(last, last.with_name("step-000001")) / "model.safetensors"
    save_file(
        {name: 0.9 * tensor if tensor.is_floating_point() else tensor for name, tensor in load_file(before).items()},
        before,
    )
    rows = load_rows("retrieval", write_split(folder / "data", "test"), "test")
    return folder / "run", task, rows


def test_joint_at_every_checkpoint_of_its_run(run):
    folder, task, rows = run
    found = explore_univl(str(folder), rows, progress=False)
    stages = found.models["run"]
    assert is_run(folder) and list(stages) == ["step 1", "step 2"]
    np.testing.assert_allclose(stages["step 2"].similarity, task.predict(rows, progress=False), atol=1e-5)
    assert not np.allclose(stages["step 1"].similarity, stages["step 2"].similarity, atol=1e-5)
    assert stages["step 2"].logit_scale is None and found.clips.strips is None


def test_a_saved_model_alone_has_one_stage_with_the_name_of_its_run(run):
    folder, _, rows = run
    found = explore_univl(str(folder / "model"), rows, progress=False)
    assert {name: list(stages) for name, stages in found.models.items()} == {"run": [""]}


def test_align_gives_similarities_alone(tmp_path):
    task = tiny_task("align", tmp_path)
    task.save_pretrained(tmp_path / "model")
    rows = load_rows("retrieval", write_split(tmp_path / "data", "test"), "test")
    (stages,) = explore_univl(str(tmp_path / "model"), rows, progress=False).models.values()
    np.testing.assert_allclose(stages[""].similarity, task.predict(rows, progress=False), atol=1e-5)
    assert stages[""].texts is None


def test_other_tasks_align_nothing(tmp_path):
    tiny_task("sentiment", tmp_path).save_pretrained(tmp_path / "model")
    with pytest.raises(ConfigError, match="UniVL's sentiment, which aligns nothing"):
        explore_univl(str(tmp_path / "model"), None)
