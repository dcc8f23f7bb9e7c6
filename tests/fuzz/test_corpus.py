"""Files that were once answered badly stay answered well: each takes the place of a good one of its kind.

`corpus/KIND/NAME` replaces the file of that name among the good ones; of `some-defect__NAME`, the part behind the last
two underscores counts, so that one file can be damaged in several ways.
"""

import shutil
from pathlib import Path

import pytest

from fuzz.fuzz import problem_with
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """kind -> folder with good files, made once."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            TARGETS[kind].make(made[kind])
            TARGETS[kind].read(made[kind])  # what a first reading prepares beside them belongs to them
        return made[kind]

    return of


@pytest.mark.parametrize("kind", TARGETS)
def test_good_files_are_read(kind, good):
    assert problem_with(TARGETS[kind], good(kind)) is None


@pytest.mark.parametrize("file", KEPT, ids=[f"{path.parent.name}/{path.name}" for path in KEPT])
def test_files_of_the_corpus(file, good, tmp_path):
    target = TARGETS[file.parent.name]
    folder = shutil.copytree(good(file.parent.name), tmp_path / "files")
    name = file.name.rpartition("__")[2]
    place = next(path for path in sorted(folder.glob(target.files)) if path.name == name)
    shutil.copy(file, place)
    assert problem_with(target, folder) is None
