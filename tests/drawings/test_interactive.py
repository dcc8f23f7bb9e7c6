"""Pages that answer to clicks: losses are torch's, a still picture stands alone, and clicks do what they say."""

import html
import json
import shutil
import subprocess

import pytest
import torch
from bs4 import BeautifulSoup

from helpers import browser
from minivl import drawings
from minivl.drawings.interactive import PAGES
from minivl.drawings.narration import fits, step_meant
from minivl.univl.objectives import align_loss, mil_nce

START = [[2.0, 1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
ROWS = [
    {
        "steps": [
            {"label": label, "start": 4.0 * n, "end": 4.0 * n + 4}
            for n, label in enumerate(("slice onion", "pour oil", "heat pot"))
        ],
        "transcript": [
            {"text": "now i slice the onion", "start": 4.5, "end": 7.5},
            {"text": "i pour some oil", "start": 8.5, "end": 11.5},
            {"text": "thank you for watching", "start": 0.0, "end": 3.0},
        ],
    }
]
MAKERS = {
    "matrix": lambda: drawings.editable_matrix(START),
    "masking": lambda: drawings.masking_by_click(["heat", "the", "onion"], 4),
    "slider": lambda: drawings.shifted_speech(ROWS, (-4, 0, 4)),
    "levels": lambda: drawings.slider("dial", {"0": drawings.levels("dial 0", {"one frame": 40.0}, "a caption " * 15)}),
}
LOSSES = {
    "textsChoose(S)": lambda S: align_loss(S),
    "videosChoose(S)": lambda S: align_loss(S.T),
    "bothChoose(S)": lambda S: (align_loss(S) + align_loss(S.T)) / 2,
    **{f"milNCE(S, {n})": (lambda S, n=n: mil_nce(S, n)) for n in (1, 2, 3, 6)},
}
needs_browser = pytest.mark.skipif(browser.PROGRAM is None, reason="no chromium to look with")


def in_javascript(code):
    """The value of an expression after losses.js has been read, in node, or in a browser where there is no node."""
    library = (PAGES / "losses.js").read_text(encoding="utf-8")
    if node := shutil.which("node"):
        program = f"{library}\nconsole.log(JSON.stringify({code}))"
        return json.loads(subprocess.run([node, "-"], input=program, capture_output=True, text=True, check=True).stdout)
    if browser.PROGRAM is None:
        pytest.skip("neither node nor a browser runs JavaScript here")
    with browser.Browser() as tab:
        return tab.run(f"(() => {{ {library}\nreturn {code}; }})()")


def test_losses_and_gradients_are_those_of_torch():
    S = 5 * torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = in_javascript(f"((S) => [{', '.join(LOSSES)}])({json.dumps(S.tolist())})")
    for (name, loss), theirs in zip(LOSSES.items(), found, strict=True):
        ours = S.clone().requires_grad_()
        value = loss(ours)
        value.backward()
        assert theirs["loss"] == pytest.approx(value.item(), abs=1e-5), name
        torch.testing.assert_close(torch.tensor(theirs["gradient"], dtype=torch.float64), ours.grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_a_still_picture_with_words_stands_before_the_page(name):
    made = MAKERS[name]()
    assert not made.still.canvas.collisions()
    shown = BeautifulSoup(made._repr_html_(), "html.parser")
    assert [tag.name for tag in shown.find_all(recursive=False)] == ["figure", "iframe"]
    assert shown.img["alt"] == made.alt and len(made.alt) > 60 and shown.iframe["title"]
    page = shown.iframe["srcdoc"]
    assert "http:" not in page.replace("http://www.w3.org", "") and "https:" not in page and html.unescape(page) == page
    assert BeautifulSoup(page, "html.parser").find("script", src=True) is None


def test_which_step_a_sentence_means():
    steps, spoken = ROWS[0]["steps"], ROWS[0]["transcript"]
    assert [step_meant(sentence, steps) for sentence in spoken] == [0, 1, None]
    assert fits(ROWS, 0.0) == (0.0, 1.0), "both come one step late"
    assert fits(ROWS, -4.0) == (1.0, 1.0)


@needs_browser
def test_pages_answer(tmp_path):
    """One browser for all of them, as starting it is what takes time."""
    files = {name: tmp_path / f"{name}.html" for name in ("matrix", "masking", "slider")}
    for name, file in files.items():
        file.write_text(MAKERS[name]().page(), encoding="utf-8")
    with browser.Browser() as tab:
        tab.open(files["matrix"])
        said = "document.getElementById('said')?.textContent"
        before = tab.wait_for(said)
        assert f"MIL-NCE {mil_nce(torch.tensor(START), 2):.4f}" in before
        tab.run("(() => { const i = document.querySelector('input[data-i=\"0\"][data-j=\"1\"]'); i.value = '4'; "
                "i.dispatchEvent(new Event('input', {bubbles: true})); return 1; })()")  # fmt: skip
        changed = torch.tensor(START)
        changed[0, 1] = 4
        assert f"MIL-NCE {mil_nce(changed, 2):.4f}" in tab.run(said)

        tab.open(files["masking"])
        assert "CMLM asks nothing" in tab.wait_for(said)
        tab.run("document.querySelectorAll('#words button')[3].click()")
        tab.run("document.querySelectorAll('#frames button')[1].click()")
        assert "Right: “onion”" in tab.run(said) and "Right: second 2 of this clip" in tab.run(said)
        assert tab.run("document.getElementById('given').textContent") == "[CLS] heat the [MASK] [SEP] | f1 0 f3 f4"
        assert tab.run("document.querySelectorAll('#words button')[0].disabled")

        tab.open(files["slider"])
        assert tab.wait_for("document.getElementById('value')?.textContent") == "as spoken"
        tab.run("(() => { const i = document.getElementById('place'); i.value = 0; "
                "i.dispatchEvent(new Event('input', {bubbles: true})); return 1; })()")  # fmt: skip
        assert "100% are said while" in tab.run("document.querySelector('#shown img').alt")
        assert not tab.problems and all(url.startswith(("file:", "data:")) for url in tab.requests)
