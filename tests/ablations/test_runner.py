"""The ablation engine: nothing runs twice, nothing is lost, nothing with other settings is taken for the same."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import torch

import minivl
from minivl.ablations.runner import (
    AblationError,
    Cell,
    Measured,
    compare,
    examples_of,
    in_worlds,
    results_table,
    run_cells,
    save_results,
)

DEVICE = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
CELLS = [Cell("lora", {"rank": 8, "fused": False}), Cell("fused, d=0.5", {"rank": 8, "layers": [1, 2]})]


def scored(cell, seed):
    """A top-level function, so that other processes can import it."""
    score = np.float32(10 * seed + cell.settings["rank"] + len(cell.name) / 3)
    return Measured({"R@1": score, "process": os.getpid()}, test_set="abc")


def failing(cell, seed):
    if cell.name == "lora" and seed == 1:
        raise ValueError("no luck")
    return scored(cell, seed)


def dying(cell, seed):
    if cell.name == "lora":
        os._exit(1)
    return scored(cell, seed)


class Counted:
    """A run that remembers its calls."""

    def __init__(self, run=scored):
        self.run, self.calls = run, []

    def __call__(self, cell, seed):
        self.calls.append((cell.name, seed))
        return self.run(cell, seed)


def ablate(run, out, cells=CELLS, seeds=(0, 1), **options):
    return run_cells(cells, seeds, run, out, progress=False, **options)


def test_table_and_files(tmp_path):
    table = ablate(scored, tmp_path / "runs" / "a")
    assert table.columns.tolist() == [
        "cell",
        "seed",
        "settings.rank",
        "settings.fused",
        "settings.layers",
        "R@1",
        "process",
        "seconds",
        "cpu hours",
        "test set",
        "minivl",
        "torch",
        "device",
    ]
    assert table[["cell", "seed"]].values.tolist() == [
        ["lora", 0],
        ["lora", 1],
        ["fused, d=0.5", 0],
        ["fused, d=0.5", 1],
    ]
    assert table["R@1"].tolist() == pytest.approx([28 / 3, 58 / 3, 12, 22])
    record = json.loads((tmp_path / "runs" / "a" / "fused, d=0.5-seed1.json").read_text())
    assert record.pop("seconds") >= 0 and record.pop("cpu hours") >= 0
    assert record == {
        "cell": "fused, d=0.5",
        "world": None,
        "test set": "abc",
        "seed": 1,
        "settings": {"rank": 8, "layers": [1, 2]},
        "scores": {"R@1": 22.0, "process": os.getpid()},
        "versions": {"minivl": minivl.__version__, "torch": str(torch.__version__), "device": DEVICE},
    }
    assert sorted(p.name for p in (tmp_path / "runs" / "a").iterdir()) == [
        "fused, d=0.5-seed0.json",
        "fused, d=0.5-seed1.json",
        "lora-seed0.json",
        "lora-seed1.json",
    ]


def test_what_is_done_is_not_repeated(tmp_path):
    first = ablate(scored, tmp_path)
    counted = Counted()
    more = ablate(counted, tmp_path, [*CELLS, Cell("new", {"rank": 1})], seeds=(1, 0, 10))
    assert counted.calls == [("lora", 10), ("fused, d=0.5", 10), ("new", 1), ("new", 0), ("new", 10)]
    assert len(more) == 9
    assert results_table(tmp_path)[["cell", "seed"]].values.tolist() == [
        [name, seed] for name in ("fused, d=0.5", "lora", "new") for seed in (0, 1, 10)
    ]
    again = Counted()
    pd.testing.assert_frame_equal(ablate(again, tmp_path), first)
    assert again.calls == []


def test_tuples_are_lists(tmp_path):
    """Settings are compared as JSON has them."""
    ablate(scored, tmp_path)
    counted = Counted()
    ablate(counted, tmp_path, [Cell("fused, d=0.5", {"rank": 8, "layers": (1, 2)})])
    assert counted.calls == []


@pytest.mark.parametrize(
    "settings, difference",
    [
        ({"rank": 4, "fused": False}, "rank is 4 now and was 8"),
        ({"rank": 8}, "fused is None now and was False"),
        ({"rank": 8, "fused": False, "new": None}, "new is None now and was None"),
    ],
)
def test_other_settings_are_an_error_before_anything_runs(tmp_path, settings, difference):
    ablate(scored, tmp_path, seeds=(1,))
    counted = Counted()
    with pytest.raises(AblationError, match=f"lora-seed1.json is a result with other settings: {difference}. Choose"):
        ablate(counted, tmp_path, [CELLS[1], Cell("lora", settings)])
    assert counted.calls == []


def test_a_failure_does_not_lose_the_others(tmp_path):
    with pytest.raises(AblationError, match=r"1 of 4 runs failed(.|\n)*lora, seed 1: ValueError: no luck"):
        ablate(failing, tmp_path)
    assert "no luck" in (tmp_path / "lora-seed1.error.txt").read_text()
    assert len(results_table(tmp_path)) == 3
    counted = Counted()
    assert len(ablate(counted, tmp_path)) == 4
    assert counted.calls == [("lora", 1)] and not list(tmp_path.glob("*.error.txt"))


@pytest.mark.parametrize(
    "scores", [{"R@1": float("nan")}, {"R@1": float("inf")}, {"seconds": 1.0}, {}, {"R@1": "high"}, None]
)
def test_scores_that_are_none_fail(tmp_path, scores):
    with pytest.raises(AblationError, match="1 of 1 runs failed"):
        ablate(lambda cell, seed: Measured(scores), tmp_path, CELLS[:1], [0])
    assert not list(tmp_path.glob("*.json*"))


def test_interrupted_and_continued(tmp_path):
    def interrupted(cell, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return scored(cell, seed)

    with pytest.raises(KeyboardInterrupt):
        ablate(interrupted, tmp_path)
    counted = Counted()
    ablate(counted, tmp_path)
    assert counted.calls == [("lora", 1), ("fused, d=0.5", 0), ("fused, d=0.5", 1)]


def test_a_result_cut_short_is_no_result(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            ablate(scored, tmp_path)
    assert not list(tmp_path.glob("*.json")) and not list(tmp_path.glob("*.partial"))
    with pytest.raises(AblationError, match="no results in"):
        results_table(tmp_path)
    assert len(ablate(scored, tmp_path)) == 4


def test_processes(tmp_path):
    with pytest.raises(AblationError, match=r"1 of 4 runs failed(.|\n)*lora, seed 1: ValueError: no luck"):
        ablate(failing, tmp_path, workers=2)
    table = results_table(tmp_path)
    assert len(table) == 3 and os.getpid() not in set(table["process"])
    ablate(scored, tmp_path / "alone")
    alone = results_table(tmp_path / "alone").drop(index=3).reset_index(drop=True)  # row 3 is lora, seed 1
    drop = ["process", "seconds", "cpu hours"]
    pd.testing.assert_frame_equal(table.drop(columns=drop), alone.drop(columns=drop))


def test_a_process_that_dies_is_a_failure(tmp_path):
    with pytest.raises(AblationError, match=r"runs failed(.|\n)*lora, seed 0: BrokenProcessPool"):
        ablate(dying, tmp_path, CELLS[:1], [0], workers=2)


def test_files_that_are_not_results(tmp_path):
    for text in ("{", "[]", '{"cell": "lora"}'):
        (tmp_path / "lora-seed0.json").write_text(text)
        for call in (lambda: ablate(scored, tmp_path), lambda: results_table(tmp_path)):
            with pytest.raises(AblationError, match="lora-seed0.json is not a result of an ablation"):
                call()


def test_names_and_settings():
    for name in ("", "a/b", "../a", ".hidden", "a\nb"):
        with pytest.raises(AblationError, match="cell name"):
            Cell(name)
    with pytest.raises(AblationError, match="settings of cell 'a': .*not JSON serializable"):
        Cell("a", {"path": object()})
    for cells, seeds in (([Cell("a"), Cell("a", {"b": 1})], [0]), ([Cell("a")], [0, 0])):
        with pytest.raises(AblationError, match="different names"):
            run_cells(cells, seeds, scored, "unused")


def test_compare():
    table = pd.DataFrame(
        {"cell": ["a", "a", "a", "b", "b", "b", "c"], "seed": [0, 1, 2, 2, 1, 0, 0], "R@1": [3.0, 5, 4, 2, 2, 1, 7]}
    )
    ours = compare(table, "a", "b", "R@1")
    assert ours["difference"] == pytest.approx(7 / 3) and ours["p"] == 0.25 and ours["seeds"] == 3
    assert ours["low"] == pytest.approx(7 / 3 - 4.30265 / 3, abs=1e-4)  # paired by seed: differences 2, 3, 2
    with pytest.raises(AblationError, match=r"'c' for \[0\]: run both with the same seeds"):
        compare(table, "a", "c", "R@1")
    for a, score in (("d", "R@1"), ("a", "R@5")):
        with pytest.raises(AblationError, match="cannot compare"):
            compare(table, a, "b", score)


def test_saved_results_are_the_same_bytes(tmp_path):
    table = ablate(scored, tmp_path / "runs").drop(
        columns=["process", "seconds", "cpu hours", "test set", "minivl", "torch", "device"]
    )
    path = save_results(table, tmp_path / "results" / "a.csv")
    assert path.read_bytes() == (
        b"cell,seed,settings.rank,settings.fused,settings.layers,R@1\n"
        b"lora,0,8,False,,9.33333\nlora,1,8,False,,19.3333\n"
        b'"fused, d=0.5",0,8,,"[1, 2]",12\n"fused, d=0.5",1,8,,"[1, 2]",22\n'
    )
    noise = table.assign(**{"R@1": table["R@1"] * (1 + 1e-9)})
    assert save_results(noise, tmp_path / "b.csv").read_bytes() == path.read_bytes()
    assert compare(pd.read_csv(path), "fused, d=0.5", "lora", "R@1")["difference"] == pytest.approx(8 / 3, abs=1e-4)


def by_example(cell, seed):
    values = np.arange(3.0) + seed
    return Measured({"R@1": values.mean()}, {"R@1": values}, np.array([0, 0, 1]))


def test_every_world_has_seeds_of_its_own(tmp_path):
    counted = Counted()
    table = ablate(counted, tmp_path, in_worlds(CELLS, [0, 3]))
    assert counted.calls == [(cell.name, world + seed) for world in (0, 300) for cell in CELLS for seed in (0, 1)]
    assert table.columns[:3].tolist() == ["cell", "world", "seed"]
    assert table["world"].tolist() == [0] * 4 + [3] * 4
    assert (tmp_path / "lora-world3-seed301.json").is_file()
    again = Counted()
    ablate(again, tmp_path, in_worlds(CELLS, [3, 4]))
    assert len(again.calls) == 4 and min(seed for _, seed in again.calls) == 400


def test_what_was_measured_on_each_example_is_kept(tmp_path):
    cells = in_worlds(CELLS[:1], [2])
    ablate(by_example, tmp_path, cells)
    kept = examples_of(tmp_path, cells[0], 201)
    assert kept["R@1"].tolist() == [201, 202, 203] and kept["clusters"].tolist() == [0, 0, 1]
    assert examples_of(tmp_path, cells[0], 5) == {}
