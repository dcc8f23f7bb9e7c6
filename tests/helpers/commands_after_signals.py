"""Run one command again and again in one process, once for each line of the input; after each its status is printed.

python commands_after_signals.py reality-check --out OUT ...

So that what the commands import is imported once, and who starts them can change the world between two of them.
"""

import sys

from minivl.cli import app
from minivl.cli.errors import run


def main():
    for _ in sys.stdin:
        status = run(app)
        sys.stderr.flush()
        print(f"status {status}", flush=True)


if __name__ == "__main__":
    main()
