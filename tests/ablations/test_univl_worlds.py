"""UniVL in several worlds: the same features in each, other speech; Joint as a cell says."""

import json

import numpy as np
import pytest

from minivl.ablations import univl_worlds
from minivl.ablations.runner import Cell
from minivl.assets.feature_world import DOWNSTREAM, Part
from minivl.config import scale

PARTS = (Part("pretrain", "train", 0, 4, ("transcript",)), Part("test", "test", 0, 2, DOWNSTREAM))
TINY = scale("tiny")


def cell(shift, positives="own", world=3):
    return Cell("of a study", {"steps": 1, "transcript_shift": shift, "positives": positives}, world=world)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(univl_worlds, "PARTS", PARTS)
        patch.setenv("MINIVL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield patch


def transcripts(folder):
    rows = [json.loads(line) for line in (folder / "pretrain" / "metadata.jsonl").open()]
    return [[(said["text"], said["start"]) for said in row["transcript"]] for row in rows]


def test_shifts_say_the_same_at_other_times_and_show_the_same(cache):
    shifted, aligned = (univl_worlds.narrated_world(cell(shift)) for shift in (4.0, 0.0))
    assert univl_worlds.narrated_world(cell(0.0)) == aligned != shifted
    for later, then in zip(transcripts(shifted), transcripts(aligned), strict=True):
        assert {text for text, _ in later} == {text for text, _ in then} and later != then
    assert not list(aligned.rglob("*.safetensors")), "features are there once"
    assert univl_worlds.hash_of_features(shifted / "test") == univl_worlds.hash_of_features(aligned / "test")


def test_worlds_differ(cache):
    with pytest.MonkeyPatch.context() as patch:  # what is asked is which folder, not what is in it
        patch.setattr(univl_worlds, "write_feature_world", lambda *_, **__: None)
        patch.setattr(univl_worlds, "renarrate", lambda source, folder, *_, **__: (source, folder))
        sources, folders = zip(*(univl_worlds.narrated_world(cell(1.0, world=world)) for world in (3, 4)), strict=True)
    assert len({*sources, *folders}) == 4


def test_a_run_is_scored_by_segment(cache):
    told = univl_worlds.prepare_joint(TINY, cell(0.0))
    found = univl_worlds.run_joint(TINY, cell(0.0), seed=0)
    count = len(found.clusters)
    assert f"test: {count} segments" in told and set(found.clusters) == {0, 1}
    assert all(values.shape == (count,) for values in found.examples.values())
    assert found.scores["R@sum"] == pytest.approx(np.mean(found.examples["R@sum"]), rel=1e-5) and found.test_set
