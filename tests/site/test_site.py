"""The built site, in a browser: pages, links, widths, what assistive technology would stumble over.

`make site-check` builds it and runs this; without a built site all of it is skipped.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup

from helpers import browser

SITE = Path(os.environ.get("MINIVL_SITE", "nowhere")).absolute()
pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="no built site: see `make site-check`")
needs_browser = pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium to look with")
PAGES = sorted(SITE.rglob("*.html"))
SERIOUS = ("serious", "critical")
# Of every kind of page one is read by axe, which takes seconds.
READ_CLOSELY = (
    "index",
    "notebooks/02_four_modules",
    "ledger",
    "explorers",
    "live",
    "api/minivl.univl",
    "docs/glossary",
    "search",
)


@pytest.fixture(scope="module")
def pages():
    """Every page as it is written."""
    return {page: BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser") for page in PAGES}


def test_every_link_leads_somewhere(pages):
    anchors = {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in pages.items()}
    lost = []
    for page, soup in pages.items():
        for tag in soup.find_all(["a", "img", "script", "link", "iframe"]):
            link = tag.get("href") or tag.get("src") or ""
            if not link or link.split(":")[0] in ("http", "https", "data", "mailto", "javascript"):
                continue
            file, anchor = urldefrag(unquote(link))
            target = (page.parent / file.split("?")[0]).resolve() if file else page
            if not target.exists() or anchor and target in anchors and anchor not in anchors[target]:
                lost.append(f"{page.relative_to(SITE)}: {link}")
    assert not lost


def test_nothing_is_fetched_from_another_host(pages):
    fetched = {
        (page.name, tag.get("src") or tag.get("href"))
        for page, soup in pages.items()
        for tag in soup.find_all(["img", "script", "link", "iframe"])
        if (tag.get("src") or tag.get("href") or "").startswith(("http:", "https:", "//"))
    }
    assert not fetched


def test_pictures_have_words(pages):
    bare = {page.name for page, soup in pages.items() for tag in soup.find_all("img") if not tag.get("alt")}
    assert not bare


def test_every_lesson_can_be_downloaded(pages):
    for page, soup in pages.items():
        if page.parent.name in ("notebooks", "assignments"):
            assert any(".ipynb" in tag.get("href", "") for tag in soup.find_all("a", class_="download")), page


@needs_browser
@pytest.mark.parametrize("width", [390, 1300])
def test_pages_open_without_complaint(width):
    with browser.Browser(width, 900) as tab:
        for page in PAGES:
            tab.problems.clear()
            tab.requests.clear()
            tab.open(page)
            tab.wait_for("document.readyState == 'complete'")
            assert not tab.problems, page
            assert all(url.startswith(("file:", "data:", "blob:")) for url in tab.requests), page
            if page.parent.name != "explorers":
                assert tab.run("document.documentElement.scrollWidth <= innerWidth + 1"), f"{page} is too wide"


def axe_core():
    """The script of axe, which reads a page as assistive technology does."""
    axe_core_python = pytest.importorskip("axe_core_python")
    return (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@needs_browser
def test_nothing_serious_is_in_the_way_of_a_screen_reader():
    axe, found = axe_core(), {}
    with browser.Browser() as tab:
        for name in READ_CLOSELY:
            tab.open(SITE / f"{name}.html")
            tab.wait_for("document.readyState == 'complete'")
            tab.run(f"{axe}; 0")
            violations = tab.run(
                "axe.run({iframes: false}).then(r => r.violations.map(v => [v.impact, v.id, v.nodes[0].html]))"
            )
            found[name] = [violation for violation in violations if violation[0] in SERIOUS]
    assert not any(found.values()), found


@needs_browser
def test_drawings_can_be_read_on_a_phone():
    """They are moved sideways, also by the keyboard, and the page stays as wide as the phone."""
    with browser.Browser(390, 900) as tab:
        tab.open(SITE / "notebooks/02_four_modules.html")
        shown = "document.querySelector('figure img[src^=\"data:image/svg\"]')"
        assert tab.wait_for(f"document.readyState == 'complete' && {shown}.clientWidth") == 760
        figure = f"{shown}.closest('figure')"
        assert tab.wait_for(f"{figure}.tabIndex == 0") and tab.run(f"{figure}.clientWidth < innerWidth")
        assert "sideways" in tab.run(f"{figure}.getAttribute('aria-label')")
        tab.run(f"{axe_core()}; 0")
        rule = "{iframes: false, runOnly: ['scrollable-region-focusable']}"
        assert not tab.run(f"axe.run({rule}).then(r => r.violations.flatMap(v => v.nodes.map(n => n.html)))")


@needs_browser
def test_the_search_finds_a_lesson():
    with browser.Browser() as tab:
        tab.open(f"{SITE}/search.html")
        tab.run("setTimeout(() => location.search = '?q=MIL-NCE')")
        tab.wait_for("document.querySelectorAll('#search-results li').length > 0")
        assert "03_five_objectives" in tab.run("document.querySelector('#search-results').innerHTML")


@needs_browser
def test_the_ledger_can_be_filtered():
    with browser.Browser() as tab:
        tab.open(SITE / "ledger.html")
        tab.wait_for("document.querySelectorAll('.dt-search input, .dt-info').length == 2")
        rows = "document.querySelectorAll('table tbody tr').length"
        before = tab.run("document.querySelector('.dt-info').innerText")
        tab.run("(() => { const i = document.querySelector('.dt-search input'); i.value = 'DiDeMo'; "
                "i.dispatchEvent(new Event('input', {bubbles: true})); return 1; })()")  # fmt: skip
        tab.wait_for(f"document.querySelector('.dt-info').innerText != {before!r} && {rows} > 0")
        assert "DiDeMo" in tab.run("document.querySelector('table tbody').innerText")


@needs_browser
def test_explorers_are_drawn():
    with browser.Browser() as tab:
        for page in sorted((SITE / "_static" / "explorers").glob("*.html")):
            tab.open(page)
            tab.wait_for("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
            assert not tab.problems
