"""Results of ablations as the explorer compares them: finished or not, over seeds or over worlds."""

import json

import numpy as np
import pandas as pd
import pytest

from minivl.ablations.comparing import differences, read_results, run_differences, scores_of, settings_of
from minivl.ablations.runner import AblationError, Cell, Measured, compare, run_cells
from minivl.ablations.studies import STUDIES
from minivl.config import BUNDLED

RESULTS = BUNDLED / "results"


def compared(table, baseline, score):
    return differences(run_differences(table, baseline, score)).set_index("cell")


def test_differences_over_worlds_are_those_of_the_study():
    folder = RESULTS / "fusion-and-alignment"
    (table,) = read_results(folder).values()
    judged = pd.read_csv(folder / "verdicts.csv").set_index("comparison")
    for contrast in STUDIES["fusion-and-alignment"].contrasts:
        found = compared(table, contrast.b, contrast.score).loc[contrast.a]
        for column in ("difference", "low", "high"):
            assert found[column] == pytest.approx(judged.loc[contrast.name, column], abs=1e-3)


def test_differences_over_seeds_are_those_of_compare():
    table = read_results(RESULTS / "discovla_components.csv")["components"]
    found = compared(table, "zero-shot", "R@sum").loc["LoRA"]
    expected = compare(table, "LoRA", "zero-shot", "R@sum")
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx(
        [expected[name] for name in ("difference", "low", "high")]
    )
    assert found["verdict"] == "helps" and found["runs"] == expected["seeds"] == 5


def test_scores_are_what_differs_and_no_setting():
    table = read_results(RESULTS / "discovla_components.csv")["components"]
    assert {"R@sum", "find group"} <= set(scores_of(table))
    assert not {"seed", "settings.alpha", "within-group chance", "seconds"} & set(scores_of(table))
    assert "rounds 0" in settings_of(table, "zero-shot")


def half_finished(cell, seed):
    if cell.name == "late" and seed > 0 or cell.name == "never":
        raise RuntimeError("not yet")
    return Measured({"R@sum": {"base": 1.0, "other": 3.0, "late": 5.0}[cell.name] + seed**2})


def test_a_half_finished_ablation_is_read_and_says_what_it_can(tmp_path):
    cells = [Cell(name, {"kind": name}) for name in ("base", "other", "late", "never")]
    with pytest.raises(AblationError, match="failed"):
        run_cells(cells, range(3), half_finished, tmp_path / "mine" / "runs", progress=False)
    for path in (tmp_path / "mine", tmp_path / "mine" / "runs"):
        studies = read_results(path)
        assert list(studies) == ["mine"]
        found = compared(studies["mine"], "base", "R@sum")
        assert found.loc["other", ["difference", "runs", "low"]].tolist() == [2, 3, 2]
        assert found.loc["late", ["difference", "runs"]].tolist() == [4, 1]
        assert np.isnan(found.loc["late", "low"]) and found.loc["late", "verdict"] == ""
        assert "never" not in found.index


def test_one_world_has_a_mean_and_no_interval():
    table = pd.DataFrame({"cell": ["a", "a", "b", "b"], "world": [1] * 4, "seed": [0, 1] * 2, "x": [1.0, 2, 4, 4]})
    found = compared(table, "a", "x").loc["b"]
    assert found["difference"] == 2.5 and np.isnan(found["high"])


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a,b\n1,2\n", "these have columns cell and seed"),
        ("cell,seed,x\na,0,1\na,0,2\n", "a run twice: cell a, seed 0"),
        ("cell,seed,x\na,0,1\na,,2\n", "some runs have no"),
        ("cell,seed,x\na,0,1\na,1,1\n", "no score that differs"),
        ("", "can't be read as a table"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, reason):
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(AblationError, match=reason):
        read_results(tmp_path)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(AblationError, match="neither a runs.csv nor results"):
        read_results(tmp_path)
    with pytest.raises(AblationError, match="does not exist"):
        read_results(tmp_path / "nowhere")


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "a-seed0.json").write_text(json.dumps({"cell": "a"}))
    with pytest.raises(AblationError, match="a-seed0.json is not a result"):
        read_results(tmp_path)
