"""The reproduction ledger: values of ours are computed from results, and rows that say too little are refused."""

import csv
import re

import pandas as pd
import pytest

from minivl.config import CHECKOUT
from minivl.fullscale.recipes import recipes
from minivl.ledger import (
    COLUMNS,
    NOT_RUN,
    RELEASE_COLUMNS,
    RESULTS,
    SMALL,
    LedgerError,
    Measured,
    directions,
    ledger_table,
    measure,
    read_ledger,
    read_releases,
    releases_table,
)

SOURCE = "some.csv::good, tuned::R@1"
ROW = {
    "paper": "A",
    "table": "table 1",
    "task": "retrieval",
    "corpus": "C",
    "protocol": "test split",
    "metric": "R@1",
    "kind": "level",
    "paper_value": "28.9",
    "command": "minivl x",
    "status": SMALL,
    "source": SOURCE,
    "source_command": "minivl y",
    "note": "",
}
GAIN = {**ROW, "kind": "gain", "metric": "gain", "source": "some.csv::good, tuned minus bad::R@1"}


@pytest.fixture
def results(tmp_path):
    table = [
        ("good, tuned", 0, 10.0, None),
        ("good, tuned", 1, 13.0, None),
        ("good, tuned", 2, 16.0, None),
        ("bad", 2, 5.0, 1.0),
        ("bad", 1, 3.0, 2.0),
        ("bad", 0, 1.0, 4.0),
        ("few", 0, 7.0, None),
    ]
    pd.DataFrame(table, columns=["cell", "seed", "R@1", "loss"]).to_csv(tmp_path / "some.csv", index=False)
    return tmp_path


def written(folder, *rows, columns=COLUMNS, name="ledger.csv"):
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def test_values_come_from_the_results(results):
    level = measure(SOURCE, results)
    assert (level.mean, level.spread, level.seeds, level.low) == (13.0, 3.0, 3, None)
    with pytest.raises(ValueError, match="only a gain has"):
        directions([level])
    gain = measure(GAIN["source"], results)  # 9, 10 and 11 by seed; t = 4.303 for two degrees of freedom
    assert (gain.mean, gain.spread, gain.seeds) == (10.0, 1.0, 3) and directions([gain]) == ["higher"]
    assert (gain.low, gain.high) == pytest.approx((10 - 4.303 / 3**0.5, 10 + 4.303 / 3**0.5), abs=1e-3)
    assert directions([measure("some.csv::bad minus good, tuned::R@1", results)]) == ["lower"]
    assert directions([measure("some.csv::bad minus bad::R@1", results)]) == ["nothing shown"]
    assert measure("some.csv::bad::R@1 + loss", results).mean == pytest.approx((5 + 1 + 3 + 2 + 1 + 4) / 3)
    assert measure("some.csv::bad where seed is 1::R@1", results).mean == 3
    (results / "other.csv").write_text("cell,seed,R@1\ncalm,1,3\ncalm,0,1\ncalm,2,5\n")
    assert measure("some.csv::good, tuned::R@1 minus other.csv::calm::R@1", results) == gain
    (results / "runs.csv").write_text("recipe,trainable\na,561200\nb,7\n")
    assert measure("runs.csv::a::trainable", results).mean == 561200


def test_gains_of_a_table_are_judged_together():
    """p of 0.02 is enough alone, and not beside two others."""
    gains = [Measured(1.0, 1.0, 5, low=0.2, high=1.8, p=p) for p in (0.02, 0.5, 0.9)]
    assert directions(gains[:1]) == ["higher"] and directions(gains) == ["nothing shown"] * 3


@pytest.mark.parametrize(
    "source, message",
    [
        ("later.csv::good, tuned::R@1", "there is no later.csv"),
        ("some.csv::good::R@1", "no 'good' in the column 'cell'"),
        ("some.csv::bad::R@5", "no score 'R@5'"),
        ("some.csv::bad", "FILE::CELL::SCORE"),
        ("some.csv::good, tuned::loss", "has no 'loss'"),
        ("some.csv::bad minus few::R@1", "of the two cells differ"),
    ],
)
def test_sources_that_do_not_exist_are_named(results, source, message):
    with pytest.raises(LedgerError, match=re.escape(message)):
        measure(source, results)
    with pytest.raises(LedgerError, match="line 2.*" + re.escape(message)):
        read_ledger(written(results, {**ROW, "source": source}), results)


def test_the_table(results):
    rows = [
        ROW,
        GAIN,
        {**GAIN, "metric": "claim", "paper_value": "+"},
        {**ROW, "metric": "R@5", "status": NOT_RUN, "source": "", "source_command": ""},
        {**ROW, "metric": "same data", "status": "reproduced", "paper_value": "12.5"},
        {**ROW, "metric": "unknown", "paper_value": "not at hand", "source": "some.csv::few::R@1"},
    ]
    table = ledger_table(read_ledger(written(results, *rows), results)).set_index("metric")
    assert table["ours"].tolist() == [
        "13.00 ± 3.00 (3 seeds)",
        "+10.00 [+7.52, +12.48]: higher",
        "+10.00 [+7.52, +12.48]: higher",
        NOT_RUN,
        "13.00 ± 3.00 (3 seeds)",
        "7",
    ]
    assert table["delta"].tolist() == ["other data", "other data", "-", "-", "+0.50", "-"]
    assert table.loc["claim", "paper"] == "better, no number at hand"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"protocol": " "}, "empty: protocol"),
        ({"paper_value": ""}, "empty: paper_value"),
        ({"status": "done"}, "status 'done'"),
        ({"kind": "delta"}, "kind 'delta'"),
        ({"status": NOT_RUN}, "exactly what was run"),
        ({"source": "", "source_command": ""}, "exactly what was run"),
        ({"source_command": ""}, "belong together"),
        ({"paper_value": "+"}, "a number"),
        ({"paper_value": "about 3"}, "a number"),
        ({"kind": "gain"}, "only a gain"),
        ({"source": GAIN["source"]}, "only a gain"),
    ],
)
def test_rows_that_say_too_little(results, changes, message):
    with pytest.raises(LedgerError, match=f"line 2.*{message}"):
        read_ledger(written(results, {**ROW, **changes}), results)


def test_files_that_are_no_ledger(results):
    with pytest.raises(LedgerError, match="already in line 2"):
        read_ledger(written(results, ROW, {**ROW, "note": "again"}), results)
    with pytest.raises(LedgerError, match="expected paper, table"):
        read_ledger(written(results, columns=COLUMNS[:-1]), results)
    with pytest.raises(LedgerError, match="line 2: 13 fields"):
        path = written(results)
        path.write_text(path.read_text() + "only,two\n")
        read_ledger(path, results)
    with pytest.raises(LedgerError, match="there is no"):
        read_ledger(results / "none.csv", results)


def test_differences_of_paper_and_release(results):
    row = dict.fromkeys(RELEASE_COLUMNS, "x") | {"source": "", "effect": ""}
    rows = [
        row,
        {**row, "source": GAIN["source"]},
        {**row, "source": "tests/test_ledger.py::test_the_table", "effect": "it is asserted"},
    ]
    read = read_releases(written(results, *rows, columns=RELEASE_COLUMNS), results)
    assert releases_table(read)["measured effect"].tolist() == [
        "not measured",
        "R@1: +10.00 [+7.52, +12.48]: higher (good, tuned minus bad)",
        "it is asserted (test_the_table)",
    ]
    for changes, message in (
        ({"source": "tests/test_ledger.py::test_nothing", "effect": "y"}, "no such test"),
        ({"effect": "3 points"}, "says in words"),
        ({"release": ""}, "empty: release"),
    ):
        with pytest.raises(LedgerError, match=f"line 2: .*{message}"):
            read_releases(written(results, {**row, **changes}, columns=RELEASE_COLUMNS), results)


# The committed files


@pytest.fixture(scope="module")
def ledger():
    return read_ledger()


def test_the_committed_ledger_names_every_cell_of_the_plan(ledger):
    cells = set(zip(ledger["corpus"], ledger["metric"], ledger["paper_value"], strict=True))
    assert cells >= {
        ("YouCook2", "t2v R@1", "28.9"),
        ("MSR-VTT", "t2v R@1", "21.2"),
        ("YouCook2", "BLEU-4", "17.35"),
        ("YouCook2", "CIDEr", "1.81"),
        ("COIN", "frame accuracy", "70.02"),
        ("CrossTask", "average recall", "42.0"),
        ("CMU-MOSI", "correlation", "0.767"),
        ("MSR-VTT", "t2v R@1", "47.0"),
        ("MSR-VTT", "v2t R@1", "47.7"),
        ("MSR-VTT", "t2v R@1", "50.5"),
        ("MSR-VTT", "R@sum", "201.7"),
        ("MSR-VTT", "R@sum", "4.4"),
        ("MSR-VTT", "t2v R@1", "1.5"),
        ("COIN", "frame accuracy", "9"),
        ("YouCook2", "R@1", "3"),
        ("YouCook2", "BLEU-4, video", "0.3"),
    }
    assert {"LSMDC", "ActivityNet Captions", "DiDeMo"} <= set(ledger["corpus"])
    assert ledger["table"].str.contains("EnhancedV").any()
    assert set(ledger["source"].str.partition("::")[0]) <= {"", *(path.name for path in RESULTS.glob("*.csv"))}


def test_rows_can_be_told_apart_where_they_are_shown(ledger):
    table = ledger_table(ledger)
    assert not table[["corpus", "protocol", "metric", "where the paper has it"]].duplicated().any()
    assert (table["protocol"].str.len() < 150).all()


def test_what_no_source_says_has_no_value(ledger):
    assert set(ledger.loc[ledger["table"].str.startswith("no source here"), "paper_value"]) == {"not at hand"}


def test_published_results_of_the_recipes_are_in_the_ledger(ledger):
    for recipe in recipes().values():
        rows = ledger[ledger["command"].str.contains(f"--recipe {recipe.name}(?![\\w-])")]
        published = {float(value) for value in rows["paper_value"] if value not in ("+", "not at hand")}
        assert {result.value for result in recipe.results} <= published, recipe.name


def test_committed_differences_name_settings_that_exist():
    releases = read_releases()
    assert {"UniVL", "DiscoVLA", "both"} == set(releases["paper"])
    source = "".join(path.read_text() for path in (CHECKOUT / "minivl").rglob("*.py"))
    for setting in releases["setting"]:
        name = re.match(r"(?:\w+\.)+(\w+)|(\w+)\((\w+)=", setting)
        if name and not setting.startswith("not in"):
            assert re.search(rf"\b{name[1] or name[3]}\b", source), setting
