"""What models make of clips, for the explorer, is what their evaluation computes."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from torch.utils.data import default_collate

from helpers.saved_tasks import tiny_task, write_split
from minivl.config import BUNDLED, ConfigError, DiscoVLAConfig, InputConfig, scale
from minivl.discovla import DiscoVLA
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.explorer.alignments import unit
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


def test_the_teacher_is_the_image_level_of_training(tmp_path):
    model = DiscoVLA.from_open_clip("kitchen", config=DiscoVLAConfig(lora_rank=1, pool_scale=5.0, distill_scale=3.0))
    inputs = InputConfig(max_frames=4)
    model.save_pretrained(tmp_path / "model", inputs=inputs)
    found = explore_clip(str(tmp_path / "model"), KITCHEN, "test", scale("tiny"), subset=3, progress=False)
    (alignment,) = found.models[tmp_path.name].values()

    clip = retrieval.load_model("kitchen")[0]
    data = retrieval.clips(KITCHEN, "test", clip, dataclasses.replace(scale("tiny"), inputs=inputs), subset=3)
    pairs = with_pseudo_captions(data, rendered_captions(data))
    with torch.inference_mode():
        S, I = model.alignments(model.encode(default_collate([pairs[i] for i in range(3)])))
    np.testing.assert_allclose(alignment.similarity, S.numpy(), atol=1e-5)
    np.testing.assert_allclose(alignment.image_level, I.numpy(), atol=1e-5)
    assert alignment.softmax_scale == 3.0 and alignment.teacher == "the captions of the right clip's frames"


def test_without_captions_of_frames_the_caption_itself_looks_for_frames(tmp_path):
    split = tmp_path / "test"
    split.mkdir()
    rows = [json.loads(line) for line in (KITCHEN / "test" / "metadata.jsonl").read_text().splitlines()[:2]]
    for row in rows:
        shutil.copy(KITCHEN / "test" / row["file_name"], split)
    kept = [{name: row[name] for name in ("file_name", "video_id", "caption")} for row in rows]
    (split / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    found = explore_clip("kitchen", tmp_path, "test", scale("tiny"), progress=False).models["kitchen"][""]
    K = np.einsum("ad,bfd->abf", unit(found.texts), unit(found.frames))
    weighted = (softmax(found.logit_scale * K, axis=2) * K).sum(2)
    np.testing.assert_allclose(found.image_level, (K.max(2) + weighted) / 2, atol=1e-5)
    assert found.teacher.startswith("the caption itself")


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
    assert stages["step 2"].logit_scale is None and stages["step 2"].image_level is None and found.clips.strips is None


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
