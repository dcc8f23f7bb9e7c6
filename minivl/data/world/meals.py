"""The meals of the world: dishes, meals, steps, tasks, and which meals belong to which split.

A meal prepares two dishes at the same time, or one, or three. The same ingredients, liquids, treatments and
containers of two can be *bound* in four ways (which ingredient meets which liquid and which treatment), and
every binding is another meal. Videos of one group share their content and differ in the binding only.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, combinations_with_replacement, permutations, product

import numpy as np

from minivl.config import ConfigError, WorldConfig

INGREDIENTS = ("carrot", "tomato", "potato", "onion", "cucumber", "lemon", "mushroom", "eggplant", "cheese", "egg")
NOVEL_INGREDIENTS = ("beet", "kiwi", "radish")  # never drawn or named while CLIP is pretrained
LIQUIDS = ("water", "milk", "oil")
TREATMENTS = ("heat", "chill", "stir")
SPICES = ("salt", "sugar", "pepper")  # all come out of the same shaker: only speech tells them apart
COLORS = ("red", "blue", "green", "yellow")
CONTAINERS = ("pot", "pan", "bowl")

# Liquid and treatment together make the dish: no single frame of a video shows both.
DISH_NAMES = {
    ("water", "heat"): "soup",
    ("milk", "heat"): "chowder",
    ("oil", "heat"): "fritters",
    ("water", "chill"): "pickle",
    ("milk", "chill"): "pudding",
    ("oil", "chill"): "relish",
    ("water", "stir"): "juice",
    ("milk", "stir"): "shake",
    ("oil", "stir"): "salad",
}

SPLIT_SHARES = {"train": 70, "val": 10, "test": 20}  # percent of all contents
MOST_MISSES = 5000  # draws without a new meal, after which those that are left are taken one by one
SHARING_SHARES = {"train": 50, "val": 15, "test": 35}  # of the larger space, in which dishes may share


@dataclass(frozen=True)
class Dish:
    """One dish and the container that it is made in."""

    ingredient: str
    sliced: bool
    liquid: str
    treatment: str
    color: str
    container: str
    spice: str | None = None  # dishes are seasoned in narrated videos only

    @property
    def title(self) -> str:
        """For example "carrot soup"."""
        return f"{self.ingredient} {DISH_NAMES[self.liquid, self.treatment]}"

    @property
    def state(self) -> str:
        return "sliced" if self.sliced else "whole"

    @property
    def vessel(self) -> str:
        """For example "red pot"."""
        return f"{self.color} {self.container}"

    def verbs(self) -> list[str]:
        """The steps of this dish in the order in which they must happen."""
        seasoning = ["season"] if self.spice else []
        return (["slice"] if self.sliced else []) + ["add", "pour", *seasoning, self.treatment]


@dataclass(frozen=True)
class Step:
    """One thing that is done to one dish."""

    verb: str  # slice, add, pour, season, heat, chill, stir
    dish: Dish

    @property
    def label(self) -> str:
        """The step class, as action segmentation and localization name it."""
        if self.verb in ("slice", "add"):
            return f"{self.verb} {self.dish.ingredient}"
        return f"pour {self.dish.liquid}" if self.verb == "pour" else self.verb


@dataclass(frozen=True)
class Meal:
    """The dishes of one video."""

    dishes: tuple[Dish, ...]

    @property
    def task(self) -> str:
        """For example "carrot soup and lemon pudding"; the order of the dishes does not matter."""
        return " and ".join(sorted(dish.title for dish in self.dishes))

    @property
    def content(self) -> str:
        """Contents of the meal, without who meets whom: equal for all meals of a group."""
        parts = [
            sorted(f"{d.state} {d.ingredient}" for d in self.dishes),
            sorted(d.liquid for d in self.dishes),
            sorted(d.treatment for d in self.dishes),
        ]
        return "; ".join(", ".join(part) for part in parts)

    def task_steps(self) -> list[str]:
        """The labels of the task's steps in their canonical order: dish after dish."""
        return [Step(verb, dish).label for dish in sorted(self.dishes, key=lambda d: d.title) for verb in dish.verbs()]


def season(meal: Meal, rng: np.random.Generator) -> Meal:
    """The meal with a random spice in one of its dishes; what it is made of else, and its split, stay the same."""
    seasoned, spice = int(rng.integers(len(meal.dishes))), str(rng.choice(SPICES))
    return Meal(
        tuple(replace(dish, spice=spice) if number == seasoned else dish for number, dish in enumerate(meal.dishes))
    )


def split_of(meal: Meal, seed: int, sharing: bool = False) -> str:
    """The split that a meal belongs to. All bindings of one content are in the same split."""
    ticket = zlib.crc32(f"{seed}|{meal.content}".encode()) % 100
    for split, share in (SHARING_SHARES if sharing else SPLIT_SHARES).items():
        if ticket < share:
            return split
        ticket -= share
    raise AssertionError("the shares add up to 100")


def _pick(rng: np.random.Generator, options, count: int, again: bool = False) -> list[str]:
    return [options[i] for i in rng.choice(len(options), size=count, replace=again)]


def draw_meal(rng: np.random.Generator, dishes: int = 2, novel: float = 0.0, sharing: bool = False) -> Meal:
    """A random meal of `dishes` dishes (1 to 3) that have no ingredient and no container in common.

    Liquids and treatments differ, too, unless `sharing` lets chance decide. Each ingredient is a novel one with
    probability `novel`.
    """
    ingredients = _pick(rng, INGREDIENTS, dishes)
    strange = _pick(rng, NOVEL_INGREDIENTS, dishes)
    ingredients = [s if rng.random() < novel else i for i, s in zip(ingredients, strange, strict=True)]
    liquids, treatments = (_pick(rng, options, dishes, again=sharing) for options in (LIQUIDS, TREATMENTS))
    colors, containers = _pick(rng, COLORS, dishes), _pick(rng, CONTAINERS, dishes, again=True)
    return Meal(
        tuple(
            Dish(ingredients[i], bool(rng.random() < 0.5), liquids[i], treatments[i], colors[i], containers[i])
            for i in range(dishes)
        )
    )


def bindings(meal: Meal) -> list[Meal]:
    """The group of a meal: every way to bind the same content, the meal itself first.

    k dishes have k! * k! bindings (liquids and treatments in any order), fewer if they share a liquid or a treatment.
    """
    orders = product(*(permutations(getattr(dish, name) for dish in meal.dishes) for name in ("liquid", "treatment")))
    bound = [
        Meal(tuple(replace(dish, liquid=l, treatment=t) for dish, l, t in zip(meal.dishes, *order, strict=True)))
        for order in orders
    ]
    return list(dict.fromkeys(bound))


def different_meals(split: str, config: WorldConfig) -> int:
    """How many different meals a split has, colours and containers aside: validation and test have no more videos."""
    return sum(len(bindings(meal)) for meal in _contents(split, config))


def _contents(split: str, config: WorldConfig) -> Iterator[Meal]:
    """A meal of every content that `draw_meal` can draw for a split, always in the same colours."""
    pool = (INGREDIENTS if config.novel < 1 else ()) + (NOVEL_INGREDIENTS if config.novel > 0 else ())
    pairs = combinations_with_replacement if config.sharing else combinations
    for names, sliced, liquids, treatments in product(
        combinations(pool, config.dishes),
        product((False, True), repeat=config.dishes),
        pairs(LIQUIDS, config.dishes),
        pairs(TREATMENTS, config.dishes),
    ):
        meal = Meal(tuple(map(Dish, names, sliced, liquids, treatments, COLORS, CONTAINERS)))
        if split_of(meal, config.seed, config.sharing) == split:
            yield meal


def draw_split(split: str, count: int, config: WorldConfig, whole_groups: bool = True) -> list[tuple[int, Meal]]:
    """The first `count` videos of a split as (group number, meal).

    Training videos are drawn one by one, each its own group, and meals repeat. Validation and test videos come in
    whole groups of different contents, or one by one without `whole_groups`. The list for a smaller count is the
    beginning of that for a larger one.
    Raises ConfigError when that many different meals are not there.
    """
    distinct = whole_groups and split != "train"
    if distinct and count > (most := different_meals(split, config)):
        raise ConfigError(
            f"the {split} split of this world has {most:,} different meals, and a video of each; {count:,} videos were "
            f"asked for. Set world.videos_{split} to at most {most}" + _ROOM * (not config.sharing)
        )
    rng = np.random.default_rng([config.seed, list(SPLIT_SHARES).index(split)])
    drawn: list[tuple[int, Meal]] = []
    seen: set[str] = set()  # contents
    misses, rare = 0, _contents(split, config)
    while len(drawn) < count:
        misses += 1  # in a row
        lucky = misses < MOST_MISSES
        meal = draw_meal(rng, config.dishes, config.novel, config.sharing) if lucky else next(rare)
        if split_of(meal, config.seed, config.sharing) != split or meal.content in seen:
            continue
        misses = 0 if lucky else misses
        if distinct:
            drawn.extend((len(seen), member) for member in bindings(meal))
            seen.add(meal.content)
        else:
            drawn.append((len(drawn), meal))
    return drawn


_ROOM = ", or world.sharing to true, which makes room for more"


@cache
def describe_splits(config: WorldConfig) -> str:
    """A line for each split of a kitchen world: its videos, how many different meals they show, how many there are."""
    lines = []
    for split in SPLIT_SHARES:
        drawn = draw_split(split, getattr(config, f"videos_{split}"), config)
        meals, groups = {meal.task + meal.content for _, meal in drawn}, {meal.content for _, meal in drawn}
        lines.append(
            f"{split}: {len(drawn):,} videos of {len(meals):,} different meals, {len(groups):,} contents; "
            f"there are {different_meals(split, config):,} meals"
        )
    return "\n".join(lines)
