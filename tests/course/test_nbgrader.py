"""The assignments with nbgrader itself, as docs/teaching/README.md tells an instructor: release, autograde, feedback.

nbgrader is no dependency. `MINIVL_NBGRADER=/path/to/nbgrader` runs these tests with the one there, in whose environment
minivl has to be; without the variable they are skipped. They take about a minute for each assignment.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from minivl.course.editions import source
from minivl.course.tasks import ASSIGNMENTS

NBGRADER = os.environ.get("MINIVL_NBGRADER", "")
pytestmark = pytest.mark.skipif(not NBGRADER, reason="MINIVL_NBGRADER names no nbgrader")

# Answers of the student who makes mistakes: what is exchanged in the solution, or None for a task without an answer.
# None of these mistakes is on the lists of minivl/course/tasks by design; one cell of each notebook does not even run.
MISTAKES: dict[str, dict[str, tuple[str, str] | None]] = {
    "video_text_data": {
        "sample_frames": ("round(fps)", "int(fps)"),
        "mask_words": ("(place < last)", "(place <= last)"),
        "mask_frames": None,
    },
    "univl_parts": {
        "embed_frames": ("norm(x + positions[: x.shape[1]])", "norm(x) + positions[: x.shape[1]]"),
        "cross_input": ("text + types[0]", "text + types[1]"),
        "joint_similarity": ("def mean(x, mask):", "def mean(x, mask)"),
        "causal_mask": None,
    },
    "univl_losses": {
        "mil_nce": ("(everything - positive).mean()", "(everything - positive).sum()"),
        "align_loss": ("video.repeat(N, 1, 1)", "video.repeat_interleave(N, dim=0)"),
        "cmlm_loss": ("masked.sum().clamp(min=1)", "masked.total()"),
        "hand_over": None,
    },
    "discovla_parts": {
        "LoRA": ("x @ self.A.T @ self.B.T", "2 * (x @ self.A.T @ self.B.T)"),
        "frame_mean": ("normalize(frames, dim=-1)", "normalize(frames, dim=1)"),
        "recall_at_k": ("similarity > own", "similarity >= own"),
        "paired_bootstrap": ("[draws]", "(draws)"),
        "alignment_distillation": None,
    },
    "univl_tasks": {
        "rerank": ("scores.argsort(dim=1, descending=True)", "scores.argsort(dim=1)"),
        "search_ended": ("words >= max_length", "words > max_length"),
        "rank_captions": None,
    },
}
STUDENTS = ("all_right", "some_mistakes", "nothing_answered")


def run(*command: object, folder: Path) -> str:
    """Output of a program that succeeds."""
    beside = f"{Path(NBGRADER).parent}{os.pathsep}{os.environ['PATH']}"  # it calls alembic, its own
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": beside}
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def answer(task: str, solution: str, student: str, name: str) -> str | None:
    """What a student writes into the cell of a task; None leaves it as it was handed out."""
    if student == "nothing_answered":
        return None
    written = "\n".join(line for line in solution.split("\n") if "### " not in line)
    if student == "all_right" or task not in MISTAKES[name]:
        return written
    change = MISTAKES[name][task]
    if change is None:
        return None
    assert change[0] in written, f"{task}: the solution has no {change[0]!r} any more"
    return written.replace(*change)


def submit(name: str, student: str, course: Path) -> None:
    """Fill in the released notebook, and put it where nbgrader collects it."""
    notebook = nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)
    solutions = {cell.metadata.nbgrader.grade_id: cell for cell in source(name).cells if "nbgrader" in cell.metadata}
    for cell in notebook.cells:
        task = cell.metadata.get("nbgrader", {}).get("grade_id")
        if cell.cell_type == "code" and task in solutions and cell.metadata.nbgrader.solution:
            cell.source = answer(task, solutions[task].source, student, name) or cell.source
    folder = course / "submitted" / student / name
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def points(course: Path, name: str) -> dict[str, float]:
    """What the gradebook says of each student. The written answers are not marked, and count nothing."""
    run(NBGRADER, "export", "--to", "grades.csv", folder=course)
    with open(course / "grades.csv", newline="", encoding="utf-8") as file:
        return {row["student_id"]: float(row["score"]) for row in csv.DictReader(file) if row["assignment"] == name}


@pytest.mark.parametrize("name", list(ASSIGNMENTS))
def test_released_graded_and_told(name, tmp_path):
    """Three submissions get the points that they should, and a page each that says why without giving answers away."""
    course = tmp_path / "course"
    course.mkdir()
    (course / "nbgrader_config.py").write_text(
        'c = get_config(); c.CourseDirectory.course_id = "minivl"; c.Execute.timeout = 300'
    )
    run(sys.executable, "-m", "minivl", "course", "source", name, "--out", f"source/{name}", folder=course)
    run(NBGRADER, "generate_assignment", name, folder=course)
    for student in STUDENTS:
        submit(name, student, course)
    run(NBGRADER, "autograde", name, folder=course)
    run(NBGRADER, "generate_feedback", name, folder=course)

    of = {task.name: task.points for task in ASSIGNMENTS[name]}
    whole, lost = sum(of.values()), sum(of[task] for task in MISTAKES[name])
    found = points(course, name)
    print(f"\n{name}: {', '.join(f'{found[student]:g}' for student in STUDENTS)} of {whole} points")
    assert found == {"all_right": whole, "some_mistakes": whole - lost, "nothing_answered": 0}

    pages = {s: (course / "feedback" / s / name / f"{name}.html").read_text(encoding="utf-8") for s in STUDENTS}
    assert "unanswered" in pages["nothing_answered"] and "wrong, in case" in pages["some_mistakes"]
    answers = [line.strip() for cell in source(name).cells for line in solution_lines(cell.source)]
    assert not [line for line in answers if len(line) > 25 and line in pages["nothing_answered"]]


def solution_lines(text: str) -> list[str]:
    """The lines of a cell that only the solution has."""
    return [
        line for part in re.findall("### BEGIN SOLUTION(.*?)### END SOLUTION", text, re.S) for line in part.split("\n")
    ]
