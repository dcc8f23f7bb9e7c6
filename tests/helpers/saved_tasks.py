"""What the tests of saved tasks share: data that all five tasks can be trained on, and a tiny task of each kind."""

import json

import numpy as np

from helpers.tiny_univl import CAPTIONS, FEATURES, config, tiny_univl, tokenizer_in
from minivl.tasks.univl import load_rows
from minivl.tasks.univl.finetuning import KINDS

STEPS = ["stir", "peel", "salt"]
TRUTH = {  # what `evaluate` compares with and `predict` must not need
    "retrieval": (),
    "captioning": ("caption",),
    "segmentation": ("steps",),
    "localization": ("steps", "task"),
    "sentiment": ("sentiment",),
}


def write_split(folder, split, without=(), seed=0):
    """Four videos of nine seconds in the one schema, with a value in every column that some task reads."""
    rng = np.random.default_rng(seed)
    (folder / split).mkdir(parents=True)
    lines = []
    for number, caption in enumerate(CAPTIONS):
        np.save(folder / split / f"{number}.npy", rng.normal(size=(9, FEATURES)).astype(np.float32))
        shown = [{"label": label, "start": 3.0 * k, "end": 3.0 * k + 2} for k, label in enumerate(STEPS)]
        row = {
            "feature_file": f"{number}.npy",
            "feature_rate": 1.0,
            "caption": caption,
            "transcript": [{"text": caption, "start": 3.0 * k, "end": 3.0 * k + 2} for k in range(3)],
            "steps": shown,
            "task": "soup",
            "task_steps": STEPS,
            "sentiment": number - 1.5,
        }
        lines.append(json.dumps({name: value for name, value in row.items() if name not in without}))
    (folder / split / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def tiny_task(name, folder):
    """A task of KINDS after two steps on the train split that is written into `folder`."""
    kind, settings = KINDS[name]
    tokenizer = tokenizer_in(folder / "tokenizer")
    univl = tiny_univl(tokenizer, kind.parts_for(**settings))
    rows = load_rows(kind.kind, write_split(folder / "data", "train"), "train")
    return kind(univl, tokenizer, config(steps=2), **settings).fit(rows, folder / "run", progress=False)
