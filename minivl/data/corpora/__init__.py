"""The papers' corpora, read from the files that circulate into the one schema of minivl.data.schema.

One module per corpus; its docstring is its card and says where to get it, its splits, protocols and expected files.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.data.corpora import activitynet, coin, crosstask, didemo, howto100m, lsmdc, mosi, msrvtt, youcook2
from minivl.data.corpora.check import Report, check_corpus
from minivl.data.corpora.check_howto100m import check as check_howto100m
from minivl.data.corpora.hub import load_hub

if TYPE_CHECKING:
    from datasets import Dataset

HUB = "hub:"
CORPORA = {
    module.CORPUS.name: module
    for module in (howto100m, youcook2, msrvtt, lsmdc, activitynet, didemo, coin, crosstask, mosi)
}


def load(name: str, folder: Path | str, split: str, **settings: Any) -> "Dataset":
    """One split of a corpus as a `datasets.Dataset`; see `Corpus.load` for the settings.

    name: a key of CORPORA, or "hub:" and the id of a dataset on the Hugging Face hub (see `load_hub`), whose videos
    are in `folder`.
    """
    if name.startswith(HUB):
        return load_hub(name.removeprefix(HUB), folder, split, **settings)
    return _corpus(name).CORPUS.load(folder, split, **settings)


def check(name: str, folder: Path | str, media: Path | str | None = None) -> Report:
    """Find what is there, what is missing, what is broken; print the report. Raises ValueError for an unknown name."""
    module = _corpus(name)
    return check_howto100m(folder, media) if module is howto100m else check_corpus(module.CORPUS, folder, media)


def card(name: str) -> str:
    """Card of a corpus: where to get it, its licence, size, splits, protocols and expected files."""
    return _corpus(name).CORPUS.card


def _corpus(name: str):
    if name not in CORPORA:
        raise ValueError(f"no corpus {name!r}, only {', '.join(CORPORA)}, or {HUB}<id of a dataset>")
    return CORPORA[name]
