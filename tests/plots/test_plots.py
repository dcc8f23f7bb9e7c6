"""Figures: their words carry the right numbers, one method has one colour, and what is drawn is what was given."""

import base64
import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from PIL import Image

from minivl import plots
from minivl.discovla.aligndistill import alignment_distillation
from minivl.plots.picture import COLORS, METHOD_COLORS, method_color


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def table(**cells):
    """A results table: cell -> scores of seeds 0, 1, ..."""
    return pd.DataFrame(
        [
            {"cell": cell, "seed": seed, "R@1": score}
            for cell, scores in cells.items()
            for seed, score in enumerate(scores)
        ]
    )


def test_one_method_has_one_colour():
    assert method_color("LoRA") == method_color("dial 0.0, LoRA") == method_color("strategy image") == COLORS[0]
    assert method_color("LoRA + IVFusion") == method_color("converged, IVFusion") == method_color("strategy adapter")
    assert len({METHOD_COLORS[name] for name in ("zero-shot", "LoRA", "IVFusion", "PImgAlign", "AlignDistill")}) == 5
    assert len({METHOD_COLORS[name] for name in ("image", "video", "average", "adapter")}) == 4
    assert method_color("pretrained, words only") == method_color("something") != method_color("pretrained")
    assert method_color("something", "black") == "black"


def test_bars_have_the_colours_of_their_methods():
    picture = plots.ablation_bars(table(**{"dial 1.0, LoRA": [1, 2, 3], "dial 1.0, IVFusion": [4, 5, 6]}), ["R@1"])
    drawn = [to_rgb(bar.get_facecolor()) for bar in picture.figure.axes[0].patches]
    assert len(drawn) == 2 and (drawn[0][2] > drawn[0][1]) and (drawn[1][1] > drawn[1][2]), "blue, then green"
    assert "dial 1.0, LoRA 2.0 ± 1.0" in picture.alt and "dial 1.0, IVFusion 5.0 ± 1.0" in picture.alt


def test_differences_across_worlds_are_paired_by_run_and_carry_their_verdict():
    runs = pd.DataFrame(
        [(cell, world, 10 * world + seed, score + world + seed) for cell, score in (("LoRA", 5.0), ("IVFusion", 7.0))
         for world in (1, 2) for seed in (0, 1)],
        columns=["cell", "world", "seed", "R@sum"],
    )  # fmt: skip
    runs.loc[runs["cell"].eq("IVFusion") & runs["world"].eq(2), "R@sum"] += 1
    judged = pd.DataFrame(
        {"comparison": ["fusion"], "score": ["R@sum"], "difference": [2.5], "low": [-1.0], "high": [6.0]}
    ).assign(verdict="nothing shown")
    picture = plots.across_worlds(runs.sample(frac=1, random_state=0), judged, {"fusion": ("IVFusion", "LoRA")})
    assert "fusion, R@sum: +2.5 [-1.0, +6.0], worlds +2.0, +3.0: nothing shown" in picture.alt
    dots, rings, mean = picture.figure.axes[0].lines[:3]
    assert sorted(dots.get_xdata()) == [2.0, 2.0, 3.0, 3.0] and sorted(rings.get_xdata()) == [2.0, 3.0]
    assert mean.get_fillstyle() == "none"
    with pytest.raises(KeyError, match="fusion"):
        plots.across_worlds(runs, judged, {})
    several = pd.concat([judged.assign(score=f"R@sum, {steps} steps") for steps in (0, 30)])
    runs = runs.assign(**{name: runs["R@sum"] for name in several["score"]})
    axis = plots.across_worlds(runs, several, {"fusion": ("IVFusion", "LoRA")}).figure.axes[0]
    assert axis.get_xlabel() == "difference in R@sum", "what all scores measure, once"


def test_shares_of_the_room_stand_in_order():
    judged = pd.DataFrame(
        {"study": ["parts", "data"], "comparison": ["fusion", "more videos"], "share": [-1.0, 20.0],
         "share low": [-3.0, 17.0], "share high": [1.0, 23.0], "verdict": ["nothing shown", "helps"]}
    )  # fmt: skip
    picture = plots.shares_of_room(judged)
    assert "more videos (data) +20.0 [+17.0, +23.0]: helps; fusion (parts) -1.0" in picture.alt
    assert [label.get_text() for label in picture.figure.axes[0].get_yticklabels()] == [
        "more videos (data)",
        "fusion (parts)",
    ]
    dots = [line for line in picture.figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_fillstyle() for line in dots] == ["full", "none"]


def test_gains_stand_at_the_variable_that_they_are_asked_against():
    runs = pd.DataFrame(
        [(f"{cell}, shift {shift}", world, score + shift * (cell == "MIL") + world)
         for cell, score in (("MIL", 1.0), ("NCE", 2.0)) for shift in (0, 4) for world in (1, 2)],
        columns=["cell", "world", "R@sum"],
    )  # fmt: skip
    names = ["at 0", "at 4"]
    judged = pd.DataFrame(
        {"comparison": names, "score": "R@sum", "difference": [-1.0, 3.0], "low": [-2.0, 2.0], "high": [0.5, 4.0],
         "verdict": ["nothing shown", "helps"]}
    )  # fmt: skip
    sides = {name: (f"MIL, shift {shift}", f"NCE, shift {shift}") for name, shift in zip(names, (0, 4), strict=True)}
    places = pd.DataFrame({"comparison": names, "question": "MIL or NCE", "x": [0, 4]})
    picture = plots.gain_against(runs, judged, sides, places, "shift in seconds")
    assert "MIL or NCE, 0: -1.0 [-2.0, +0.5], nothing shown; MIL or NCE, 4: +3.0 [+2.0, +4.0], helps" in picture.alt
    drawn = [line for line in picture.figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_fillstyle() for line in drawn] == ["none", "full"]
    worlds = [line.get_ydata().tolist() for line in picture.figure.axes[0].lines if line.get_marker() == "."]
    assert worlds == [[-1.0, -1.0], [3.0, 3.0]]


def test_paired_differences_are_paired_by_seed():
    shuffled = table(a=[6.0, 1.0, 2.0], b=[6.9, 2.0, 3.1]).sample(frac=1, random_state=1)
    picture = plots.paired_differences(shuffled, "a", ["R@1"])
    # t = 4.303 for two degrees of freedom: 1 ± 4.303 x 0.1 / sqrt 3
    assert "b, R@1: +1.0 [+0.8, +1.2]" in picture.alt
    dot = picture.figure.axes[0].lines[1]
    assert dot.get_xdata()[0] == pytest.approx(1.0) and dot.get_fillstyle() == "full"
    unsure = plots.paired_differences(table(a=[1.0, 2.0, 6.0], b=[2.0, 1.0, 7.0]), "a", ["R@1"])
    assert unsure.figure.axes[0].lines[1].get_fillstyle() == "none"


def test_regimes_are_compared_within_themselves():
    results = table(
        **{
            "LoRA": [3.0, 1.0, 2.0],
            "IVFusion": [6.9, 5.0, 6.1],
            "few, LoRA": [10.0, 20.0, 30.0],
            "few, IVFusion": [9.0, 22.0, 29.0],
        }
    )
    found = plots.regime_differences(
        results, "R@1", {"IVFusion": ("IVFusion", "LoRA")}, {"all": "{}", "few videos": "few, {}"}
    )
    assert found["difference"].tolist() == pytest.approx([4.0, 0.0]) and found["sure"].tolist() == [True, False]
    picture = plots.regime_map(found, "R@1", "Map.")
    texts = [text.get_text() for text in picture.figure.axes[0].texts]
    assert texts[0].startswith("+4.0 *") and texts[1].startswith("+0.0\n") and "*" not in texts[1]
    assert "IVFusion in all: +4.0" in picture.alt and "1 of 2 intervals exclude 0" in picture.alt
    assert "about 0.1 would by chance" in picture.alt
    with pytest.raises(KeyError):
        plots.regime_differences(results, "R@1", {"IVFusion": ("IVFusion", "LoRA")}, {"other": "other, {}"})


def test_cost_against_frames():
    costs = pd.DataFrame(
        [
            {"strategy": name, "frames": frames, "seconds": factor * frames, "gain": 1 - frames}
            for name, factor in (("image", 1.0), ("video", 2.0))
            for frames in (1, 2, 4)
        ]
    )
    picture = plots.cost_against_frames(costs, {"seconds": "seconds per step", "gain": "gain"})
    first, second = picture.figure.axes
    assert first.get_yscale() == "log" and second.get_yscale() == "linear", "a logarithm of 0 does not exist"
    assert [to_rgb(line.get_color()) for line in first.lines[:2]] == [to_rgb(COLORS[0]), to_rgb(COLORS[8])]
    assert "seconds per step: image at 1 frames 1, image at 2 frames 2" in picture.alt
    assert "video at 4 frames 8" in picture.alt


def test_separation_and_densities():
    matrix = np.array([[0.9, 0.1, 0.2], [0.3, 0.2, 0.4], [0.0, 0.5, 0.8]])
    found = plots.separation(matrix)
    # 0.9 and 0.8 beat all six others; 0.2 beats 0.1 and 0.0 and ties with 0.2
    assert found["auc"] == pytest.approx(100 * (6 + 6 + 2.5) / 18)
    assert found["matching"] == pytest.approx(1.9 / 3) and found["other"] == pytest.approx(1.5 / 6)
    assert f"{found['auc']:.1f} % of comparisons" in plots.alignment_distributions({"some": matrix}).alt


def test_the_gap_is_that_of_normalised_embeddings():
    texts, videos = np.array([[2.0, 0.0], [5.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 3.0]])
    found = plots.gap_between(texts, videos)
    assert found == pytest.approx({"gap": np.sqrt(2), "matching": 0.0, "texts": 1.0, "videos": 1.0})
    assert plots.gap_between(texts, 7 * texts)["gap"] == pytest.approx(0)


def test_the_picture_of_the_gap_keeps_distances(rng):
    texts, videos = rng.normal(size=(30, 3)) + [9, 0, 0], rng.normal(size=(30, 3)) - [9, 0, 0]
    picture = plots.modality_gap({"some": (texts, videos)}, linked=5)
    lines = picture.figure.axes[0].lines
    assert len(lines) == 5 + 2
    middles = [np.array([line.get_xdata()[0], line.get_ydata()[0]]) for line in lines[5:]]
    gap = plots.gap_between(texts, videos)["gap"]
    # The gap is the direction of most variance here, so two dimensions show nearly all of it.
    assert np.linalg.norm(middles[0] - middles[1]) == pytest.approx(gap, rel=0.01)
    assert f"gap {gap:.3f}" in picture.alt and "% of the variance" in picture.alt


def test_divergence_of_rows_is_what_aligndistill_computes(rng):
    teacher, student = rng.normal(size=(2, 6, 6))
    ours = plots.row_divergence(teacher, student, 5.0)
    both = [ours.mean(), plots.row_divergence(teacher.T, student.T, 5.0).mean()]
    loss = alignment_distillation(torch.from_numpy(student), torch.from_numpy(teacher), 5.0, "paper")
    assert np.mean(both) == pytest.approx(loss.item())
    assert plots.row_softmax(teacher, 5.0).sum(1) == pytest.approx(np.ones(6))
    # By hand: p = (1, 0) and q = (1/2, 1/2) differ by ln 2, also where p is 0 in floating point.
    assert plots.row_divergence(np.array([[9e3, 0.0]]), np.zeros((1, 2)), 1.0) == pytest.approx(np.log(2))


def test_rows_of_teacher_and_student(rng):
    teacher, student = rng.normal(size=(2, 6, 6))
    picture = plots.row_distributions({"image level": teacher, "video level": student}, 2.0, rows=(4, 1), top=3)
    kl = plots.row_divergence(teacher, student, 2.0)
    first = picture.figure.axes[0]
    p, q = (plots.row_softmax(matrix, 2.0)[4] for matrix in (teacher, student))
    order = np.argsort(-teacher[4])[:3]
    assert [bar.get_height() for bar in first.patches] == pytest.approx([*p[order], *q[order]])
    assert f"KL to video level {kl[4]:.2f}" in first.get_title()
    assert f"Mean KL from image level over all 6 texts: video level {kl.mean():.3f}" in picture.alt


def test_captions_against_frames(rng):
    frames = rng.integers(0, 255, (3, 8, 8, 3), dtype=np.uint8)
    before, after = np.array([[0.1, 0.3, 0.2], [0.0, 0.1, 0.4]]), np.array([[0.9, 0.3, 0.2], [0.0, 0.1, 0.4]])
    picture = plots.caption_frame_maps({"before": before, "after": after}, ["a pot", "a hand"], frames, "Kitchen.")
    assert "before: “a pot” fits frame 1 best (0.30)" in picture.alt
    assert "after: “a pot” fits frame 0 best (0.90)" in picture.alt
    maps = [axis for axis in picture.figure.axes if axis.get_xlabel() == "frame"]
    assert [axis.images[0].get_clim() for axis in maps] == [(0.0, 0.9)] * 2, "one scale for both"
    assert [patch.get_xy() for patch in maps[1].patches] == [(-0.5, -0.5), (1.5, 0.5)]


def test_attention_over_frames(rng):
    frames = rng.integers(0, 255, (2, 8, 8, 3), dtype=np.uint8)
    weights = np.zeros((2, 2, 2))
    weights[0, 0, 1], weights[1, 1, 1] = 0.6, 0.3
    picture = plots.attention_over_frames({"frame 0": weights}, frames, "Last block.")
    assert "frame 0 reads frame 0 60.0 %, frame 1 30.0 %, patches in all 90.0 %" in picture.alt
    overlay = picture.figure.axes[2].images[1]
    assert overlay.get_array()[0, 1] == 0.6 and overlay.get_clim() == (0, 0.6)
    assert overlay.get_extent() == [0, 8, 8, 0], "patches lie on the frame"


def test_words_of_a_time_line_stand_beside_their_bars_and_within_the_picture():
    steps = [{"label": "slice the mushroom", "start": 0.0, "end": 0.5}, {"label": "heat", "start": 8.0, "end": 10.0}]
    said = [{"text": "my grandma used to do it this way", "start": 6.0, "end": 6.5}]
    figure = plots.clip_timeline(steps, said, 10.0).figure
    figure.draw_without_rendering()
    axis = figure.axes[0]
    bars = [bar.get_window_extent() for bar in axis.patches]
    words = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == [
        "my grandma used to do it this way",
        "slice the mushroom",
        "heat",
    ]
    assert not any(bar.overlaps(word) for bar in bars for word in words)
    frame = axis.get_window_extent()
    assert all(frame.x0 <= word.x0 and word.x1 <= frame.x1 for word in words)


def test_each_curve_has_its_panel_and_its_line_of_guessing():
    rows = pd.DataFrame({"step": [1, 2, 1, 2], "what": ["a", "a", "b", "b"], "value": [5.0, 2.0, 0.01, 0.02]})
    picture = plots.curve_panels(rows, "step", "value", "what", "loss", {"a": 3.0, "b": 0.015})
    first, second = picture.figure.axes
    assert [list(line.get_ydata()) for line in second.lines] == [[0.01, 0.02], [0.015, 0.015]]
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] == 0
    assert picture.alt == (
        "loss against step. a: 5 at 1, 2 at 2; by guessing 3.00. b: 0.01 at 1, 0.02 at 2; by guessing 0.01."
    )
    logarithmic = plots.curve_panels(rows, "step", "value", "what", "norm", log=True)
    assert {axis.get_yscale() for axis in logarithmic.figure.axes} == {"log"} and "logarithmic" in logarithmic.alt


def test_equal_lengths_stand_side_by_side():
    axis = plots.length_histograms({"one": [3, 3, 4], "other": [3, 3, 4]}).figure.axes[0]
    bars = sorted((round(bar.get_x(), 6), bar.get_height()) for bar in axis.patches if bar.get_height() > 0)
    assert len({place for place, _ in bars}) == 4, "no bar hides another"
    assert [height for _, height in bars] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3])


def test_amounts():
    picture = plots.amounts({"small": 0.001, "large": 1234.0}, "GPU hours", marked=("large",))
    axis = picture.figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [0.001, 1234.0] and axis.get_xscale() == "log"
    assert picture.alt == "GPU hours: small 0.001; large 1.23e+03."


def test_empty_fields_of_a_heat_map_have_no_words():
    picture = plots.heat_map(pd.DataFrame([[1.0, np.nan]], index=["a"], columns=["x", "y"]), "Some", "score")
    assert picture.alt == "Some. score. a: x 1.00."


def test_pictures_are_saved_with_their_words(tmp_path):
    picture = plots.heat_map(pd.DataFrame([[1.0, 2.0]], index=["a"], columns=["x", "y"]), "Some numbers", "score")
    saved = Image.open(picture.save(str(tmp_path / "figures" / "a.png")))
    assert saved.text["Description"] == picture.alt == "Some numbers. score. a: x 1.00, y 2.00."


def test_a_notebook_shows_words_as_alternative_text_and_closed(capsys, monkeypatch):
    picture = plots.heat_map(pd.DataFrame([[1.0]], index=["a"], columns=['"<b>']), "Some numbers", "score")
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    picture._ipython_display_()
    assert len(shown) == 1 and capsys.readouterr().out == "", "words are not printed below"
    assert shown[0]["text/plain"] == picture.alt
    html = BeautifulSoup(shown[0]["text/html"], "html.parser")
    assert html.img["alt"] == picture.alt and html.find("b") is None, "words are escaped"
    assert Image.open(io.BytesIO(base64.b64decode(html.img["src"].partition(",")[2]))).format == "PNG"
    assert picture.alt in html.select_one("details:not([open])").get_text()
