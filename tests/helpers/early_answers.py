"""Run wrong commands in one process in which heavy libraries cannot be imported; print what each says, as JSON lines.

python early_answers.py < commands.json        a list of lists of words
"""

import contextlib
import importlib.machinery
import io
import json
import sys

HEAVY = {
    "accelerate",
    "bokeh",
    "datasets",
    "matplotlib",
    "open_clip",
    "pandas",
    "sklearn",
    "timm",
    "torch",
    "transformers",
}


class Refusing:
    """Finds heavy libraries, as others do, but refuses to import them."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in HEAVY:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        found.loader = Refusing
        return found

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        raise RuntimeError(f"{module.__name__} was imported")


def main():
    sys.meta_path.insert(0, Refusing)
    from minivl.cli import app
    from minivl.cli.errors import run

    for words in json.load(sys.stdin):
        sys.argv, told = ["minivl", *words], io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            status = run(app)
        print(json.dumps([status, told.getvalue()]), flush=True)


if __name__ == "__main__":
    main()
