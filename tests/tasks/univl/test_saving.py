"""A fine-tuned task as a folder: the same task again elsewhere, its card, the hub, and folders that are damaged."""

import json
import re
import shutil
import textwrap

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers.fake_hub import fake_hub
from helpers.saved_tasks import tiny_task, write_split
from helpers.tiny_univl import config, tiny_univl, tokenizer_in
from minivl.config import ConfigError
from minivl.hub.checkpoints import CheckpointError
from minivl.hub.folders import describe
from minivl.tasks.univl import load_rows, load_task
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.finetuning import KINDS
from minivl.tasks.univl.localization import Localization
from minivl.tasks.univl.retrieval import Retrieval
from minivl.tasks.univl.segmentation import Segmentation, stretches
from minivl.tasks.univl.sentiment import Sentiment
from minivl.univl import UniVL


@pytest.fixture(autouse=True)
def no_meteor(monkeypatch):
    """Its Java takes seconds to start."""
    monkeypatch.setattr("minivl.metrics.captioning._meteor", lambda *_: None, raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_split(tmp_path_factory.mktemp("data"), "test", seed=1)


@pytest.fixture(scope="module", params=KINDS)
def task(request, tmp_path_factory):
    return tiny_task(request.param, tmp_path_factory.mktemp("task"))


def small(kind, folder, **settings):
    """A task that was not trained: where that makes no difference."""
    tokenizer = tokenizer_in(folder / "words")
    return kind(tiny_univl(tokenizer, kind.parts_for(**settings)), tokenizer, config(), **settings)


def same_scores(found, expected):
    assert found.keys() == expected.keys() and len(found)
    np.testing.assert_array_equal(list(found.values()), list(expected.values()))  # nan is equal to nan


@pytest.mark.filterwarnings("ignore")  # that so little data have no correlation
def test_a_saved_task_is_the_same_task_elsewhere(task, data, tmp_path, monkeypatch):
    """Also by way of the hub; and `UniVL.from_pretrained` opens what is in it."""
    hub, rows = fake_hub(tmp_path / "hub", monkeypatch), load_rows(task.kind, data, "test")
    expected, answers = task.evaluate(rows, progress=False), task.predictions(rows, progress=False)
    task.save_pretrained(tmp_path / "here")
    assert task.push_to_hub("owner/task", private=False) == "hub/owner/task"
    assert hub.kinds == {"owner/task": ("model", False)}
    for name in (shutil.move(tmp_path / "here", tmp_path / "there"), "owner/task"):
        again = load_task(name)
        assert type(again) is type(task) and again.settings() == task.settings()
        same_scores(again.evaluate(rows, progress=False), expected)
        assert again.predictions(rows, progress=False) == answers
    univl = UniVL.from_pretrained(tmp_path / "there")
    assert all(torch.equal(weight, task.univl.state_dict()[name]) for name, weight in univl.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_the_snippet_of_the_card_gives_its_scores(task, data, tmp_path):
    task.save_pretrained(tmp_path, card="## Limits\n\nToo small.\n")
    describe(tmp_path, scores=task.evaluate(load_rows(task.kind, data, "test"), progress=False))
    card = (tmp_path / "README.md").read_text()
    assert f"# UniVL for {task.kind}" in card and "Too small." in card
    snippet = textwrap.dedent(card.split("\n\n    ")[1].join(["    ", ""]).split("\n\n")[0])
    found = {}
    exec(snippet.replace("this folder", str(tmp_path)).replace("your data", str(data)), found)
    printed = dict(re.findall(r"(?m)^\| (.+?) \| (\S+) \|$", card))
    del printed["score"]
    assert printed == {name: f"{value:.4g}" for name, value in found["scores"].items()}


def test_settings_that_are_not_the_usual_ones_come_back(tmp_path):
    made = small(Captioning, tmp_path, text="both", references="raw", num_beams=2, stopping="release")
    made.save_pretrained(tmp_path / "task")
    again = Captioning.from_pretrained(tmp_path / "task")
    assert again.settings() == {"text": "both", "references": "raw", "num_beams": 2, "stopping": "release"}
    assert (again.config.max_words, again.config.max_frames, again.config.train.batch_size) == (12, 6, 4)
    blind = small(Sentiment, tmp_path, modalities=("video",))
    blind.save_pretrained(tmp_path / "task")
    assert load_task(tmp_path / "task").modalities == ("video",), "another task in the same folder"
    small(Localization, tmp_path).save_pretrained(tmp_path / "task")
    assert not (tmp_path / "task" / "task.safetensors").exists()
    Segmentation(tiny_univl(made.tokenizer, ()), None, config()).save_pretrained(tmp_path / "new")
    assert load_task(tmp_path / "new").classes == [], "before it was fitted, and without a tokenizer"


def test_the_predictions_of_each_kind(task, data):
    """Rows of the one schema in, plain JSON out."""
    rows = load_rows(task.kind, data, "test")
    lines = json.loads(json.dumps(task.predictions(rows, progress=False)))
    plain = task.predict(rows, progress=False)
    assert len(lines) == 4
    for number, line in enumerate(lines):
        if task.kind == "retrieval":
            best = np.argsort(-plain[number], kind="stable")
            assert [clip["video_id"] for clip in line["candidates"]] == [str(place) for place in best]
            assert line["query"] == rows["caption"][number]
            assert line["candidates"][0]["similarity"] == pytest.approx(plain[number].max())
            continue
        assert line["video_id"] == str(number)
        if task.kind == "captioning":
            assert line == {"video_id": str(number), "caption": plain[number]}
        elif task.kind == "sentiment":
            assert line["sentiment"] == pytest.approx(plain[number])
        elif task.kind == "segmentation":
            assert line["labels"] == plain[number] and len(line["labels"]) == 9 and line["feature_rate"] == 1
            assert line["segments"] == stretches(plain[number], 1.0)
        else:
            assert [step["time"] for step in line["steps"]] == plain[number].seconds().tolist()
            in_order = [step["ordered time"] for step in line["steps"]]
            assert in_order == sorted(in_order) and [step["label"] for step in line["steps"]] == plain[number].steps


def test_stretches_are_in_seconds_and_leave_out_the_background():
    labels = ["cut", "cut", "background", "cut", "fry"]
    assert [tuple(part.values()) for part in stretches(labels, 2.0)] == [
        ("cut", 0.0, 1.0),
        ("cut", 1.5, 2.0),
        ("fry", 2.0, 2.5),
    ]
    assert stretches([], 1.0) == stretches(["background"], 1.0) == []


def test_rows_of_videos_become_segments_for_retrieval_and_captioning(tmp_path):
    folder = write_split(tmp_path, "test")
    file = folder / "test" / "metadata.jsonl"
    lines = [json.loads(line) | {"step_captions": ["a", "b", "b"]} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [len(load_rows(kind, folder, "test")) for kind in ("captioning", "retrieval", "segmentation")]
    assert found == [12, 2, 4], "each step; each caption once; whole videos"
    assert len(load_rows("captioning", folder, "test", subset=2)) == 6


# Failures


BROKEN = {
    "no task": (lambda s: s.pop("task"), "no entry 'task', so this is no fine-tuned task"),
    "no univl": (lambda s: s.pop("univl"), "config.json"),
    "no lengths": (lambda s: s.pop("inputs"), "'inputs' must have max_words"),
    "task is a list": (lambda s: s.update(task=[1]), "'task' must have kind"),
    "unknown kind": (lambda s: s["task"].update(kind="dancing"), "has the task 'dancing': expected retrieval"),
    "kind is a list": (lambda s: s["task"].update(kind=["sentiment"]), "kind must be str"),
    "other kind": (lambda s: s["task"].update(kind="localization", settings={"code": "x"}), "code"),
    "more than that": (lambda s: s["task"].update(code="run me"), "and nothing else"),
    "batch of none": (lambda s: s["task"].update(batch_size=0), "batch_size must be int"),
    "batch is true": (lambda s: s["task"].update(batch_size=True), "batch_size must be int"),
    "words as text": (lambda s: s["inputs"].update(max_words="12"), "max_words must be int"),
    "too many words": (lambda s: s["inputs"].update(max_words=99), "its model reads 24 words"),
    "unknown setting": (lambda s: s["task"]["settings"].update(code="run me"), "code"),
    "wrong modality": (lambda s: s["task"]["settings"].update(modalities=["smell"]), "text, video or both"),
    "modality of no type": (lambda s: s["task"]["settings"].update(modalities=3), "cannot|not iterable"),
    "part that is not there": (lambda s: s["univl"].update(parts=[]), "do not fit"),
    "size as text": (lambda s: s["univl"].update(hidden_size="wide"), "."),
    "size of none": (lambda s: s["univl"].update(num_heads=0), "."),
    "other size": (lambda s: s["univl"].update(hidden_size=64), "do not fit"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    small(Sentiment, folder).save_pretrained(folder / "task")
    return folder / "task"


@pytest.mark.parametrize("name", BROKEN)
def test_a_config_that_somebody_broke(name, saved, tmp_path):
    folder, (change, message) = shutil.copytree(saved, tmp_path / "task"), BROKEN[name]
    settings = json.loads((folder / "config.json").read_text())
    change(settings)
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        load_task(folder)


@pytest.mark.parametrize("content", ["{broken", "[]", '"task"', "null"])
def test_a_config_that_is_none(content, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "task")
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="config.json"):
        load_task(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "task.safetensors"])
def test_weights_that_cannot_be_used(file, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "task")
    whole = (folder / file).read_bytes()
    for content, message in ((whole[:200], "damaged"), (b"", "empty"), (None, "no weights file")):
        (folder / file).write_bytes(content) if content is not None else (folder / file).unlink()
        with pytest.raises(CheckpointError, match=message):
            load_task(folder)
    torch.save({}, folder / file.replace(".safetensors", ".bin"))  # nobody looks at it
    save_file({"other": torch.zeros(2)}, folder / file)
    with pytest.raises(CheckpointError, match="do not fit(.|\n)*missing(.|\n)*unexpected"):
        load_task(folder)


def test_other_folders_and_names(saved, tmp_path):
    with pytest.raises(CheckpointError, match="is of the task 'sentiment', not 'captioning': open it with load_task"):
        Captioning.from_pretrained(saved)
    (folder := shutil.copytree(saved, tmp_path / "task")).joinpath("tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="no tokenizer in"):
        load_task(folder)
    with pytest.raises(CheckpointError, match="not a folder on disk"):
        load_task(tmp_path / "nowhere" / "at" / "all")
    settings = json.loads((saved / "config.json").read_text())
    tiny_univl(tokenizer_in(tmp_path / "univl"), ()).save_pretrained(tmp_path / "univl")
    bare = json.loads((tmp_path / "univl" / "config.json").read_text())
    (tmp_path / "univl" / "config.json").write_text(json.dumps({**settings, **bare}))
    with pytest.raises(CheckpointError, match="its model has no cross"):
        load_task(tmp_path / "univl")
    UniVL.from_pretrained(saved).save_pretrained(tmp_path / "univl")
    with pytest.raises(CheckpointError, match="minivl finetune"):
        load_task(tmp_path / "univl")


@pytest.mark.parametrize(
    "kind, settings, message",
    [
        (Captioning, {"num_beams": "5"}, "num_beams must be a number above 0"),
        (Captioning, {"stopping": "never"}, "stopping must be"),
        (Segmentation, {"classes": ["cut", "cut"]}, "different strings"),
        (Segmentation, {"classes": [1]}, "different strings"),
        (Segmentation, {"classes": "cut"}, "different strings"),
        (Retrieval, {"method": "both"}, "method must be"),
    ],
)
def test_settings_that_make_no_sense(kind, settings, message, tmp_path):
    tokenizer = tokenizer_in(tmp_path)
    with pytest.raises(ConfigError, match=message):
        kind(tiny_univl(tokenizer, ("cross", "decoder")), tokenizer, config(), **settings)
