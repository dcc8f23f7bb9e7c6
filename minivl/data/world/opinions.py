"""Opinion clips: a cook tastes a dish and says what it is like, with words and with the face.

The sentiment in [-3, 3] is what the words say plus what the face shows, so neither alone is enough:
"it is okay" can come with a smile or a frown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from minivl.config import WorldConfig
from minivl.data.world.meals import Dish, draw_meal
from minivl.data.world.render import Stage, develop
from minivl.data.world.things import GRID, OVERSAMPLE, Pen, draw_ingredient

WORDS = {"awful": -2.0, "bad": -1.0, "okay": 0.0, "good": 1.0, "wonderful": 2.0}  # points of sentiment
_OPENINGS = ("i think", "well i must say", "so in my opinion", "honestly", "to be fair")
SECONDS = (2.0, 4.0)  # shortest and longest clip


@dataclass(frozen=True)
class Opinion:
    """One opinion; `words` and `face` are the two parts of the sentiment."""

    dish: Dish
    transcript: str
    words: float  # in [-2, 2]
    face: float  # in [-1.5, 1.5]; negative is a frown
    seconds: float

    @property
    def sentiment(self) -> float:
        return round(float(np.clip(self.words + self.face, -3, 3)), 2)


def draw_opinion(rng: np.random.Generator) -> Opinion:
    """A random opinion about a random dish; "not" turns the words around and halves them."""
    dish = draw_meal(rng, 1).dishes[0]
    word = list(WORDS)[rng.integers(len(WORDS))]
    negated = bool(rng.random() < 0.2)
    words = -0.5 * WORDS[word] if negated else WORDS[word]
    opening = _OPENINGS[rng.integers(len(_OPENINGS))]
    text = f"{opening} the {dish.title} is {'not ' if negated else ''}{word}"
    return Opinion(dish, text, words, float(rng.uniform(-1.5, 1.5)), float(rng.uniform(*SECONDS)))


def _draw_face(pen: Pen, opinion: Opinion, x: float, y: float, mood: float) -> None:
    pen.ellipse(x, y, 13, 15, (225, 175, 140))
    pen.box(x - 12, y - 20, x + 12, y - 12, (250, 250, 250))  # the cook's hat
    frown = max(0.0, -mood)  # pulls the inner ends of the eyebrows down
    for side in (-1, 1):
        eye = x + 5 * side
        pen.ellipse(eye, y - 4, 1.6, 2.0, (45, 45, 55))
        pen.line(eye - 2.5, y - 8 + side * frown, eye + 2.5, y - 8 - side * frown, 1.0, (90, 60, 40))
    points = [(x + dx, y + 7 - 2.6 * mood * ((dx / 6) ** 2 - 0.5)) for dx in np.linspace(-6, 6, 9)]
    for (x1, y1), (x2, y2) in zip(points, points[1:], strict=False):
        pen.line(x1, y1, x2, y2, 1.6, (150, 40, 40))
    draw_ingredient(pen, opinion.dish.ingredient, opinion.dish.sliced, 42, 43, 3.0)


def opinion_frames(opinion: Opinion, config: WorldConfig, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The pictures of the clip: the face goes from calm to what it feels, uint8 (size, size, 3)."""
    stage = Stage.draw(rng, clutter=0.0)
    count = max(2, round(opinion.seconds * config.fps))
    for i in range(count):
        image = Image.new("RGB", (GRID * OVERSAMPLE, GRID * OVERSAMPLE), stage.wall)
        pen = Pen(image)
        pen.box(0, 40, GRID, GRID, stage.counter)
        _draw_face(pen, opinion, GRID / 2 + stage.offset[0], 24 + stage.offset[1] / 2, opinion.face * i / (count - 1))
        yield develop(image, rng, config.image_size, config.style)
