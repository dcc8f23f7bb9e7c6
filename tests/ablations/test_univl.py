"""The ablation of UniVL: cells are settings, one cell runs end to end, and curves are gathered."""

from dataclasses import replace
from pathlib import Path

import pytest

from minivl.ablations import univl as ablation
from minivl.ablations import univl_regimes
from minivl.ablations.runner import Cell, Measured
from minivl.assets.feature_world import renarrate
from minivl.config import NARRATED, NARRATED_WORLD, scale
from minivl.config.settings import OBJECTIVES
from minivl.tasks.univl.pretraining import make_tokenizer

SETTINGS = scale("tiny")


def test_cells_differ_in_what_they_are_named_after(tmp_path):
    configs = {
        cell.name: ablation.pretraining_of(cell, SETTINGS.univl_pretrain, 0, tmp_path) for cell in ablation.CELLS
    }
    assert configs["StagedP"].staged and not configs["one stage"].staged
    assert configs["StagedP"].narration.hide_text == 0 and configs["StagedP + EnhancedV"].narration.hide_text == 0.15
    assert not configs["StagedP + EnhancedV apart"].objectives.contrast_hidden_texts
    assert configs["Joint x 10"].objectives.joint == 10
    for name in ("stage_one", "stage_two"):
        parts, whole = (getattr(configs[cell], name) for cell in ("local negatives", "StagedP"))
        assert parts.gradient_accumulation == 4 and parts.batch_size * 4 == whole.batch_size, "the same step, in parts"
    for objective in ("Joint", "CMLM", "CMFM", "Align", "Decoder"):
        weights = vars(configs[f"without {objective}"].objectives)
        whole = vars(SETTINGS.univl_pretrain.objectives)
        assert [name for name in OBJECTIVES if weights[name] != whole[name]] == [objective.lower()]
        assert weights[objective.lower()] == 0
    # Equal time: a step of stage one takes about as long as one of stage two.
    assert sum(ablation.STEPS.values()) == ablation.ONE_STAGE["stage_two"]


def test_cells_take_their_own_steps_at_small_and_the_scale_s_at_tiny():
    for cell in (*ablation.CELLS, *univl_regimes.ALIGNED_CELLS, *univl_regimes.LONG_CELLS):
        for name, settings in (("small", scale("small")), ("tiny", SETTINGS)):
            config = ablation.pretraining_of(cell, settings.univl_pretrain, 0, Path())
            for stage in ("stage_one", "stage_two"):
                taken, own = getattr(config, stage).steps, max(1, cell.settings[stage])
                assert taken == (own if name == "small" else min(own, 2)), (cell.name, name)


def test_one_cell_end_to_end(tmp_path):
    make_tokenizer(SETTINGS.univl_pretrain, SETTINGS, tmp_path / "tokenizer")
    cell = Cell("both", {"stage_one": 1, "stage_two": 2, "hide_text": 0.15})
    scores = ablation.run_cell(scale("tiny"), tmp_path, cell, 0).scores
    assert set(scores) == {*ablation.SCORES, "cpu seconds"}
    assert not (tmp_path / "runs" / "both-seed0").exists(), "only scores and curves are kept"
    curves = ablation.gather_curves(tmp_path / "curves", [cell], [0])
    assert curves["stage"].tolist() == ["stage-one", "stage-two", "stage-two"]
    assert curves["clock"].is_monotonic_increasing and (curves["cell"] == "both").all()
    assert curves["decoder"].notna().sum() == 2
    again = ablation.run_cell(scale("tiny"), tmp_path, cell, 0).scores
    assert {k: v for k, v in again.items() if k != "cpu seconds"} == pytest.approx(
        {k: v for k, v in scores.items() if k != "cpu seconds"}
    )


def test_retold_videos_have_the_same_features_and_other_speech(tmp_path):
    from minivl.data.features import load_features
    from minivl.data.schema import load_split

    folder = renarrate(NARRATED, tmp_path, NARRATED_WORLD, transcript_shift=0.0)
    before, after = (load_split(source, "val") for source in (NARRATED, folder))
    assert after.column_names == before.column_names and after["steps"] == before["steps"]
    assert (load_features(after[3]["features"]) == load_features(before[3]["features"])).all()
    assert after["transcript"] != before["transcript"]
    said = sorted(sentence["text"] for video in before["transcript"] for sentence in video)
    assert sorted(sentence["text"] for video in after["transcript"] for sentence in video) == said
    starts = {round(step["start"], 2) for step in after[0]["steps"]}
    assert {sentence["start"] for sentence in after[0]["transcript"]} <= starts, "speech fits the picture now"
    with pytest.raises(ValueError, match="was not told with these settings"):
        renarrate(NARRATED, tmp_path / "wrong", replace(NARRATED_WORLD, seed=1), transcript_shift=0.0)


def test_regimes_differ_from_their_first_cell_in_one_thing(tmp_path, monkeypatch):
    for cells in (univl_regimes.ALIGNED_CELLS, univl_regimes.LONG_CELLS):
        assert "StagedP" in cells[0].name and all(cell.settings != cells[0].settings for cell in cells[1:])
    monkeypatch.setattr(univl_regimes, "run_cell", _settings_seen)
    monkeypatch.setattr(univl_regimes, "ALIGNED_CELLS", univl_regimes.ALIGNED_CELLS[:1])
    monkeypatch.setattr(univl_regimes, "LONG_CELLS", univl_regimes.LONG_CELLS[:1])
    table = univl_regimes.run_regimes(SETTINGS, [0, 1], tmp_path, progress=False)
    assert table["retold"].tolist() == [1, 1, 0, 0]
    assert (tmp_path / "univl_regimes.csv").is_file()
    curves = (tmp_path / "univl_long_curves.csv").read_text().splitlines()
    assert curves[0] == "cell,seed,step" and len(curves) == 3


def _settings_seen(settings, out, cell, seed):
    (out / "curves").mkdir(exist_ok=True)
    (out / "curves" / f"{cell.name}-seed{seed}.csv").write_text("step,epoch,lr,grad_norm,seconds\n1,1,0,0,0\n")
    return Measured({"retold": settings.narrated != NARRATED})
