"""What `--out` writes: queries, intervals, TREC's files, the folder; and comparisons of two of them."""

import json
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from minivl.config import ConfigError
from minivl.metrics.retrieval import group_metrics, retrieval_metrics
from minivl.plots import recall_curves, score_changes, score_intervals
from minivl.results.comparison import compare_results
from minivl.results.files import load_results, write_results
from minivl.results.names import FILES, QUERIES, require_free
from minivl.results.queries import example_table, ids_of, place_name, retrieval_table
from minivl.results.record import json_text, record_of, scores_record
from minivl.results.scores import by_example, scored
from minivl.results.trec import answers_text, qrels_text, run_text

VIDEO_OF_TEXT = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5])
CLIPS = ["a pot", "b", "b", "sub/c.mp4", "NA", "f"]
CAPTIONS = [f"caption, {number}" for number in range(9)]
GROUPS = ["x", "x", "x", "y", "y", "y"]


def similarity(seed=0, tied=False):
    scores = np.random.default_rng(seed).normal(size=(9, 6)).astype(np.float32)
    return scores.round(0) if tied else scores


def table(seed=0, tied=False, groups=GROUPS):
    return retrieval_table(similarity(seed, tied), VIDEO_OF_TEXT, CAPTIONS, CLIPS, groups)


def flat(metrics):
    return {f"{way} {name}": value for way in ("t2v", "v2t") for name, value in metrics[way].items()} | {
        "R@sum": metrics["R@sum"]
    }


def folder(place, seed=0, data="1234", task="retrieval", queries=None):
    queries = table(seed) if queries is None else queries
    scores = scored(flat(retrieval_metrics(similarity(seed), VIDEO_OF_TEXT)), {}, queries)
    record = record_of("scores", "minivl evaluate", task=task, data={"sha256": data}, scores=scores_record(scores))
    return write_results(place, record, {QUERIES: queries}, {}, None)


@pytest.mark.parametrize("tied", [False, True])
def test_the_scores_of_a_set_are_the_means_over_its_table(tied):
    means = {name: of.values.mean() for name, of in by_example(table(tied=tied)).items()}
    wanted = flat(retrieval_metrics(similarity(tied=tied), VIDEO_OF_TEXT))
    wanted |= group_metrics(similarity(tied=tied), GROUPS, VIDEO_OF_TEXT)
    assert means == pytest.approx({name: wanted[name] for name in means})
    assert set(wanted) - set(means) == {"t2v MedR", "v2t MedR", "within-group chance"}


def test_clusters_are_groups_or_clips():
    assert set(by_example(table())["R@sum"].clusters) == {"x", "y"}
    assert set(by_example(table(groups=None))["R@sum"].clusters) == set(ids_of(CLIPS))


def test_an_interval_stands_where_a_score_is_a_mean_and_guessing_beside_it():
    found = scored({"t2v R@1": 3.0, "t2v MedR": 2.0}, {"chance": {"t2v R@1": 16.7}}, table())
    own = by_example(table())["t2v R@1"].values.mean()
    assert found["t2v R@1"].low <= own <= found["t2v R@1"].high and found["t2v R@1"].guessing == {"chance": 16.7}
    assert found["t2v MedR"].low is None and found["t2v MedR"].guessing == {}


def test_an_example_with_a_weight_counts_as_often():
    queries = example_table(["a", "b"], {"weight": [1, 3], "frame accuracy": [0.0, 100.0]})
    examples = by_example(queries)["frame accuracy"]
    assert examples.values.mean() == 75 and list(examples.clusters) == ["a", "b", "b", "b"]


def test_ids_have_no_white_space_and_differ():
    assert ids_of(CLIPS) == ["a%20pot", "b", "b~2", "sub/c.mp4", "NA", "f"]
    assert place_name({"video_id": "v", "start": 1.0, "end": 2.5}) == "v@1-2.5"


def parsed(text):
    """A run, or judgements, as a program that knows nothing but the format reads it: query -> {document: number}."""
    found = defaultdict(dict)
    for line in text.splitlines():
        fields = line.split()
        query, document, value = (fields[0], fields[2], fields[4 if len(fields) == 6 else 3])
        assert len(fields) in (4, 6) and document not in found[query]
        found[query][document] = float(value)
    return found


def test_a_run_and_its_judgements_give_the_recall_of_the_package():
    run, right = parsed(run_text(similarity(), VIDEO_OF_TEXT, CLIPS)), parsed(qrels_text(VIDEO_OF_TEXT, CLIPS))
    assert run.keys() == right.keys() == set(table().query("way == 't2v'")["query"])
    best = {query: sorted(scores, key=scores.get, reverse=True) for query, scores in run.items()}
    recall = {k: 100 * np.mean([bool(set(best[query][:k]) & set(right[query])) for query in run]) for k in (1, 5)}
    metrics = retrieval_metrics(similarity(), VIDEO_OF_TEXT)["t2v"]
    assert recall == pytest.approx({k: metrics[f"R@{k}"] for k in recall})
    ranks = [int(line.split()[3]) for line in run_text(similarity(), VIDEO_OF_TEXT, CLIPS).splitlines()]
    assert ranks == list(range(1, 7)) * 9, "best first"
    assert parsed(answers_text(["my clip", "b"], [0.5, 0.25])) == {"q1": {"my%20clip": 0.5, "b": 0.25}}


def test_a_folder_is_read_back_as_it_was(tmp_path):
    folder(tmp_path / "a")
    queries = load_results(tmp_path / "a").queries
    pd.testing.assert_frame_equal(queries, table(), check_dtype=False, rtol=1e-6)
    assert "NA" in set(queries["answer"]) | set(queries["target"]), "a clip may be called so"


def test_results_are_replaced_only_when_that_is_said_and_then_whole(tmp_path):
    place = folder(tmp_path / "a")
    (place / "run.trec").write_text("of an earlier result")
    (place / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"results.json exists: give another --out, or --overwrite"):
        require_free(place, overwrite=False)
    require_free(place, overwrite=True)
    folder(place)
    assert sorted(path.name for path in place.iterdir()) == ["notes.txt", "queries.csv", "results.json"]
    with pytest.raises(ConfigError, match="is a file"):
        require_free(place / "notes.txt", overwrite=True)
    require_free(tmp_path / "new", overwrite=False)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("results.json", "{}", "not of format 1"),
        ("results.json", '{"format": 1, "kind": "answers"}', "holds answers"),
        ("results.json", "[", "cannot be read as JSON"),
        ("queries.csv", 'a,b\n"', "cannot be read as a table|no column"),
        ("queries.csv", "way,rank\nt2v,1\n", "no column R@1, R@10, R@5, cluster, query, target"),
        ("queries.csv", "way,query,cluster,rank\nt2v,q,c,first\n", "cannot be read as a table"),
    ],
)
def test_a_damaged_folder_is_told(tmp_path, name, content, message):
    place = folder(tmp_path / "a")
    (place / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_results(place)


def test_a_folder_without_results_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"has no results.json: give a folder that --out"):
        load_results(tmp_path)
    (folder(tmp_path / "a") / QUERIES).unlink()
    with pytest.raises(ConfigError, match=r"has no queries.csv"):
        load_results(tmp_path / "a")


def test_a_result_beside_itself_has_no_difference(tmp_path):
    same = load_results(folder(tmp_path / "a"))
    found = compare_results(same, same)
    assert (found.differences[["difference", "low", "high"]].to_numpy() == 0).all()
    assert (found.differences["p"] == 1).all()
    assert (found.changes["rank A"] == found.changes["rank B"]).all()


def test_differences_are_b_minus_a_and_queries_are_paired_by_name(tmp_path):
    shuffled = table(1).sample(frac=1, random_state=0)
    a, b = load_results(folder(tmp_path / "a")), load_results(folder(tmp_path / "b", 1, queries=shuffled))
    found = compare_results(a, b)
    metrics = [flat(retrieval_metrics(similarity(seed), VIDEO_OF_TEXT)) for seed in (0, 1)]
    for row in found.differences.itertuples():
        assert row.difference == pytest.approx(metrics[1][row.score] - metrics[0][row.score], abs=1e-6)
        assert row.low <= row.difference <= row.high
    ratios = np.abs(np.log(found.changes["rank B"] / found.changes["rank A"]))
    assert (np.diff(ratios) <= 1e-12).all() and ratios[0] > 0
    assert set(found.changes.columns) >= {"text", "answer A", "answer B"}
    assert "Of 9 captions" in score_changes(found.differences, found.changes).alt


@pytest.mark.parametrize(
    "other, message",
    [
        ({"task": "captioning"}, "the task is retrieval and captioning"),
        ({"data": "99"}, "same names, but the test data differ"),
        ({"queries": table()[1:]}, r"1 queries are only in .*a \(a%20pot#0\)"),
        ({"queries": pd.concat([table(), table()[:1]])}, "a query stands twice"),
    ],
)
def test_what_differs_between_results_that_cannot_be_paired_is_said(tmp_path, other, message):
    a, b = load_results(folder(tmp_path / "a")), load_results(folder(tmp_path / "b", **other))
    with pytest.raises(ConfigError, match=message):
        compare_results(a, b)


def test_other_tasks_change_by_their_first_score(tmp_path):
    sides = []
    for name, values in (("a", [1.0, 2.0, 3.0]), ("b", [1.5, 2.0, 0.0])):
        queries = example_table(["x", "y", "z"], {"answer": ["", "no", "yes"], "MAE": values})
        scores = scored({"MAE": np.mean(values)}, {}, queries)
        record = record_of("scores", "", task="sentiment", data={"sha256": "1"}, scores=scores_record(scores))
        sides.append(load_results(write_results(tmp_path / name, record, {QUERIES: queries}, {}, None)))
    found = compare_results(*sides)
    assert list(found.changes["query"]) == ["z", "x", "y"] and list(found.changes["MAE B"]) == [0.0, 1.5, 2.0]
    assert "B minus A" in score_changes(found.differences, found.changes).alt


def test_numbers_that_json_cannot_write_are_null():
    record = json.loads(json_text(record_of("scores", "x", value=np.float32(np.nan), other=np.int64(3), left=None)))
    assert record["value"] is None and record["other"] == 3 and "left" not in record


def test_figures_say_what_they_show(tmp_path):
    assert "chance at k = 1: 16.7" in recall_curves(table()).alt
    scores = scored({"MAE": 1.0, "correlation": 0.2}, {"mean": {"MAE": 1.4}}, example_table("ab", {"MAE": [0.5, 1.5]}))
    picture = score_intervals(scores)
    assert "MAE 1.00 [0.50, 1.50] (mean 1.40); correlation 0.20." in picture.alt
    for name in ("a.png", "b.SVG"):
        assert picture.save(tmp_path / name).stat().st_size > 1000
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        picture.save("a")


def test_every_file_that_may_be_written_is_known_to_overwriting():
    assert {"results.json", "queries.csv", "figure.png", "run.trec", "qrels.trec"} <= set(FILES)
