"""UniVL's parts in several worlds: what a run trains and scores, and that its stage one is the study's alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from minivl.ablations import (
    univl_align,
    univl_hidden,
    univl_long,
    univl_masked,
    univl_matrix,
    univl_parts,
    univl_staging,
)
from minivl.ablations.runner import Cell
from minivl.ablations.univl_studies import LONG, STAGE_ONE, TOTAL
from minivl.assets.feature_world import DOWNSTREAM, Part, caption_again
from minivl.config import NARRATED_WORLD, override, scale

pytestmark = pytest.mark.usefixtures("small_narrated_worlds")
TINY = scale("tiny")
WORLD = 3


def cell(**settings):
    return Cell("of a study", {**univl_parts.STEPS, **settings}, world=WORLD)


def rows(folder, split):
    return [json.loads(line) for line in (folder / split / "metadata.jsonl").open()]


def test_captions_are_added_to_videos_that_are_there():
    folder = univl_parts.captioned_world(cell())
    pretrained, captioned = rows(folder, "pretrain"), rows(folder, "train")
    assert [row["video_id"] for row in captioned] == [row["video_id"] for row in pretrained[:3]]
    assert all(row["step_captions"] for row in captioned) and "step_captions" not in pretrained[0]
    assert not (folder / "train" / "features.safetensors").exists(), "features are there once"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(univl_parts, "CAPTIONED", Part("train", "train", 1, 2, DOWNSTREAM))
        assert [row["video_id"] for row in rows(univl_parts.captioned_world(cell()), "train")] == [
            row["video_id"] for row in pretrained[1:3]
        ]
    assert rows(univl_parts.captioned_world(cell()), "train") == captioned


def test_captioned_videos_are_told_as_the_cell_says():
    shifted, aligned = (
        rows(univl_parts.captioned_world(cell(transcript_shift=shift)), "train") for shift in (4.0, 0.0)
    )
    assert [row["step_captions"] for row in shifted] == [row["step_captions"] for row in aligned]
    assert [row["transcript"] for row in shifted] != [row["transcript"] for row in aligned]


def test_captions_of_other_videos_are_refused(tmp_path):
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "metadata.jsonl").write_text(json.dumps({"video_id": "mine", "feature_rate": 1.0}) + "\n")
    world = override(NARRATED_WORLD, seed=WORLD)
    with pytest.raises(ValueError, match="mine is not the video"):
        caption_again(tmp_path, univl_parts.PARTS[0], Part("train", "train", 0, 1, DOWNSTREAM), world)
    assert not (tmp_path / "train").exists()


def test_a_run_is_scored_by_segment_and_stage_one_is_shared():
    univl_parts._stage_one.cache_clear()
    told = univl_parts.prepare_parts(TINY, cell())
    changes = ({}, {"align": 0.0}, {"hide_text": 0.5})
    found = [univl_parts.run_parts(TINY, cell(**some), seed=0) for some in changes]
    assert univl_parts._stage_one.cache_info().misses == 1
    for measured in found:
        assert f"test: {len(measured.clusters)} segments" in told
        for name in ("R@sum, Joint", "R@sum, Align", "R@sum, FT-Align", "CIDEr", "exact"):
            assert measured.scores[name] == pytest.approx(measured.examples[name].mean(), rel=1e-5)
            assert measured.examples[name].shape == measured.clusters.shape
        assert 0 < measured.scores["told, attention on text"] < 100
    losses = {measured.scores["told, loss"] for measured in found}
    assert len(losses) == 3, "cells differ in what stage two trains"


def test_a_cell_says_what_stage_two_trains():
    config = univl_parts.pretraining_of(cell(cmfm=0.0, hide_text=0.5), scale("small").univl_pretrain, seed=7)
    assert (config.objectives.cmfm, config.objectives.cmlm, config.narration.hide_text) == (0.0, 1.0, 0.5)
    assert (config.stage_one.steps, config.stage_two.steps, config.stage_two.batch_size) == (100, 200, 8)
    assert config.stage_one.seed == config.stage_two.seed == 7
    assert univl_parts.pretraining_of(cell(), scale("small").univl_pretrain, 7).narration.hide_text == 0.15


def test_the_small_scale_has_the_steps_that_are_named():
    """Fewer steps are taken where a scale has fewer; a study whose steps a scale cut would not be what it says."""
    small = scale("small")
    asked = {"align": univl_parts.ALIGN_STEPS, "captioning": univl_parts.CAPTION_STEPS, **univl_matrix.FINE_TUNED}
    for task, steps in asked.items():
        assert not steps or univl_parts.few(small, task, steps, 0).train.steps == steps
    for steps in univl_align.TUNED[1:]:
        for task in ("joint", "align"):
            assert univl_parts.few(small, task, steps, 0, univl_align.TIMES).train.steps == steps
    config = univl_parts.pretraining_of(cell(**LONG), small.univl_pretrain, 0)
    assert {"stage_one": config.stage_one.steps, "stage_two": config.stage_two.steps} == LONG
    for task in univl_long.CAPTIONS:
        train = univl_parts.few(small, task, univl_long.TUNING, 0).train
        assert train.steps == univl_long.TUNING and train.batch_size >= univl_long.CAPTIONS[task]
    for one in STAGE_ONE:
        of = cell(stage_one=one, stage_two=TOTAL - one)
        config = univl_parts.pretraining_of(of, small.univl_pretrain, 0)
        assert (config.stage_one.steps, config.stage_two.steps) == (max(1, one), TOTAL - one)  # 0 is not trained


def test_fine_tuning_leaves_the_pretrained_model_alone():
    univl = univl_parts._stage_one(
        univl_parts.captioned_world(cell()), univl_parts.pretraining_of(cell(), TINY.univl_pretrain, 0)
    )
    before = {name: value.clone() for name, value in univl.state_dict().items()}
    univl_parts.run_parts(TINY, cell(), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in univl.state_dict().items())
    assert np.isfinite(sum(float(value.sum()) for value in before.values()))


def test_staging_says_how_comparable_outputs_are_when_stage_two_begins():
    """Without stage one these are an untrained model's; with it, those of the model that stage two starts with."""
    changes = ({"stage_one": 0, "stage_two": 2}, {"stage_one": 1, "stage_two": 1})
    none, some = (univl_staging.run_staged(TINY, cell(**chosen), seed=0).scores for chosen in changes)
    name = "R@sum, Joint, before stage two"
    assert none[name] > 0 and some[name] > 0
    told = replace(TINY, narrated=univl_parts.captioned_world(cell()))
    assert univl_parts.after_stage_one(told, cell(stage_one=0), 0) is None
    before = univl_parts.after_stage_one(told, cell(**changes[1]), 0)
    assert some[name] == pytest.approx(univl_parts.found_by_means(before, told).mean(), rel=1e-5)


def test_long_pretraining_is_scored_by_both_methods_and_by_captions():
    """The distance of the methods is that of their recalls, segment by segment."""
    measured = univl_long.run_long(TINY, cell(**LONG), seed=0)
    of = measured.examples
    assert np.allclose(of["R@1, FT-Align minus FT-Joint"], of["R@1, FT-Align"] - of["R@1, FT-Joint"])
    for name, values in of.items():
        assert measured.scores[name] == pytest.approx(values.mean(), rel=1e-5), name
        assert len(values) == len(measured.clusters)
    assert {"R@1, joint", "R@1, align"} <= set(measured.scores), "before fine-tuning"


def test_captions_are_learned_from_as_many_videos_as_is_said(monkeypatch):
    """All texts may be hidden, too. Two of the three captioned videos here teach something else than one."""
    monkeypatch.setattr(univl_hidden, "AMOUNTS", (1, 2))
    asked = []
    rows_of = univl_parts.task_rows
    monkeypatch.setattr(
        univl_parts,
        "task_rows",
        lambda task, split, *more: asked.append((split, *more[1:])) or rows_of(task, split, *more),
    )
    measured = univl_hidden.run_hidden(TINY, cell(hide_text=1.0), seed=0)
    assert set(measured.examples) == {"CIDEr, 1 videos", "CIDEr, 2 videos"}
    assert ("train", 1) in asked and ("train", 2) in asked
    assert len(measured.clusters) == len(measured.examples["CIDEr, 1 videos"])


def test_masked_words_and_frames_owe_nothing_to_what_is_hidden_from_them():
    """Another text costs CMFM nothing where it cannot read texts, and something where it can; CMLM likewise."""
    apart = univl_masked.run_masked(TINY, cell(cmfm_reads="video", cmlm_reads="text"), seed=0).scores
    both = univl_masked.run_masked(TINY, cell(), seed=0).scores
    for name in ("CMFM, other text costs", "CMLM, other frames cost"):
        assert apart[name] == pytest.approx(0, abs=1e-5) and abs(both[name]) > 1e-4
    assert apart["CMFM, loss"] > 0 and apart["CMLM, loss"] > 0
