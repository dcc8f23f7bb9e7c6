"""The tasks, by name, and by assignment in the order of `minivl.curriculum`."""

from minivl import curriculum
from minivl.course.task import Task
from minivl.course.tasks import (
    bootstrap,
    contrastive,
    data,
    discovla,
    embeddings,
    ending,
    fusion,
    lora,
    masked_modelling,
    masking,
    parts,
    retrieval,
    search,
    strategies,
)

MODULES = (
    bootstrap,
    contrastive,
    data,
    discovla,
    embeddings,
    ending,
    fusion,
    lora,
    masked_modelling,
    masking,
    parts,
    retrieval,
    search,
    strategies,
)
_FOUND = {thing.name: thing for module in MODULES for thing in vars(module).values() if isinstance(thing, Task)}
ASSIGNMENTS: dict[str, list[Task]] = {
    name: [_FOUND[task] for task in assignment.tasks] for name, assignment in curriculum.ASSIGNMENTS.items()
}
TASKS = {task.name: task for tasks in ASSIGNMENTS.values() for task in tasks}
