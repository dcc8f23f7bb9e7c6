"""The page "Try it" of the built site answers as the command line does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import browser
from minivl.config import BUNDLED

SITE = Path(os.environ.get("MINIVL_SITE", "nowhere")).absolute()
PAGE, CLIPS = SITE / "live.html", BUNDLED / "kitchen" / "test"
ADAPTED = Path(__file__).parents[2] / "build" / "live" / "adapted" / "model"  # which docs/site/live_page.py trains
pytestmark = [
    pytest.mark.skipif(not (SITE / "_static" / "live").is_dir(), reason="no built site with the live page"),
    pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium to look with"),
]
WAYS = ("a hand puts a carrot into a red pot", "Someone POURS milk, into  the yellow pot!", "ünderneath a zebra")


@pytest.fixture(scope="module")
def tab():
    with browser.Browser() as opened:
        opened.open(PAGE)
        opened.wait_for("document.readyState == 'complete' && document.querySelectorAll('#caption-clip option').length")
        yield opened
        assert not opened.problems
        assert all(url.startswith(("file:", "data:", "blob:")) for url in opened.requests)


def submit(tab, form, field, text):
    """Type a text into a field of a form and send it; when the page is done, nothing is said of waiting."""
    tab.run(f"document.getElementById('{field}').value = {json.dumps(text)}; 0")
    tab.run(f"document.getElementById('{field}').dispatchEvent(new Event('input')); 0")
    tab.run(f"document.getElementById('{form}-form').requestSubmit(); 0")
    tab.wait_for(f"document.getElementById('{form}-status').textContent === ''")


def command(*words, lines=()):
    """What a command prints, given lines to read."""
    program = [sys.executable, "-m", "minivl", *words]
    options = {"check": True, "capture_output": True, "text": True, "cwd": BUNDLED.parent, "input": "\n".join(lines)}
    return subprocess.run(program, **options).stdout


@pytest.mark.parametrize("side, model", [(0, "kitchen"), (1, str(ADAPTED))])
def test_the_ranking_is_that_of_the_command_line(tab, side, model):
    printed = command("search", str(CLIPS), "--interactive", "--model", model, lines=WAYS)
    answers = re.findall(r"([+-]\d\.\d+).*(test-\d+)\.mp4", printed)
    assert len(answers) == 5 * len(WAYS)
    for number, query in enumerate(WAYS):
        submit(tab, "search", "search-query", query)
        items = f"[...document.querySelectorAll('.sides section')[{side}].querySelectorAll('li')]"
        shown = tab.run(f"{items}.map(item => item.firstChild.textContent)")
        for line, (cosine, name) in zip(shown, answers[5 * number :][:5], strict=True):
            assert line.startswith(f"{name}, cosine ") and float(line.split()[2]) == pytest.approx(float(cosine))


def test_a_caption_as_query_finds_its_rank(tab):
    caption = json.loads((CLIPS / "metadata.jsonl").read_text(encoding="utf-8").splitlines()[3])["caption"]
    submit(tab, "search", "search-query", caption)
    assert "caption of test-00003, which has rank" in tab.run("document.querySelector('.sides').innerText")
    assert tab.run("document.querySelectorAll('.histogram rect').length") == 2 * 2 * 40


def test_captions_are_those_of_the_command_line(tab):
    lines = command("caption", str(CLIPS / "test-00000.mp4"), str(CLIPS / "test-00001.mp4")).splitlines()
    expected = [line.split("  ")[-1] for line in lines if " - " in line]
    for number, caption in enumerate(expected):
        tab.run(f"(c => {{ c.value = {number}; c.dispatchEvent(new Event('change')) }})(captionPage.clip); 0")
        submit(tab, "caption", "caption-speech", "")
        assert tab.run("document.getElementById('caption-done').textContent") == f"Caption: {caption}"


def test_a_caption_grows_by_a_word_and_its_attention_sums_to_one(tab):
    tab.run("captionPage.choose(); 0")
    tab.run("captionPage.press('Next word')")
    tab.run("captionPage.press('Next word')")
    assert tab.run("captionPage.words.querySelectorAll('button').length") == 2
    assert tab.run("document.querySelectorAll('#caption-beams li').length") == 5
    sums = tab.run("captionPage.search.captions[0].attention.map(weights => weights.reduce((a, b) => a + b, 0))")
    assert sums == pytest.approx([1, 1], abs=1e-5)


def test_a_longer_transcript_than_the_model_reads_is_cut(tab):
    submit(tab, "caption", "caption-speech", "now i slice the tomato " * 20)
    assert tab.run("captionPage.search.words.length") == 40
