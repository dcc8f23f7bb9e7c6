"""The words that `minivl data audit` counts: `audit_words.toml` lists them, and says how to write more."""

import tomllib
from pathlib import Path

WORDS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def forms(entry: str) -> set[str]:
    """The words that an entry of a list stands for."""
    if not entry.endswith("*"):
        return set(entry.split("|"))
    stem = entry[:-1]
    short = stem.removesuffix("e")
    doubled = stem + stem[-1]  # stir, stirring
    return {stem, f"{stem}s", f"{stem}es", f"{short}ed", f"{short}ing", f"{doubled}ed", f"{doubled}ing"}


def lookup(words: dict[str, dict[str, str]]) -> dict[str, list[tuple[str, str, str]]]:
    """Word as it may be read -> (group, category, the word to show) for each category that has it."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for group, categories in words.items():
        for category, entries in categories.items():
            for entry in entries.split():
                for form in forms(entry):
                    found.setdefault(form, []).append((group, category, entry.rstrip("*").split("|")[0]))
    return found
