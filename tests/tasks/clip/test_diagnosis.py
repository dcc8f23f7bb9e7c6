"""Probes of data: by hand, over all batches, and on the bundled clips."""

from itertools import combinations

import numpy as np
import pytest
import torch

from minivl.clip import load_clip
from minivl.config import BUNDLED, scale
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.tasks.clip import retrieval
from minivl.tasks.clip.diagnosis import diagnose, right_in_batch, rivals


def test_rivals_are_as_similar_as_the_own_video():
    S = torch.tensor([[1.0, 1.0, 0.0], [0.5, 0.4, 0.3], [0.0, 0.0, 0.1]])
    assert rivals(S).tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_what_is_expected_of_a_batch_is_the_mean_over_all_batches():
    S = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    found = right_in_batch(rivals(S), 3)
    for i in range(7):
        others = combinations([j for j in range(7) if j != i], 2)
        assert found[i] == pytest.approx(np.mean([all(S[i, j] < S[i, i] for j in both) for both in others]))


@pytest.fixture(scope="module")
def clip():
    return load_clip("kitchen")


@pytest.fixture(scope="module")
def told(clip):
    """Eight bundled clips with captions of their frames."""
    data = retrieval.clips(BUNDLED / "kitchen", "train", clip, scale("tiny"), subset=8)
    return with_pseudo_captions(data, rendered_captions(data))


def percent(model, data, batch=8):
    return diagnose(model, data, batch, progress=False).set_index("probe")["percent"]


def test_the_world_is_what_it_is_known_to_be(clip, told):
    found = diagnose(retrieval.zero_shot(clip), told, 8, progress=False).set_index("probe")
    assert (found["low"] <= found["percent"]).all() and (found["percent"] <= found["high"]).all()
    assert found["percent"].between(0, 100).all() and (found.loc["video level", "guessing"]) == 100 / 8
    # CLIP knows its frames, captions need several of them, and no caption is another's.
    assert found.loc["frame finds its caption", "percent"] > 80
    assert found.loc["words no single frame shows", "percent"] > found.loc["words no frame shows", "percent"]
    assert found.loc["a caption like it in the batch", "percent"] == 0


def test_captions_of_other_frames_are_seen_to_be_wrong(clip, told):
    model = retrieval.zero_shot(clip)
    wrong = told.with_frame_captions(told.frame_captions[1:] + told.frame_captions[:1])
    right, wrong = percent(model, told), percent(model, wrong)
    assert wrong["image level, mean"] < 20 < 80 < right["image level, mean"]
    assert wrong["words no frame shows"] > right["words no frame shows"]
    assert wrong["video level"] == right["video level"]
    # A teacher that is right in no row is right in none where the student is wrong.
    assert wrong["image level, mean, where video level is wrong"] <= wrong["image level, mean"] + 1e-6


def test_clips_without_captions_of_frames_are_left_out(clip, told):
    without = told.with_frame_captions([None, *told.frame_captions[1:]])
    found, rest = diagnose(retrieval.zero_shot(clip), without, 7, progress=False), told.rows.select(range(1, 8))
    data = retrieval.ClipDataset(rest, clip, scale("tiny").inputs)
    same = diagnose(retrieval.zero_shot(clip), with_pseudo_captions(data, rendered_captions(data)), 7, progress=False)
    assert found.set_index("probe")["percent"].tolist() == pytest.approx(same.set_index("probe")["percent"].tolist())


def test_repeated_captions_are_found(clip):
    data = retrieval.clips(BUNDLED / "kitchen", "train", clip, scale("tiny"), subset=4)
    data.captions = [data.captions[0], data.captions[0].upper(), *data.captions[2:]]
    assert percent(retrieval.zero_shot(clip), data, 4)["a caption like it in the batch"] == 50


def test_one_clip_is_too_few(clip):
    data = retrieval.clips(BUNDLED / "kitchen", "train", clip, scale("tiny"), subset=1)
    with pytest.raises(ValueError, match="there must be two"):
        diagnose(retrieval.zero_shot(clip), data)
