"""The command line. Heavy libraries are imported by the commands that need them, so that --help is quick."""

import os
import sys

from minivl.cli import ablate, data, lessons, predict, recipes, search, share, univl, worlds  # noqa: F401  (their commands)
from minivl.cli.options import app


def main():
    """Run the program; errors that a user can mend are told in one message, without a traceback."""
    try:
        app()
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("MINIVL_DEBUG"):
            raise
        print(f"minivl: {_message(error)}", file=sys.stderr)
        sys.exit(1)


def _message(error: Exception) -> str:
    """Text of an error, with its place; the system's own errors lack what to do."""
    if not (isinstance(error, OSError) and error.filename):
        return str(error)
    return f"{error.strerror}: {error.filename} (is the place right, writable, and on a disk with free space?)"
