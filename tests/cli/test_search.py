"""`minivl search`: what it loads, how it stays open, and what it says of wrong arguments before it loads anything."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from minivl.cli.options import app
from minivl.cli.univl import TASKS
from minivl.config import BUNDLED, ConfigError
from minivl.tasks.univl.finetuning import KINDS

KITCHEN = str(BUNDLED / "kitchen" / "test")
LOADED = """
import sys
from minivl.cli.errors import run
from minivl.cli import app
status = run(app)
print(status, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def modules(*arguments):
    """(exit status, packages that a command has imported)."""
    answer = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    status, *names = answer.stdout.splitlines()[-1].split()
    return int(status), set(names)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of the kitchen's clips."""
    place = tmp_path_factory.mktemp("index")
    assert CliRunner().invoke(app, ["search", "a pot", KITCHEN, "--index", str(place)]).exit_code == 0
    return place


def ask(index, *arguments, typed=None):
    return CliRunner().invoke(app, ["search", *arguments, "--index", str(index), "--top", "1"], input=typed)


def test_a_query_on_a_fresh_index_imports_no_more_than_its_text_tower_needs(index):
    status, loaded = modules("search", "a red pot", KITCHEN, "--index", index)
    assert status == 0 and {"torch", "tokenizers"} <= loaded
    assert not loaded & {"open_clip", "torchvision", "timm", "transformers", "accelerate", "datasets", "pandas"}


def test_interactive_answers_line_after_line(index):
    lines = ask(index, KITCHEN, "--interactive", typed="a red pot\n a carrot \nquit\nnever asked\n").stdout.splitlines()
    assert len(lines) == 4, "each time the answer, and how far it stands out"
    for answer, query in zip((lines[:2], lines[2:]), ["a red pot", "a carrot"], strict=True):
        assert ask(index, query, KITCHEN).stdout.splitlines() == answer
    assert len(ask(index, "a pot", KITCHEN, "--interactive", typed="a carrot\n").stdout.splitlines()) == 4
    assert ask(index, KITCHEN, "--interactive", typed="\na pot\n").stdout == "", "an empty line ends it"


def test_a_bad_query_does_not_end_it(index, monkeypatch):
    from minivl.tasks.clip.search import Searcher

    encode = Searcher.encode_text

    def sometimes(self, query):
        if query == "bad":
            raise ValueError("this query cannot be encoded")
        return encode(self, query)

    monkeypatch.setattr(Searcher, "encode_text", sometimes)
    answer = ask(index, KITCHEN, "--interactive", typed="bad\na pot\n")
    assert answer.exit_code == 0 and len(answer.stdout.splitlines()) == 2 and "cannot be encoded" in answer.stderr


WRONG = {
    "search x": "what is to be searched",
    "search x {kitchen} --model nowhere": "unknown model 'nowhere'",
    "search x {kitchen} --model ViT-Q-99/openai": "unknown model 'ViT-Q-99/openai'",
    "search x {kitchen} --picture a.jpg": r"ends in \.png",
    "evaluate --model nowhere": "unknown model 'nowhere'",
    "evaluate --split nosuch": "has no split 'nosuch'",
    "adapt --clip nowhere": "unknown model 'nowhere'",
    "adapt --clip hf-hub:nowhere": "no model nowhere",
    "adapt --data nowhere": "no folder nowhere",
    "finetune jointt": "unknown task 'jointt'.*joint, align",
    "finetune joint --split nosuch": "has no split 'nosuch'",
    "finetune joint --model nowhere": "no model nowhere.*owner/name",
    "caption {kitchen} --model nowhere": "no model nowhere",
    "caption {kitchen} --suffix .doc": r"must be one of \.srt",
    "features {kitchen} --s3d nowhere": "no model nowhere",
    "feature-world x --kind nosuch": "must be one of narrated, opinions",
    "lesson nosuch": "no lesson 'nosuch'.*00_quickstart",
    "push {kitchen} nobody": "expected owner/name",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_arguments_are_told(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, [word.format(kitchen=KITCHEN) for word in command.split()])
    assert isinstance(answer.exception, (ConfigError, FileNotFoundError))
    with pytest.raises(type(answer.exception), match=WRONG[command]):
        raise answer.exception
    assert not any(tmp_path.iterdir())


def test_wrong_arguments_are_told_before_anything_heavy_is_imported():
    for command in ("finetune jointt", "finetune joint --split nosuch", "evaluate --model nowhere"):
        status, loaded = modules(*command.split())
        assert status == 1 and not loaded & {"torch", "datasets"}


def test_names_of_tasks_are_those_of_the_tasks():
    assert set(TASKS) == set(KINDS)
