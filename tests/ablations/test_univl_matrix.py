"""Objectives by tasks: what a run pretrains, fine-tunes and scores."""

import pytest

from minivl.ablations import univl_matrix, univl_parts
from minivl.ablations.runner import Cell
from minivl.config import scale

pytestmark = pytest.mark.usefixtures("small_narrated_worlds")
TINY = scale("tiny")


def run(**settings):
    return univl_matrix.run_matrix(TINY, Cell("of a study", {**univl_parts.STEPS, **settings}, world=3), seed=0)


def test_every_task_is_scored_by_video_and_what_is_pretrained_matters():
    everything, scratch = run(), run(scratch=True)
    names = [score for score, _ in univl_matrix.SCORES.values()]
    assert list(univl_matrix.SCORES) == list(univl_matrix.FINE_TUNED)
    for measured in (everything, scratch):
        assert set(measured.examples) == set(names)
        for name in names:
            videos = 200 if name.startswith("sentiment") else 2
            assert measured.examples[name].shape == (videos,)
            assert measured.scores[name] == pytest.approx(measured.examples[name].mean(), rel=1e-5, abs=1e-5)
    errors = [measured.scores["sentiment, -100 x error"] for measured in (everything, scratch)]
    assert errors[0] != errors[1] and max(errors) < 0


def test_without_joint_there_is_no_stage_one_and_from_scratch_nothing_is_trained():
    univl_parts._stage_one.cache_clear()
    for changes in ({"joint": 0.0}, {"scratch": True}):
        cell = Cell("of a study", {**univl_parts.STEPS, **changes}, world=3)
        scores = univl_parts.pretrained(TINY, cell, seed=0)[2]
        assert (scores["stage two, cpu seconds"] == 0) == ("scratch" in changes)
    assert univl_parts._stage_one.cache_info().misses == 0
