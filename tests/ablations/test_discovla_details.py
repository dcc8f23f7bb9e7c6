"""Rooms that captions of frames tell: they are those that are drawn, and a CLIP learns their words once."""

import numpy as np
import pytest
import torch

from minivl.ablations import discovla_details
from minivl.ablations.discovla import world_clips
from minivl.ablations.runner import Cell
from minivl.clip import load_clip
from minivl.config import scale
from minivl.data.world.build import SPLITS, kitchen_clips
from minivl.data.world.render import Stage

TINY = scale("tiny")
GREY, RED = (140, 150, 145), (230, 120, 120)


@pytest.fixture(scope="module")
def clips():
    return world_clips(TINY.inputs, TINY.world, None)


def test_rooms_have_the_colours_that_are_drawn():
    told = discovla_details.rooms_of("test", 8, TINY.world)
    for number, (_, draw) in enumerate(kitchen_clips("test", 8, TINY.world)):
        pixels = np.random.default_rng([TINY.world.seed, SPLITS.index("test"), number]).spawn(3)[2]
        stage = Stage.draw(pixels, TINY.world.clutter)
        assert np.abs(draw()[:, :2].mean((0, 1, 2)) - stage.wall).max() < 20
        assert told[number] == discovla_details.room(stage)


@pytest.mark.parametrize(
    "wall, name", [(GREY, "grey"), (RED, "red"), ((230, 120, 130), "red"), ((120, 230, 220), "teal")]
)
def test_colours_have_names(wall, name):
    assert discovla_details.room(Stage(wall, GREY, (0, 0), ())) == f"in a {name} and grey kitchen"


def test_captions_of_frames_tell_the_room_of_their_video(clips):
    plain, told = (discovla_details._told(clips[1], "val", TINY.world, rooms).frame_captions for rooms in (False, True))
    for before, after, room in zip(
        plain, told, discovla_details.rooms_of("val", len(clips[1]), TINY.world), strict=True
    ):
        assert after == [f"{caption} {room}" for caption in before]


def test_a_clip_learns_rooms_once(monkeypatch):
    folder = discovla_details.clip_of_rooms(TINY)
    weights, bundled = (load_clip(name).model.text_projection for name in (str(folder), "kitchen"))
    assert not torch.equal(weights, bundled)
    monkeypatch.setattr(discovla_details, "_train_on", lambda *_: pytest.fail("trained again"))
    assert discovla_details.clip_of_rooms(TINY) == folder


def test_only_rooms_tell_pictures_of_a_moment_apart():
    data = discovla_details.InManyRooms(2, load_clip("kitchen"), TINY.world)
    shown, half = data.pictures, discovla_details.ROOMS
    assert len(data) == 2 and data[1]["image"].shape == (2 * half, 3, 48, 48)
    texts = load_clip("kitchen").tokenizer(["kitchen"])[0]
    word = texts[1]  # after the beginning
    told = (shown.text_ids == word).any(1).view(2, 2, half)
    assert told[:, 0].all() and not told[:, 1].all()  # "... in a red and teal kitchen"


def test_a_video_is_right_if_its_own_room_fits_best(clips, monkeypatch):
    """A model that embeds a video as the text of its room finds all; of another room, none."""
    test, rooms = clips[2], list(discovla_details.every_room())
    texts = torch.eye(len(rooms))
    own = torch.tensor([rooms.index(said) for said in discovla_details.rooms_of("test", len(test), TINY.world)])
    monkeypatch.setattr(discovla_details, "embed_texts", lambda *_: texts)
    for turned, percent in ((0, 100), (1, 0)):
        videos = texts[(own + turned) % len(rooms)]
        monkeypatch.setattr(discovla_details, "embeddings", lambda *_, v=videos, **__: type("E", (), {"videos": v}))
        assert (discovla_details.rooms_found(None, test, TINY.world) == percent).all()


@pytest.mark.parametrize("rooms", [False, True])
def test_one_cell_end_to_end(rooms, monkeypatch):
    trained, fit = [], discovla_details.fit
    monkeypatch.setattr(discovla_details, "fit", lambda model, told, *more, **options: (
        trained.append(told.frame_captions), fit(model, told, *more, **options)))  # fmt: skip
    settings = {"learning_rate": 1e-2, "alpha": 0.3, "beta": 1.0, "distill": "paper", "rooms": rooms, "late": 0.5}
    measured = discovla_details.run_rooms(TINY, Cell("any", settings), 0)
    assert measured.examples["rooms"].mean() == measured.scores["rooms"]
    assert "teacher right where student wrong" in measured.scores
    assert all(caption.endswith(" kitchen") for caption in trained[0][0]) is rooms


def test_without_training_it_is_the_clip_that_knows_rooms():
    measured = discovla_details.run_rooms(TINY, Cell("any", {"rounds": 0, "learning_rate": 0.1}), 0)
    assert "teacher right" not in measured.scores and measured.scores["trained parameters"] == 0


def test_whoever_tells_the_room_tells_the_wall():
    found = discovla_details.recognised(TINY, pictures=20)
    assert 0 <= found["room"] <= found["wall"] <= 100
