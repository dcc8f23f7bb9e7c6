"""Commands of minivl one after the other in one process, so that what they import is imported once.

python commands_in_turn.py pretrain OUT --scale tiny --then finetune joint --scale tiny
"""

import sys

from minivl.cli import app


def main(words):
    while words:
        end = words.index("--then") if "--then" in words else len(words)
        app(words[:end], standalone_mode=False)
        words = words[end + 1 :]


if __name__ == "__main__":
    main(sys.argv[1:])
