"""UniVL's five downstream tasks, and captions of one's own videos."""

from minivl.tasks.univl.data import load_rows
from minivl.tasks.univl.finetuning import load_task
