"""The full scale's path on small files in the corpora's formats: real adapters, a small model, all else alike."""

import dataclasses
import json
import tracemalloc
import warnings

import pytest
from typer.testing import CliRunner

from helpers import corpora_samples as samples
from minivl.cli import app
from minivl.config import NarrationConfig, UniVLConfig, scale
from minivl.data.corpora import howto100m, load, shards
from minivl.data.narration import NarratedDataset
from minivl.data.schema import SchemaError
from minivl.data.wordpiece import load_tokenizer, train_wordpiece
from minivl.tasks.univl.data import pretraining_videos, task_rows
from minivl.tasks.univl.finetuning import KINDS, baseline_scores, fine_tune, score
from minivl.tasks.univl.pretraining import pretrain_at_scale
from minivl.univl import UniVL

CORPORA = {task: corpus.name for task, corpus in scale("full").univl_corpora.items()}
SPLITS = {"retrieval": "val", "captioning": "val", "segmentation": "test", "localization": "test", "sentiment": "test"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """MINIVL_DATA: a folder for each corpus that UniVL needs."""
    folder = tmp_path_factory.mktemp("data")
    samples.howto100m(folder / "howto100m", videos=6)
    samples.youcook2_release(folder / "youcook2")
    samples.coin(folder / "coin")
    samples.crosstask(folder / "crosstask")
    samples.mosi(folder / "mosi")
    speech = {f"video-{n:05d}": samples.sentences("pour water", 4) for n in range(33)}
    samples.write(folder / "crosstask" / "raw_caption.json", speech)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_wordpiece(["vid says pour water", "stir the mixture", "spread margarine on bread"] * 3, 200, folder)
    return folder


@pytest.fixture(scope="module")
def settings(data, tokenizer):
    """The full scale, but for the sizes of model and batches."""
    full = dataclasses.replace(scale("full"), data=data)

    def short(train, **changes):
        return dataclasses.replace(
            train,
            steps=2,
            epochs=None,
            gradient_accumulation=1,
            num_workers=0,
            log_every=1,
            **{"batch_size": 2, **changes},
        )

    tasks = {
        name: dataclasses.replace(
            task, max_words=12, max_frames=8, train=short(task.train, batch_size=1 if name == "segmentation" else 2)
        )
        for name, task in full.univl_tasks.items()
    }
    model = UniVLConfig(
        hidden_size=32,
        num_heads=2,
        intermediate_size=32,
        text_layers=1,
        video_layers=1,
        cross_layers=1,
        decoder_layers=1,
        text_positions=24,
        video_positions=16,
        cross_positions=40,
    )
    pretrain = dataclasses.replace(
        full.univl_pretrain,
        model=model,
        tokenizer=str(tokenizer),
        text_weights=None,
        narration=NarrationConfig(max_words=12, max_frames=8),
        stage_one=short(full.univl_pretrain.stage_one),
        stage_two=short(full.univl_pretrain.stage_two),
    )
    return dataclasses.replace(full, univl_tasks=tasks, univl_pretrain=pretrain)


@pytest.fixture(scope="module")
def pretrained(settings, tmp_path_factory):
    """The folder of a UniVL that was pretrained on HowTo100M's files, and the run's."""
    folder = tmp_path_factory.mktemp("pretraining")
    pretrain_at_scale(settings.univl_pretrain, settings, folder / "model", folder / "run", progress=False)
    return folder / "model", folder / "run"


def test_pretraining_reads_the_corpus(pretrained, settings):
    model, run = pretrained
    loaded = UniVL.from_pretrained(model)
    assert loaded.config.video_dim == samples.SIZE and loaded.config.vocab_size == len(load_tokenizer(model))
    for stage, losses in (("stage-one", {"joint"}), ("stage-two", {"joint", "cmlm", "cmfm", "align", "decoder"})):
        steps = [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text().splitlines()]
        assert len(steps) == 2 and all(losses <= step.keys() for step in steps)
    assert (settings.data / "howto100m" / "prepared" / "index.json").is_file()
    assert len(pretraining_videos(settings, subset=4)) == 4


@pytest.mark.parametrize("name", KINDS)
def test_a_task_learns_and_is_scored(name, pretrained, settings, tmp_path, monkeypatch):
    """Two steps and the scores of a split, through the adapter of the corpus that the paper uses for it."""
    monkeypatch.setattr("minivl.metrics.captioning._meteor", lambda *_: None)  # its Java takes seconds to start
    split = SPLITS[KINDS[name][0].kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples as small as these have steps that training lacks, and no spread
        task = fine_tune(name, settings, tmp_path, pretrained[0], progress=False)
        scores, guesses = score(task, split, settings, progress=False), baseline_scores(name, split, settings)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert scores and all(isinstance(value, float) for value in scores.values())
    assert guesses and all(row.keys() <= scores.keys() for row in guesses.values())


@pytest.mark.parametrize("task", CORPORA)
def test_subsets(task, settings):
    whole = task_rows(task, "train", settings)
    some = task_rows(task, "train", settings, subset=1)
    assert set(some["video_id"]) == {whole[0]["video_id"]} and some[0] == whole[0]


# CrossTask


def test_steps_of_a_task_come_from_its_list_not_from_the_videos(data, settings):
    """Also those that no video shows, in the order of the list."""
    rows = load("crosstask", data / "crosstask", "train")
    assert rows[0]["task_steps"] == ["pour water", "stir mixture", "pour jello"]
    shelves = next(row for row in rows if row["task"].startswith("Build"))
    assert shelves["task_steps"] == ["cut shelve", "sand shelve"]
    assert [step["label"] for step in shelves["steps"]] == ["sand shelve"], "one that no video shows is still sought"


def test_speech_of_howto100m_joins_the_videos(tmp_path):
    folder = samples.crosstask(tmp_path)
    without = load("crosstask", folder, "train")
    assert "transcript" not in without.column_names
    with pytest.raises(ValueError, match="no 'transcript'"):
        NarratedDataset(without, None, NarrationConfig())
    speech = {f"video-{n:05d}": samples.sentences(f"cook {n}", 2) for n in range(20)}
    samples.write(folder / "raw_caption.json", {**speech, "of-another-corpus": {"start": "broken"}})
    with pytest.warns(UserWarning, match=r"1\d videos without captions, their transcript is empty: video-0002"):
        rows = load("crosstask", folder, "train", protocol="draw-1")
    for row in rows:
        number = int(row["video_id"].removeprefix("video-"))
        assert row["transcript"] == (
            [
                {"text": f"cook {number} says 0", "start": 0, "end": 3},
                {"text": f"cook {number} says 1", "start": 2, "end": 5},
            ]
            if number < 20
            else []
        )
    samples.write(folder / "raw_caption.json", {"video-00001": {"start": [1]}})
    with pytest.raises(SchemaError, match="raw_caption.json: video-00001 must hold lists"):
        load("crosstask", folder, "train", protocol="draw-1")


# Memory


def test_training_examples_stay_on_disk(tmp_path, monkeypatch):
    """Rows are read where they lie: of each video, whose speech has some 6 kB here, only its number is in memory."""
    monkeypatch.setattr(shards, "VIDEOS", 64)
    monkeypatch.setattr(shards, "BATCH", 16)
    monkeypatch.setattr("minivl.data.corpora.narrations.tqdm", lambda rows, **_: rows)
    words = train_wordpiece(["vid says 0 1 2 3"] * 3, 200, tmp_path / "words")
    peaks = []
    for videos in (64, 64, 384):  # the first time pays for imports
        folder = samples.howto100m(tmp_path / str(len(peaks)), videos=videos, count=60)
        rows = howto100m.CORPUS.load(folder, "train")
        tracemalloc.start()
        examples = NarratedDataset(rows, words, NarrationConfig(max_words=12, max_frames=8))
        assert len(examples) == videos and examples[videos - 1]["video"].shape == (3, 8, samples.SIZE)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 200 * (384 - 64)


# The commands


def minivl(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.mark.parametrize("name", ["howto100m", "youcook2", "coin", "crosstask", "mosi"])
def test_data_check_of_a_whole_corpus(name, data):
    answer = minivl("data", "check", name, data / name)
    assert answer.exit_code == 0 and name in answer.output, answer.output


def test_data_check_names_what_is_missing(data, tmp_path):
    answer = minivl("data", "check", "coin", tmp_path)
    assert answer.exit_code == 1 and "COIN.json" in answer.output + str(answer.exception)
    folder = samples.coin(tmp_path / "coin")
    (folder / "COIN.json").write_text("{broken")
    answer = minivl("data", "check", "coin", folder)
    assert answer.exit_code == 1 and "not valid JSON" in answer.output
    assert "no corpus 'nothing', only howto100m" in str(minivl("data", "check", "nothing", tmp_path).exception)


def test_data_card():
    answer = minivl("data", "card", "crosstask")
    assert answer.exit_code == 0 and "tasks_primary.txt" in answer.output and "task_steps" in answer.output
    assert "no corpus 'nothing'" in str(minivl("data", "card", "nothing").exception)


def test_a_split_that_a_corpus_does_not_have(settings):
    with pytest.raises(ValueError, match="youcook2 has no split 'test', only train, val"):
        task_rows("retrieval", "test", settings)


def test_missing_corpora_are_named_with_their_layout(settings, tmp_path):
    elsewhere = dataclasses.replace(settings, data=tmp_path)
    for task, corpus in CORPORA.items():
        with pytest.raises(FileNotFoundError, match=rf"(?s){corpus}.*Layout"):
            task_rows(task, "train", elsewhere)
    with pytest.raises(FileNotFoundError, match=r"(?s)howto100m.*Layout"):
        pretraining_videos(elsewhere)
