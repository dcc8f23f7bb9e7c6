"""The course by name, read without anything heavy, is the course as it is."""

import pytest

from minivl.config import ConfigError
from minivl.course.task import Task
from minivl.course.tasks import ASSIGNMENTS as TASKS_OF
from minivl.course.tasks import MODULES
from minivl.curriculum import ASSIGNMENTS, assignment_of, lessons


def test_every_task_has_its_place():
    written = {thing.name for module in MODULES for thing in vars(module).values() if isinstance(thing, Task)}
    assert written == {task for assignment in ASSIGNMENTS.values() for task in assignment.tasks}
    assert {name: [task.name for task in tasks] for name, tasks in TASKS_OF.items()} == {
        name: list(assignment.tasks) for name, assignment in ASSIGNMENTS.items()
    }


def test_lessons_of_assignments_exist_and_have_one_assignment():
    numbers = [number for assignment in ASSIGNMENTS.values() for number in assignment.lessons]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) <= {lesson.partition("_")[0] for lesson in lessons()}


@pytest.mark.parametrize("name", ["univl_losses", "mil_nce", "03", "3", "03_five_objectives", "04"])
def test_names_of_an_assignment(name):
    assert assignment_of(name) == "univl_losses"


@pytest.mark.parametrize(
    "name, message",
    [
        ("univl_loses", "there is no assignment, task or lesson 'univl_loses'. Did you mean univl_losses?"),
        ("mil_nse", "'mil_nse'. Did you mean mil_nce?"),
        ("03_objectives", "'03_objectives'. Did you mean 03_five_objectives?"),
        ("77", "no assignment, task or lesson '77'. The assignments are video_text_data (lesson 01)"),
        ("", "no assignment, task or lesson ''"),
        ("9", "lesson 09 has no assignment; the assignments are"),
        ("09_ledger", "lesson 09 has no assignment; the assignments are"),
        ("a1_univl_studies", "a1_univl_studies is an appendix, which has no assignment; the assignments are"),
        ("a1_univl_study", "'a1_univl_study'. Did you mean a1_univl_studies?"),
    ],
)
def test_names_of_nothing(name, message):
    with pytest.raises(ConfigError) as error:
        assignment_of(name)
    assert message in str(error.value)
