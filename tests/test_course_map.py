"""The map of the course says what the lessons say."""

import nbformat
import pytest

from minivl import lessons
from minivl.config import NOTEBOOKS, ConfigError
from minivl.course_map import NOT_SAID, course_map, opening, write_map

MAP = NOTEBOOKS.parent / "docs" / "teaching" / "map.md"


def test_the_committed_map_is_that_of_the_lessons():
    """Else: minivl course map --out docs/teaching --overwrite."""
    assert MAP.read_text(encoding="utf-8") == course_map()


def test_an_opening():
    text = """# 03 · T

**Question.** What does each
ask for? And more.

**Before:** lesson 02; matrices. **Time:** 45 minutes to read, two to run."""
    assert opening(text) == {"question": "What does each ask for?", "before": "lesson 02; matrices", "reading": "45"}
    assert opening("# 03") == {"question": NOT_SAID, "before": NOT_SAID, "reading": NOT_SAID}


def test_only_the_cost_of_a_run_goes_into_a_lesson(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    committed = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1", execution_count=1)])
    lessons.record_cost(committed, "small", {"cpu minutes": 2.0, "peak GB": 1.5})
    nbformat.write(committed, tmp_path / "07_lesson.ipynb")
    ran = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1", execution_count=9)])
    lessons.record_cost(ran, "tiny", {"cpu minutes": 0.25})
    nbformat.write(ran, tmp_path / "ran.ipynb")

    assert lessons.update_cost("07_lesson", tmp_path / "ran.ipynb", "tiny") == {"cpu minutes": 0.25}
    found = nbformat.read(tmp_path / "07_lesson.ipynb", as_version=4)
    assert lessons.cost_of(found, "tiny") == {"cpu minutes": 0.25}
    assert lessons.cost_of(found, "small") == {"cpu minutes": 2.0, "peak GB": 1.5}
    assert lessons.cost_of(found, "full") is None and found.cells == committed.cells


def test_a_map_is_not_overwritten(tmp_path):
    (tmp_path / "map.md").write_text("mine")
    with pytest.raises(ConfigError, match="exists: give another --out, or --overwrite"):
        write_map(tmp_path)
