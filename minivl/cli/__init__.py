"""The command line. Heavy libraries are imported by the commands that need them, so that --help is quick."""

import sys

from minivl.cli import (  # their commands
    ablate,
    course,
    data,
    diagnose,
    explore,
    lessons,
    models,
    mteb,
    predict,
    prepare,
    reality,
    recipes,
    results,
    search,
    share,
    univl,
    worlds,
)
from minivl.cli.errors import run
from minivl.cli.options import app


def main() -> None:
    """Run the program; errors are told in one message, without a traceback."""
    sys.exit(run(app))
