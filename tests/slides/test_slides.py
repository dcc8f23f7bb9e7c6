"""Slides: every deck is made of its lesson as it is, needs no network, and can be walked through in a browser."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup

from helpers.browser import PROGRAM, Browser
from minivl.config import NOTEBOOKS, ConfigError
from minivl.curriculum import lesson_of, lessons
from minivl.slides import SOURCES, SlidesError, deck, write_deck
from minivl.slides.decks import sections
from minivl.slides.pieces import IMAGE, piece

PRESS_RIGHT = 'document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", keyCode: 39}))'


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    """The decks of all lessons, as files by lesson."""
    folder = tmp_path_factory.mktemp("decks")
    return {lesson: write_deck(lesson, folder) for lesson in lessons()}


@pytest.mark.parametrize("lesson", lessons())
def test_a_deck_is_whole(lesson, decks):
    page = BeautifulSoup(decks[lesson].read_text(encoding="utf-8"), "html.parser")
    slides = page.select("main > section")
    assert 8 <= len(slides) <= 15
    assert len(slides[0].select("h1")) == 1 and all(len(slide.select("h2")) == 1 for slide in slides[1:])
    predictions = [number for number, slide in enumerate(slides) if "predict" in slide["class"]]
    assert len(predictions) >= 2, "questions whose answer is not yet visible"
    for number in predictions:
        assert not slides[number].select("figure, .table"), "the answer comes on the next slide"
    assert "Exercise" in slides[-1].get_text() and "Break it" in page.get_text()
    assert len(page.select("aside.notes")) >= len(slides) // 2
    figures = page.select("img")
    assert figures and all(len(figure["alt"]) > 20 for figure in figures)
    assert not re.search(r"\$|\]\[|figure:|table:", "".join(slide.get_text() for slide in slides)), "left as it was"


@pytest.mark.parametrize("lesson", lessons())
def test_a_deck_asks_no_other_host(lesson, decks):
    page = BeautifulSoup(decks[lesson].read_text(encoding="utf-8"), "html.parser")
    assert "default-src 'none'" in page.select_one('meta[http-equiv="Content-Security-Policy"]')["content"]
    addresses = [element[name] for name in ("src", "href", "data-src") for element in page.find_all(attrs={name: True})]
    assert addresses and all(address.startswith("data:") for address in addresses)
    styles = "".join(style.get_text() for style in page.find_all("style"))
    assert "@import" not in styles and not re.search(r"url\((?!data:)", styles)


def test_figures_are_those_of_the_lesson(decks):
    notebook = (NOTEBOOKS / "03_five_objectives.ipynb").read_text(encoding="utf-8")
    shown = IMAGE.findall(decks["03_five_objectives"].read_text(encoding="utf-8"))
    assert len(shown) == 5 and all(source in notebook for source, _ in shown)


def test_numbers_are_computed_from_the_results(tmp_path):
    (tmp_path / "r.csv").write_text("cell,R@1\nplain,4.25\n")
    text = '# T\n\nIt has [9.99][n].\n\n---\n\n## S\n\nStill [9.99][n].\n\n[n]: r.csv "plain | {R@1:.1f}"\n'
    slides = sections(text, nbformat.v4.new_notebook(), tmp_path)
    assert len(slides) == 2 and all('R@1:.1f}">4.2</span>' in slide for slide in slides)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ("![](figure:03-99)", "03.md: figure:03-99: the lesson has no cell with the id '03-99'"),
        ("![](figure:03-24)", "figure:03-24: the cell has 0 of this kind"),
        ("![](figure:03-27/2)", "figure:03-27/2: the cell has 1 of this kind"),
        ("![](picture.png)", "'picture.png' is no reference"),
        ("[read](https://example.org)", "a link to https://example.org"),
        ('[1][x]\n\n[x]: gone.csv "a | {b}"', r"\[x\]: gone.csv"),
    ],
)
def test_a_stale_reference_is_told(wrong, message, tmp_path):
    (tmp_path / "03.md").write_text(f"# Title\n\n{wrong}\n")
    with pytest.raises(SlidesError, match=message):
        deck("03_five_objectives", tmp_path)


def test_parts_of_a_lesson():
    output = nbformat.v4.new_output
    cell = nbformat.v4.new_code_cell("x")
    cell.id = "c"
    cell.outputs = [
        output("stream", text="scale: tiny · CPU\na < b\n"),
        output("display_data", {"text/markdown": "$$ x_1 $$\n```python\n```"}),
        output("display_data", {"text/html": "<div><style></style><table><tr><td>7</td></tr></table></div>"}),
        output("display_data", {"text/html": "<table><tr><td>8</td></tr></table>"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert piece(notebook, "output:c") == "<pre>a &lt; b</pre>", "without the banner"
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in piece(notebook, "equation:c")
    assert "<td>7</td>" in piece(notebook, "table:c") and "<td>8</td>" in piece(notebook, "table:c/2")
    with pytest.raises(SlidesError, match="has 2 of this kind"):
        piece(notebook, "table:c/3")


def test_every_lesson_has_a_source_and_every_source_a_lesson():
    assert {path.stem for path in SOURCES.glob("*.md")} == {lesson.partition("_")[0] for lesson in lessons()}


def test_a_deck_is_not_overwritten(tmp_path, decks):
    (tmp_path / "11_order_of_frames.html").write_text("mine")
    with pytest.raises(ConfigError, match="exists: give another --out, or --overwrite"):
        write_deck("11_order_of_frames", tmp_path)


def test_lessons_by_number_and_name():
    assert [lesson_of(name) for name in ("3", "03", "03_five_objectives")] == ["03_five_objectives"] * 3
    for wrong in ("33", "03_five", ""):
        with pytest.raises(ConfigError, match=f"there is no lesson '{wrong}'; there are 00_quickstart"):
            lesson_of(wrong)


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")
def test_keys_walk_through_a_deck(decks):
    path = decks["11_order_of_frames"]
    with Browser(1280, 720) as browser:
        browser.open(path)
        browser.wait_for("typeof Reveal !== 'undefined' && Reveal.isReady()")
        seen = [browser.run("Reveal.getCurrentSlide().querySelector('h1, h2').textContent")]
        for _ in range(browser.run("Reveal.getTotalSlides()") - 1):
            browser.run(PRESS_RIGHT)
            seen.append(browser.run("Reveal.getCurrentSlide().querySelector('h1, h2').textContent"))
        assert len(set(seen)) == len(seen) == browser.run("Reveal.getTotalSlides()"), "each slide once"
        assert browser.run("Reveal.isLastSlide() && Reveal.hasPlugin('notes')")
        assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert browser.problems == []
        asked = {address.partition("#")[0] for address in browser.requests}
        assert [address for address in asked if not address.startswith("data:")] == [path.as_uri()]
