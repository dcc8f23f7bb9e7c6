"""The wheel works where there is no repository: it is built, installed, and used from an empty folder.

It is installed into a fresh environment that finds the dependencies of this one, but not this checkout.
"""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from minivl.config import CHECKOUT

FILES = ("minivl", "data_samples", "notebooks")


def started(command, folder, **environment):
    """A finished program that was started in `folder`, without this checkout's PYTHONPATH."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and name[:6] != "MINIVL"}
    settings = {**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run([*map(str, command)], cwd=folder, env=settings, capture_output=True, text=True)


def run(command, folder, **environment):
    """Output of a program that succeeds."""
    done = started(command, folder, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], CHECKOUT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder of an environment's programs, with minivl from the wheel among them."""
    environment = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", environment], environment)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    python = programs / Path(sys.executable).name
    run([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel], environment)
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], environment).strip()
    # A folder that a .pth file names is searched, but its own .pth files, such as that of the checkout, are not read.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture(scope="module")
def minivl(installed, tmp_path_factory):
    """A function that runs the installed program in an empty folder; the folder is its attribute."""
    folder, cache = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("cache")

    def program(*arguments):
        return run([installed / "minivl", *arguments], folder, MINIVL_CACHE=str(cache), MINIVL_SCALE="tiny")

    program.folder = folder
    return program


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_holds_what_is_committed_and_nothing_else(wheel):
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FILES]
    committed = {f for f in run(listed, CHECKOUT).splitlines() if (CHECKOUT / f).is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {f if f.startswith("minivl/") else f"minivl/_bundled/{f}" for f in committed}


def test_the_main_commands_run_from_the_installed_package(installed, minivl):
    samples = Path(minivl("samples").strip())
    package = samples.parents[1]
    assert package.is_relative_to(installed.parent) and package.name == "minivl"
    before = files(package)

    found = minivl("search", "a hand puts a carrot into a red pot", samples / "kitchen" / "test", "--top", "2")
    assert len([line for line in found.splitlines() if ".mp4" in line]) == 2
    assert "0:00 -" in minivl("caption", samples / "kitchen" / "test" / "test-00000.mp4")
    minivl("lesson", "a2_discovla_studies")
    assert (minivl.folder / "runs" / "lessons-tiny" / "a2_discovla_studies.ipynb").is_file()
    minivl("demo")
    assert (minivl.folder / "runs" / "quickstart-tiny" / "scores.csv").is_file()
    assert files(package) == before, "nothing is written into the installed package"


def test_what_needs_the_repository_says_so(installed, minivl):
    refused = started([installed / "minivl", "lesson", "01_data_and_world", "--update"], minivl.folder)
    assert refused.returncode == 1 and "clone" in refused.stderr


def test_the_ledger_is_drawn_without_the_tests_that_it_names(installed, minivl):
    program = "from minivl import ledger; print(len(ledger.releases_table(ledger.read_releases())))"
    assert int(run([installed / "python", "-c", program], minivl.folder)) > 10
