"""`minivl explore`: a page of models and files, and what it says of wrong arguments before it loads anything."""

import subprocess
import sys

from typer.testing import CliRunner

from helpers.explorations import exploration
from minivl.cli import explore as _commands  # noqa: F401
from minivl.cli.options import app
from minivl.explorer import load_exploration, save_exploration

WRONG = {
    "explore kitchen --out page.txt": r"ends in .html",
    "explore nowhere --out page.html": "unknown model 'nowhere'",
    "explore kitchen --out page.html --data nowhere": "no folder nowhere",
    "explore {run} --out page.html": "is a run without a model",
    "explore kitchen --out page.html --save {file}": "is a file: name a folder",
}


def test_wrong_arguments_are_told_before_anything_is_loaded(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    (tmp_path / "file").touch()
    program = (
        "import sys\nfrom minivl.cli.errors import run\nfrom minivl.cli import app\n"
        "for line in sys.argv[1:]:\n    sys.argv[1:] = line.split()\n    run(app)\n"
        "assert not {'torch', 'bokeh', 'open_clip'} & set(sys.modules)"
    )
    lines = [line.format(run=tmp_path / "run", file=tmp_path / "file") for line in WRONG]
    answer = subprocess.run([sys.executable, "-c", program, *lines], capture_output=True, text=True, check=True)
    told = answer.stderr.splitlines()
    assert len(told) == len(WRONG)
    for line, message in zip(told, WRONG.values(), strict=True):
        assert message in line


def test_a_page_of_files_and_its_copy(tmp_path):
    saved = save_exploration(exploration(), tmp_path / "theirs")
    arguments = [
        "explore",
        str(saved),
        str(saved),
        "--out",
        str(tmp_path / "a" / "page.html"),
        "--save",
        str(tmp_path / "both"),
    ]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    assert "page.html" in answer.output and (tmp_path / "a" / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert len(load_exploration(tmp_path / "both").models) == 4
