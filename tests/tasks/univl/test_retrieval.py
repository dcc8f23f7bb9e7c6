"""Retrieval with UniVL: both ways of fine-tuning, re-ranking, several captions, and data that cannot be used."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers import HELPERS
from helpers.finetuning_processes import train_all
from helpers.tiny_univl import CAPTIONS, config, segments, tiny_univl, tokenizer_in
from minivl.config import ConfigError
from minivl.data.features import FeatureError
from minivl.metrics.retrieval import retrieval_metrics
from minivl.tasks.univl.retrieval import BLOCK, PairScorer, Retrieval, rerank
from minivl.train.loop import TrainingError
from minivl.univl.objectives import max_margin

METHODS = ("joint", "align")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tokenizer_in(tmp_path_factory.mktemp("tokenizer"))


def task(tokenizer, method="joint", seed=0, **settings):
    return Retrieval(tiny_univl(tokenizer, Retrieval.parts_for(method), seed), tokenizer, config(**settings), method)


@pytest.mark.parametrize("method, steps", [("joint", 60), ("align", 100)])
def test_fine_tuning_learns_to_find_every_segment(tokenizer, tmp_path, method, steps):
    rows = segments(tmp_path)
    retrieval = task(tokenizer, method, steps=steps)
    before = retrieval.evaluate(rows, progress=False)
    after = retrieval.fit(rows, tmp_path / "run", progress=False).evaluate(rows, progress=False)
    assert before["R@sum"] < after["R@sum"] == 600.0
    assert after["t2v R@1"] == after["v2t R@1"] == 100.0 and after["t2v MedR"] == 1.0
    similarity = retrieval.predict(rows, progress=False)
    others = similarity[~np.eye(4, dtype=bool)].reshape(4, 3)
    assert (similarity.diagonal() > others.max(1) + 0.09).all()  # the margin of the loss
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["total"] == pytest.approx(0.2 / 4, abs=2e-3)  # all that is left is the constant of the diagonal


@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_loss_and_prediction_are_those_of_the_plain_model(tokenizer, tmp_path, method):
    """Without batches, blocks or cut-off padding; 2 features per second and a window."""
    rows = segments(tmp_path, frames=12, rate=2.0, start=[0.0, 1.0, 2.0, 0.5], end=[1.0, 3.5, 4.0, 1.2])
    univl = tiny_univl(tokenizer, Retrieval.parts_for(method), loud=True)
    retrieval = Retrieval(univl, tokenizer, config(batch_size=3), method)
    data = retrieval.dataset(rows)
    batch = torch.utils.data.default_collate([data[i] for i in range(4)])
    assert batch["video_mask"].sum(1).tolist() == [3, 6, 5, 2]
    encoded = (
        univl.encode_text(batch["input_ids"], batch["attention_mask"]),
        batch["attention_mask"],
        univl.encode_video(batch["video"], batch["video_mask"]),
        batch["video_mask"],
    )
    if method == "joint":
        plain = univl.joint_similarity(*encoded, normalize=True)
        assert plain.abs().max() <= 1
    else:
        plain = torch.stack(
            [
                univl.similarity(
                    univl.cross_encode(
                        encoded[0],
                        encoded[1],
                        encoded[2][v : v + 1].expand(4, -1, -1),
                        encoded[3][v : v + 1].expand(4, -1),
                    )[1]
                )[:, 0]
                for v in range(4)
            ],
            dim=1,
        )
    np.testing.assert_allclose(retrieval.predict(rows, progress=False), plain, atol=1e-5)
    assert retrieval.losses(batch)["total"].item() == pytest.approx(max_margin(plain).item(), rel=1e-5)


def test_the_method_says_which_parts_exist(tokenizer, tmp_path):
    tiny_univl(tokenizer).save_pretrained(tmp_path)
    joint, align = (Retrieval.start(tmp_path, tokenizer, config(), method=method) for method in METHODS)
    assert joint.univl.config.parts == () and align.univl.config.parts == ("cross",) and align.method == "align"
    scratch = Retrieval.start(tmp_path, tokenizer, config(), scratch=True, method="align")
    weights = [t.univl.cross.pooler.weight.cpu() for t in (align, scratch)]
    torch.testing.assert_close(weights[0], tiny_univl(tokenizer).cross.pooler.weight)
    assert not torch.allclose(*weights)
    with pytest.raises(ConfigError, match="method must be 'joint' or 'align', not 'cosine'"):
        Retrieval(joint.univl, tokenizer, config(), "cosine")
    with pytest.raises(ConfigError, match="has no cross"):
        Retrieval(joint.univl, tokenizer, config(), "align").predict(segments(tmp_path), progress=False)


def test_several_captions_of_a_segment(tokenizer, tmp_path):
    rows = segments(tmp_path, [CAPTIONS[:2], CAPTIONS[2:3], ["stir", "stir", "pan"]])
    for method in METHODS:
        retrieval = task(tokenizer, method)
        similarity = retrieval.predict(rows, progress=False)
        assert similarity.shape == (6, 3) and len(retrieval.dataset(rows)) == 6
        assert np.allclose(similarity[3], similarity[4])
        single = retrieval.predict(segments(tmp_path, [CAPTIONS[0], CAPTIONS[2], "pan"]), progress=False)
        np.testing.assert_allclose(similarity[[0, 2, 5]], single, atol=1e-5)
        expected = retrieval_metrics(similarity, [0, 0, 1, 2, 2, 2])
        scores = retrieval.evaluate(rows, progress=False)
        assert scores["v2t MnR"] == expected["v2t"]["MnR"] and scores["R@sum"] == expected["R@sum"]
        assert all(isinstance(score, float) for score in scores.values())


def test_chance_is_exact(tokenizer, tmp_path):
    rows = segments(tmp_path, [["a"], ["b", "c"], ["d"], ["e"], ["f"]])
    scores = Retrieval.baselines(None, rows)["chance"]
    assert scores["t2v R@1"] == pytest.approx(20) and scores["t2v MedR"] == 3
    assert scores["v2t R@1"] == pytest.approx(100 * (4 / 6 + 2 / 6) / 5)  # one of the captions is right, once two
    assert scores["t2v R@5"] == 100 and scores.keys() == task(tokenizer).evaluate(rows, progress=False).keys()


@pytest.fixture
def matrices():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 9)).round(1), rng.normal(size=(7, 9)).astype(np.float32)  # rounded: with ties


@pytest.mark.parametrize("k", [9, 100])
def test_reranking_all_is_align(matrices, k):
    joint, align = matrices
    assert np.array_equal(rerank(joint, lambda queries, candidates: align[queries, candidates], k), align)


def test_reranking_some_keeps_the_others_below_in_their_order(matrices):
    joint, align = matrices
    asked = []

    def pairs(queries, candidates):
        asked.extend(zip(queries.tolist(), candidates.tolist(), strict=True))
        return align[queries, candidates]

    result = rerank(joint, pairs, 4)
    assert len(asked) == len(set(asked)) == 7 * 4
    for row in range(7):
        best = np.argsort(-joint[row], kind="stable")[:4]
        rest = np.setdiff1d(np.arange(9), best)
        assert {candidate for query, candidate in asked if query == row} == set(best)
        assert np.array_equal(result[row, best], align[row, best].astype(float))
        assert result[row, rest].max() < result[row, best].min()
        orders = [np.argsort(-scores[row, rest], kind="stable") for scores in (result, joint)]
        assert np.array_equal(*orders)
    first = rerank(joint, lambda queries, candidates: align[queries, candidates], 1)
    assert np.array_equal(first.argmax(1), joint.argmax(1))
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        rerank(joint, pairs, 0)


@torch.inference_mode()
def test_pairs_are_those_of_the_whole_matrix(tokenizer):
    """More texts and videos than fit into one block, with padding that is cut off."""
    A, B = BLOCK + 3, 2 * BLOCK + 1
    univl, generator = tiny_univl(tokenizer, ("cross",), loud=True), torch.Generator().manual_seed(0)
    text, video = torch.randn(A, 8, 32, generator=generator), torch.randn(B, 6, 32, generator=generator)
    text_mask = (torch.arange(8) < torch.randint(2, 7, (A, 1), generator=generator)).long()
    video_mask = (torch.arange(6) < torch.randint(0, 5, (B, 1), generator=generator)).long()
    scorer = PairScorer(univl, text, text_mask, video, video_mask)
    whole = univl.align_similarity(text, text_mask, video, video_mask).numpy()
    np.testing.assert_allclose(scorer.all(progress=False), whole, atol=1e-5)
    rng = np.random.default_rng(0)
    texts, videos = rng.integers(A, size=300), rng.integers(B, size=300)
    np.testing.assert_allclose(scorer(texts, videos), whole[texts, videos], atol=1e-5)


def test_a_segment_without_frames(tokenizer, tmp_path):
    """It lies after the last feature: similarity 0 for FT-Joint, finite ones for FT-Align, and training goes on."""
    rows = segments(tmp_path, start=[0.0, 0.0, 0.0, 90.0], end=[3.0, 3.0, 3.0, 95.0])
    for method in METHODS:
        retrieval = task(tokenizer, method, steps=2).fit(rows, tmp_path / method, progress=False)
        similarity = retrieval.predict(rows, progress=False)
        assert np.isfinite(similarity).all() and np.abs(similarity[:, :3]).min() > 0
        assert method == "align" or (similarity[:, 3] == 0).all()


def test_captions_longer_than_the_limit(tokenizer, tmp_path):
    long = " ".join(["stir the soup"] * 20)
    retrieval = task(tokenizer, max_words=8)
    rows = segments(tmp_path, [long, long + " salt", *CAPTIONS[2:]])
    similarity = retrieval.predict(rows, progress=False)
    np.testing.assert_array_equal(similarity[0], similarity[1])  # the difference is in what was cut off
    with pytest.raises(ValueError, match="texts of 30 tokens, but this model reads at most 24: lower max_words"):
        task(tokenizer, max_words=30).predict(rows, progress=False)


def test_data_that_cannot_be_used(tokenizer, tmp_path):
    rows, retrieval = segments(tmp_path), task(tokenizer)
    with pytest.raises(ValueError, match="no `caption` or `captions`, only features, feature_rate"):
        retrieval.predict(rows.remove_columns("caption"), progress=False)
    with pytest.raises(ValueError, match="these rows have no features.*minivl features"):
        retrieval.fit(rows.remove_columns("features"), tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="1 videos have no caption, the first is column 1"):
        retrieval.evaluate(segments(tmp_path, [["stir"], [], ["pan"]]), progress=False)
    with pytest.raises(FeatureError, match=r"features-0-\d.npy has 7 numbers per row and 16 are expected"):
        retrieval.fit(segments(tmp_path, size=7), tmp_path / "run", progress=False)
    rows = segments(tmp_path)
    np.save(rows[2]["features"], np.full((5, 16), np.nan, np.float32))
    for call in (
        lambda: retrieval.fit(rows, tmp_path / "run", progress=False),
        lambda: retrieval.predict(rows, progress=False),
    ):
        with pytest.raises(FeatureError, match="features-0-2.npy has a NaN or infinite number in row 0"):
            call()


def test_a_run_goes_on_and_other_settings_are_refused(tokenizer, tmp_path):
    rows, align = segments(tmp_path), task(tokenizer, "align", steps=3)
    done = align.fit(rows, tmp_path / "run", progress=False).predict(rows, progress=False)
    again = task(tokenizer, "align", steps=3).fit(rows, tmp_path / "run", progress=False)
    assert np.array_equal(again.predict(rows, progress=False), done)
    with pytest.raises(TrainingError, match="method is .*joint.* now and was .*align"):
        Retrieval(again.univl, tokenizer, config(steps=3)).fit(rows, tmp_path / "run", progress=False)


def test_two_processes_train_as_one_does(tokenizer, tmp_path):
    """Each has half of every batch, and contrasts it with the other half, too."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    train_all(tokenizer, one)
    tokenizer.save_pretrained(two)
    subprocess.run(
        [sys.executable, HELPERS / "finetuning_processes.py", two],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for run in ("joint", "align", "captioning"):
        lines = [
            [json.loads(line) for line in (folder / run / "metrics.jsonl").read_text().splitlines()]
            for folder in (one, two)
        ]
        assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]] == [1, 2]
        for a, b in zip(*lines, strict=True):
            assert a["total"] == pytest.approx(b["total"], rel=1e-4), run
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3), run
