"""Explorations fit together, or say what does not."""

import dataclasses

import numpy as np
import pytest

from helpers.explorations import HOSTILE, alignment, clips, exploration
from minivl.explorer import Alignment, AlignmentError, Clips, Exploration, together


def changed(**arrays):
    return Exploration(clips(), {"some": {"step 3": dataclasses.replace(alignment(1.0), **arrays)}})


WRONG = {
    r"some step 3: similarity must be of shape \(6, 5\), not float64 \(5, 5\)": {"similarity": np.zeros((5, 5))},
    "similarity has numbers that are NaN": {"similarity": np.full((6, 5), np.nan)},
    r"texts must be of shape \(6, any\)": {"texts": np.zeros((5, 3))},
    r"videos must be of shape \(5, 3\)": {"videos": np.zeros((5, 2))},
    "texts and videos go together": {"videos": None},
    r"frames must be of shape \(5, any, 3\), not float64 \(5, 0, 3\)": {"frames": np.zeros((5, 0, 3))},
    r"frame_mask is missing: it must be of shape \(5, 2\)": {"frame_mask": None},
    "logit_scale must be a number above 0": {"logit_scale": 0.0},
    "distill_scale must be a number above 0": {"distill_scale": np.inf},
    r"image_level must be of shape \(6, 5\), not float64 \(5, 6\)": {"image_level": np.zeros((5, 6))},
    "image_level has numbers that are NaN": {"image_level": np.full((6, 5), np.inf)},
    "image_level needs a distill_scale, or a logit_scale": {"logit_scale": None, "distill_scale": None},
    r"times the scale 1e\+12 of their softmax, must stay below 1e\+09": {"distill_scale": 1e12},
}


@pytest.mark.parametrize("message", WRONG)
def test_arrays_that_do_not_fit(message):
    with pytest.raises(AlignmentError, match=message):
        changed(**WRONG[message])


def test_clips_that_do_not_fit(monkeypatch):
    for numbers in ([0, 1, 2], [0, 0, 0, 0], [0, 1, 2, -1], [0.0, 1.0, 1.0, 1.0]):
        with pytest.raises(AlignmentError, match="must belong to the clips 0 to 1"):
            Clips(["a", "b"], ["x"] * 4, np.array(numbers))
    with pytest.raises(AlignmentError, match="two clips or more"):
        Clips(["a"], ["x"], np.array([0]))
    with pytest.raises(AlignmentError, match="strips must be of shape"):
        Clips(["a", "b"], ["x", "y"], np.array([0, 1]), strips=np.zeros((2, 3, 4, 4, 4), np.uint8))
    monkeypatch.setenv("MINIVL_LIMIT_EXPLORED", "5")
    with pytest.raises(AlignmentError, match="6 captions of 5 clips.*MINIVL_LIMIT_EXPLORED"):
        clips()


def test_similarities_of_embeddings_are_cosines():
    found = Alignment.of_embeddings(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[0.0, 2.0], [5.0, 0.0]])).similarity
    assert found == pytest.approx(np.array([[0.8, 0.6], [0.0, 0.0]]))


def test_models_of_the_same_clips_stand_side_by_side():
    without_pictures = Exploration(clips(strips=False), {"run": {"": alignment(0.5)}})
    found = together([without_pictures, exploration()])
    assert list(found.models) == ["run", HOSTILE, "run (2)"] and found.clips.strips is not None
    assert list(found.models["run (2)"]) == ["step 0", "step 5", "step 10"]


def test_models_of_other_clips_do_not():
    others = dataclasses.replace(clips(), captions=["x"] * 6)
    with pytest.raises(AlignmentError, match="other is of|other and .* different clips or captions"):
        together([exploration(), Exploration(others, {"other": {"": alignment(0.5)}})])
