"""Checks of a notebook from the command line."""

import nbformat
import pytest
from typer.testing import CliRunner

from minivl.cli import app
from minivl.course.answers import NotebookError, check_notebook
from minivl.course.editions import write_edition
from minivl.course.tasks import ASSIGNMENTS, TASKS


def minivl(*arguments):
    return CliRunner().invoke(app, arguments)


def answered(folder, name, text):
    """A student's edition with one answer; the path."""
    path = write_edition("univl_losses", "student", folder, overwrite=True)
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)
    cell.source = text
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%matplotlib inline\nraise SystemExit"))  # is not run
    nbformat.write(notebook, path)
    return path


def test_one_right_answer_among_many_that_are_open(tmp_path):
    text = "def causal_mask(mask):\n    return (torch.ones(mask.shape[1], mask.shape[1]).tril() * mask[:, None]).bool()"
    found = check_notebook(answered(tmp_path, "causal_mask", text), ASSIGNMENTS["univl_losses"])
    assert [name for name, verdict in found.items() if verdict.right] == ["causal_mask"]
    assert found["mil_nce"].message == "not answered yet"


@pytest.mark.parametrize(
    "text, message",
    [
        ("def causal_mask(mask)\n    return mask", r"cell 9 stopped with SyntaxError: expected ':' \(cell 9, line 1\)"),
        ("causal_mask = lambda mask: mask\n1 / 0", "cell 9 stopped with ZeroDivisionError"),
    ],
)
def test_a_cell_that_stops(tmp_path, text, message):
    with pytest.raises(NotebookError, match=message):
        check_notebook(answered(tmp_path, "causal_mask", text), [TASKS["causal_mask"]])


def test_an_answer_that_was_deleted(tmp_path):
    found = check_notebook(answered(tmp_path, "causal_mask", "pass"), [TASKS["causal_mask"]])
    assert found["causal_mask"].message == "there is no `causal_mask` in the cells for answers of univl_losses.ipynb"


@pytest.mark.parametrize("text", ["", "[1, 2", "{}", "[]", '{"cells": 3, "nbformat": 4}'])
def test_what_is_not_a_notebook(tmp_path, text):
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(NotebookError, match="x.ipynb is not a notebook"):
        check_notebook(tmp_path / "x.ipynb", [TASKS["causal_mask"]])


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = minivl("course", "student")
    assert made.exit_code == 0 and "univl_losses.ipynb: 11 tasks, 23 points" in made.stdout
    unanswered = minivl("check", "discovla_parts")
    assert unanswered.exit_code == 1
    assert unanswered.stdout.splitlines()[-1] == "discovla_parts: 0 of 6 tasks right, 0 of 16 points"
    write_edition("univl_losses", "solution", tmp_path / "solved")
    solved = minivl("check", "mil_nce", "solved/univl_losses.ipynb")
    assert solved.exit_code == 0 and solved.stdout.endswith("mil_nce: 1 of 1 tasks right, 3 of 3 points\n")


def test_commands_that_cannot_be_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there is no notebook nothing.ipynb" in str(minivl("check", "mil_nce", "nothing.ipynb").exception)
    assert "there is no assignment or task 'x'" in str(minivl("check", "x").exception)
    assert "there is no assignment 'x'" in str(minivl("course", "student", "x").exception)
    (tmp_path / "univl_losses.ipynb").touch()
    assert "may hold somebody's answers" in str(minivl("course", "student").exception)
