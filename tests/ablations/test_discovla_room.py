"""What readers of true facts find, what CLIP sees of claims, and training all weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minivl.ablations import discovla, discovla_room, readers
from minivl.ablations.discovla import run_cell, world_clips
from minivl.ablations.discovla_viewers import ToldByViewers
from minivl.ablations.runner import Cell
from minivl.config import scale
from minivl.data.world.build import told_by_viewers
from minivl.data.world.language import told_dishes
from minivl.data.world.meals import Dish, Meal, bindings

TINY = scale("tiny")
WHOLE = "a man prepares all that it takes for a good plate of sliced carrot soup"
LITERAL = "puts the whole lemon and milk into the red pot and chills it"
CARROT = Dish("carrot", True, "water", "heat", "blue", "pan")
LEMON = Dish("lemon", False, "milk", "chill", "red", "pot")


@pytest.fixture(scope="module")
def test_clips():
    return world_clips(TINY.inputs, TINY.world, None)[2]


def test_captions_are_taken_apart_into_dishes():
    assert told_dishes(f"{WHOLE} then {LITERAL}") == [
        {"state": "sliced", "ingredient": "carrot", "liquid": "water", "treatment": "heat"},
        {"state": "whole", "ingredient": "lemon", "liquid": "milk", "vessel": "red pot", "treatment": "chill"},
    ]
    with pytest.raises(ValueError, match="whole dishes: 'someone slices"):
        told_dishes("someone slices the carrot")


def test_facts_without_links_do_not_tell_the_bindings_of_a_name_apart_and_linked_ones_do():
    meals = bindings(Meal((CARROT, LEMON)))
    caption = f"{WHOLE} then prepares all that it takes for a good plate of whole lemon pudding"
    assert readers.true_similarities([caption], meals, linked=False).tolist() == [[1, 1, 1, 1]]
    assert readers.true_similarities([caption], meals, linked=True).tolist() == [[2, 1, 1, 1]]


def test_a_named_vessel_says_who_meets_whom_in_single_frames():
    meals = bindings(Meal((CARROT, LEMON)))
    assert readers.true_similarities([f"someone {LITERAL}"], meals, linked=False)[0, 0] == 1
    assert (readers.true_similarities([f"someone {LITERAL}"], meals, linked=False)[0, 1:] < 1).all()


def test_what_clip_sees_of_claims_is_the_mean_of_their_best_frames(test_clips):
    claims = readers.claims_of(f"{WHOLE} then {LITERAL}")
    assert len(claims) == 6 and claims[3] == [
        "a hand puts a whole lemon into a red pot",
        "a whole lemon above a red pot",
    ]
    assert len(claims[0]) == 2 * 12, "the vessel is not told: any may be"
    scores = {name: readers.seen_similarities(test_clips, reader) for name, reader in readers.READERS.items()}
    assert all(found.shape == (8, 8) and np.abs(found).max() <= 1 for found in scores.values())
    assert len({found.sum() for found in scores.values()}) == len(readers.READERS)


def test_a_frame_that_is_padding_answers_nothing(test_clips):
    reader, clips = readers.READERS["caption, best frame"], readers._embedded(test_clips)
    before = readers.seen_similarities(test_clips, reader)
    with pytest.MonkeyPatch.context() as patch:
        mask = clips.frame_mask.clone()
        mask[0, 1:] = 0
        patch.setattr(readers, "_embedded", lambda test: replace(clips, frame_mask=mask))
        after = readers.seen_similarities(test_clips, reader)
    assert (after[:, 0] <= before[:, 0]).all() and (after[:, 0] < before[:, 0]).any()
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])


def test_pieces_are_cut_and_not_reworded():
    assert readers.pieces_of(f"{WHOLE} then {LITERAL}") == [
        [WHOLE],
        ["puts the whole lemon"],
        ["milk into the red pot"],
        ["chills it"],
    ]


@pytest.mark.parametrize("reader", [*readers.READERS, *readers.TRUE_READERS])
def test_readers_are_scored_by_video_without_training(reader):
    measured = discovla_room.run_reader(TINY, Cell("any", {"reader": reader}), 0)
    assert measured.examples["R@sum"].mean() == pytest.approx(measured.scores["R@sum"], abs=1e-3)
    if reader == "facts, linked":
        assert measured.scores["R@sum"] == 600


def test_all_weights_are_trained_but_the_scale():
    cell = Cell("any", {"learning_rate": 1e-3, "strategy": "video"})
    measured = discovla_room.run_all_weights(TINY, cell, 0)
    adapted = run_cell(TINY, cell, 0)
    assert measured.scores["trained parameters"] > 20 * adapted.scores["trained parameters"]
    assert set(measured.scores) == set(adapted.scores)


def test_a_clip_that_viewers_tell_has_each_of_their_captions_now_and_then():
    train = world_clips(TINY.inputs, TINY.world, None)[0]
    captions = told_by_viewers("train", len(train), TINY.world, viewers=4)
    told = ToldByViewers(train, captions)
    asked = {name: ids for name, ids in zip(captions[0], told.ids[0], strict=True)}
    drawn = [told[0]["text_ids"] for _ in range(60)]
    assert all(any(torch.equal(ids, some) for some in drawn) for ids in asked.values())
    assert torch.equal(told[0]["video"], train[0]["video"])
    with pytest.raises(ValueError, match="its own"):
        ToldByViewers(train, captions[::-1])


def test_captions_of_viewers_change_a_training(monkeypatch):
    """With one viewer a training is as without any; with more it is another one."""
    changes, like = ({}, {"viewers": 1}, {"viewers": 9}), {"learning_rate": 1e-3, "strategy": "image"}
    for weights in ("all", "LoRA"):
        cells = [Cell("any", like | more | {"weights": weights}) for more in changes]
        alone, one, nine = (frames_of(cell, monkeypatch) for cell in cells)
        assert torch.equal(alone, one) and not torch.equal(alone, nine), weights


def frames_of(cell, monkeypatch):
    """What the model that a cell trains makes of the first test clips."""

    @torch.inference_mode()
    def of(model, world, val, test, *_):
        return next(model.encode_video(b["video"], b["video_mask"])[0] for b in test.video_batches(4, progress=False))

    for module in (discovla, discovla_room):
        monkeypatch.setattr(module, "measured", of)
    return discovla_room.run_adapted(TINY, cell, 0)


def test_a_cell_says_whether_all_weights_are_adapted():
    one, all_of_them = (
        discovla_room.run_adapted(TINY, Cell("any", {"learning_rate": 1e-3, **weights}), 0)
        for weights in ({}, {"weights": "all"})
    )
    assert all_of_them.scores["trained parameters"] > 20 * one.scores["trained parameters"] > 0
