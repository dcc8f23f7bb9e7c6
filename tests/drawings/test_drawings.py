"""Drawings: legible, without overlaps, in the colours of the plots, and what they state is what the code does."""

import ast
import base64
import re
from xml.etree import ElementTree

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup

from helpers.tiny_univl import config, tiny_univl, tokenizer_in
from minivl import drawings
from minivl.config import NOTEBOOKS, UniVLPretrainConfig
from minivl.data.schema import COLUMNS
from minivl.discovla.aligndistill import alignment_distillation
from minivl.discovla.pimgalign import image_level_similarity
from minivl.drawings import attention, clip, search, style, univl, univl_tasks
from minivl.drawings import discovla as drawn
from minivl.drawings.canvas import Canvas
from minivl.drawings.geometry import Box, text_width
from minivl.metrics.localization import step_recall
from minivl.tasks.univl.finetuning import KINDS
from minivl.univl.objectives import mil_nce
from minivl.univl.pretraining import stages
from minivl.univl.pretraining_batch import NEEDS

TREE = [[(("the",), -0.5), (("a",), -0.9)], [(("a", "pan"), -1.0), (("the", "pot"), -1.4), (("the", "egg"), -1.7)]]
STAGES = pd.DataFrame(
    [
        {"step": step, "pairs": pairs, "from": low, "count": count}
        for step, of in {
            0: {"matching": (2, 6, 2), "other": (30, 50, 20)},
            50: {"matching": (0, 2, 8), "other": (60, 40, 0)},
        }.items()
        for pairs, counts in of.items()
        for low, count in zip((-0.2, 0.2, 0.6), counts, strict=True)
    ]
)
MAKERS = {
    "UniVL": drawings.univl_modules,
    **{name: (lambda name=name: drawings.univl_modules(name)) for name in univl.NAMES},
    "StagedP": drawings.staged_pretraining,
    "EnhancedV": drawings.enhanced_video,
    "CLIP on videos": drawings.clip_on_videos,
    "discrepancies": drawings.discrepancies,
    "shift": drawings.constant_shift,
    "beam search": lambda: drawings.beam_search(TREE, 2),
    "DiscoVLA": drawings.discovla_modules,
    "strategies": drawings.attention_strategies,
    "PImgAlign": drawings.caption_frame_matching,
    "AlignDistill": drawings.distillation,
    "schema": drawings.data_schema,
    "evaluation": drawings.evaluation_protocol,
    "bag": drawings.candidate_bag,
    "class tokens": drawings.class_tokens_read,
    "distributions": lambda: drawings.distributions_through(STAGES),
    **{name: (lambda name=name: drawings.univl_task(name)) for name in univl_tasks.TASKS if name not in univl.NAMES},
    **{f"FT {name}": (lambda name=name: drawings.univl_task(name)) for name in ("joint", "align")},
}
MOVING = ("bag", "class tokens", "distributions")
PALETTE = {
    "none",
    style.RIGHT,
    style.WRONG,
    style.GREY,
    *style.LIGHT.values(),
    *style.MODULE_COLORS.values(),
    *style.STRATEGY_COLORS.values(),
    *style.PART_COLORS.values(),
}


@pytest.fixture(scope="module")
def made():
    return {name: maker() for name, maker in MAKERS.items()}


def tags(drawing, name):
    return list(ElementTree.fromstring(drawing.svg).iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def words(drawing):
    return [text for text, *_ in drawing.canvas.words]


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_overlaps_and_all_can_be_read(made, name):
    drawing = made[name]
    assert not drawing.canvas.collisions()
    assert all(float(text.get("font-size")) >= 12 for text in tags(drawing, "text")) and drawing.canvas.width <= 760
    assert len(drawing.svg) < 30_000, "notebooks are committed with their drawings"


@pytest.mark.parametrize("name", MAKERS)
def test_words_for_who_does_not_see_it(made, name):
    drawing = made[name]
    assert tags(drawing, "title")[0].text == drawing.title and tags(drawing, "desc")[0].text == drawing.alt
    assert len(drawing.alt) > 100 and "None" not in drawing.alt
    shown = BeautifulSoup(drawing.html(), "html.parser").find("img")
    assert shown["alt"] == drawing.alt
    kind, _, data = shown["src"].partition(",")
    assert kind == "data:image/svg+xml;base64" and base64.b64decode(data).decode() == drawing.svg


@pytest.mark.parametrize("name", MAKERS)
def test_one_palette_that_stands_by_itself(made, name):
    drawing = made[name]
    everything = list(ElementTree.fromstring(drawing.svg).iter())
    used = {element.get(what) for element in everything for what in ("fill", "stroke")} - {None}
    assert used <= PALETTE
    assert not [e.tag for e in everything if e.tag.endswith(("script", "image", "foreignObject", "use"))]
    assert "url(" not in drawing.svg and "@import" not in drawing.svg
    assert "prefers-color-scheme: dark" in tags(drawing, "style")[0].text


def luminance(color):
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return np.dot(
        [0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    )


@pytest.mark.parametrize("inks", [style.LIGHT, style.DARK])
@pytest.mark.parametrize("tint", [None, *style.MODULE_COLORS.values()])
def test_letters_stand_out(inks, tint):
    paper = inks["paper"]
    if tint:  # boxes are tinted to a fifth
        mixed = (round(0.2 * int(tint[i : i + 2], 16) + 0.8 * int(paper[i : i + 2], 16)) for i in (1, 3, 5))
        paper = "#" + "".join(f"{c:02x}" for c in mixed)
    for ink in ("ink",) if tint else ("ink", "quiet"):
        light, dark = sorted((luminance(inks[ink]), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_collisions_are_found():
    page = Canvas(100, 200)
    page.text((50, 20), "one")
    page.text((55, 24), "two")
    page.text((195, 60), "outside")
    page.arrow([(0, 60), (200, 60)])
    page.text((50, 80), "in a small box")
    page.rect(Box(40, 70, 20, 20))
    found = " ".join(page.collisions())
    assert "'one' overlaps 'two'" in found and "'outside' leaves the page" in found
    assert "an arrow crosses 'outside'" in found and "'in a small box' leaves its box" in found
    assert text_width("mm", 12) > text_width("ii", 12) and text_width("mm", 24) == pytest.approx(
        2 * text_width("mm", 12)
    )


@pytest.mark.parametrize("name", MOVING)
def test_motion_can_be_done_without(made, name):
    sheet = tags(made[name], "style")[0].text
    moving = sheet.split("@media (prefers-reduced-motion: no-preference)")
    assert len(moving) == 2 and "animation" not in moving[0] and "animation" in moving[1]
    moments = [group for group in tags(made[name], "g") if "m" in group.get("class", "").split()]
    hidden = [group.get("opacity") == "0" for group in moments]
    source = BeautifulSoup(made[name].html(), "html.parser").find("source", media="(prefers-reduced-motion: reduce)")
    still = base64.b64decode(source["srcset"].partition(",")[2]).decode()
    assert "animation" not in still and still.count("<text") == made[name].svg.count("<text")
    assert not hidden[0] and all(hidden[1:]) and len(moments) > 1, "without style only the first moment is there"


def test_objectives_read_what_their_code_reads(made):
    for name, needs in NEEDS.items():
        assert ("[MASK]" in words(made[name])) == ("masked" in needs.encodings)
        faint = [g for g in tags(made[name], "g") if g.get("opacity")]
        dimmed = {text.text for group in faint for text in group.iter("{http://www.w3.org/2000/svg}text")}
        assert ("Cross encoder: words and frames read each other" in dimmed) == ("cross" not in needs.parts)
        assert {univl.NAMES[other] for other in NEEDS if other != name} <= dimmed and univl.NAMES[
            name
        ] not in dimmed - {"Decoder"}
    assert "[MASK]" not in words(made["UniVL"]) and set(univl.NAMES) == set(NEEDS)


def test_tasks_read_what_their_code_reads(made, tmp_path):
    tokenizer = tokenizer_in(tmp_path)
    for name, task in univl_tasks.TASKS.items():
        kind, options = KINDS[name]
        assert set(task.parts) == set(kind.parts_for(**options)) and bool(task.words) == kind.reads_text
        new = {"classes": ["a", "b"]} if name == "segmentation" else options
        made_task = kind(tiny_univl(tokenizer, task.parts), tokenizer, config(), **new)
        assert ("linear layer" in task.new) == (len(list(made_task.children())) > 1)
        faint = {
            text.text for group in tags(made[f"FT {name}" if name in univl.NAMES else name], "g") for text in group
        }
        boxes = {
            "Text encoder": kind.reads_text,
            "Cross encoder": "cross" in task.parts,
            "Decoder": "decoder" in task.parts,
        }
        assert faint & set(boxes) == {box for box, read in boxes.items() if not read}


def test_the_matrix_of_joint_is_that_of_mil_nce():
    """Raising a similarity that counts as right lowers the loss; of the two anchors only the drawn one is looked at."""
    similarity = torch.zeros(univl.CLIPS, univl.CLIPS, requires_grad=True)
    mil_nce(similarity, univl.PER_VIDEO, "middle").backward()
    positives, negatives = univl.mil_nce_cells(univl.CLIPS, univl.PER_VIDEO, univl.ANCHOR)
    other = univl.ANCHOR + univl.PER_VIDEO  # the other video's anchor
    of_anchor = {(i, j) for i, j in similarity.grad.nonzero().tolist() if other not in (i, j)}
    assert of_anchor == {cell for cell in positives + negatives if other not in cell}
    assert all(similarity.grad[cell] < 0 for cell in positives)
    assert all(similarity.grad[cell] > 0 for cell in negatives if other not in cell)


def test_stages_are_those_of_pretraining(made):
    first, second = stages(UniVLPretrainConfig())
    assert not first.parts and words(made["StagedP"]).count("not there yet") == len(second.parts)
    assert words(made["StagedP"]).count("Joint") == 2 and words(made["StagedP"]).count("CMLM") == 1
    assert f"{UniVLPretrainConfig().narration.hide_text:.0%} of videos" in words(made["EnhancedV"])


def test_grids_of_attention_are_what_the_strategies_say():
    frame = np.arange(attention.FRAMES * attention.TOKENS) // attention.TOKENS
    own, everything = frame[:, None] == frame, np.ones((len(frame), len(frame)), bool)
    is_class = np.arange(len(frame)) % attention.TOKENS == 0
    np.testing.assert_array_equal(attention.tokens_read("image"), own)
    np.testing.assert_array_equal(attention.tokens_read("video"), everything)
    for strategy in ("average", "adapter"):
        np.testing.assert_array_equal(attention.tokens_read(strategy), own | is_class[:, None])


def test_matching_is_that_of_the_loss():
    """Vectors that have the drawn cosines: frames are axes, captions have K as coordinates."""
    rest = np.sqrt(1 - (drawn.K**2).sum(1, keepdims=True))
    captions, frames = np.hstack([drawn.K, np.diag(rest[:, 0])]), np.eye(4, 8)
    ours = image_level_similarity(torch.tensor(captions)[None], torch.tensor(frames)[None], drawn.SCALE)
    assert drawn.matching(drawn.K, drawn.SCALE)["I"] == pytest.approx(ours.item(), abs=1e-9)
    assert (drawn.K.argmax(1) != np.arange(4)).any(), "a caption is not tied to the frame of its number"


def test_distillation_is_that_of_the_loss():
    I, S, B = torch.tensor(drawn.TEACHER), torch.tensor(drawn.STUDENT), len(drawn.TEACHER)
    rows = drawn.divergences(drawn.TEACHER, drawn.STUDENT, drawn.ROW_SCALE).sum()
    columns = drawn.divergences(drawn.TEACHER.T, drawn.STUDENT.T, drawn.ROW_SCALE).sum()
    loss = alignment_distillation(S, I, drawn.ROW_SCALE, "paper").item()
    assert loss == pytest.approx((rows + columns) / 2 / B)


def test_a_shift_bends_what_texts_choose_and_nothing_else(made):
    """Products are those of the lesson's formula; the drawing counts what is chosen by them."""
    plain, orthogonal, along = ((clip.TEXTS + d) @ clip.VIDEOS.T for d in clip.SHIFTS.values())
    np.testing.assert_allclose(orthogonal, plain, atol=1e-12)
    np.testing.assert_allclose((along - plain).std(axis=0), 0, atol=1e-12)
    assert (along - plain).std() > 0.1 and (plain.argmax(1) == range(3)).all()
    said = [text for text in words(made["shift"]) if "choose" in text and "plane" not in text]
    right, bent = "texts choose videos 1, 2, 3", "texts choose videos 2, 2, 2"
    assert [text for text in said if text.startswith("texts")] == [right, right, bent]
    assert [text for text in said if text.startswith("videos")] == ["videos choose texts 1, 2, 3"] * 3


def test_a_dot_is_right_where_its_step_is_shown():
    masks = np.array([[first <= second <= last for first, last in univl_tasks.SHOWN] for second in range(8)])
    recall = step_recall([univl_tasks.LOCALIZED.T], [masks], ["a task"])["recall"]
    assert recall == pytest.approx(200 / 3), "two of three, as drawn"
    wrong = sum(a != b for a, b in zip(univl_tasks.LABELLED, univl_tasks.PREDICTED, strict=True))
    assert wrong == 1 and len(univl_tasks.LABELLED) == 8


def test_ranks_and_candidates(made):
    ranks = [1 + sum(other > row[i] for other in row) for i, row in enumerate(search.S)]
    assert f"ranks {', '.join(map(str, ranks))}" in " ".join(words(made["evaluation"])) and ranks[search.QUERY] == 4
    assert "R@1 = 60%" in " ".join(words(made["evaluation"]))
    assert "kept “a pan” -1.00; “the pot” -1.40, given up “the egg” -1.70" in made["beam search"].alt
    assert all(any(column in re.split(r", ", text) for text in words(made["schema"])) for column in COLUMNS)


def test_overlap_of_distributions(made):
    """Shares of both in each bin, the smaller one of each added up: 0.2 + 0.5 + 0.2, and 0.2."""
    assert made["distributions"].alt.endswith("step 0: 90 %; step 50: 20 %.")


def drawn_in_lessons():
    """Cells of lessons that do nothing but draw, with no value of the lesson: (lesson and cell, call, outputs)."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            call = cell.source.removeprefix("from minivl import drawings\n\n")
            if cell.cell_type == "code" and call.startswith("drawings."):
                names = {node.id for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Name)}
                if names == {"drawings"}:
                    yield pytest.param(call, cell.outputs, id=f"{path.stem} {cell.id}")


@pytest.mark.parametrize("call, outputs", list(drawn_in_lessons()))
def test_lessons_show_the_drawings_of_today(call, outputs):
    made = eval(call, {"drawings": drawings})
    shown = made._repr_html_() if hasattr(made, "_repr_html_") else made.html()
    assert [output.data for output in outputs] == [{"text/html": shown, "text/plain": made.alt}]


def test_saved(made, tmp_path):
    path = made["UniVL"].save(tmp_path / "new" / "univl.svg")
    assert path.read_text(encoding="utf-8") == made["UniVL"].svg
