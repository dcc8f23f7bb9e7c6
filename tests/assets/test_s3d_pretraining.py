"""MIL-NCE against its equation, what a batch holds, and a tiny training run from nothing to a folder."""

import dataclasses

import numpy as np
import pytest
import torch

from minivl.assets.s3d_pretraining import (
    NarratedSeconds,
    NarratedVideoModel,
    SentenceEmbedding,
    Vocabulary,
    mil_nce_of_sentences,
    mood_clips,
    nearest_sentences,
    pretrain_s3d,
    render_videos,
)
from minivl.assets.s3d_probing import (
    FACTS,
    facts,
    linear_accuracy,
    linear_correlation,
    nearest_mean_accuracy,
    probe_s3d,
)
from minivl.config import BUNDLED, S3DPretrainConfig, scale
from minivl.s3d.model import S3D

TINY = scale("tiny").s3d_pretrain


def test_mil_nce_is_its_equation():
    torch.manual_seed(0)
    S, positive = torch.randn(5, 7), torch.rand(5, 7) < 0.4
    positive[:, 0], positive[:, 6], valid = True, False, torch.tensor([True] * 6 + [False])
    losses = []
    for c in range(5):
        own = sum(S[c, s].exp() for s in range(7) if positive[c, s])
        sentences = sum(S[c, s].exp() for s in range(7) if valid[s])
        seconds = sum(S[k, s].exp() for s in range(7) if positive[c, s] for k in range(5) if not positive[k, s])
        losses.append(-torch.log(own / (sentences + seconds)))
    torch.testing.assert_close(mil_nce_of_sentences(S, positive, valid), torch.stack(losses).mean())


def test_one_sentence_that_fits_is_enough():
    positive, valid = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]]).bool(), torch.ones(4).bool()
    fits = torch.tensor([[9.0, -9, 0, 0], [0, 0, -9, 9]])
    assert mil_nce_of_sentences(fits, positive, valid) < 1e-3 < 1 < mil_nce_of_sentences(fits.flip(0), positive, valid)


def test_padding_and_order_of_words_do_not_matter():
    torch.manual_seed(0)
    text = SentenceEmbedding(9, 8, 16, 4)
    short, long = text(torch.tensor([[3, 5]])), text(torch.tensor([[5, 3, 0, 0]]))
    torch.testing.assert_close(short, long)
    assert not torch.allclose(short, text(torch.tensor([[3, 6]])))


def test_vocabulary():
    words = Vocabulary(["now i stir", "i pour milk"])
    assert len(words) == 5
    assert words.encode("i never stir", 4) == [1, 5, 0, 0]
    assert words.encode("now i pour milk", 2) == words.encode("now i", 2)


def test_sentences_nearest_in_time():
    said = [{"start": float(s), "end": s + 2.0} for s in (0, 3, 6, 9)]
    assert nearest_sentences(said, 6.5, 2) == [2, 1]
    assert sorted(nearest_sentences(said, 0.0, 9)) == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    render_videos(folder, TINY, progress=False)
    return folder


def test_item(videos):
    from minivl.data.schema import load_split

    rows = load_split(videos / "two", "train")
    words = Vocabulary(said["text"] for row in rows for said in row["transcript"])
    data = NarratedSeconds(rows, words, TINY)
    np.random.seed(0)
    item, said, video = data[1], data.rows[1]["transcript"], data.video(1)
    M, S = TINY.seconds_per_video, max(len(row["transcript"]) for row in rows)
    assert item["seconds"].shape == (M, 4, 48, 48, 3) and item["words"].shape == (S, TINY.max_words)
    assert (item["positive"].sum(1) == TINY.positives).all() and not item["positive"][:, len(said) :].any()
    for second, positive in zip(item["seconds"], item["positive"], strict=True):
        number = next(i for i in range(len(video)) if np.array_equal(video[i], second))
        assert positive.nonzero().flatten().tolist() == sorted(nearest_sentences(said, number + 0.5, TINY.positives))


def test_videos_do_not_see_the_positives_of_others():
    """The loss of a batch of two videos is that of the matrix with both videos' sentences."""
    torch.manual_seed(0)
    model = NarratedVideoModel(S3D(TINY.net), SentenceEmbedding(9, 8, 16, TINY.net.embed_dim)).eval()
    batch = {
        "seconds": torch.randint(0, 256, (2, 3, 4, 48, 48, 3), dtype=torch.uint8),
        "words": torch.tensor([[[1, 2], [3, 0]], [[4, 5], [0, 0]]]),
        "positive": torch.tensor([[[1, 0], [0, 1], [1, 1]], [[1, 0]] * 3]).bool(),
    }
    video = torch.cat([model.net(model.net.segments(s)).embedding for s in batch["seconds"].flatten(0, 1)])
    similarity = video @ model.text(torch.tensor([[1, 2], [3, 0], [4, 5]])).T
    positive = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]).bool()
    expected = mil_nce_of_sentences(similarity, positive, torch.ones(3).bool())
    torch.testing.assert_close(model.losses(batch)["total"], expected)


def test_mood_clips_say_what_the_face_shows():
    rows = [row for row, _ in mood_clips("train", 60, TINY.world)]
    said = {row["transcript"][-1]["text"] for row in rows if row["mood"] < -1.2}
    assert said <= {"the cook frowns a lot", "the cook frowns"} and said
    said = {row["transcript"][-1]["text"] for row in rows if row["mood"] > 1.2}
    assert said <= {"the cook smiles a lot", "the cook smiles"} and said
    assert all(row["transcript"][-1]["start"] < row["transcript"][-1]["end"] for row in rows)


def test_tiny_run(videos, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "videos").symlink_to(videos)
    scores = pretrain_s3d(tmp_path / "net", run, TINY, progress=False)
    assert set(scores) == {"trained", "pixels", "random 0", "random 1", "random 2"}
    net = S3D.from_pretrained(tmp_path / "net")
    assert net.config == TINY.net
    assert "| step |" in (tmp_path / "net" / "README.md").read_text()
    again = probe_s3d(net, videos, TINY)["trained"]
    assert again["colour"] == scores["trained"]["colour"]


def test_facts():
    row = {
        "steps": [
            {"label": "slice egg", "start": 0.0, "end": 1.5},
            {"label": "add egg", "start": 1.5, "end": 4.2},
            {"label": "pour oil", "start": 4.2, "end": 6.0},
        ],
        "step_captions": [
            "someone slices the egg",
            "someone puts the sliced egg into the red pot",
            "someone pours oil into the red pot",
        ],
    }
    shown = facts(row, 7)
    assert shown[0] == {"step": "slice egg", "ingredient": "egg"}
    assert shown[1] == {} and shown[4] == {} and shown[6] == {}
    assert (
        shown[2]
        == shown[3]
        == {"step": "add egg", "ingredient": "egg", "state": "sliced", "colour": "red", "container": "pot"}
    )
    assert shown[5] == {"step": "pour oil", "liquid": "oil", "colour": "red", "container": "pot"}


def test_probes_find_what_is_there():
    torch.manual_seed(0)
    x = torch.randn(300, 5)
    labels = ["a" if value > 0 else "b" for value in x[:, 2]]
    assert linear_accuracy(x[:200], labels[:200], x[200:], labels[200:]) > 95
    assert nearest_mean_accuracy(x[:200], labels[:200], x[200:], labels[200:]) > 80
    noise = torch.randn(300, 5)
    assert linear_accuracy(noise[:200], labels[:200], noise[200:], labels[200:]) < 70
    assert linear_correlation(x[:200], x[:200, 2], x[200:], x[200:, 2]) > 0.95


def test_bundled_network_knows_what_a_random_one_does_not(videos):
    net = S3D.from_pretrained(BUNDLED / "s3d_kitchen")
    assert net.config == S3DPretrainConfig().net
    scores = probe_s3d(net, videos, dataclasses.replace(TINY))
    for fact in ("ingredient", "step", "colour"):
        assert scores["trained"][fact][1] > max(scores[f"random {seed}"][fact][1] for seed in range(3))
    assert set(FACTS) < set(scores["trained"])
