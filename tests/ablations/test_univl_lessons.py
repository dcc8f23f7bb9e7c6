"""The runs behind lessons 07 and 08: what is measured, what is compared, and how a lesson's own run is held to them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from minivl.ablations import univl_lessons, univl_probes
from minivl.ablations.runner import AblationError, Measured, at_most, save_arrays
from minivl.ablations.univl_lessons import CELLS, COMPARISONS, NAME, agreement, read_results
from minivl.config import scale


def test_every_comparison_is_of_cells_that_are_run():
    cells = {cell.name for cell in CELLS}
    assert len(cells) == len(CELLS)
    named = {side[0] for comparisons in COMPARISONS.values() for pair in comparisons.values() for side in pair}
    assert named <= cells


def test_a_study_writes_scores_by_example_with_their_videos_and_judges(tmp_path, monkeypatch):
    """Two seeds of made-up scores: the pretrained one is always 10 better, in each of four videos of two segments."""

    def run_cell(settings, cell, seed):
        scores = {side[1] for pairs in COMPARISONS.values() for pair in pairs.values() for side in pair}
        better = 10.0 * (cell.settings["start"] == "pretrained")
        examples = {score: np.arange(8, dtype=np.float16) + better + seed for score in scores}
        return Measured({"R@1": better + seed}, examples, np.arange(8, dtype=np.uint16) // 2)

    monkeypatch.setattr(univl_lessons, "run_cell", run_cell)
    univl_lessons.run_lessons(scale("tiny"), [0, 1], tmp_path, progress=False)
    runs, by_example, judged = read_results(tmp_path)
    assert len(runs) == 2 * len(CELLS)
    assert by_example["joint, pretrained, 25 steps|R@1"].tolist() == [[*range(10, 18)], [*range(11, 19)]]
    assert by_example["joint|videos"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert judged.groupby("lesson").size().to_dict() == {lesson: len(pairs) for lesson, pairs in COMPARISONS.items()}
    gain = judged.set_index("comparison").loc["R@1 after 25 steps, pretrained minus scratch"]
    assert (gain["difference"], gain["verdict"], gain["examples"]) == (10, "helps", 4)
    (tmp_path / f"{NAME}.npz").unlink()
    save_arrays(tmp_path / f"{NAME}.npz", {"joint|videos": np.zeros(8)})
    with pytest.raises(AblationError, match=r"joint, pretrained, 0 steps.*univl-lessons"):
        univl_lessons.judge(tmp_path)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("joint, pretrained, 0 steps", {"R@1"}),
        ("localization, as it is", {"recall per video"}),
        ("sentiment, words only", {"predicted", "-100 x error"}),
    ],
)
def test_a_cell_end_to_end(name, expected):
    cell = next(cell for cell in CELLS if cell.name == name)
    measured = univl_lessons.run_cell(scale("tiny"), cell, seed=0, videos=4)
    assert measured.examples.keys() == expected
    assert all(len(values) == len(measured.clusters) for values in measured.examples.values())


def test_a_run_agrees_with_the_stored_one_within_the_spread_of_seeds():
    stored = pd.DataFrame({"cell": "x", "seed": [0, 1, 2], "R@1": [70.0, 72.0, 69.0]})
    small = scale("small")
    table = agreement(small, stored, "x", {"R@1": 72.5})
    assert table.loc["R@1"].to_dict() == {"here": 72.5, "stored": 70.0, "spread of seeds": 3.0, "agrees": True}
    assert not agreement(small, stored, "x", {"R@1": 73.5})["agrees"].any()
    assert list(agreement(replace(small, name="tiny"), stored, "x", {"R@1": 3.0})) == ["here"]


def test_cells_take_their_own_steps_at_small():
    tasks = scale("small").univl_tasks
    named = [(cell.settings["task"], cell.settings["steps"]) for cell in CELLS if cell.settings.get("steps")]
    assert len(named) > 5
    assert all(at_most(steps, tasks[task].train, times=4) == steps for task, steps in named)
    assert at_most(400, scale("tiny").univl_tasks["sentiment"].train, times=4) == 8


def test_stored_runs_are_those_of_the_study():
    runs, by_example, judged = read_results()
    assert set(runs["cell"]) == {cell.name for cell in CELLS}
    gains = judged.set_index("comparison")["difference"]
    for name, (a, b) in [(name, pair) for pairs in COMPARISONS.values() for name, pair in pairs.items()]:
        sides = [by_example["|".join(side)].astype(float).mean() for side in (a, b)]
        assert gains[name] == pytest.approx(sides[0] - sides[1], abs=1e-3)
    hits = by_example["align, pretrained|R@1"].mean(axis=1, dtype=float)
    assert hits == pytest.approx(runs.loc[runs["cell"] == "align, pretrained", "R@1"], abs=1e-3)


def segments(*pairs):
    """Segments with a caption and what is said meanwhile."""
    return Dataset.from_list(
        [{"caption": caption, "transcript": [{"text": text, "start": 0.0, "end": 1.0}]} for caption, text in pairs]
    )


def test_a_lie_names_the_next_word_of_its_kind():
    rows = segments(
        ("someone adds salt", "now salt"), ("someone adds sugar", "now i stir"), ("someone waits", "some salt")
    )
    (kind, told, true, false), *others = univl_probes.lies_told(rows)
    spices = univl_probes.LIES["spice"]
    lie = spices[(spices.index("salt") + 1) % len(spices)]
    assert (kind, others, true, false) == ("spice", [], [{"salt"}], [{lie}])
    assert told["transcript"][0][0]["text"] == f"now {lie}", "the other two don't say what is to be written"


def test_right_words_count_only_where_the_truth_has_such_a_word():
    truth = ["someone slices the tomato", "someone stirs", "someone stirs"]
    shares = univl_probes.right_words(["someone slices the onion", "someone stirs", "someone heats"], truth)
    assert shares == {"verb": pytest.approx(200 / 3), "ingredient": 0.0}


def test_exchanged_values_come_from_other_rows():
    rows = Dataset.from_dict({"a": [1, 2, 3, 4], "b": [10, 20, 30, 40]})
    other = univl_probes.exchanged(rows, "b")
    assert other["a"] == rows["a"] and sorted(other["b"]) == [10, 20, 30, 40] and other["b"] != rows["b"]
