"""AlignDistill's teacher exchanged for the truth: who does what is told, and the loss that is made of it."""

import numpy as np
import pytest
import torch

from minivl.ablations.discovla import render, world_clips, world_of
from minivl.ablations.discovla_teachers import Delayed, Numbered, Oracle, run_teacher, who_does_it
from minivl.ablations.runner import Cell
from minivl.config import override, scale
from minivl.discovla import DiscoVLA
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions

TINY = scale("tiny")
VERBS = {"slices": "slice", "puts": "add", "pours": "pour", "heats": "heat", "chills": "chill", "stirs": "stir"}
SMALL = {"videos_train": 12, "videos_val": 4, "videos_test": 8, "clauses": 1}
CELL = Cell("of a study", {**SMALL, "batch_size": 4, "learning_rate": 1e-2, "alpha": 0.3, "beta": 3.0}, world=3)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A world's training clips with frame captions, and who of them does what."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIVL_CACHE", str(tmp_path_factory.mktemp("worlds")))
        render(TINY, CELL)
        world = world_of(TINY, CELL)
        train = world_clips(TINY.inputs, world, None)[0]
        yield (with_pseudo_captions(train, rendered_captions(train)), who_does_it("train", train.captions, world))


def test_who_does_a_step_is_read_off_the_meals(told):
    """Where no vessel is named, the labels of the clips' own steps say the same; else they are necessary."""
    train, right = told
    done = [{step["label"] for step in steps} for steps in train.rows["steps"]]
    assert right.shape == (12, 12) and right.diagonal().all() and not right.all()
    for caption, row in zip(train.captions, right, strict=True):
        verb, thing = next(
            (VERBS[w], words[i + 1 :]) for words in [caption.split()] for i, w in enumerate(words) if w in VERBS
        )
        labels = {
            label for label in set().union(*done) if label.split()[0] == verb and set(label.split()[1:]) <= set(thing)
        }
        has = np.array([bool(labels & some) for some in done])
        assert (row <= has).all() and (verb != "slice" or (row == has).all())


def test_videos_that_do_not_do_what_their_caption_tells_are_refused(told):
    train, _ = told
    with pytest.raises(AssertionError, match="in the order of the clips"):
        who_does_it("train", train.captions[::-1], world_of(TINY, CELL))


def test_the_oracle_asks_for_all_who_are_right_evenly(told):
    """Its loss is the cross entropy with the even distribution, less that distribution's entropy, both ways."""
    train, right = told
    model = DiscoVLA.from_open_clip("kitchen", None, override(TINY.discovla, alpha=0.0, beta=0.0, text_fusion_layers=0))
    numbered = Numbered(train)
    batch = torch.utils.data.default_collate([numbered[index] for index in (5, 0, 7, 3, 9)])
    with torch.no_grad():
        found, plain = Oracle(right, 3.0)(model, batch), model.losses(batch)
        S = model.alignments(model.encode(batch))[0] * model.clip.logit_scale.exp()
    truth = torch.as_tensor(right[np.ix_([5, 0, 7, 3, 9], [5, 0, 7, 3, 9])]).double()
    expected = 0.0
    for target, logits in ((truth, S.double()), (truth.T, S.double().T)):
        even = target / target.sum(1, keepdim=True)
        surprise = -(even * logits.log_softmax(1)).sum(1)
        entropy = -(even * even.clamp(min=1e-30).log()).sum(1)
        expected += float((surprise - entropy).mean()) / 2
    assert found["distill"].item() == pytest.approx(expected, rel=1e-3)
    assert found["total"].item() == pytest.approx(plain["total"].item() + 3 * expected, rel=1e-3)


def test_a_late_teacher_says_nothing_at_first(told):
    train, _ = told
    config = override(TINY.discovla, alpha=0.3, beta=2.0, distill="paper", text_fusion_layers=0)
    model = DiscoVLA.from_open_clip("kitchen", None, config)
    batch = torch.utils.data.default_collate([train[index] for index in (5, 0, 7)])
    losses = Delayed(2)
    with torch.no_grad():
        first, second, third = (losses(model, batch) for _ in range(3))
    for early in (first, second):
        assert early["total"].item() == pytest.approx((early["video"] + 0.3 * early["image"]).item(), rel=1e-5)
    assert third["total"].item() == pytest.approx((first["total"] + 2 * third["distill"]).item(), rel=1e-5)


def test_a_run_is_scored_and_says_how_often_its_teacher_is_right(told):
    cells = [
        Cell(name, CELL.settings | changes, world=3)
        for name, changes in (("oracle", {"oracle": "paper"}), ("shuffled", {"oracle": "shuffled"}), ("own", {}))
    ]
    found = [run_teacher(TINY, cell, seed=1) for cell in cells]
    for measured in found:
        assert 0 <= measured.scores["teacher right"] <= 100 and 0 <= measured.scores["student right"] <= 100
        assert measured.examples["R@sum"].shape == (8,)
