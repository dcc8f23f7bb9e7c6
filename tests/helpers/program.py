"""The command line within the process of a test: what a program of its own would import first is there already."""

import contextlib
import io
import os
import sys
import warnings
from types import SimpleNamespace
from unittest import mock

from minivl.cli import app
from minivl.cli.errors import run


def minivl(*arguments, **environment):
    """What `minivl ARGUMENTS` gives, in the words of subprocess.run: returncode, stdout and stderr.

    Warnings are told in stderr, as in a fresh program; pytest would keep them for itself.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["minivl", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        mock.patch.object(warnings, "formatwarning"),  # which the program sets
        mock.patch.object(warnings, "showwarning", _show),
    ):
        status = run(app)
    return SimpleNamespace(returncode=status, stdout=out.getvalue(), stderr=err.getvalue())


def _show(*warning):
    sys.stderr.write(warnings.formatwarning(*warning[:4]))
