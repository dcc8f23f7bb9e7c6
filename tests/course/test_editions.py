"""Students' editions are made of the sources, as nbgrader makes them, and run from top to bottom."""

import ast
import inspect
import re
import textwrap

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from helpers import RECORDINGS
from minivl.config import ConfigError
from minivl.course.editions import (
    ASSIGNMENTS_FOLDER,
    AssignmentError,
    edition,
    solution,
    source,
    student,
    write_edition,
)
from minivl.course.tasks import ASSIGNMENTS, TASKS

NAMES = list(ASSIGNMENTS)


def falls(losses):
    return len(losses) == 2 and losses[1] < losses[0]


INSIDE = {  # what is right for the cells that put answers into the real model
    "video_text_data": {},
    "univl_parts": {"encode_with": lambda difference: difference < 1e-4},
    "univl_losses": {"train_univl_with": falls},
    "discovla_parts": {"adapt_clip_with": falls},
    "univl_tasks": {
        "rerank_with": lambda scores: len(scores) == 2 and all(score > 50 for score in scores.values()),
        "caption_with": lambda captions: len(set(captions)) == 3 and all(captions),
    },
}


def roles(notebook):
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One for all notebooks, as most of the time of each would go into imports."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path_factory.mktemp("kernel")))
    yield manager
    manager.shutdown_kernel(now=True)


def executed(notebook, kernel):
    """What a notebook prints, run without the names of the one before; an error in a cell is an error here."""
    NotebookClient(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%reset -f")]), km=kernel).execute()
    NotebookClient(notebook, timeout=300, km=kernel).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_the_student_edition_is_nbgrader_s():
    """Recorded with nbgrader 0.9.6; it adds checksums, for its own database."""
    made = student(nbformat.read(RECORDINGS / "nbgrader_source.json", as_version=4))
    release = nbformat.read(RECORDINGS / "nbgrader_release.json", as_version=4)
    for cell in release.cells:
        for name in ("checksum", "cell_type"):
            cell.metadata.get("nbgrader", {}).pop(name, None)
    assert made.cells == release.cells and made.metadata == release.metadata


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_student_edition_is_that_of_the_source(name):
    """Else: minivl course student --out notebooks/assignments --overwrite."""
    committed = nbformat.read(ASSIGNMENTS_FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(committed)
    assert committed == edition(name, "student")


@pytest.mark.parametrize("name", NAMES)
def test_a_student_edition_gives_nothing_away(name):
    answers = [
        line.strip()
        for cell in source(name).cells
        if "### BEGIN SOLUTION" in cell.source
        for part in cell.source.split("### BEGIN SOLUTION")[1:]
        for line in part.split("### END SOLUTION")[0].splitlines()
        if len(line.strip()) > 15
    ]
    notebook = edition(name, "student")
    text = "\n".join(cell.source for cell in notebook.cells)
    assert len(answers) > 10 and not [line for line in answers if line in text]
    assert "HIDDEN" not in text and "require" not in text
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_cells_belong_to_the_tasks(name):
    """Each task has its answer and its check, its points, and the signature and docstring of its reference."""
    cells = roles(source(name))
    asked = [grade_id.removeprefix("check_") for grade_id in cells if grade_id.startswith("check_")]
    assert asked == [task.name for task in ASSIGNMENTS[name]]
    for task in ASSIGNMENTS[name]:
        check = cells[f"check_{task.name}"]
        assert check.metadata.nbgrader.points == task.points and check.metadata.nbgrader.locked
        assert check.source.endswith(f'check("{task.name}", {task.name})')
        assert f'require("{task.name}", {task.name})' in check.source
        (written,) = ast.parse(cells[task.name].source).body
        assert written.name == task.name
        assert inspect.cleandoc(ast.get_docstring(written)) == inspect.getdoc(task.reference)
        if isinstance(written, ast.FunctionDef):
            reference = ast.parse(textwrap.dedent(inspect.getsource(task.reference))).body[0]
            assert ast.unparse(written.args) == ast.unparse(reference.args)
            assert ast.unparse(written.returns) == ast.unparse(reference.returns)


@pytest.mark.parametrize("name", NAMES)
def test_unanswered_from_top_to_bottom(name, kernel):
    told = executed(edition(name, "student"), kernel)
    tasks = ASSIGNMENTS[name]
    n, points = len(tasks), sum(task.points for task in tasks)
    assert told.endswith(f"{name}: 0 of {n} tasks right, 0 wrong, {n} unanswered; 0 of {points} points\n")
    for task in tasks:
        assert f"{task.name}: unanswered\n0 of {task.points} points\n" in told


@pytest.mark.parametrize("name", NAMES)
def test_solutions_are_right_and_work_in_the_real_model(name, kernel):
    """With the hidden tests of the source."""
    notebook = source(name)
    told = executed(notebook, kernel)
    tasks = ASSIGNMENTS[name]
    n, points = len(tasks), sum(task.points for task in tasks)
    assert told.endswith(f"{name}: {n} of {n} tasks right, 0 wrong, 0 unanswered; {points} of {points} points\n")
    used = {}
    for cell in notebook.cells:
        if call := re.search(r"^inside\.(\w+)\(", cell.source, re.MULTILINE):
            (output,) = cell.outputs
            used[call[1]] = ast.literal_eval(output.data["text/plain"])
    assert set(used) == set(INSIDE[name])
    for call, found in used.items():
        assert INSIDE[name][call](found), found


def test_the_solution_edition_has_neither_marks_nor_hidden_tests():
    text = "\n".join(cell.source for cell in solution(source("univl_losses")).cells)
    assert "SOLUTION" not in text and "HIDDEN" not in text and "logsumexp(1)" in text


def test_points_are_graded_by_what_a_check_returns():
    """nbgrader takes a number that a graded cell ends with for its points: no student's edition may end with less."""
    for task in TASKS.values():
        assert task.points == int(task.points) > 0


def test_a_notebook_of_answers_is_not_overwritten(tmp_path):
    path = write_edition("univl_losses", "student", tmp_path)
    path.write_text("my answers")
    with pytest.raises(ConfigError, match="exists, and may hold somebody's answers"):
        write_edition("univl_losses", "student", tmp_path)
    assert path.read_text() == "my answers"
    write_edition("univl_losses", "student", tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="the editions are student, solution, source, not 'teacher'"):
        edition("univl_losses", "teacher")


@pytest.mark.parametrize(
    "text, message",
    [
        ("### BEGIN SOLUTION\nx = 1", "BEGIN SOLUTION without END SOLUTION"),
        ("### END SOLUTION", "do not alternate"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "do not alternate"),
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "in a cell that is not marked as one"),
        ("### BEGIN HIDDEN TESTS\nx = 1", "BEGIN HIDDEN TESTS without END"),
    ],
)
def test_marks_that_do_not_fit_together(text, message):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)])
    with pytest.raises(AssignmentError, match=message):
        student(notebook)
