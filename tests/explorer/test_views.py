"""What the page shows of an alignment, against the same computed by hand."""

import numpy as np
import pytest
import torch

from helpers.explorations import alignment, clips, exploration
from minivl.discovla.aligndistill import alignment_distillation
from minivl.explorer import Alignment, Clips
from minivl.explorer.views import LIKED, STEPS, bin_edges, distillation, view

SIMILARITY = np.array([[0.5, 0.1], [0.2, -0.4], [0.3, 0.0]])  # caption 2 belongs to clip 0
PAIR = Clips(["a", "b"], ["x", "y", "z"], np.array([0, 1, 0]))
EDGES = np.linspace(-0.5, 0.5, 11)  # tenths


@pytest.fixture(scope="module")
def found():
    return view(Alignment(SIMILARITY, logit_scale=10.0), PAIR, EDGES)


def test_margins_ranks_and_the_strongest_other_clip(found):
    assert found["margins"] == pytest.approx([0.4, -0.6, 0.3])
    assert found["strongest"].tolist() == [1, 0, 1] and found["ranks"].tolist() == [1, 2, 1]


def test_numbers_of_the_distributions(found):
    """Matching 0.5, -0.4, 0.3; other 0.1, 0.2, 0.0: no bin has both; 2 of 3 matching pairs beat all three others."""
    matching, other = np.array([0.5, -0.4, 0.3]), np.array([0.1, 0.2, 0.0])
    prime = (matching.mean() - other.mean()) / np.sqrt((matching.var() + other.var()) / 2)
    expected = {"overlap": "0.0 %", "d′": f"{prime:.2f}", "ROC area": "66.7 %", "logit scale": "10.0"}
    assert expected.items() <= found["numbers"].items()
    assert found["numbers"]["text to video R@1"] == "66.7 %"
    same = view(Alignment(np.full((3, 2), 0.25)), PAIR, EDGES)["numbers"]
    assert (same["overlap"], same["d′"], same["ROC area"], same["logit scale"]) == ("100.0 %", "nan", "50.0 %", "none")


def test_values_are_kept_to_half_a_step(found):
    assert np.abs(found["similarity"] * found["step"] - SIMILARITY).max() <= found["step"] / 2 * 1.001
    assert found["step"] == pytest.approx(0.5 / STEPS)


def test_models_without_embeddings_have_no_points_and_no_frames(found):
    assert [found[name] for name in ("text_points", "video_points", "gap", "frame_vectors")] == [None] * 4


def test_points_are_principal_directions_and_vectors_keep_cosines():
    some = alignment(0.5)
    found = view(some, clips(), np.linspace(-1, 1, 11))
    assert found["text_points"].shape == (6, 2) and found["video_points"].shape == (5, 2)
    texts, frames = found["text_vectors"] / STEPS, found["frame_vectors"] / STEPS
    cosines = np.einsum("ad,bfd->abf", texts, frames)
    np.testing.assert_allclose(cosines[:, :, 0], some.similarity, atol=1e-4)
    np.testing.assert_allclose(cosines[:, :, 1], -some.similarity, atol=1e-4)


def taught(B=30, A=None, scale=8.0):
    """Random cosines of both levels, captions that belong to the clips in turn, and what the page shows of them."""
    rng, A = np.random.default_rng(0), A or B
    image, video = rng.uniform(-1, 1, size=(2, A, B))
    some = Clips([str(j) for j in range(B)], ["x"] * A, np.arange(A) % B)
    found = distillation(Alignment(video, image_level=image, logit_scale=99.0, distill_scale=scale), some)
    return image, video, some, found


def test_divergences_are_what_aligndistill_adds_up():
    image, video, _, found = taught()
    loss = alignment_distillation(torch.from_numpy(video), torch.from_numpy(image), 8.0, "paper").item()
    assert (found["of_texts"].mean() + found["of_clips"].mean()) / 2 == pytest.approx(loss, rel=1e-9)


def test_rows_of_teacher_and_student_are_softmaxes():
    image, video, some, found = taught(A=300)  # more than are computed at once
    for level, name in ((image, "teacher"), (video, "student")):
        shares = torch.from_numpy(8.0 * level).softmax(1).numpy()
        np.testing.assert_allclose(found[name], np.take_along_axis(shares, found["clips"], 1), rtol=1e-5)
        assert found["clips"].shape == (300, LIKED + 1)
        assert (shares.argmax(1)[:, None] == found["clips"]).any(1).all(), "the favourites of both are drawn"
    assert (some.video_of_text[:, None] == found["clips"]).any(1).all(), "the right clip is drawn"
    assert all(len(set(row)) == LIKED + 1 for row in found["clips"].tolist())
    assert (np.diff(found["teacher"]) <= 0).all(), "in the teacher's order"
    assert found["of_texts"].shape == (300,) and found["of_clips"].shape == (30,)


def test_a_teacher_that_knows_nothing_has_the_entropy_of_a_fair_choice():
    found = distillation(Alignment(SIMILARITY, image_level=np.zeros((3, 2)), logit_scale=10.0), PAIR)
    assert found["entropy"] == pytest.approx([np.log(2)] * 3) and found["scale"] == 10.0
    q = 1 / (1 + np.exp(-10 * (0.5 - 0.1)))  # the student's share of clip 0 for caption 0
    assert found["of_texts"][0] == pytest.approx(0.5 * np.log(0.5 / q) + 0.5 * np.log(0.5 / (1 - q)))
    assert found["clips"].shape == (3, 2), "there are no more clips"


def test_models_without_an_image_level_have_no_teacher(found):
    assert found["distill"] is None


def test_bins_hold_everything_that_is_shown():
    edges, models = bin_edges(exploration()), exploration().models.values()
    for stages in models:
        for some in stages.values():
            found = view(some, clips(), edges)
            assert found["matching"].sum() == pytest.approx(100) and found["other"].sum() == pytest.approx(100)
    assert len(edges) == 61
