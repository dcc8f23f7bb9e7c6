"""Full-scale recipes by name: the settings of the papers' runs, their sources, and the published results."""

from minivl.config import ConfigError
from minivl.fullscale.recipes.base import Hyperparameter, Recipe, Result, hyperparameters
from minivl.fullscale.recipes.discovla import discovla_recipes
from minivl.fullscale.recipes.univl import univl_recipes

__all__ = ["Hyperparameter", "Recipe", "Result", "find_recipe", "hyperparameters", "recipes"]


def recipes() -> dict[str, Recipe]:
    """All recipes by name. Their data is in MINIVL_DATA as it is set now."""
    return {recipe.name: recipe for recipe in (*univl_recipes(), *discovla_recipes())}


def find_recipe(name: str, kind: str | None = None) -> Recipe:
    """A recipe by its name; with a kind, one that this command runs. Raises ConfigError if there is none."""
    known = {known: recipe for known, recipe in recipes().items() if kind in (None, recipe.kind)}
    if name not in known:
        raise ConfigError(
            f"no recipe {name!r}{f' for minivl {kind}' if kind else ''}: choose one of {', '.join(known)}"
        )
    return known[name]
