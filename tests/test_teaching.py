"""Material for the instructor: its numbers are what the package computes, and its links lead somewhere."""

import re
from math import log

import nbformat
import pytest
import torch

from minivl.config import NOTEBOOKS
from minivl.curriculum import appendices, lessons
from minivl.discovla.lora import LoRA
from minivl.metrics.retrieval import retrieval_metrics
from minivl.metrics.verdicts import holm
from minivl.univl import objectives

ALL = [*lessons(), *appendices()]
TEACHING = NOTEBOOKS.parent / "docs" / "teaching"
ANSWERS = (TEACHING / "exam_answers.md").read_text(encoding="utf-8")


def answer(number):
    return ANSWERS.split(f"\n{number}. ")[1].split(f"\n{number + 1}. ")[0]


def test_answers_about_losses_are_what_the_package_computes():
    nothing = objectives.mil_nce(torch.zeros(16, 16), 2).item()
    assert nothing == pytest.approx(log(15), abs=1e-5) and f"{nothing:.2f}" in answer(3)
    assert f"{objectives.align_loss(torch.zeros(16, 16)):.2f}" in answer(3)
    similarities = torch.zeros(4, 4)
    similarities[:2, 0] = log(3)
    of_anchor_0 = 4 * objectives.mil_nce(similarities, 2).item() - 3 * log(3)  # the other three have 2 of 6
    assert of_anchor_0 == pytest.approx(-log(0.6), abs=1e-5) and f"{of_anchor_0:.2f}" in answer(4)


def test_answers_about_numbers_and_ranks():
    weights = torch.softmax(torch.tensor([2.0, 0.0]), 0)
    assert f"{(weights @ torch.tensor([4.0, 8.0])):.2f}" in answer(1)
    trained = sum(p.numel() for p in LoRA(512, 8).parameters())
    assert f"{trained:,}" in answer(7).replace("{,}", ",") and f"{100 * trained / (512 * 1536):.1f}%" in answer(7)
    assert holm([0.008] + [0.5] * 9)[0] == pytest.approx(0.08) and "0.08" in answer(11)
    assert retrieval_metrics(torch.zeros(100, 100))["t2v"]["R@1"] == pytest.approx(1) and answer(12).strip().endswith(
        "1%."
    )


def test_links_lead_to_files():
    for file in (*TEACHING.glob("*.md"), TEACHING.parent / "glossary.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / link).exists(), f"{file.name}: {link}"


OPENING = ("**Question.**", "**Afterwards you can**", "**Before:**", "**Time:**", "(../docs/glossary.md)")


@pytest.mark.parametrize("name", ALL)
def test_a_lesson_opens_with_its_question_aims_needs_and_times(name):
    opening = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells[0].source
    assert not [part for part in OPENING if part not in opening]
    assert re.search(r"minutes to read.*, [a-z ]+ to run on two cores", opening), "written out, and measured"


@pytest.mark.parametrize("text", ["README.md", "docs/teaching/syllabus.md", "docs/teaching/misconceptions.md"])
def test_every_lesson_and_appendix_has_its_place(text):
    file = TEACHING.parents[1] / text
    linked = {
        (file.parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8"))
    }
    assert not [name for name in ALL if NOTEBOOKS.resolve() / f"{name}.ipynb" not in linked]
