"""`minivl finetune`, `evaluate` and `predict` with a task from its folder, on the reader's own data."""

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from helpers.saved_tasks import TRUTH, tiny_task, write_split
from minivl.cli import app
from minivl.config import BUNDLED
from minivl.hub.checkpoints import CheckpointError
from minivl.results.files import load_results
from minivl.results.scores import by_example
from minivl.tasks.univl import load_rows, load_task

CAPTIONER = BUNDLED / "univl_kitchen_captions"
KINDS = ("align", "captioning", "segmentation", "localization", "sentiment")


def minivl(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(autouse=True)
def no_meteor(monkeypatch):
    """Its Java takes seconds to start."""
    monkeypatch.setattr("minivl.metrics.captioning._meteor", lambda *_: None, raising=False)


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    tiny_task(request.param, folder).save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.filterwarnings("ignore")  # that so little data have no correlation
def test_own_data_need_no_truth_to_be_predicted(saved, tmp_path):
    task = load_task(saved)
    data = write_split(tmp_path / "data", "new", without=TRUTH[task.kind])
    answer = minivl(
        "predict", "--model", saved, "--data", data, "--split", "new", "--out", tmp_path / "new" / "a.jsonl"
    )
    assert answer.exit_code == 0 and "4 lines" in answer.output, answer.exception
    lines = [json.loads(line) for line in (tmp_path / "new" / "a.jsonl").read_text().splitlines()]
    assert lines == task.predictions(load_rows(task.kind, data, "new"), progress=False)
    printed = minivl("predict", "--model", saved, "--data", data, "--split", "new", "--subset", 1)
    assert json.loads(printed.stdout.splitlines()[0]).keys() == lines[0].keys()
    if TRUTH[task.kind]:
        answer = minivl("evaluate", "--model", saved, "--data", data, "--split", "new")
        assert re.search(rf"new.metadata.jsonl: .*{TRUTH[task.kind][0]}", str(answer.exception))
    write_split(data, "test")
    answer = minivl("evaluate", "--model", saved, "--data", data)
    assert answer.exit_code == 0, answer.exception
    for name, value in task.evaluate(load_rows(task.kind, data, "test"), progress=False).items():
        assert re.search(rf"(?m)^  {re.escape(name)} +{value:.2f}$", answer.output), name
    answer = minivl("evaluate", "--model", saved, "--data", data, "--json", "--out", tmp_path / "results")
    found, loaded = json.loads(answer.stdout)["scores"], load_results(tmp_path / "results")
    means = {name: of.values.mean() for name, of in by_example(loaded.queries).items() if name in found}
    assert means and means == pytest.approx({name: found[name]["value"] for name in means}, abs=1e-4)
    assert len(loaded.queries) == 4 * (2 if task.kind == "retrieval" else 1)
    assert all(score["guessing"] for score in found.values()) == (task.kind == "retrieval"), "others need train/"


READ = {"align": "caption", "segmentation": "feature_file", "localization": "task_steps", "sentiment": "transcript"}


@pytest.mark.parametrize("name", READ)
def test_what_is_missing_is_said_with_its_file(name, tmp_path):
    tiny_task(name, tmp_path).save_pretrained(tmp_path / "model")
    data = write_split(tmp_path / "own", "test", without=(READ[name], "steps", "feature_rate", "caption"))
    file = data / "test" / "metadata.jsonl"
    changed = [json.loads(line) for line in file.read_text().splitlines()]
    for number, row in enumerate(changed):
        (data / "test" / f"{number}.mp4").touch()
        row |= {"file_name": f"{number}.mp4"} | ({"feature_rate": 1.0} if name != "segmentation" else {})
    file.write_text("".join(json.dumps(row) + "\n" for row in changed))
    answer = minivl("predict", "--model", tmp_path / "model", "--data", data)
    said = {"segmentation": "have no features, .*'feature_file', a .npy file.*minivl features"}
    assert re.search(f"test.metadata.jsonl: .*{said.get(name, READ[name])}", str(answer.exception)), answer.exception


def test_finetune_evaluate_predict(tmp_path, monkeypatch):
    """The whole way, at the smallest scale and on bundled data."""
    monkeypatch.setenv("MINIVL_RUNS", str(tmp_path))
    tuned = minivl("finetune", "sentiment", "--scale", "tiny")
    assert tuned.exit_code == 0 and "majority sign" in tuned.output, tuned.exception
    model = tmp_path / "sentiment" / "model"
    assert "| val, MAE |" in (model / "README.md").read_text()
    scores = dict(re.findall(r"(?m)^  (\S.*?) {2,}(\S+)", tuned.output))
    for data in ((), ("--data", BUNDLED / "opinion_features")):
        scored = minivl("evaluate", "--model", model, "--split", "val", "--scale", "tiny", *data)
        assert dict(re.findall(r"(?m)^  (\S.*?) {2,}(\S+)", scored.output)) == scores and len(scores) > 3


def test_the_bundled_captioner_is_a_task():
    answer = minivl("predict", "--model", CAPTIONER, "--data", BUNDLED / "narrated", "--split", "val", "--subset", 2)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    truth = load_rows("captioning", BUNDLED / "narrated", "val", subset=2)["caption"]
    assert len(lines) == len(truth) and all({"video_id", "start", "end", "caption"} == line.keys() for line in lines)
    assert sum(line["caption"] == caption for line, caption in zip(lines, truth, strict=True)) > 0.8 * len(truth)


@pytest.mark.parametrize(
    "command, arguments, message",
    [
        ("predict", ["--model", CAPTIONER, "--data", "nowhere"], "no folder nowhere"),
        ("predict", ["--model", CAPTIONER, "--data", BUNDLED / "narrated", "--split", "dev"], "no split 'dev'"),
        ("predict", ["--model", "none", "--data", BUNDLED / "narrated"], "none is no fine-tuned task of UniVL"),
        ("predict", ["--model", BUNDLED / "univl_kitchen", "--data", BUNDLED / "narrated"], "is no fine-tuned task"),
        ("predict", ["--model", CAPTIONER, "--data", BUNDLED / "narrated", "--out", BUNDLED], "name a file in it"),
        ("evaluate", ["--model", CAPTIONER, "--data", BUNDLED / "narrated", "--split", "dev"], "no split 'dev'"),
        ("evaluate", ["--model", CAPTIONER, "--scale", "huge"], "unknown scale 'huge'"),
        ("evaluate", ["--split", "dev"], "no split 'dev'"),
    ],
)
def test_wrong_arguments_are_answered_before_anything_heavy_is_imported(command, arguments, message):
    program = f"""
import sys
from minivl.cli import app
try:
    app({[command, *map(str, arguments)]!r}, standalone_mode=False)
except (ValueError, OSError) as error:
    print(error)
print("heavy:", *{{"torch", "transformers", "datasets"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert message in done.stdout and done.stdout.rstrip().endswith("heavy:"), done.stdout


def test_a_damaged_task_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"univl": {}, "objectives": {}, "task": 7}')
    for arguments in (["predict", "--data", BUNDLED / "narrated"], ["evaluate"]):
        error = minivl(*arguments, "--model", tmp_path).exception
        assert isinstance(error, CheckpointError) and "'task' must have kind" in str(error)
