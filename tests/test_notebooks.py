"""Every lesson is committed executed, and runs from a clean kernel."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from minivl.config import NOTEBOOKS
from minivl.lessons import cost_of, run_lesson, shown_sources

FORKED = Path(__file__).parent / "helpers" / "forked_lessons.py"
LESSONS = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def code_cells(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_there_are_lessons():
    assert {"00_quickstart", "01_data_and_world"} <= set(LESSONS)


@pytest.mark.parametrize("name", LESSONS)
def test_committed_executed_top_to_bottom(name):
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs and not any(output.output_type == "error" for output in outputs)
    assert not any(output.output_type == "stream" and output.name == "stderr" for output in outputs), "warnings"
    for output in outputs:
        text = json.dumps(output)
        assert len(text) < 500_000
        assert not re.search(r'["\s(\']/(?:\w+/){2,}', text), "an absolute path"
    scale_line = json.dumps(cells[0].outputs)
    assert "scale: small" in scale_line


def shown_as_html(name):
    """The HTML that a lesson's outputs show, parsed."""
    outputs = [output for cell in code_cells(name) for output in cell.outputs]
    assert not any(kind.startswith("image/") for output in outputs for kind in output.get("data", {})), (
        "JupyterLab gives such a picture no alternative text"
    )
    return [
        BeautifulSoup(output.data["text/html"], "html.parser")
        for output in outputs
        if "text/html" in output.get("data", {})
    ]


@pytest.mark.parametrize("name", LESSONS)
def test_figures_have_alternative_text_which_is_not_shown(name):
    notebook = shown_as_html(name)
    alts = [picture.get("alt", "") for html in notebook for picture in html.find_all("img")]
    assert alts and all(len(alt) > 20 for alt in alts)
    closed = [words.extract().get_text() for html in notebook for words in html.select("details:not([open])")]
    assert [text.removeprefix("The figure in words") for text in closed] == alts
    printed = [output.text for cell in code_cells(name) for output in cell.outputs if output.output_type == "stream"]
    visible = " ".join([html.get_text(" ") for html in notebook] + printed)
    assert not [alt for alt in alts if alt in visible]


@pytest.mark.parametrize("name", LESSONS)
def test_shown_source_is_that_of_the_package(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    stale = [text.partition("```")[0] for data, text in shown_sources(notebook) if data["text/markdown"] != text]
    assert not stale, f"run: minivl lesson {name} --sources"


def test_runs_at_the_smallest_scale_as_a_user_runs_it(tmp_path):
    written = run_lesson("00_quickstart", tmp_path, "tiny", {"MINIVL_CACHE": str(tmp_path / "cache")})
    cost = cost_of(nbformat.read(written, as_version=4), "tiny")
    assert 0 < cost["cpu minutes"] and (sys.platform != "linux" or 0.1 < cost["peak GB"])
    assert len(list((tmp_path / "figures").glob("*.png"))) >= 4
    assert (tmp_path / "scores.csv").is_file() and (tmp_path / "adapt-seed0" / "model" / "config.json").is_file()


@pytest.mark.parametrize("device", ["cpu", "pretend"])
@pytest.mark.parametrize("part", range(2))
def test_every_lesson_runs_at_the_smallest_scale(part, device, tmp_path):
    """On the CPU, and where models are elsewhere, as on a GPU. Half of the lessons at a time share what they load."""
    command = [sys.executable, FORKED, device, tmp_path, *LESSONS[part::2]]
    environment = {**os.environ, "MINIVL_CACHE": str(tmp_path / "cache")}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-5000:]


def test_the_table_of_the_readme_is_that_of_the_quick_start():
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- scores:start -->")[1].split("<!-- scores:end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    measured = "".join(
        output.get("data", {}).get("text/plain", "")
        for cell in code_cells("00_quickstart")
        for output in cell.outputs
        if "LoRA + IVFusion" in str(output.get("data", {}).get("text/html"))
    )
    assert len(rows) >= 5
    for name, before, after in rows[2:]:
        line = next(line for line in measured.splitlines() if line.startswith(name))
        assert line.split("  ")[-1].strip() == after, "the larger test set is the last pair of columns"
        assert before in line
