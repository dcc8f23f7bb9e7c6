"""Checks of a notebook from the command line."""

import subprocess
import sys

import nbformat
import pytest
from typer.testing import CliRunner

from minivl.cli import app
from minivl.course.answers import NotebookError, check_notebook
from minivl.course.editions import write_edition
from minivl.course.tasks import ASSIGNMENTS, TASKS

PARTS = ASSIGNMENTS["univl_parts"]


def minivl(*arguments):
    return CliRunner().invoke(app, arguments)


def answered(folder, name, text):
    """A student's edition with one answer; the path."""
    path = write_edition("univl_parts", "student", folder, overwrite=True)
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)
    cell.source = text
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%matplotlib inline\nraise SystemExit"))  # is not run
    nbformat.write(notebook, path)
    return path


def test_one_right_answer_among_many_that_are_open(tmp_path):
    text = "def causal_mask(mask):\n    return (torch.ones(mask.shape[1], mask.shape[1]).tril() * mask[:, None]).bool()"
    found = check_notebook(answered(tmp_path, "causal_mask", text), PARTS)
    assert [name for name, verdict in found.items() if verdict.right] == ["causal_mask"]
    assert {name: verdict.state for name, verdict in found.items() if not verdict.right} == dict.fromkeys(
        [task.name for task in PARTS if task.name != "causal_mask"], "unanswered"
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("def causal_mask(mask)\n    return mask", "SyntaxError: expected ':' (cell 9, line 1)"),
        ("causal_mask = lambda mask: mask\n1 / 0", "ZeroDivisionError: division by zero"),
        ("exit()", "SystemExit"),
    ],
)
def test_a_cell_that_stops_is_a_wrong_answer_and_the_others_are_checked(tmp_path, text, message):
    found = check_notebook(answered(tmp_path, "causal_mask", text), PARTS)
    told = found["causal_mask"].message
    assert told.startswith("wrong, cell 9 of univl_parts.ipynb stopped with ") and message in told
    assert found["attention"].message == "unanswered"


def test_an_answer_that_was_deleted(tmp_path):
    found = check_notebook(answered(tmp_path, "causal_mask", "pass"), [TASKS["causal_mask"], TASKS["attention"]])
    assert found["causal_mask"].message == (
        "wrong, there is no function or class `causal_mask` in the cells for answers of univl_parts.ipynb"
    )


def test_functions_of_other_cells_are_there(tmp_path):
    path = answered(tmp_path, "causal_mask", "def causal_mask(mask):\n    return helper(mask)")
    notebook = nbformat.read(path, as_version=4)
    helper = "def helper(mask):\n    return (torch.ones(mask.shape[1], mask.shape[1]).tril() * mask[:, None]).bool()"
    notebook.cells.insert(3, nbformat.v4.new_code_cell(helper))
    nbformat.write(notebook, path)
    assert check_notebook(path, [TASKS["causal_mask"]])["causal_mask"].right


def test_an_import_that_stops(tmp_path):
    path = answered(tmp_path, "causal_mask", "pass")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import nothing_of_that_name"))
    nbformat.write(notebook, path)
    with pytest.raises(NotebookError, match="univl_parts.ipynb stopped with ModuleNotFoundError"):
        check_notebook(path, PARTS)


def test_the_notebook_of_another_assignment(tmp_path):
    with pytest.raises(NotebookError, match="has no cell for an answer to mil_nce: is it another assignment's?"):
        check_notebook(answered(tmp_path, "causal_mask", "pass"), [TASKS["mil_nce"]])


@pytest.mark.parametrize("text", ["", "[1, 2", "{}", "[]", '{"cells": 3, "nbformat": 4}'])
def test_what_is_not_a_notebook(tmp_path, text):
    (tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(NotebookError, match="x.ipynb is not a notebook"):
        check_notebook(tmp_path / "x.ipynb", [TASKS["causal_mask"]])


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = minivl("course", "student")
    assert made.exit_code == 0 and "univl_losses.ipynb: 6 tasks, 14 points" in made.stdout
    unanswered = minivl("check", "05")
    assert unanswered.exit_code == 1
    assert unanswered.stdout.splitlines() == [
        *(f"{task.name}: unanswered" for task in ASSIGNMENTS["discovla_parts"]),
        "discovla_parts: 0 of 9 tasks right, 0 wrong, 9 unanswered; 0 of 22 points",
    ]
    write_edition("univl_losses", "solution", tmp_path / "solved")
    solved = minivl("check", "mil_nce", "solved/univl_losses.ipynb")
    assert solved.exit_code == 0 and solved.stdout.splitlines() == [
        "mil_nce: right, in 5 of 5 cases",
        "mil_nce: 1 of 1 tasks right, 0 wrong, 0 unanswered; 3 of 3 points",
    ]


def test_notebooks_of_answers_are_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "univl_losses.ipynb").touch()
    assert "may hold somebody's answers" in str(minivl("course", "student").exception)


def test_wrong_arguments_are_answered_before_anything_heavy_is_imported(tmp_path):
    """Every one of them in a process of its own would take longer than all the others together."""
    cases = [
        (["check", "mil_nce", "nothing.ipynb"], "there is no notebook nothing.ipynb: give its name behind mil_nce"),
        (["check", "03"], "there is no notebook univl_losses.ipynb: give its name behind 03, or write one with"),
        (["check", "x"], "there is no assignment, task or lesson 'x'."),
        (["check", "09"], "lesson 09 has no assignment; the assignments are video_text_data (lesson 01), univl_parts"),
        (["course", "student", "x"], "there is no assignment 'x'; there are video_text_data, univl_parts"),
        (["course", "teacher"], "write student, solution, source, slides or map, not 'teacher'"),
        (["course", "slides", "33"], "there is no lesson '33'; there are 00_quickstart"),
        (["course", "map", "03"], "the map is of all lessons: leave 03 out"),
    ]
    code = (
        "import sys; from typer.testing import CliRunner; from minivl.cli import app\n"
        f"for arguments, message in {cases!r}:\n"
        "    error = CliRunner().invoke(app, arguments).exception\n"
        "    assert message in str(error), (arguments, error)\n"
        "    assert 'torch' not in sys.modules, arguments\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
