"""The ablation of UniVL: cells are settings, one cell runs end to end, and curves are gathered."""

import pytest

from minivl.ablations import univl as ablation
from minivl.ablations.runner import Cell
from minivl.config import scale
from minivl.tasks.univl.pretraining import make_tokenizer

SETTINGS = scale("tiny")


def test_cells_differ_in_what_they_are_named_after(tmp_path):
    configs = {cell.name: ablation.pretraining_of(cell, SETTINGS.univl_pretrain, 0, tmp_path)
               for cell in ablation.CELLS}
    assert configs["StagedP"].staged and not configs["one stage"].staged
    assert configs["StagedP"].hide_text == 0 and configs["StagedP + EnhancedV"].hide_text == 0.15
    assert not configs["StagedP + EnhancedV apart"].objectives.contrast_hidden_texts
    assert configs["Joint x 10"].objectives.joint == 10
    for objective in ("Joint", "CMLM", "CMFM", "Align", "Decoder"):
        weights = vars(configs[f"without {objective}"].objectives)
        assert [name for name, weight in weights.items() if weight == 0 and name in ablation.OBJECTIVES] == [
            objective.lower()]
    # Equal time: a step of stage one takes about as long as one of stage two.
    assert sum(ablation.STEPS.values()) == ablation.ONE_STAGE["stage_two"]


def test_one_cell_end_to_end(tmp_path):
    make_tokenizer(SETTINGS.univl_pretrain, SETTINGS, tmp_path / "tokenizer")
    cell = Cell("both", {"stage_one": 1, "stage_two": 2, "hide_text": 0.15})
    scores = ablation.run_cell("tiny", str(tmp_path), cell, 0)
    assert set(scores) == {*ablation.SCORES, "cpu seconds"}
    assert not (tmp_path / "runs" / "both-seed0").exists(), "only scores and curves are kept"
    curves = ablation.gather_curves(tmp_path / "curves", [cell], [0])
    assert curves["stage"].tolist() == ["stage-one", "stage-two", "stage-two"]
    assert curves["clock"].is_monotonic_increasing and (curves["cell"] == "both").all()
    assert curves["decoder"].notna().sum() == 2
    again = ablation.run_cell("tiny", str(tmp_path), cell, 0)
    assert {k: v for k, v in again.items() if k != "cpu seconds"} == pytest.approx(
        {k: v for k, v in scores.items() if k != "cpu seconds"})
