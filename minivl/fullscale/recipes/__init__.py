"""Full-scale recipes by name: the settings of the papers' runs, their sources, and the published results.

They are written in `univl.toml` and `discovla.toml` beside this file.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from minivl.config import ConfigError, CorpusConfig, Scale, scale, with_changes
from minivl.fullscale.recipes.base import CorpusSize, Hyperparameter, Recipe, Result, hyperparameters


def recipes() -> dict[str, Recipe]:
    """All recipes by name. Their data is in MINIVL_DATA as it is set now."""
    return {recipe.name: recipe for paper in ("univl", "discovla") for recipe in _read(paper)}


def find_recipe(name: str, kind: str | None = None) -> Recipe:
    """A recipe by its name; with a kind, one that this command runs. Raises ConfigError if there is none."""
    known = {known: recipe for known, recipe in recipes().items() if kind in (None, recipe.kind)}
    if name not in known:
        raise ConfigError(
            f"no recipe {name!r}{f' for minivl {kind}' if kind else ''}: choose one of {', '.join(known)}"
        )
    return known[name]


def _read(paper: str) -> Iterator[Recipe]:
    content = tomllib.loads((Path(__file__).parent / f"{paper}.toml").read_text(encoding="utf-8"))
    for name, own in content["recipes"].items():
        entry = content["groups"][own["like"]] | own
        corpus, results = CorpusConfig(**entry["corpus"]), entry.get("results", {}).items()
        yield Recipe(
            name=name,
            title=entry["title"],
            kind=entry["kind"],
            task=entry.get("task", ""),
            corpus=corpus,
            split=entry["split"],
            settings=_with_corpus(with_changes(scale("full"), entry.get("set", [])), entry, corpus),
            size=CorpusSize(**content["sizes"][entry["size"]]),
            command=entry["command"].format(name=name),
            processes=entry.get("processes", 4),
            results=tuple(
                Result(measure, value, source) for source, found in results for measure, value in found.items()
            ),
            sources=content["sources"]["all"] | content["sources"][entry["sources"]],
            departures=tuple(content["departures"][departure] for departure in entry["departures"]),
        )


def _with_corpus(settings: Scale, entry: dict, corpus: CorpusConfig) -> Scale:
    """Settings of a fine-tuning whose task reads the recipe's corpus."""
    if entry["kind"] != "finetune":
        return settings
    task = entry["task"].partition("-")[0]
    data = "retrieval" if task in ("joint", "align") else task
    return replace(settings, univl_corpora=settings.univl_corpora | {data: corpus})
