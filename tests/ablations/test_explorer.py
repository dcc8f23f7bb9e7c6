"""The explorer of ablations: its page as text, in a notebook and in a browser."""

import json

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from helpers.browser import PROGRAM, Browser
from minivl.ablations import explorer
from minivl.ablations.comparing import differences, run_differences
from minivl.ablations.explorer import ablation_page, explore_ablations, write_ablation_page
from minivl.ablations.runner import AblationError

HOSTILE = "</script><img src=x onerror=alert(1)>"
STUDIES = {
    "seeds": pd.DataFrame(
        {
            "cell": ["plain"] * 3 + [HOSTILE] * 3 + ["late"],
            "seed": [0, 1, 2, 0, 1, 2, 7],
            "settings.alpha": [None] * 3 + [0.3] * 4,
            "R@sum": [10.0, 12, 11, 20, 23, 22, 9],
            "other": [5.0, 5, 6, 4, 4, 4, 1],
        }
    ),
    "worlds": pd.DataFrame(
        {"cell": ["a", "b"] * 4, "world": [1, 1, 1, 1, 2, 2, 2, 2], "seed": [100, 100, 101, 101, 200, 200, 201, 201],
         "score": [1.0, 2, 3, 5, 5, 5, 6, 9]}
    ),
}  # fmt: skip
READY = "typeof ablations !== 'undefined' && ablations.parts !== undefined && Bokeh.index.roots.length > 0"
ROWS = """
(() => {
  const found = [], waiting = [document]
  while (waiting.length) for (const element of waiting.pop().querySelectorAll("*")) {
    if (element.classList.contains("slick-row")) found.push([...element.children].map(cell => cell.innerText))
    if (element.shadowRoot) waiting.push(element.shadowRoot)
  }
  return found
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_ablation_page(STUDIES, tmp_path_factory.mktemp("page") / "page.html")


def test_hostile_names_end_no_script(page):
    html = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    assert html.title.text == explorer.TITLE and html.find("img") is None and not html.find_all(src=True)


def test_a_notebook_shows_the_page_in_a_frame_and_a_still_picture():
    html = BeautifulSoup(explore_ablations(STUDIES)._repr_html_(), "html.parser")
    assert BeautifulSoup(html.iframe["srcdoc"], "html.parser").title.text == explorer.TITLE
    assert "plain 11.0 ± 1.0" in html.select_one("details img")["alt"]


def test_too_many_comparisons_are_refused(monkeypatch):
    monkeypatch.setattr(explorer, "MOST", 10)
    with pytest.raises(AblationError, match="22 comparisons are more than a page shows"):
        ablation_page(STUDIES)


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")
def test_controls_choose_what_is_compared(page):
    def shown(study, baseline, score):
        found = differences(run_differences(STUDIES[study], baseline, score))
        return [[row["cell"], f"{row['difference']:+.2f}"] for row in found.to_dict("records")]

    with Browser() as tab:
        tab.open(page)
        tab.wait_for(READY)

        def choose(**values):
            for name, value in values.items():
                tab.run(f"ablations.parts.{name}.value = '{value}'; 0")

        def expect(rows):
            tab.wait_for(f"JSON.stringify({ROWS}.map(row => row.slice(0, 2))) === {json_of(rows)}")

        expect(shown("seeds", "plain", "R@sum"))
        assert "No run goes with one of the baseline's for: late" in tab.run("ablations.parts.words.text")
        choose(score=1)
        expect(shown("seeds", "plain", "other"))
        choose(baseline=1)
        expect(shown("seeds", HOSTILE, "other"))
        assert tab.run("ablations.parts.dots.data.run") == ["seed 0", "seed 1", "seed 2"]
        choose(study=1)
        expect(shown("worlds", "a", "score"))
        assert "intervals over worlds" in tab.run("ablations.parts.words.text")
        assert tab.run("ablations.parts.dots.data.run")[2] == "world 2, seed 200"
        assert not tab.problems


def json_of(rows):
    """A JavaScript text of rows as JSON.stringify writes them."""
    return json.dumps(json.dumps(rows, ensure_ascii=False, separators=(",", ":")))
