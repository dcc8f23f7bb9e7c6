"""Names of the files that `--out` writes, and whether they may be written."""

from pathlib import Path

from minivl.config import ConfigError

RECORD, QUERIES, FIGURE, RUN, QRELS = "results.json", "queries.csv", "figure.png", "run.trec", "qrels.trec"
ANSWERS, CHANGES, PROBES = "answers.csv", "changes.csv", "probes.csv"
FILES = (RECORD, QUERIES, FIGURE, RUN, QRELS, ANSWERS, CHANGES, PROBES)


def require_free(folder: Path, overwrite: bool) -> None:
    """Raise ConfigError if a folder has results, unless they are to be replaced, or if its name is that of a file."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder} is a file: name a folder")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(f"{folder / there[0]} exists: give another --out, or --overwrite")


def require_results(folder: Path) -> None:
    """Raise ConfigError for a folder without results."""
    if not (folder / RECORD).is_file():
        raise ConfigError(f"{folder} has no {RECORD}: give a folder that --out of evaluate, adapt or finetune wrote")
