"""What the course consists of, by name: lessons and their appendices, assignments, and their tasks in order.

Nothing heavy is imported here, so that a command can answer a wrong name at once.
"""

import difflib
from typing import NamedTuple

from minivl.config import NOTEBOOKS, ConfigError

EDITIONS = ("student", "solution", "source")  # of an assignment's notebook


class Assignment(NamedTuple):
    """A notebook of tasks."""

    lessons: tuple[str, ...]  # numbers of the lessons that it belongs to
    tasks: tuple[str, ...]


ASSIGNMENTS = {  # in the order of the lessons
    "video_text_data": Assignment(("01",), ("sample_frames", "collate_clips", "mask_words", "mask_frames")),
    "univl_parts": Assignment(
        ("02",), ("attention", "causal_mask", "embed_frames", "cross_input", "joint_similarity", "shift_captions")
    ),
    "univl_losses": Assignment(
        ("03", "04"), ("mil_nce", "cmlm_loss", "cmfm_loss", "align_loss", "hide_texts", "hand_over")
    ),
    "discovla_parts": Assignment(
        ("05", "06"),
        (
            "LoRA",
            "image_level_attention",
            "video_level_attention",
            "class_token_attention",
            "frame_mean",
            "image_level_similarity",
            "alignment_distillation",
            "recall_at_k",
            "paired_bootstrap",
        ),
    ),
    "univl_tasks": Assignment(("07", "08"), ("rerank", "beam_step", "search_ended", "rank_captions")),
}


def assignment_of(name: str) -> str:
    """The assignment that is meant by its own name, by a task of it, or by a lesson: "03", "3", "03_five_objectives".

    Raises ConfigError for a name of nothing, and for a lesson without an assignment.
    """
    by_lesson = {number: name for name, assignment in ASSIGNMENTS.items() for number in assignment.lessons}
    by_task = {task: name for name, assignment in ASSIGNMENTS.items() for task in assignment.tasks}
    if name in ASSIGNMENTS:
        return name
    if name in by_task:
        return by_task[name]
    number = name.zfill(2) if name.isdecimal() else name.partition("_")[0] if name in lessons() else ""
    if number in by_lesson:
        return by_lesson[number]
    having = ", ".join(f"{name} (lesson {' and '.join(a.lessons)})" for name, a in ASSIGNMENTS.items())
    if name in appendices():
        raise ConfigError(f"{name} is an appendix, which has no assignment; the assignments are {having}")
    if any(lesson.startswith(f"{number}_") for lesson in lessons()):
        raise ConfigError(f"lesson {number} has no assignment; the assignments are {having}")
    close = difflib.get_close_matches(name, [*ASSIGNMENTS, *by_task, *lessons(), *appendices()], n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    raise ConfigError(f"there is no assignment, task or lesson {name!r}.{meant} The assignments are {having}")


def require_assignment(name: str) -> str:
    """The name itself. Raises ConfigError if there is no assignment of that name."""
    if name not in ASSIGNMENTS:
        raise ConfigError(f"there is no assignment {name!r}; there are {', '.join(ASSIGNMENTS)}")
    return name


def lesson_of(name: str) -> str:
    """The lesson that is meant by its name or number: "03_five_objectives", "03", "3".

    Raises ConfigError for another.
    """
    number = name.zfill(2) if name.isdecimal() else name
    found = [lesson for lesson in lessons() if number in (lesson, lesson.partition("_")[0])]
    if not found:
        raise ConfigError(f"there is no lesson {name!r}; there are {', '.join(lessons())}")
    return found[0]


def lessons() -> list[str]:
    """Names of the lessons, such as "03_five_objectives"."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def appendices() -> list[str]:
    """Names of the notebooks with all studies behind a lesson, such as "a1_univl_studies"."""
    return sorted(path.stem for path in NOTEBOOKS.glob("a[0-9]_*.ipynb"))
