"""Dockerfile and devcontainer: what they copy, call and name is there. Neither is built here."""

import json
import re
import shlex
from pathlib import Path

import minivl

REPO = Path(minivl.__file__).resolve().parents[1]
MAKEFILE = (REPO / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
INSTRUCTIONS = ("FROM", "RUN", "WORKDIR", "COPY", "ENV", "CMD")


def dockerfile():
    """Instructions of the Dockerfile, each a pair of its name and the rest on one line."""
    text = re.sub(r"\\\n\s*", "", (REPO / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def made(command):
    """The targets of the Makefile that a shell command makes."""
    parts = [shlex.split(part) for part in command.split("&&")]
    return {words[1] for words in parts if words[0] == "make"}


def test_the_image_sets_up_and_runs_the_demo():
    written = dockerfile()
    assert {name for name, _ in written} <= set(INSTRUCTIONS) and written[0] == ("FROM", "python:3.11-slim")
    runs = " && ".join(rest for name, rest in written if name == "RUN")
    assert made(runs) == {"setup"} and {"git", "make"} <= set(runs.split())
    assert json.loads(dict(written)["CMD"]) == ["make", "demo"] and {"setup", "demo", "lab"} <= TARGETS
    (place,) = (rest for name, rest in written if name == "WORKDIR")
    assert dict(written)["ENV"] == f'PATH="{place}/.venv/bin:$PATH"' and "\nBIN := .venv/bin\n" in MAKEFILE


def test_what_is_made_by_use_stays_out_of_the_image():
    ignored = (REPO / ".dockerignore").read_text(encoding="utf-8").split()
    for line in (REPO / ".gitignore").read_text(encoding="utf-8").split():
        assert {line.rstrip("/"), f"**/{line.rstrip('/')}"} & set(ignored) or line == "*.egg-info/"
    assert ".git" in ignored


def test_the_devcontainer_sets_up_the_same():
    settings = json.loads((REPO / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert ("FROM", settings["image"]) in dockerfile()
    assert made(settings["updateContentCommand"]) == {"setup"}
    assert set(re.findall(r"make (\w+)", settings["postAttachCommand"])) <= TARGETS
    assert {"git", "make"} <= set(settings["onCreateCommand"].split())
    interpreter = settings["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == ".venv/bin/python"
