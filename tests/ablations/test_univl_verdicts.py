"""Verdicts on UniVL's parts: the committed ones follow from the committed runs, question by question."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from minivl.ablations.runner import AblationError
from minivl.ablations.univl import CELLS, SCORES
from minivl.ablations.univl_regimes import ALIGNED_CELLS, LONG_CELLS
from minivl.ablations.univl_verdicts import QUESTIONS, asked, judge, read_results, summary
from minivl.cli import app
from minivl.config import BUNDLED

RESULTS = BUNDLED / "results"


@pytest.fixture(scope="module")
def judged():
    return judge(read_results(RESULTS))


def test_committed_verdicts_follow_from_the_committed_runs(judged):
    committed = pd.read_csv(RESULTS / "univl_verdicts.csv")
    pd.testing.assert_frame_equal(committed, judged, rtol=1e-4, check_dtype=False)


def test_every_variant_is_asked_about():
    cells = {cell.name for cell in (*CELLS, *ALIGNED_CELLS, *LONG_CELLS)}
    assert {name for pairs in QUESTIONS.values() for pair in pairs for name in pair} == cells


def test_a_question_is_corrected_for_its_own_comparisons(judged):
    table = summary(judged)
    assert table["comparisons"].to_dict() == {name: len(pairs) * len(SCORES) for name, pairs in QUESTIONS.items()}
    assert (table["shown"] <= table["intervals without 0"]).all()
    assert (table["shown, corrected for all"] <= table["shown"]).all()
    parts = judged[judged["question"] == "objectives"]
    assert parts["Holm p"].min() == pytest.approx(40 * parts["p"].min())
    assert judged["Holm p, all"].min() == pytest.approx(len(judged) * judged["p"].min())


def test_an_answer_as_it_is_shown(judged):
    one = asked(judged, "weight of Joint", "Joint x 10", "StagedP")
    assert one.index.tolist() == list(SCORES) and set(one["verdict"]) == {"nothing shown"}
    assert len(asked(judged, "objectives")) == 5 * len(SCORES)
    with pytest.raises(AblationError, match="no comparison"):
        asked(judged, "objectives", "StagedP", "one stage")


def test_the_command(tmp_path):
    refused = CliRunner().invoke(app, ["ablate", "univl-verdicts", str(tmp_path)])
    assert refused.exit_code and "univl_ablation.csv" in str(refused.exception or refused.output)
    for name in ("univl_ablation.csv", "univl_regimes.csv"):
        (tmp_path / name).write_bytes((RESULTS / name).read_bytes())
    result = CliRunner().invoke(app, ["ablate", "univl-verdicts", str(tmp_path)], catch_exceptions=False)
    assert "weight of Joint" in result.output
    assert (tmp_path / "univl_verdicts.csv").read_bytes() == (RESULTS / "univl_verdicts.csv").read_bytes()
