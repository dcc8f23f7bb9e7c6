"""The explorer's page in a real browser: what it shows, that clicks work, and that captions do nothing."""

import numpy as np
import pytest
from scipy.special import softmax

from helpers import explorations
from helpers.browser import PROGRAM, Browser
from helpers.explorations import HOSTILE, VIDEO_OF_TEXT, exploration
from minivl.explorer import Alignment, Exploration, write_page
from minivl.explorer.views import distillation
from minivl.metrics.retrieval import ranks

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")

# Every element of the page, those inside Bokeh's shadow roots, too.
ELEMENTS = """
(() => {
  const found = [], waiting = [document]
  while (waiting.length) for (const element of waiting.pop().querySelectorAll("*")) {
    found.push(element)
    if (element.shadowRoot) waiting.push(element.shadowRoot)
  }
  return found
})()
"""
# Where a point of the left matrix, in its own coordinates, is in the window.
PLACE = """
(() => {
  const view = [...Bokeh.index.roots][0].owner.find_one(explorer.sides[0].matrix_figure)
  view.el.scrollIntoView()
  const { x, y } = view.el.getBoundingClientRect(), { x_scale, y_scale } = view.frame
  return [x + x_scale.compute(%s), y + y_scale.compute(%s)]
})()
"""
READY = "typeof explorer !== 'undefined' && explorer.text !== undefined && Bokeh.index.roots.length > 0"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_page(exploration(), tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def browser(page):
    with Browser() as browser:
        browser.open(page)
        browser.wait_for(READY)
        yield browser


def side(browser, name, number=0):
    """A column, or text, of a source or text of one side of the page."""
    return browser.run(f"explorer.sides[{number}].{name}")


def test_the_page_asks_for_nothing_and_complains_about_nothing(browser, page):
    assert [address for address in browser.requests if not address.startswith("data:")] == [page.as_uri()]
    assert browser.problems == []


def test_a_model_that_has_only_similarities_is_shown_without_complaint(tmp_path):
    similarity = Alignment(explorations.alignment(1.0).similarity)
    models = {"pairs": {"": similarity}, "run": {"": explorations.alignment(1.0)}}
    page = write_page(Exploration(explorations.clips(), models), tmp_path / "page.html")
    with Browser() as browser:
        browser.open(page)
        browser.wait_for(READY)
        shown = [[side(browser, f"{name}_figure.visible", n) for name in ("map", "frames", "teacher")] for n in (0, 1)]
        assert shown == [[False] * 3, [True] * 3]
        assert browser.run("explorer.sides[1].map_figure.match_aspect") is True
        assert browser.problems == []


def test_captions_and_names_do_nothing(browser):
    browser.run("explorer.choose(1, 0)")  # a hostile name beside another pair's
    browser.run("explorer.choose(0, 0)")
    browser.run("explorer.hover(explorer.sides[0], 0.5, 0.5)")
    shown = "explorer.sides[0].ranking.text + explorer.sides[0].pointed.text"
    assert browser.run(shown).count("&lt;/script&gt;&lt;img") >= 3, "they are shown as they are"
    assert browser.run(f"{ELEMENTS}.filter(e => e.className === 'hacked' || e.getAttribute('src') === 'x').length") == 0
    assert browser.run("window.hacked") is None
    assert browser.run(f"{ELEMENTS}.filter(e => e.localName.startsWith('mjx')).length") == 0, "no formulas"


def test_pointing_shows_and_clicking_chooses_the_pair(browser):
    browser.run("explorer.choose(0, 0)")
    browser.click(*browser.run(PLACE % (4.5, 1.5)))  # caption 1, clip 4
    browser.wait_for("explorer.text === 1 && explorer.video === 4")
    value = exploration().models[HOSTILE][""].similarity[1, 4]
    assert f"<b>{value:.4f}</b>, another pair" in side(browser, "pointed.text")
    assert browser.run("explorer.sides.map(side => side.cell.data)") == [{"x": [4.5], "y": [1.5]}] * 2


def test_a_chosen_caption_ranks_the_clips(browser):
    browser.run("explorer.choose(1, 1)")
    for number, alignment in enumerate(last_alignments()):
        text = side(browser, "ranking.text", number)
        names = exploration().clips.names[1:]
        places = [text.index(f" {names[j - 1]}") for j in np.argsort(-alignment.similarity[1]) if j > 0]
        assert places == sorted(places)
        assert text.count("<img") == 5 and "the right one" in text[text.index(" one") :][:40]


def test_the_slider_goes_through_the_stages(browser):
    drawn = []
    for stage in (0, 2):
        browser.run(f"explorer.sides[1].stage.value = {stage}")
        browser.wait_for(f"explorer.sides[1].stage.title === 'Stage: step {5 * stage}'")
        drawn.append(browser.run("[...explorer.sides[1].histogram.data.matching]"))
        assert sum(drawn[-1]) == pytest.approx(100)
    assert drawn[0] != drawn[1]
    assert side(browser, "stage.visible") is False, "a model without checkpoints"


def test_a_button_plays_the_stages(browser):
    browser.run("explorer.PAUSE = 1; 0")
    browser.run("window.seen = []; explorer.sides[1].stage.properties.value.change.connect(() => seen.push("
                "explorer.sides[1].stage.value)); 0")  # fmt: skip
    browser.run("explorer.sides[1].stage.value = 1")
    browser.run("explorer.playStages(explorer.sides[1])")
    browser.wait_for("explorer.sides[1].play.label === 'Play the stages'")
    last = len(list(exploration().models.values())[1]) - 1
    assert browser.run("seen") == [1, *range(last + 1)]
    assert side(browser, "play.visible") is False and side(browser, "play.visible", 1) is True


def test_rows_are_ordered_and_columns_follow(browser):
    for order, rows in (("group", [0, 3, 4, 5, 1, 2]), ("length of the caption", [3, 1, 2, 5, 4, 0])):
        browser.run(f"explorer.order.value = {order!r}")
        assert (found := side(browser, "rows")) == rows
        columns = side(browser, "columns")
        assert columns == list(dict.fromkeys(VIDEO_OF_TEXT[found].tolist()))
        image, step = browser.run(
            "[[...explorer.sides[0].matrix.data.image[0]], explorer.view(explorer.sides[0]).step]"
        )
        expected = exploration().models[HOSTILE][""].similarity[np.ix_(found, columns)]
        np.testing.assert_allclose(np.array(image).reshape(6, 5) * step, expected, atol=step)
    browser.run("explorer.order.value = 'as given'")


def test_frames_stand_beside_the_whole_clip(browser):
    browser.run("explorer.choose(4, 3)")  # caption 4 belongs to clip 4; clip 3 has one frame that is no padding
    assert "no embeddings of frames" in side(browser, "pair.text")
    found, alignment = side(browser, "frames.data", 1), last_alignments()[1]
    similarity = alignment.similarity
    own = [similarity[4, 4], -similarity[4, 4], similarity[4, 4]]  # the second frame is the opposite of the first
    assert found["value"][:3] == pytest.approx(own, abs=1e-3)
    assert len(found["value"]) == 2 * 3 + 2 * 2
    assert found["value"][-2:] == pytest.approx([similarity[3, 3]] * 2, abs=1e-3)


def test_below_cosines_stands_their_softmax(browser):
    browser.run("explorer.choose(4, 3)")
    found, cosine = side(browser, "weights.data", 1), last_alignments()[1].similarity[3, 4]
    first = 1 / (1 + np.exp(-2 * 20 * cosine))  # logit scale 20; the second frame is the opposite of the first
    assert found["value"][2:4] == pytest.approx([first, 1 - first], abs=0.01), "clip 4 for the caption of clip 3"
    assert found["value"][4:] == [1, 1], "clip 3 has one frame that is no padding"
    assert found["label"][4] == "100"


def test_teacher_and_student_stand_beside_each_other(browser):
    browser.run("explorer.choose(4, 3)")
    assert "Nothing to show: there are no image-level similarities" in side(browser, "taught.text")
    assert side(browser, "teacher_figure.visible") is False and side(browser, "teacher_figure.visible", 1) is True
    alignment, found = last_alignments()[1], side(browser, "teacher.data", 1)
    for level, name in ((alignment.image_level, "teacher"), (alignment.similarity, "student")):
        assert found[name] == pytest.approx(softmax(5.0 * level[4])[found["video"]], abs=1e-5)
    assert sorted(found["video"]) == [0, 1, 2, 3, 4], "there are no more clips"
    right = [name for name in side(browser, "teacher_labels.data.label", 1) if "✓ the right one" in name]
    assert right == ["four ✓ the right one"]
    kl = distillation(alignment, exploration().clips)["of_texts"][4]
    assert f"the KL is {kl:.3f} nats" in (words := side(browser, "taught.text", 1))
    assert "scale of the softmax</th><td>5.0" in words and "&lt;/script&gt;" in words, "the teacher's name is escaped"


def test_a_bar_chooses_its_clip(browser):
    browser.run("explorer.choose(4, 4)")
    videos = side(browser, "teacher.data.video", 1)
    line = videos.index(2)
    browser.run(f"explorer.sides[1].teacher.selected.indices = [{line}]")
    assert browser.run("[explorer.text, explorer.video]") == [4, 2]
    assert side(browser, "teacher.data.video", 1) == videos and side(browser, "teacher.selected.indices", 1) == []


# The first cell of a line of the table with a source, in the window.
CELL = """
(() => {
  const root = Bokeh.documents[0].roots()[0]
  const table = [...root.references()].find(model => model.type === "DataTable" && model.source === %s)
  const view = [...Bokeh.index.roots][0].owner.find_one(table)
  view.el.scrollIntoView()
  const box = element => element.getBoundingClientRect()
  const lines = [...view.shadow_el.querySelectorAll(".slick-row")].sort((a, b) => box(a).y - box(b).y)
  const { x, y, width, height } = box(lines[%d].querySelector(".slick-cell"))
  return [x + width / 2, y + height / 2]
})()
"""


@pytest.mark.parametrize("source", ["explorer.sides[1].negatives", "explorer.changes.source"])
def test_a_click_on_a_line_of_a_table_chooses_what_it_says(browser, source):
    """Hardest negatives, and what changed between two models."""
    browser.run("explorer.choose(0, 0)")
    found = browser.run(f"{source}.data")
    line = next(line for line, text in enumerate(found["text"]) if text != 0)
    browser.click(*browser.run(CELL % (source, line)))
    text = found["text"][line]
    video = found["video"][line] if "video" in found else int(VIDEO_OF_TEXT[text])
    browser.wait_for(f"explorer.text === {text} && explorer.video === {video}")


def test_negatives_stand_in_order_and_those_with_the_same_words_are_marked(browser):
    found, captions = side(browser, "negatives.data", 1), exploration().clips.captions
    assert found["margin"] == sorted(found["margin"])
    of_clip = VIDEO_OF_TEXT.tolist().index
    same = [captions[i] == captions[of_clip(j)] for i, j in zip(found["text"], found["video"], strict=True)]
    assert [word == "same words" for word in found["same"]] == same


def test_what_changed_between_two_models(browser):
    before, after = (ranks(alignment.similarity, VIDEO_OF_TEXT) for alignment in last_alignments())
    found = browser.run("explorer.changes.source.data")
    change = before - after
    assert [found["change"][found["text"].index(i)] for i in range(6)] == change.tolist()
    assert np.abs(found["change"]).tolist() == sorted(np.abs(change), reverse=True)
    words = browser.run("explorer.changes.words.text")
    assert f"{(change > 0).sum()} rose" in words and f"{(change < 0).sum()} fell" in words
    browser.run("explorer.changes.source.selected.indices = [0]")
    assert browser.run("explorer.text") == found["text"][0], "a line of the table chooses"


def test_nothing_was_wrong_up_to_here(browser, page):
    assert browser.problems == []
    assert not [address for address in browser.requests if address != page.as_uri() and not address.startswith("data:")]


def last_alignments():
    return [list(stages.values())[-1] for stages in exploration().models.values()]
