"""Studies over worlds: no results without a committed prediction, verdicts from the kept data alone."""

import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from minivl.ablations import studies
from minivl.ablations.runner import AblationError, Cell, Measured, save_arrays
from minivl.ablations.study import Contrast, Study, _examples, judge, run_study
from minivl.cli import app
from minivl.config import BUNDLED, scale
from minivl.metrics.bootstrap import paired_worlds

TINY = scale("tiny")


def values(cell, seed):
    """Of 20 examples in ten clusters: a gain of the cell, luck of the world, of the seed and of the example."""
    world, seed = np.random.default_rng(cell.world), np.random.default_rng(seed)
    return cell.settings["gain"] + world.normal(scale=3) + world.normal(size=20) + seed.normal(size=20)


def run(settings, cell, seed):
    found = values(cell, seed)
    return Measured({"R@1": found.mean()}, {"R@1": found}, np.arange(20) // 2, "abc")


def prepare(settings, cell):
    return "rendered"


STUDY = Study(
    name="made-up",
    question="Which gain is the larger one?",
    cells=(Cell("none", {"gain": 0}), Cell("some", {"gain": 10}), Cell("too", {"gain": 10}), Cell("all", {"gain": 50})),
    contrasts=(Contrast("gain", "some", "none", "R@1"), Contrast("no gain", "too", "some", "R@1")),
    run=run,
    prepare=prepare,
    floor="none",
    ceiling="all",
)


@pytest.fixture
def predictions(tmp_path):
    folder = tmp_path / "predictions" / STUDY.name
    folder.mkdir(parents=True)
    (folder / "prediction.md").write_text("Some is above none.")
    return folder.parent


def study(out, predictions, **options):
    options = {"worlds": range(5), "seeds": range(3), "progress": False, **options}
    return run_study(options.pop("study", STUDY), TINY, out=out, predictions=predictions, **options)


def test_verdicts_shares_and_files(tmp_path, predictions):
    judged = study(tmp_path / "out", predictions)
    assert judged["comparison"].tolist() == ["gain", "no gain"] and (judged["score"] == "R@1").all()
    assert judged["verdict"].tolist() == ["helps", "nothing shown"]
    assert judged["share"][0] == pytest.approx(100 * judged["difference"][0] / 50)
    assert judged[["worlds", "seeds", "examples"]].values.tolist() == [[5, 3, 10]] * 2
    runs = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert len(runs) == 60 and runs["prediction"].nunique() == 1 and (runs["test set"] == "abc").all()
    pd.testing.assert_frame_equal(judge(STUDY, tmp_path / "out"), judged)
    written = pd.read_csv(tmp_path / "out" / "verdicts.csv")
    pd.testing.assert_frame_equal(written, judged, rtol=1e-5, check_dtype=False)


def test_the_interval_is_that_of_the_examples(tmp_path, predictions):
    judged = study(tmp_path / "out", predictions)
    a, b = (
        [np.stack([values(replace(cell, world=w), 100 * w + s) for s in range(3)]) for w in range(5)]
        for cell in (STUDY.cells[1], STUDY.cells[0])
    )
    found = paired_worlds(a, b, [np.arange(20) // 2] * 5)
    assert judged.loc[0, list(found)].to_dict() == pytest.approx(found)


def test_runs_are_paired_by_seed_in_whatever_order_they_stand(tmp_path, predictions):
    judged = study(tmp_path / "out", predictions)
    turned = pd.read_csv(tmp_path / "out" / "runs.csv")[::-1].reset_index(drop=True)
    some = turned["cell"] == "some"
    turned = pd.concat([turned[some][::-1], turned[~some]]).reset_index(drop=True)
    save_arrays(tmp_path / "out" / "examples.npz", _examples(turned, tmp_path / "out" / "runs", {"R@1"}))
    turned.to_csv(tmp_path / "out" / "runs.csv", index=False)
    pd.testing.assert_frame_equal(judge(STUDY, tmp_path / "out"), judged)


def test_a_study_grows_world_by_world(tmp_path, predictions):
    study(tmp_path / "out", predictions, worlds=range(2))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").iterdir()}
    judged = study(tmp_path / "out", predictions, worlds=range(3))
    assert judged["worlds"].tolist() == [3, 3]
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_no_results_without_a_prediction_or_under_another_one(tmp_path, predictions):
    file = predictions / STUDY.name / "prediction.md"
    study(tmp_path / "out", predictions, worlds=range(2))
    file.write_text("None is above some.")
    with pytest.raises(AblationError, match="has results of another prediction than"):
        study(tmp_path / "out", predictions, worlds=range(2))
    for absent in (lambda: file.write_text(" \n"), file.unlink):
        absent()
        with pytest.raises(AblationError, match="there is no prediction in .*made-up.*say what you expect"):
            study(tmp_path / "new", predictions)
        assert not (tmp_path / "new").exists()


def test_a_prediction_must_be_committed(tmp_path, predictions):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, *arguments], cwd=predictions, check=True, capture_output=True)

    file = predictions / STUDY.name / "prediction.md"
    git("init")
    with pytest.raises(AblationError, match="is not committed as it is"):
        study(tmp_path / "out", predictions)
    git("add", ".")
    with pytest.raises(AblationError, match="is not committed as it is"):
        study(tmp_path / "out", predictions)
    git("commit", "-m", "prediction")
    study(tmp_path / "out", predictions, worlds=range(2))
    file.write_text("None is above some.")
    with pytest.raises(AblationError, match="is not committed as it is"):
        study(tmp_path / "out", predictions)


@pytest.mark.parametrize(
    "contrast, message",
    [
        (Contrast("c", "some", "nothing", "R@1"), "'some' and 'nothing' need results of the same worlds and seeds"),
        (Contrast("c", "some", "none", "R@5"), "there is no 'R@5' by test example"),
    ],
)
def test_what_cannot_be_judged(tmp_path, predictions, contrast, message):
    with pytest.raises(AblationError, match=message):
        study(tmp_path / "out", predictions, worlds=range(2), study=replace(STUDY, contrasts=(contrast,)))


def test_one_world_is_too_few(tmp_path, predictions):
    with pytest.raises(AblationError, match="gain: .*a single world shows no spread"):
        study(tmp_path / "out", predictions, worlds=[1])


def test_contrasts_and_ends_are_cells():
    for name, known in studies.STUDIES.items():
        assert known.name == name and (BUNDLED / "results" / name / "prediction.md").is_file()
        cells = {cell.name for cell in known.cells}
        assert {side for contrast in known.contrasts for side in (contrast.a, contrast.b)} <= cells
        of_room = {cell.name for cell in studies.STUDIES[known.room].cells} if known.room else cells
        assert {known.floor, known.ceiling} - {None} <= of_room


def test_shares_of_a_room_that_another_study_measured(tmp_path, predictions, monkeypatch):
    study(predictions / STUDY.name, predictions)
    monkeypatch.setattr("minivl.ablations.study.PREDICTIONS", predictions)
    (folder := predictions / "elsewhere").mkdir()
    (folder / "prediction.md").write_text("Some is above none.")
    other = replace(STUDY, name="elsewhere", cells=STUDY.cells[:3], room=STUDY.name)
    judged = study(tmp_path / "out", predictions, study=other)
    assert judged["share"][0] == pytest.approx(100 * judged["difference"][0] / 50)


@pytest.mark.parametrize("name", studies.STUDIES)
def test_committed_verdicts_follow_from_committed_runs(name):
    folder = BUNDLED / "results" / name
    if not (folder / "runs.csv").is_file():
        pytest.skip("not run yet")
    written = pd.read_csv(folder / "verdicts.csv")
    pd.testing.assert_frame_equal(judge(studies.STUDIES[name], folder), written, rtol=1e-4, check_dtype=False)


def test_the_command(tmp_path, monkeypatch, predictions):
    monkeypatch.setitem(studies.STUDIES, "made-up", STUDY)
    monkeypatch.setattr("minivl.cli.ablate.STUDIES", ("made-up",))
    monkeypatch.setattr("minivl.ablations.study.PREDICTIONS", predictions)
    command = ["ablate", "study", "made-up", "--scale", "tiny", "--out", str(tmp_path / "out"), "--worlds", "3"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0 and "helps" in result.output and "CPU hours" in result.output
    assert "World 1\nrendered" in result.output and (tmp_path / "out" / "verdicts.csv").is_file()
    result = CliRunner().invoke(app, [*command[:2], "unheard-of", *command[3:]])
    assert "unknown study 'unheard-of'" in str(result.exception)
