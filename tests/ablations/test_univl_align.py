"""FT-Align with hard negatives, re-ranking, and that the cells of a world share what they train."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, relu

from minivl.ablations import univl_align, univl_parts
from minivl.ablations.runner import Cell
from minivl.config import scale
from minivl.data.wordpiece import load_tokenizer
from minivl.tasks.univl.data import UNIVL, task_rows

pytestmark = pytest.mark.usefixtures("small_narrated_worlds")
TINY = scale("tiny")


@pytest.fixture
def told():
    return replace(TINY, narrated=univl_parts.captioned_world(Cell("any", univl_parts.STEPS, world=3)))


def test_hard_negatives_are_the_wrong_segments_nearest_by_the_means(told, monkeypatch):
    """The loss is that of these pairs alone, taken out of the matrix of all pairs."""
    monkeypatch.setattr(univl_align, "BATCH", 3)  # of 4 captions: 9 // 4 - 1 = 1 wrong segment each
    univl = univl_parts.pretrained(TINY, Cell("any", univl_parts.STEPS, world=3), seed=0)[0]
    task = univl_align.HardAlign(univl, load_tokenizer(UNIVL), TINY.univl_tasks["align"], method="align").eval()
    data = task.dataset(task_rows("retrieval", "train", told))
    batch = torch.utils.data.default_collate([data[i] for i in range(4)])
    with torch.no_grad():
        text, text_mask, video, video_mask = task.encode(batch)
        scores = univl.align_similarity(text, text_mask, video, video_mask)
        near = normalize(univl.pool_text(text, text_mask), dim=-1)
        near = near @ normalize(univl.pool_video(video, video_mask), dim=-1).T
        hard = [max((j for j in range(4) if j != i), key=lambda j, i=i: near[i, j]) for i in range(4)]
        expected = torch.stack([relu(0.1 + scores[i, j] - scores[i, i]) for i, j in enumerate(hard)]).mean()
        assert torch.allclose(task.losses(batch)["total"], expected, atol=1e-5)


def test_cells_share_pretraining_and_what_is_fine_tuned(monkeypatch):
    monkeypatch.setattr(univl_align, "TUNED", (0, 2))
    univl_align._KNOWN.clear()
    trained = []
    real = univl_align.pretrained
    monkeypatch.setattr(univl_align, "pretrained", lambda *given: trained.append(given) or real(*given))
    names = (*univl_align.METHODS, "re-ranked")
    found = {name: univl_align.run_align(TINY, Cell(name, univl_parts.STEPS, world=3), seed=0) for name in names}
    assert len(trained) == 1 and len(univl_align._KNOWN) == 1 + 3 * 2
    for measured in found.values():
        assert set(measured.examples) == {"R@1, 0 steps", "R@1, 2 steps"}
        assert measured.scores["R@1, 2 steps"] == pytest.approx(measured.examples["R@1, 2 steps"].mean(), rel=1e-5)
        assert len(measured.clusters) == len(measured.examples["R@1, 0 steps"])
    hard, plain = found["FT-Align, hard negatives"], found["FT-Align"]
    assert np.array_equal(hard.examples["R@1, 0 steps"], plain.examples["R@1, 0 steps"]), "nothing is tuned yet"


def test_another_pretraining_is_not_taken_for_the_one_before(monkeypatch):
    """Cells of one world that differ in the steps of pretraining each begin with their own."""
    monkeypatch.setattr(univl_align, "TUNED", (0,))
    univl_align._KNOWN.clear()
    trained = []
    real = univl_align.pretrained
    monkeypatch.setattr(univl_align, "pretrained", lambda *given: trained.append(given) or real(*given))
    longer = {"stage_one": 2, "stage_two": 3}
    names = ("FT-Joint", "FT-Align, hard negatives", "re-ranked, hard negatives")
    for steps in (univl_parts.STEPS, longer):
        for name in names:
            univl_align.run_align(TINY, Cell(f"cell {name}", {**steps, "method": name}, world=3), seed=0)
    assert [cell.settings["stage_one"] for _, cell, _ in trained] == [univl_parts.STEPS["stage_one"], 2]
    assert len(univl_align._KNOWN) == 1 + 2, "the last pretraining, by two methods"


def test_re_ranking_keeps_what_is_not_among_the_candidates(monkeypatch):
    monkeypatch.setattr(univl_align, "CANDIDATES", 2)
    joint = np.array([[0.3, 0.9, 0.8], [0.1, 0.2, 0.3]])
    align = np.array([[9.0, 1.0, 2.0], [9.0, 3.0, 1.0]])
    order = np.argsort(-univl_align._reranked(joint, align), axis=1)
    assert order.tolist() == [[2, 1, 0], [1, 2, 0]]
