"""Captioning with UniVL: learning, what it reads and is scored against, baselines, and captions of any video file."""

import json
import warnings

import numpy as np
import pytest
import torch

from helpers.tiny_univl import CAPTIONS, FEATURES, config, segments, tiny_univl, tokenizer_in
from minivl.config import ConfigError, S3DConfig
from minivl.data.features import FeatureError
from minivl.data.subtitles import SubtitleError, read_transcript
from minivl.data.video import VideoError, write_video
from minivl.data.windows import spans
from minivl.metrics.captioning import caption_metrics
from minivl.s3d import S3D
from minivl.tasks.univl import own_videos
from minivl.tasks.univl.captioning import Captioning, as_tokens
from minivl.train.loop import TrainingError
from minivl.univl.objectives import decoder_loss


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tokenizer_in(tmp_path_factory.mktemp("tokenizer"))


def task(tokenizer, objectives=None, seed=0, settings=None, **configuration):
    univl = tiny_univl(tokenizer, Captioning.parts, seed, **objectives or {})
    return Captioning(univl, tokenizer, config(**configuration), **settings or {})


def said(*sentences):
    return [{"text": text, "start": start, "end": end} for text, start, end in sentences]


@pytest.mark.parametrize("text, count_padding, stopping", [("transcript", False, "finished"), (None, True, "release")])
def test_fine_tuning_learns_to_write_every_caption(tokenizer, tmp_path, text, count_padding, stopping):
    rows = segments(tmp_path)
    captioning = task(
        tokenizer,
        {"count_padding": count_padding},
        steps=100,
        learning_rate=1e-2,
        settings={"text": text, "stopping": stopping},
    )
    before = captioning.evaluate(rows, progress=False, meteor=False)
    captioning.fit(rows, tmp_path / "run", progress=False)
    assert captioning.predict(rows, progress=False) == CAPTIONS
    after = captioning.evaluate(rows, progress=False, meteor=False)
    assert after["exact"] == after["ROUGE-L"] == pytest.approx(100) and before["exact"] == 0
    again = task(
        tokenizer,
        {"count_padding": count_padding},
        seed=1,
        steps=100,
        learning_rate=1e-2,
        settings={"text": text, "stopping": stopping},
    ).fit(rows, tmp_path / "run", progress=False)
    assert again.predict(rows, progress=False) == CAPTIONS  # read back, not trained again


def test_the_transcript_is_read(tokenizer, tmp_path):
    """The same video four times: only what is said tells the captions apart."""
    rows = segments(tmp_path, transcript=[said((word, 0.0, 1.0)) for word in ("soup", "onion", "salt", "carrot")])
    rows = rows.remove_columns("features").add_column("features", [rows[0]["features"]] * 4)
    learned = task(tokenizer, steps=100, learning_rate=1e-2).fit(rows, tmp_path / "run", progress=False)
    assert learned.predict(rows, progress=False) == CAPTIONS
    blind = Captioning(learned.univl, tokenizer, learned.config, text=None)
    assert len(set(blind.predict(rows, progress=False))) == 1


@pytest.mark.parametrize("count_padding", [False, True])
@torch.no_grad()
def test_the_loss_is_that_of_the_plain_model(tokenizer, tmp_path, count_padding):
    """Nothing is masked; padding is a target only where the release's way is asked for."""
    rows = segments(tmp_path, frames=3, transcript=[said(("a pot", 0, 1))] * 4)
    captioning = task(tokenizer, {"count_padding": count_padding, "loud": True})
    data, univl = captioning.dataset(rows), captioning.univl
    batch = torch.utils.data.default_collate([data[i] for i in range(4)])
    cross, _ = univl.cross_encode(
        univl.encode_text(batch["input_ids"], batch["attention_mask"]),
        batch["attention_mask"],
        univl.encode_video(batch["video"], batch["video_mask"]),
        batch["video_mask"],
    )
    mask = torch.cat([batch["attention_mask"], batch["video_mask"]], dim=1)
    logits = univl.decode(batch["input_caption_ids"], batch["decoder_mask"], cross, mask)
    kept = torch.ones_like(batch["decoder_mask"]) if count_padding else batch["decoder_mask"]
    plain = decoder_loss(logits[kept.bool()], batch["output_caption_ids"][kept.bool()])
    losses = captioning.losses(batch)
    assert losses.keys() == {"total"} and losses["total"].item() == pytest.approx(plain.item(), rel=1e-5)
    assert tokenizer.mask_token_id not in batch["input_caption_ids"]


def test_what_is_read_where_nobody_speaks(tokenizer, tmp_path):
    rows = segments(
        tmp_path, CAPTIONS[:3], transcript=[[], None, said(("soup", 5.0, 9.0))], start=[0.0] * 3, end=[4.0] * 3
    )
    spoken, silent = task(tokenizer), task(tokenizer, settings={"text": None})
    none = [tokenizer.cls_token_id, *tokenizer("none", add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
    for number in range(3):
        assert spoken.dataset(rows)[number]["input_ids"][: len(none)].tolist() == none
        item = silent.dataset(rows)[number]
        assert item["input_ids"][:3].tolist() == [tokenizer.cls_token_id, tokenizer.sep_token_id, 0]
        assert item["attention_mask"].sum() == 2
    scores = [captioning.predict_beams(rows, progress=False).scores for captioning in (spoken, silent)]
    assert not torch.allclose(*scores)


def test_learning_with_and_without_transcripts(tokenizer, tmp_path):
    """Every segment twice; what is predicted reads the transcript."""
    rows = segments(tmp_path, transcript=[said(("soup", 0, 1))] * 4)
    both, spoken, silent = (task(tokenizer, settings={"text": text}) for text in ("both", "transcript", None))
    data, halves = both.dataset(rows), [spoken.dataset(rows), silent.dataset(rows)]
    assert len(data) == 8
    for number in range(8):
        expected = halves[number // 4][number % 4]
        assert all(torch.equal(values, expected[name]) for name, values in data[number].items())
    assert torch.equal(*(each.predict_beams(rows, progress=False).scores for each in (both, spoken)))


def test_beams(tokenizer, tmp_path):
    rows = segments(tmp_path, CAPTIONS * 2)
    captioning = task(tokenizer, batch_size=3)  # batches of 3, 3 and 2
    beams = captioning.predict_beams(rows, progress=False)
    assert beams.tokens.shape[:2] == (8, 5) and beams.scores.shape == (8, 5)
    assert [len(texts) for texts in beams.texts] == [5] * 8
    assert (beams.scores.diff(dim=1) <= 0).all() and (beams.scores < 0).all()
    assert [texts[0] for texts in beams.texts] == captioning.predict(rows, progress=False)
    together = task(tokenizer, batch_size=8).predict_beams(rows, progress=False)
    torch.testing.assert_close(beams.scores, together.scores)
    assert beams.texts == together.texts
    fewer = captioning.predict_beams(rows, num_return=2, progress=False)
    assert fewer.texts == [texts[:2] for texts in beams.texts] and fewer.tokens.shape[1] == 2
    greedy = task(tokenizer, settings={"num_beams": 1}).predict_beams(rows, progress=False)
    assert (greedy.scores[:, 0] <= beams.scores[:, 0] + 1e-5).all()


def test_captions_in_batches_of_other_lengths_are_padded(tokenizer, tmp_path):
    """The search of a batch ends when its captions do: 'stir the soup' is shorter than the others."""
    rows = segments(tmp_path)
    captioning = task(tokenizer, steps=100, learning_rate=1e-2, settings={"num_beams": 1})
    captioning.fit(rows, tmp_path / "run", progress=False)
    captioning.config = config(batch_size=1)
    beams = captioning.predict_beams(rows, progress=False)
    assert [texts[0] for texts in beams.texts] == CAPTIONS
    lengths = (beams.tokens[:, 0] >= 0).sum(-1)
    assert lengths.min() < lengths.max() == beams.tokens.shape[-1]


def test_what_captions_are_compared_with(tokenizer, tmp_path, monkeypatch):
    captions = ["Stir the soup!", "peel a red onion, now", " ".join(["add salt"] * 10)]
    rows = segments(tmp_path, captions)
    monkeypatch.setattr(Captioning, "predict", lambda *_: ["stir the soup !", "peel a red onion , now", "add salt"])
    scores = task(tokenizer).evaluate(rows, progress=False, meteor=False)
    tokens = ["stir the soup !", "peel a red onion , now"]
    cut = as_tokens(tokenizer, captions, 12)
    assert cut[:2] == tokens and len(tokenizer(cut[2], add_special_tokens=False)["input_ids"]) == 11
    assert cut[2] != captions[2] and captions[2].startswith(cut[2])
    assert scores == caption_metrics([*tokens, "add salt"], [[text] for text in cut], meteor=False)
    assert scores["exact"] == pytest.approx(100 * 2 / 3)
    raw = task(tokenizer, settings={"references": "raw"}).evaluate(rows, progress=False, meteor=False)
    assert raw["exact"] == 0 and raw["ROUGE-L"] < scores["ROUGE-L"]


def test_several_captions_of_a_segment(tokenizer, tmp_path, monkeypatch):
    rows = segments(tmp_path, [CAPTIONS[:2], CAPTIONS[2:3]])
    captioning = task(tokenizer)
    data = captioning.dataset(rows)
    assert len(data) == 3 and not torch.equal(data[0]["output_caption_ids"], data[1]["output_caption_ids"])
    assert torch.equal(data[0]["video"], data[1]["video"]) and not torch.equal(data[0]["video"], data[2]["video"])
    monkeypatch.setattr(Captioning, "predict", lambda *_: [CAPTIONS[1], "salt"])
    assert captioning.evaluate(rows, progress=False, meteor=False)["exact"] == 50


def test_baselines(tokenizer, tmp_path):
    train = segments(tmp_path, ["Stir the soup", "add salt to the pan", "Stir the soup"])
    rows = segments(
        tmp_path,
        ["stir the soup", "Stir the soup", "add salt to the pan"],
        seed=1,
        start=[0.0] * 3,
        end=[2.0] * 3,
        transcript=[said(("stir", 0, 1), ("the soup", 1, 2), ("later", 2, 3)), [], None],
    )
    raw = Captioning.baselines(train, rows, meteor=False)
    assert list(raw) == ["majority", "random", "transcript"]
    assert raw["majority"] == caption_metrics(["Stir the soup"] * 3, [[text] for text in rows["caption"]], meteor=False)
    assert raw["majority"]["exact"] == pytest.approx(100 / 3) == raw["transcript"]["exact"]
    assert raw["random"] == Captioning.baselines(train, rows, meteor=False)["random"]
    lower = Captioning.baselines(train, rows, tokenizer, meteor=False)
    assert lower["majority"]["exact"] == pytest.approx(200 / 3)
    assert lower["majority"].keys() == task(tokenizer).evaluate(rows, progress=False, meteor=False).keys()


def test_a_segment_without_frames(tokenizer, tmp_path):
    rows = segments(tmp_path, start=[0.0, 0.0, 0.0, 90.0], end=[3.0, 3.0, 3.0, 95.0])
    captioning = task(tokenizer, steps=2).fit(rows, tmp_path / "run", progress=False)
    beams = captioning.predict_beams(rows, progress=False)
    assert beams.scores.isfinite().all() and len(beams.texts) == 4
    nothing = captioning.predict_beams(rows.select([3]), progress=False)  # a batch without a single frame
    torch.testing.assert_close(nothing.scores[0], beams.scores[3])


def test_captions_longer_than_the_limit(tokenizer, tmp_path):
    rows = segments(tmp_path, [" ".join([caption] * 9) for caption in CAPTIONS])
    captioning = task(tokenizer, steps=2, max_words=8)
    targets = captioning.dataset(rows)[0]["output_caption_ids"]
    assert targets[-1] == tokenizer.sep_token_id and (targets > 0).all()
    captioning.fit(rows, tmp_path / "run", progress=False)
    assert captioning.predict_beams(rows, progress=False).tokens.shape[-1] <= 8


def test_data_that_cannot_be_used(tokenizer, tmp_path):
    rows, captioning = segments(tmp_path), task(tokenizer)
    bare = rows.remove_columns("caption")
    assert len(captioning.predict(bare, progress=False)) == 4
    with pytest.raises(ValueError, match="learns from `caption` or `captions`; these 4 segments have none"):
        captioning.fit(bare, tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="4 of 4 rows have no `caption` or `captions` .*the first is row 0"):
        captioning.evaluate(bare, progress=False)
    with pytest.raises(ValueError, match="1 of 3 rows have no `caption`.*the first is row 1"):
        captioning.evaluate(segments(tmp_path, [["stir"], [], ["pan"]]), progress=False)
    with pytest.raises(FeatureError, match="has 7 numbers per row and 16 are expected"):
        captioning.predict(segments(tmp_path, size=7), progress=False)
    rows = segments(tmp_path)
    np.save(rows[2]["features"], np.full((5, FEATURES), np.nan, np.float32))
    with pytest.raises(FeatureError, match="features-0-2.npy has a NaN or infinite number in row 0"):
        captioning.fit(rows, tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="text must be 'transcript', 'both' or None, not 'caption'"):
        task(tokenizer, settings={"text": "caption"})
    with pytest.raises(ConfigError, match="references must be 'tokens' or 'raw'"):
        task(tokenizer, settings={"references": "both"})
    with pytest.raises(ConfigError, match="this UniVL has no decoder"):
        Captioning(tiny_univl(tokenizer, ("cross",)), tokenizer, config())


def test_a_run_of_another_kind_is_refused(tokenizer, tmp_path):
    rows = segments(tmp_path)
    task(tokenizer).fit(rows, tmp_path / "run", progress=False)
    with pytest.raises(TrainingError, match="text is None now and was .*transcript"):
        task(tokenizer, settings={"text": None}).fit(rows, tmp_path / "run", progress=False)
    with pytest.raises(TrainingError, match="count_padding is True now and was False"):
        task(tokenizer, {"count_padding": True}).fit(rows, tmp_path / "run", progress=False)


# The reader's own videos


@pytest.fixture(scope="module")
def s3d():
    torch.manual_seed(0)
    return S3D(S3DConfig(width=0.05, feature_dim=FEATURES, embed_dim=8, image_size=32, frames_per_second=4)).eval()


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder with three videos: 7 s, 2.5 s, and one frame of 0.5 s, taller than wide."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for name, frames, fps, shape in (("long", 28, 4, (48, 64)), ("short", 5, 2, (48, 64)), ("still", 1, 2, (70, 40))):
        scenes = rng.integers(0, 255, (frames // 4 + 1, 1, 1, 3), dtype=np.uint8).repeat(4, 0)[:frames]
        write_video(folder / f"{name}.mp4", np.broadcast_to(scenes, (frames, *shape, 3)), fps)
    return folder


@pytest.fixture
def writer(tokenizer):
    return tiny_univl(tokenizer, Captioning.parts, loud=True)


SIZES = {"window_seconds": 2.0, "max_words": 12, "max_frames": 6, "progress": False}


def test_captions_of_a_video_file(films, s3d, writer, tokenizer):
    captions = own_videos.caption_video(films / "long.mp4", s3d, writer, tokenizer, **SIZES)
    assert [(c["start"], c["end"]) for c in captions] == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert all(c.keys() == {"start", "end", "caption"} and isinstance(c["caption"], str) for c in captions)
    assert len(own_videos.caption_video(films / "still.mp4", s3d, writer, tokenizer, **SIZES)) == 1
    whole = own_videos.caption_video(films / "short.mp4", s3d, writer, tokenizer, **SIZES)
    assert [(c["start"], c["end"]) for c in whole] == [(0, 2.5)]  # the rest of half a second is not alone


@pytest.mark.parametrize(
    "duration, expected",
    [
        (25, [(0, 10), (10, 20), (20, 25)]),
        (24.9, [(0, 10), (10, 24.9)]),
        (3, [(0, 3)]),
        (10, [(0, 10)]),
        (14.9, [(0, 14.9)]),
        (15, [(0, 10), (10, 15)]),
    ],
)
def test_windows(duration, expected):
    assert spans(duration, 10) == expected


def test_a_window_is_captioned_as_a_segment_of_a_corpus(films, s3d, writer, tokenizer, tmp_path):
    """The same frames and the same words give the same caption by way of the task."""
    from minivl.s3d.features import extract_features

    spoken = said(("stir the soup", 0.0, 1.5), ("salt", 4.5, 6.0))
    by_file = own_videos.caption_video(films / "long.mp4", s3d, writer, tokenizer, spoken, **SIZES)
    by_file = [window["caption"] for window in by_file]
    assert len(set(by_file)) > 1
    features = extract_features(films / "long.mp4", s3d)
    assert features.shape == (7, FEATURES)
    rows = segments(tmp_path, CAPTIONS, transcript=[said(("stir the soup", 0, 1)), [], said(("salt", 0, 1)), []])
    for row, window in zip(rows, (features[0:2], features[2:4], features[4:6], features[6:7]), strict=True):
        np.save(row["features"], window)
    assert Captioning(writer, tokenizer, config()).predict(rows, progress=False) == by_file
    silent = own_videos.caption_video(films / "long.mp4", s3d, writer, tokenizer, **SIZES)
    assert (
        Captioning(writer, tokenizer, config(), text=None).predict(rows, progress=False)
        == [c["caption"] for c in silent]
        != by_file
    )


def test_transcripts_of_all_kinds(films, s3d, writer, tokenizer, tmp_path):
    """Ten words a second in every form: the same captions."""
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:07,000\nstir the soup\n")
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:07.000\n<i>stir the</i> soup\n")
    (tmp_path / "a.txt").write_text("stir the soup\n")
    captions = [
        own_videos.caption_video(films / "long.mp4", s3d, writer, tokenizer, spoken, **SIZES)
        for spoken in (
            said(("stir the soup", 0.0, 7.0)),
            tmp_path / "a.srt",
            str(tmp_path / "a.vtt"),
            tmp_path / "a.txt",
        )
    ]
    assert captions[0] == captions[1] == captions[2] == captions[3]
    (tmp_path / "empty.srt").write_text("")
    own_videos.caption_video(films / "short.mp4", s3d, writer, tokenizer, tmp_path / "empty.srt", **SIZES)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> soon\nstir the soup\n")
    with pytest.raises(SubtitleError, match="a.srt, line 2"):
        own_videos.caption_video(films / "long.mp4", s3d, writer, tokenizer, tmp_path / "a.srt", **SIZES)


def test_captions_are_printed_and_saved(tmp_path):
    captions = [
        {"start": 0.0, "end": 10.0, "caption": "stir the soup"},
        {"start": 10.0, "end": 75.5, "caption": "add é"},
    ]
    assert own_videos.as_text(captions) == " 0:00 -  0:10  stir the soup\n 0:10 -  1:15  add é"
    for suffix in (".json", ".srt", ".vtt"):
        own_videos.save_captions(captions, tmp_path / "new" / f"a{suffix}")
    assert json.loads((tmp_path / "new" / "a.json").read_text(encoding="utf-8")) == captions
    for suffix in (".srt", ".vtt"):
        assert [
            {"start": c["start"], "end": c["end"], "caption": c["text"]}
            for c in read_transcript(tmp_path / "new" / f"a{suffix}", 1)
        ] == captions
    with pytest.raises(SubtitleError, match="a.doc: subtitles are written as .srt or .vtt"):
        own_videos.save_captions(captions, tmp_path / "a.doc")


@pytest.fixture
def mixed(films, tmp_path):
    """Good and bad files, the first of them bad."""
    (tmp_path / "a_broken.mp4").write_bytes(b"no video at all")
    (tmp_path / "b_empty.mp4").write_bytes(b"")
    (tmp_path / "c_cut.mp4").write_bytes((films / "long.mp4").read_bytes()[:-900])
    return [*sorted(tmp_path.glob("*.mp4")), tmp_path / "d_missing.mp4", films / "long.mp4", films / "short.mp4"]


def test_one_bad_file_never_stops_the_others(mixed, films, s3d, writer, tokenizer, tmp_path):
    (tmp_path / "bad.srt").write_text("1\nhello\n")
    with pytest.warns(UserWarning, match="5 of 6 videos have no captions:\n.*a_broken.mp4: is no video") as warned:
        report = own_videos.caption_videos(
            mixed, s3d, writer, tokenizer, {films / "short.mp4": tmp_path / "bad.srt"}, **SIZES
        )
    assert list(report.captions) == [films / "long.mp4"] and list(report.failed) == [*mixed[:4], films / "short.mp4"]
    assert str(report).startswith("long.mp4\n 0:00 -  0:02  ") and "b_empty" not in str(report)
    text = str(warned[0].message)
    assert "b_empty.mp4: is empty (0 bytes)" in text and "bad.srt: holds a text without times" in text
    with pytest.raises(VideoError, match="a_broken.mp4: is no video, or damaged at its start"):
        own_videos.caption_video(mixed[0], s3d, writer, tokenizer, **SIZES)


def test_many_videos_go_on_where_they_stopped(films, s3d, writer, tokenizer, tmp_path):
    paths = [films / "short.mp4", films / "long.mp4", films / "still.mp4"]

    def run(videos, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return own_videos.caption_videos(videos, s3d, writer, tokenizer, out=tmp_path / "out", **options, **SIZES)

    assert list(run(paths[:1]).captions) == paths[:1]
    report = run(paths)
    assert report.kept == paths[:1] and list(report.captions) == paths[1:] and not report.failed
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "long.captions.srt",
        "short.captions.srt",
        "still.captions.srt",
    ]
    assert "short.mp4: captions are there already" in str(report)
    assert len(run(paths, suffix=".json").captions) == 3
    with pytest.raises(ValueError, match="would both write"):
        run([paths[0], tmp_path / "short.mp4"])


def test_parts_that_do_not_belong_together(films, s3d, writer, tokenizer):
    for seconds in (0.5, 4.1, float("nan")):
        with pytest.raises(ConfigError, match="window_seconds must be between 1 and 4"):
            own_videos.caption_video(films / "long.mp4", s3d, writer, tokenizer, **{**SIZES, "window_seconds": seconds})
    other = S3D(S3DConfig(width=0.05, feature_dim=8, embed_dim=8, image_size=32, frames_per_second=4))
    with pytest.raises(ConfigError, match="makes features of 8 numbers, this UniVL reads 16"):
        own_videos.caption_video(films / "long.mp4", other, writer, tokenizer, **SIZES)
