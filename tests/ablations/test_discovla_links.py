"""What met what: the question has one answer among those that the contents allow, and heads learn it or can't."""

import dataclasses

import pytest
import torch

from minivl.ablations import discovla_links
from minivl.ablations.discovla_links import DISH_NAMES, THINGS, TITLES, Linker, Links, allowed, links_of
from minivl.ablations.runner import Cell
from minivl.config import scale
from minivl.data.world.meals import draw_split

TINY = scale("tiny")
WORLD = dataclasses.replace(TINY.world, dishes=3)


def test_dishes_are_those_of_the_meals():
    links = links_of("test", 5, WORLD)
    assert links.frames.shape == (5, 9, 96) and torch.allclose(links.frames.square().mean(-1), torch.ones(5, 9))
    for (_, meal), item in zip(
        draw_split("test", 5, WORLD, whole_groups=False), (links[i] for i in range(5)), strict=True
    ):
        for dish, thing, title in zip(meal.dishes, item["thing"], item["title"], strict=True):
            assert THINGS[thing] == (dish.ingredient, dish.state)
            assert f"{dish.ingredient} {DISH_NAMES[TITLES[title]]}" == dish.title


def test_a_smaller_set_begins_a_larger_one():
    assert torch.equal(links_of("train", 3, WORLD).frames, links_of("train", 5, WORLD).frames[:3])


def test_allowed_are_liquids_and_treatments_that_are_shown():
    title = torch.tensor([[TITLES.index(("water", "heat")), TITLES.index(("oil", "stir"))]])
    names = {TITLES[number] for number in allowed(title)[0, 0].nonzero().flatten()}
    assert names == {("water", "heat"), ("water", "stir"), ("oil", "heat"), ("oil", "stir")}


def test_without_attention_a_title_is_worth_a_sum_over_frames():
    """The scores of two halves of a video add up, but for the length of its vector; with attention they don't."""
    frames, thing = torch.randn(4, 6, 96), torch.zeros(4, 1, dtype=torch.long)
    for head, adds_up in (("sum", True), ("attention", False)):
        torch.manual_seed(0)
        model = Linker(torch.randn(20, 9, 96), head, layers=1).eval()
        whole, first, last = (model.on_frames(some).mean(1) for some in (frames, frames[:, :3], frames[:, 3:]))
        assert torch.allclose(2 * whole, first + last, atol=1e-4) is adds_up
        assert torch.allclose(model.encode(frames), torch.nn.functional.normalize(whole, dim=-1), atol=1e-5)
        assert model.scores(model.encode(frames), thing).shape == (4, 1, 9)


@pytest.mark.parametrize("told_from", ["group", "batch"])
def test_the_right_title_has_the_lower_loss(told_from):
    """Videos that are the vectors of their titles: no other titles fit them better."""
    titles = torch.eye(180, 192).view(20, 9, 192)
    thing, title = torch.tensor([[0], [7], [19]]), torch.tensor([[0], [4], [8]])
    model = Linker(titles, "sum", told_from=told_from)
    torch.nn.init.eye_(model.on_titles.weight), torch.nn.init.zeros_(model.on_titles.bias)
    model.on_frames = torch.nn.Identity()
    batch = {"frames": titles[thing, title], "thing": thing, "title": title}
    assert model.losses(batch)["total"] < 1e-3
    assert model.right(Links(**batch)).all()
    if told_from == "batch":
        assert model.losses(batch | {"frames": batch["frames"].flip(0)})["total"] > 1


def test_links_are_learned():
    """Enough of a small set is learned by heart to tell the right titles, with attention and with two dishes."""
    links, model = links_of("train", 16, TINY.world), Linker(discovla_links.title_vectors(), "attention", layers=1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    batch = {"frames": links.frames, "thing": links.thing, "title": links.title}
    for _ in range(150):
        optimizer.zero_grad()
        model.losses(batch)["total"].backward()
        optimizer.step()
    assert model.right(links).float().mean() > 0.9


@pytest.mark.parametrize("chosen", [{"head": "bag"}, {"head": "attention", "layers": 2, "told_from": "batch"}])
def test_one_cell_end_to_end(chosen):
    settings = {"videos": 8, "batch_size": 4, "learning_rate": 1e-3, "rounds": 2, "dishes": 2}
    cell = Cell("any", {**settings, **chosen})
    measured = discovla_links.run_links(TINY, cell, 0)
    assert measured.scores["links"] == measured.examples["links"].mean()
    assert 0 <= measured.scores["links, training"] <= 100
    assert discovla_links.describe_links(TINY, cell).startswith("2 dishes: 6 pictures")


@pytest.mark.parametrize("strategy, alone", [("image", True), ("video", False), ("adapter", False)])
def test_class_tokens_see_those_of_all_frames_in_fusion_blocks(strategy, alone):
    blocks, links = discovla_links.FusionBlocks(2, strategy), links_of("test", 3, TINY.world, blocks=2)
    with torch.no_grad():
        together, first = blocks(links.frames), blocks(links.frames[:, :1])
    assert torch.allclose(together[:, :1], first, atol=1e-5) is alone
    assert torch.allclose(together.norm(dim=-1), torch.ones(3, 6))


def test_what_is_trained_of_fusion_blocks():
    lora, everything = (discovla_links.FusionBlocks(2, "adapter", rank) for rank in (4, None))
    trained = {name.split(".")[3] for name, p in lora.named_parameters() if p.requires_grad}
    assert trained == {"lora", "adapter"} and all(p.requires_grad for p in everything.parameters())
    settings = {"videos": 8, "batch_size": 4, "learning_rate": 1e-3, "rounds": 1, "blocks": 1}
    cell = Cell("any", {**settings, "strategy": "adapter", "rank": 4})
    assert discovla_links.run_links(TINY, cell, 0).scores["trained parameters"] < 25_000
