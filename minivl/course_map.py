"""The map of the course: each lesson with its question, what comes before it, and what it takes.

All of it is read from the lessons: the opening of a notebook says the question, what is needed and the minutes of
reading, and its metadata have what runs of it took (`minivl lesson --update` and `--cost`).
"""

import re
from pathlib import Path
from typing import Any

import nbformat

from minivl.config import NOTEBOOKS, ConfigError
from minivl.curriculum import ASSIGNMENTS
from minivl.lessons import cost_of

NOT_SAID = "–"
COLUMNS = (
    "lesson",
    "question",
    "before",
    "reading, minutes",
    "CPU minutes, small",
    "memory, small",
    "CPU minutes, tiny",
    "memory, tiny",
    "assignment",
    "slides",
)
HEAD = """# Map of the course

Made of the lessons by `minivl course map --out docs/teaching --overwrite`; a test compares. CPU minutes are those of
all cores together, with the rendering of worlds that were not in the cache; who has two idle cores waits for half of
them at best. Memory is that of the kernel at its highest. *small* is what a student runs, *tiny* what the tests run. A
dash: the lesson does not say, or nobody has measured it yet (`make costs`).

"""


def course_map() -> str:
    """The map as Markdown, with links that start in docs/teaching."""
    rows = [_row(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows))


def write_map(folder: Path, overwrite: bool = False) -> Path:
    """Write the map into a folder, as map.md. Raises ConfigError for a file that is there already."""
    path = folder / "map.md"
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists: give another --out, or --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(course_map(), encoding="utf-8")
    return path


def opening(text: str) -> dict[str, str]:
    """What the first cell of a lesson says: {"question", "before", "reading"}, NOT_SAID for what it leaves out."""
    text = " ".join(text.split())
    found = {
        "question": re.search(r"\*\*Question\.\*\* (.+?[?])", text),
        "before": re.search(r"\*\*Before:\*\* (.+?)\.? \*\*Time:", text),
        "reading": re.search(r"\*\*Time:\*\* (?:about )?(\w+) minutes to read", text),
    }
    return {name: match[1] if match else NOT_SAID for name, match in found.items()}


def _row(path: Path) -> list[str]:
    """The cells of a lesson, one for each of COLUMNS."""
    notebook, number = nbformat.read(path, as_version=4), path.stem.partition("_")[0]
    said = opening(notebook.cells[0].source)
    costs = [*_cost(notebook, "small"), *_cost(notebook, "tiny")]
    assignments = [name for name, assignment in ASSIGNMENTS.items() if number in assignment.lessons]
    has_slides = (NOTEBOOKS / "slides" / f"{number}.md").is_file()
    slides = f"[{number}](../../notebooks/slides/{number}.md)" if has_slides else ""
    title = f"[{path.stem.replace('_', ' ')}](../../notebooks/{path.name})"
    return [title, said["question"], said["before"], said["reading"], *costs, *(assignments or [""]), slides]


def _cost(notebook: Any, scale_name: str) -> tuple[str, str]:
    """CPU minutes and memory of the last recorded run at a scale."""
    cost = cost_of(notebook, scale_name) or {}
    minutes = f"{cost['cpu minutes']:.1f}" if "cpu minutes" in cost else NOT_SAID
    memory = f"{cost['peak GB']:.1f} GB" if "peak GB" in cost else NOT_SAID
    return minutes, memory
