"""Explorations on disk: what was written is read, also what a stranger wrote, and nothing else."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.explorations import exploration
from minivl.explorer import AlignmentError, load_exploration, save_exploration


@pytest.fixture
def folder(tmp_path):
    return save_exploration(exploration(), tmp_path / "saved")


def edit(folder, change):
    file = folder / "alignment.json"
    description = json.loads(file.read_text())
    change(description)
    file.write_text(json.dumps(description))


def test_what_was_saved_is_read_back(folder):
    wrote, read = exploration(), load_exploration(folder)
    assert (read.clips.names, read.clips.captions, read.clips.groups) == (
        wrote.clips.names,
        wrote.clips.captions,
        wrote.clips.groups,
    )
    assert np.array_equal(read.clips.strips, wrote.clips.strips)
    assert [(name, list(stages)) for name, stages in read.models.items()] == [
        (name, list(stages)) for name, stages in wrote.models.items()
    ]
    for name, stages in wrote.models.items():
        for stage, alignment in stages.items():
            found = read.models[name][stage]
            for part in ("similarity", "texts", "videos", "frames", "frame_mask", "image_level"):
                before, after = getattr(alignment, part), getattr(found, part)
                assert (before is None) == (after is None)
                assert before is None or np.allclose(after, before, rtol=1e-6)
            for part in ("logit_scale", "distill_scale", "teacher"):
                assert getattr(found, part) == getattr(alignment, part)


def test_a_file_that_another_program_wrote(tmp_path):
    """The smallest one, as docs/alignment-files.md shows it."""
    description = {
        "format": "minivl alignment 1",
        "clips": [{"name": "a"}, {"name": "b"}],
        "captions": [{"text": "one", "video": 0}, {"text": "two", "video": 1}],
        "models": [{"name": "mine", "stages": [{}]}],
    }
    (tmp_path / "alignment.json").write_text(json.dumps(description))
    vectors = {"0.0.texts": np.eye(2, dtype=np.float16), "0.0.videos": 3 * np.eye(2, dtype=np.float16)}
    save_file(vectors, tmp_path / "alignment.safetensors")
    found = load_exploration(tmp_path)
    assert found.models["mine"][""].similarity.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert found.clips.groups is None and found.clips.strips is None
    assert found.models["mine"][""].image_level is None


DAMAGE = {
    "has the format 'minivl alignment 9'": lambda d: d.update(format="minivl alignment 9"),
    "captions.0.video: Input should be a valid integer": lambda d: d["captions"][0].update(video="0"),
    "must belong to the clips 0 to 4": lambda d: d["captions"][0].update(video=7),
    "clips.1.name: Field required": lambda d: d["clips"][1].clear(),
    "code: Extra inputs": lambda d: d.update(code="import os"),
    "models: List should have at least 1": lambda d: d.update(models=[]),
    "0.1.similarity, or 0.1.texts": lambda d: d["models"][0]["stages"].append({"name": "more"}),
    "nothing asks for: '1.2.": lambda d: d["models"][1]["stages"].pop(),
    "have the same name": lambda d: d["models"][1]["stages"][1].update(name="step 0"),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_descriptions_that_do_not_fit(folder, message):
    edit(folder, DAMAGE[message])
    with pytest.raises(AlignmentError, match=message):
        load_exploration(folder)


def test_tensors_that_do_not_fit(folder):
    file = folder / "alignment.safetensors"
    save_file(load_file(file) | {"1.0.similarity": np.zeros((2, 2), np.float32)}, file)
    with pytest.raises(AlignmentError, match=r"saved: run step 0: similarity must be of shape \(6, 5\)"):
        load_exploration(folder)
    file.write_bytes(pickle.dumps(__import__("os").getcwd))
    with pytest.raises(AlignmentError, match="damaged or not a safetensors file"):
        load_exploration(folder)
    file.unlink()
    with pytest.raises(AlignmentError, match="no weights file"):
        load_exploration(folder)
