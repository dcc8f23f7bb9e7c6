"""`--json`, `--out` and `minivl compare`, as they are typed."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from minivl.cli import app
from minivl.config import BUNDLED
from minivl.results.files import load_results
from minivl.results.scores import by_example

KITCHEN = BUNDLED / "kitchen"


def minivl(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """(what was printed, the folder) of the bundled CLIP on eight clips."""
    folder = tmp_path_factory.mktemp("evaluated") / "results"
    answer = minivl("evaluate", "--subset", 8, "--data", KITCHEN, "--json", "--out", folder)
    assert answer.exit_code == 0, answer.exception
    return answer, folder


def test_standard_output_is_one_object_and_the_same_as_the_file(evaluated):
    answer, folder = evaluated
    record = json.loads(answer.stdout)
    assert record == json.loads((folder / "results.json").read_text())
    assert "test, 8 clips:" in answer.stderr and record["data"]["examples"] == 8
    assert record["scores"]["t2v R@1"]["guessing"]["chance"] == pytest.approx(100 / 8)
    names = {path.name for path in folder.iterdir()}
    assert names == {"results.json", "queries.csv", "figure.png", "run.trec", "qrels.trec"}
    means = {name: of.values.mean() for name, of in by_example(load_results(folder).queries).items()}
    assert means == pytest.approx({name: record["scores"][name]["value"] for name in means}, abs=1e-6)


def test_results_that_are_there_are_not_replaced_and_nothing_is_loaded_for_that(evaluated, monkeypatch):
    monkeypatch.setattr("minivl.tasks.clip.retrieval.load_model", None)
    answer = minivl("evaluate", "--data", KITCHEN, "--out", evaluated[1])
    assert "exists: give another --out, or --overwrite" in str(answer.exception)
    assert "give --out, too" in str(minivl("evaluate", "--data", KITCHEN, "--overwrite").exception)


def test_compare_prints_pairs_and_writes_its_own_folder(evaluated, tmp_path):
    folder = evaluated[1]
    plain = minivl("compare", folder, folder, "--top", 2)
    assert plain.exit_code == 0 and "changed most, 2 of 16" in plain.stdout, plain.exception
    answer = minivl("compare", folder, folder, "--json", "--out", tmp_path / "c")
    record = json.loads(answer.stdout)
    assert record["kind"] == "comparison" and record["differences"]["R@sum"]["difference"] == 0
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"results.json", "changes.csv", "figure.png"}
    assert len(pd.read_csv(tmp_path / "c" / "changes.csv")) == 16
    assert "holds comparison" in str(minivl("compare", folder, tmp_path / "c").exception)


def test_answers_of_a_search(tmp_path):
    arguments = ["a red pot", KITCHEN / "test", "--top", 2, "--index", tmp_path / "index"]
    answer = minivl("search", *arguments, "--json", "--out", tmp_path / "found")
    record = json.loads(answer.stdout)
    assert [found["rank"] for found in record["answers"]] == [1, 2] and record["query"] == "a red pot"
    table = pd.read_csv(tmp_path / "found" / "answers.csv")
    assert list(table["path"]) == [found["path"] for found in record["answers"]]
    run = (tmp_path / "found" / "run.trec").read_text().split("\n")
    assert run[0].startswith("q1 Q0 ") and run[1].split()[3] == "2"
    assert (tmp_path / "found" / "figure.png").stat().st_size > 1000
    assert "one query" in str(minivl("search", KITCHEN / "test", "--interactive", "--json").exception)


def test_scores_that_cannot_be_there_are_told_before_training(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "metadata.jsonl").write_text("{}\n")
    answer = minivl("adapt", "--data", tmp_path, "--json")
    assert "has no val/ with clips that training did not see" in str(answer.exception)


def test_an_ablation_is_one_object_with_a_figure_beside_each_table(tmp_path, monkeypatch):
    table = pd.DataFrame({"cell": ["a", "a", "b"], "seed": [0, 1, 0], "t2v R@1": [1.0, 3.0, 5.0]})
    monkeypatch.setattr("minivl.ablations.discovla.run_study", lambda *_: table)
    monkeypatch.setattr("minivl.ablations.discovla.SCORES", ["t2v R@1"])
    answer = minivl("ablate", "discovla", "dial", "--out", tmp_path, "--json", "--scale", "tiny")
    record = json.loads(answer.stdout)
    cells = record["tables"]["discovla_dial.csv"]
    assert cells["a"]["t2v R@1"]["mean"] == 2 and cells["a"]["t2v R@1"]["seeds"] == 2
    assert cells["a"]["t2v R@1"]["low"] < 2 < cells["a"]["t2v R@1"]["high"] and "low" not in cells["b"]["t2v R@1"]
    assert record == json.loads((tmp_path / "results.json").read_text())
    assert (tmp_path / "discovla_dial.png").stat().st_size > 1000
