"""The meals of the world: dishes, meals, steps, tasks, and which meals belong to which split.

A meal prepares two dishes at the same time. The same ingredients, liquids, treatments and
containers can be *bound* in four ways (which ingredient meets which liquid and which treatment), and
every binding is another meal. Videos of one group share their content and differ in the binding only.
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np

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


def split_of(meal: Meal, seed: int) -> str:
    """The split that a meal belongs to. All bindings of one content are in the same split."""
    ticket = zlib.crc32(f"{seed}|{meal.content}".encode()) % 100
    for split, share in SPLIT_SHARES.items():
        if ticket < share:
            return split
        ticket -= share
    raise AssertionError("the shares add up to 100")


def _pick(rng: np.random.Generator, options, count: int) -> list[str]:
    return [str(x) for x in rng.choice(options, size=count, replace=False)]


def draw_meal(rng: np.random.Generator, dishes: int = 2, novel: float = 0.0) -> Meal:
    """A random meal of `dishes` dishes (1 or 2) that share no ingredient, liquid, treatment or container.

    Each ingredient is a novel one with probability `novel`.
    """
    ingredients = _pick(rng, INGREDIENTS, dishes)
    strange = _pick(rng, NOVEL_INGREDIENTS, dishes)
    ingredients = [s if rng.random() < novel else i for i, s in zip(ingredients, strange, strict=True)]
    liquids, treatments = _pick(rng, LIQUIDS, dishes), _pick(rng, TREATMENTS, dishes)
    colors, containers = _pick(rng, COLORS, dishes), [str(c) for c in rng.choice(CONTAINERS, size=dishes)]
    return Meal(
        tuple(
            Dish(ingredients[i], bool(rng.random() < 0.5), liquids[i], treatments[i], colors[i], containers[i])
            for i in range(dishes)
        )
    )


def bindings(meal: Meal) -> list[Meal]:
    """The group of a meal: every way to bind the same content, the meal itself first.

    Two dishes give four bindings (liquids swapped or not, treatments swapped or not); one dish gives one.
    """
    if len(meal.dishes) == 1:
        return [meal]
    a, b = meal.dishes
    swapped_liquids = [(a, b), (replace(a, liquid=b.liquid), replace(b, liquid=a.liquid))]
    return [
        Meal((replace(x, treatment=first), replace(y, treatment=second)))
        for x, y in swapped_liquids
        for first, second in ((a.treatment, b.treatment), (b.treatment, a.treatment))
    ]


def draw_split(
    split: str, count: int, seed: int, dishes: int = 2, novel: float = 0.0, whole_groups: bool = True
) -> list[tuple[int, Meal]]:
    """The first `count` videos of a split as (group number, meal).

    Training videos are drawn one by one, each its own group. Validation and test videos come in whole
    groups of different contents, or one by one without `whole_groups`. The list for a smaller count is
    the beginning of that for a larger one.
    Raises ValueError when the split has no more contents to give.
    """
    rng = np.random.default_rng([seed, list(SPLIT_SHARES).index(split)])
    drawn: list[tuple[int, Meal]] = []
    seen: set[str] = set()  # contents
    misses = 0
    while len(drawn) < count:
        misses += 1
        if misses > 5000:  # in a row: nearly every content has been seen
            raise ValueError(
                f"the {split} split of this world has only {len(seen)} groups of meals "
                f"({len(drawn)} videos); {count} videos were asked for"
            )
        meal = draw_meal(rng, dishes, novel)
        if split_of(meal, seed) != split or meal.content in seen:
            continue
        misses = 0
        if split == "train" or not whole_groups:
            drawn.append((len(drawn), meal))
        else:
            drawn.extend((len(seen), member) for member in bindings(meal))
            seen.add(meal.content)
    return drawn
