"""Dual encoders in mteb, and its data sets: on three bundled clips in exactly the form that its data sets have."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset, Video
from typer.testing import CliRunner

from minivl.cli import app
from minivl.config import BUNDLED, ConfigError, scale
from minivl.data.corpora.mteb import import_mteb, read_mteb
from minivl.data.schema import SchemaError
from minivl.results.published import mteb_scores
from minivl.tasks.clip import retrieval
from minivl.tasks.clip.mteb_encoder import TASKS, MtebEncoder, run_tasks, weights_hash

KITCHEN = BUNDLED / "kitchen" / "test"
ROWS = [json.loads(line) for line in (KITCHEN / "metadata.jsonl").read_text().splitlines()[:3]]
CAPTIONS = [row["caption"] for row in ROWS]


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of mteb/MSR-VTT, with three clips of the kitchen in place of its 879."""
    folder = tmp_path_factory.mktemp("mteb") / "MSR-VTT"
    (folder / "data").mkdir(parents=True)
    videos = [{"path": row["file_name"], "bytes": (KITCHEN / row["file_name"]).read_bytes()} for row in ROWS]
    rows = Dataset.from_dict({"video": videos, "caption": CAPTIONS})
    rows.cast_column("video", Video()).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="module")
def encoder():
    return MtebEncoder("kitchen")


@pytest.fixture(scope="module")
def imported(copied, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    import_mteb(copied, folder)
    return folder


def encode(encoder, rows, **options):
    return encoder.encode(SimpleNamespace(dataset=rows), task_metadata=SimpleNamespace(name="MSRVTTT2V"), **options)


def test_its_data_become_a_folder_that_every_command_reads(imported):
    lines = [json.loads(line) for line in (imported / "test" / "metadata.jsonl").read_text().splitlines()]
    assert [line["caption"] for line in lines] == CAPTIONS and [line["video_id"] for line in lines] == ["0", "1", "2"]
    for line, row in zip(lines, ROWS, strict=True):
        assert (imported / "test" / line["file_name"]).read_bytes() == (KITCHEN / row["file_name"]).read_bytes()


def test_embeddings_are_those_of_the_package(copied, encoder, imported):
    rows = read_mteb(copied)
    videos = encode(encoder, rows.select_columns("video"), batch_size=2)
    texts = encode(encoder, rows.select_columns("caption").rename_column("caption", "text"))
    clips = retrieval.clips(imported, "test", encoder.clip, scale("small"))
    found = retrieval.embeddings(encoder.model, clips, progress=False)
    np.testing.assert_allclose(videos, found.videos.numpy(), atol=1e-5)
    np.testing.assert_allclose(texts, found.texts.numpy(), atol=1e-5)
    cosines = encoder.similarity(texts, videos)
    np.testing.assert_allclose(cosines, retrieval.evaluate(encoder.model, clips, progress=False).similarity, atol=1e-5)
    np.testing.assert_allclose(encoder.similarity_pairwise(texts, videos), cosines.diagonal(), atol=1e-5)


def test_what_it_cannot_read_together_is_refused(encoder):
    for columns, asked in ((["text", "video"], "text and video"), (["audio"], "audio"), (["id"], "nothing")):
        rows = SimpleNamespace(column_names=columns)
        with pytest.raises(ConfigError, match=f"MSRVTTT2V asks for {asked} at once"):
            encode(encoder, rows)


def test_the_revision_follows_the_weights_alone(encoder):
    first = weights_hash(encoder.model)
    bias = next(encoder.model.parameters())
    before = bias.data.clone()
    bias.data += 1
    changed = weights_hash(encoder.model)
    bias.data = before
    assert weights_hash(encoder.model) == first != changed


def test_other_data_are_told(tmp_path):
    Dataset.from_dict({"caption": ["a"], "label": [1]}).to_parquet(tmp_path / "a" / "test.parquet")
    with pytest.raises(SchemaError, match="has the columns caption, label: `video` and one of caption"):
        read_mteb(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="no data set with a split 'val'"):
        read_mteb(tmp_path / "a", "val")


def test_wrong_tasks_and_a_missing_package_are_told(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="unknown task 'MSMARCO': choose of MSRVTTT2V"):
        run_tasks("kitchen", ["MSMARCO"], tmp_path)
    with pytest.raises(ConfigError, match="data set of one task"):
        run_tasks("kitchen", ["MSRVTTT2V", "VATEXT2VRetrieval"], tmp_path, data=tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = CliRunner().invoke(app, ["mteb", "run", "MSRVTTT2V", "--out", str(tmp_path)])
    assert "pip install minivl[mteb]" in str(answer.exception)


def test_mteb_itself_measures_what_the_package_measures(copied, imported, tmp_path):
    mteb = pytest.importorskip("mteb", reason="mteb is not installed: pip install minivl[mteb]")
    assert {task.metadata.name for task in mteb.get_tasks(tasks=list(TASKS))} == set(TASKS)
    found = mteb_scores(run_tasks("kitchen", ["MSRVTTT2V", "MSRVTTV2T"], tmp_path, copied))
    clip, model, _ = retrieval.load_model("kitchen")
    clips = retrieval.clips(imported, "test", clip, scale("small"))
    own = retrieval.evaluate(model, clips, progress=False).row()
    assert dict(zip(found["metric"], found["value"], strict=True)) == pytest.approx(
        {metric: own[metric] for metric in found["metric"]}, abs=1e-3
    )
    assert Path(tmp_path, "results", "minivl__kitchen").is_dir() and set(found["test set"]) == {"a local folder"}
