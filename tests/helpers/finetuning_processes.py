"""Fine-tuning in two processes: run by tasks/univl/test_retrieval.py.

python finetuning_processes.py FOLDER      the tokenizer is there, and the runs come there
"""

import sys
from pathlib import Path

from helpers.launching import in_two_processes
from helpers.tiny_univl import config, segments, tiny_univl
from minivl.data.wordpiece import load_tokenizer
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.retrieval import Retrieval


def train_all(tokenizer, folder):
    """Two steps of each kind of fine-tuning, in `folder`."""
    rows = segments(folder)
    for name, kind, settings in (
        ("joint", Retrieval, {"method": "joint"}),
        ("align", Retrieval, {"method": "align"}),
        ("captioning", Captioning, {}),
    ):
        univl = tiny_univl(tokenizer, kind.parts_for(**settings))
        kind(univl, tokenizer, config(steps=2), **settings).fit(rows, folder / name, progress=False)


if __name__ == "__main__":
    in_two_processes(train_all, load_tokenizer(sys.argv[1]), Path(sys.argv[1]))
