"""Result files of mteb: as mteb 2.26.24 wrote them for the bundled CLIP, shortened; and what others published."""

import json

import pandas as pd
import pytest

from minivl.ledger import measure
from minivl.results.published import ResultError, beside_published, ledger_rows, mteb_scores, published_retrieval

SCORES = {"ndcg_at_1": 0.4, "recall_at_1": 0.4, "recall_at_3": 0.9, "recall_at_5": 1.0, "recall_at_10": 1.0,
          "nauc_recall_at_5_std": float("nan"), "main_score": 0.73235, "hf_subset": "default"}  # fmt: skip


def result(scores=SCORES):
    head = {"dataset_revision": "4661", "task_name": "MSRVTTT2V", "mteb_version": "2.26.24", "evaluation_time": 4.4}
    return {**head, "scores": {"test": [{**scores, "languages": ["eng-Latn"]}]}, "kg_co2_emissions": None}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "results" / "minivl__kitchen" / "916413ce20b89574"
    place.mkdir(parents=True)
    (place / "MSRVTTT2V.json").write_text(json.dumps(result()))
    (place / "model_meta.json").write_text('{"name": "minivl/kitchen"}')
    return place


def test_recalls_are_read_and_other_files_passed_over(folder):
    found = mteb_scores(folder.parents[2])
    assert list(found["metric"]) == ["t2v R@1", "t2v R@5", "t2v R@10"] and list(found["value"]) == [40, 100, 100]
    assert set(found["model"]) == {"minivl/kitchen"} and set(found["corpus"]) == {"MSR-VTT"}


def test_a_folder_in_place_of_the_hub_is_not_taken_for_its_test_set(folder):
    (folder / "MSRVTTT2V.json").write_text(json.dumps({**result(), "dataset_revision": "local-12ab"}))
    assert set(mteb_scores(folder)["test set"]) == {"a local folder"}


def test_what_is_no_result_is_named(folder, tmp_path):
    (folder / "VATEXV2TRetrieval.json").write_text(json.dumps(result({"ndcg_at_1": 1.0})))
    with pytest.raises(ResultError, match=r"VATEXV2TRetrieval.json is no result file of mteb.*recall_at_1"):
        mteb_scores(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultError, match="there is no result of mteb"):
        mteb_scores(tmp_path / "empty")


def test_published_values_stand_beside_with_their_sources(folder):
    table = beside_published(mteb_scores(folder))
    at_1 = table[table["metric"] == "t2v R@1"]
    assert {"minivl/kitchen", "X-CLIP", "PE core G/14", "InternVideo2 s2 6B"} <= set(at_1["model"])
    assert set(table["corpus"]) == {"MSR-VTT"} and table["source"].str.len().gt(0).all()
    assert set(at_1.loc[at_1["model"] == "minivl/kitchen", "test set"]) == {"mteb's"}
    assert (published_retrieval()["value"] > 0).all()


def test_a_published_value_without_a_source_is_refused(tmp_path):
    table = published_retrieval().astype(str)
    for change in ({"source": ""}, {"value": "0.49"}):
        table.head(2).assign(**change).to_csv(tmp_path / "published.csv", index=False)
        with pytest.raises(ResultError, match=f"line 2: {next(iter(change))} is missing"):
            published_retrieval(tmp_path / "published.csv")


def test_the_ledger_can_name_a_score(folder, tmp_path):
    rows = ledger_rows(mteb_scores(folder))
    assert isinstance(rows, pd.DataFrame)
    rows.to_csv(tmp_path / "mteb.csv", index=False)
    assert measure("mteb.csv::minivl/kitchen, MSRVTTT2V::t2v R@1", tmp_path).mean == 40
