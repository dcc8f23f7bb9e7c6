"""The explorer's page as text, and in a notebook. What it does in a browser: test_browser.py."""

import re

import pytest
from bs4 import BeautifulSoup

from helpers.explorations import exploration
from minivl.explorer import AlignmentError, explore
from minivl.explorer.page import explorer_page


@pytest.fixture(scope="module")
def page():
    return explorer_page(exploration())


def test_hostile_captions_end_no_script(page):
    html = BeautifulSoup(page, "html.parser")
    assert html.find("img") is None and html.select_one(".hacked") is None
    assert "<img src=x" not in page


def test_nothing_is_fetched(page):
    html = BeautifulSoup(page, "html.parser")
    assert not html.find_all(src=True) and not html.find_all("link")
    policy = html.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none';") and "http" not in policy and "connect-src" not in policy


def test_every_section_has_words(page):
    shown = page.replace("\\u003c", "<").replace("&lt;", "<").replace("&gt;", ">")
    assert len(found := set(re.findall(r"<h2>([^<]+)</h2>", shown))) == 8 and "Teacher and student" in found


def test_too_large_pages_are_refused(monkeypatch):
    monkeypatch.setenv("MINIVL_LIMIT_PAGE_MB", "1")
    with pytest.raises(AlignmentError, match="the page would have 2 MB.*MINIVL_LIMIT_PAGE_MB"):
        explorer_page(exploration())


def test_a_notebook_shows_the_page_in_a_frame_and_a_still_picture(page):
    html = BeautifulSoup(explore(exploration())._repr_html_(), "html.parser")
    assert BeautifulSoup(html.iframe["srcdoc"], "html.parser").title.text == "Explorer of alignment"
    assert html.select_one("details img")["alt"].startswith("Cosine similarity of matching and other")
    assert len(html.find_all("img")) == 1, "captions are escaped"
