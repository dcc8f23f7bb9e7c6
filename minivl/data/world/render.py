"""Draws the kitchen: one picture per moment, with everything that can be seen and nothing else.

A picture is drawn on a 48 x 48 grid (x to the right, y down) at three times the resolution and then
averaged down. Containers are opaque: what went in can't be seen later.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minivl.data.world.meals import INGREDIENTS, Dish, Step

GRID = 48  # units of the drawing
OVERSAMPLE = 3

RGB = {
    "red": (205, 45, 45),
    "blue": (50, 85, 205),
    "green": (45, 150, 65),
    "yellow": (232, 200, 40),
    "water": (110, 180, 240),
    "milk": (250, 250, 245),
    "oil": (214, 175, 30),
    "carrot": (240, 125, 25),
    "tomato": (225, 40, 30),
    "potato": (175, 130, 75),
    "onion": (175, 85, 150),
    "cucumber": (75, 165, 60),
    "lemon": (248, 228, 60),
    "mushroom": (222, 205, 180),
    "eggplant": (85, 35, 110),
    "cheese": (250, 200, 70),
    "egg": (252, 246, 235),
    "beet": (150, 20, 80),
    "kiwi": (120, 90, 40),
    "radish": (235, 90, 140),
    "wood": (150, 105, 60),
    "steel": (190, 195, 205),
    "dark": (45, 45, 55),
    "skin": (225, 175, 140),
    "flame": (250, 130, 20),
    "ice": (205, 232, 250),
    "leaf": (60, 150, 60),
    "white": (250, 250, 250),
}


class Pen:
    """Draws filled shapes in grid units."""

    def __init__(self, image: Image.Image):
        self._draw = ImageDraw.Draw(image)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: tuple[int, ...]) -> None:
        s = OVERSAMPLE
        self._draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=color)

    def box(self, left: float, top: float, right: float, bottom: float, color: tuple[int, ...]) -> None:
        s = OVERSAMPLE
        self._draw.rectangle([left * s, top * s, right * s - 1, bottom * s - 1], fill=color)

    def polygon(self, points: Iterable[tuple[float, float]], color: tuple[int, ...]) -> None:
        self._draw.polygon([(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points], fill=color)

    def line(self, x1: float, y1: float, x2: float, y2: float, width: float, color: tuple[int, ...]) -> None:
        s = OVERSAMPLE
        self._draw.line([x1 * s, y1 * s, x2 * s, y2 * s], fill=color, width=max(1, round(width * s)))


def _darker(color, factor=0.7):
    return tuple(int(c * factor) for c in color)


@dataclass(frozen=True)
class Stage:
    """The room and where the camera stands, which stay the same through one video."""

    wall: tuple[int, ...]  # red, green, blue
    counter: tuple[int, ...]
    offset: tuple[float, float]  # grid units
    clutter: tuple[tuple[str, float], ...]  # things that nobody mentions and where they stand

    @classmethod
    def draw(cls, rng: np.random.Generator, clutter: float) -> "Stage":
        wall = tuple(int(c) for c in rng.integers(120, 236, size=3))
        counter = tuple(int(c) for c in rng.integers(70, 200, size=3))
        things = [str(x) for x in rng.choice(["cup", "plant", "jar", *INGREDIENTS], size=2, replace=False)]
        spots = (5.0, 43.0)
        shown = tuple((thing, spot) for thing, spot in zip(things, spots, strict=True) if rng.random() < clutter)
        x, y = rng.uniform(-3, 3, size=2)
        return cls(wall, counter, (float(x), float(y)), shown)


def draw_ingredient(pen: Pen, name: str, sliced: bool, x: float, y: float, size: float = 6.0) -> None:
    """An ingredient around (x, y); `size` is about half its width in grid units."""
    if sliced:
        for dx, dy in ((-0.9, 0.35), (0.9, 0.4), (0.0, -0.4)):
            _draw_slice(pen, name, x + dx * size, y + dy * size, 0.62 * size)
        return
    color, s = RGB[name], size
    if name == "carrot":
        pen.polygon([(x - s, y - 0.5 * s), (x - s, y + 0.5 * s), (x + 1.2 * s, y)], color)
        pen.polygon([(x - s, y), (x - 1.6 * s, y - 0.6 * s), (x - 1.6 * s, y + 0.6 * s)], RGB["leaf"])
    elif name == "cucumber":
        pen.ellipse(x, y, 1.4 * s, 0.45 * s, color)
        pen.ellipse(x, y - 0.1 * s, 1.0 * s, 0.12 * s, _darker(color))
    elif name == "lemon":
        pen.ellipse(x, y, s, 0.7 * s, color)
        pen.ellipse(x - s, y, 0.3 * s, 0.2 * s, color)
        pen.ellipse(x + s, y, 0.3 * s, 0.2 * s, color)
    elif name == "mushroom":
        pen.box(x - 0.3 * s, y, x + 0.3 * s, y + s, _darker(color, 0.9))
        pen.ellipse(x, y - 0.1 * s, s, 0.6 * s, color)
    elif name == "eggplant":
        pen.ellipse(x - 0.3 * s, y, 0.8 * s, 0.7 * s, color)
        pen.ellipse(x + 0.6 * s, y, 0.7 * s, 0.4 * s, color)
        pen.box(x + s, y - 0.25 * s, x + 1.5 * s, y + 0.25 * s, RGB["leaf"])
    elif name == "cheese":
        pen.polygon([(x - 1.1 * s, y + 0.6 * s), (x + 1.1 * s, y + 0.6 * s), (x + 1.1 * s, y - 0.7 * s)], color)
        pen.ellipse(x + 0.5 * s, y + 0.1 * s, 0.2 * s, 0.2 * s, _darker(color))
    elif name == "egg":
        pen.ellipse(x, y, 0.7 * s, 0.95 * s, color)
    elif name == "potato":
        pen.ellipse(x, y, 1.1 * s, 0.75 * s, color)
        for dx in (-0.4, 0.3):
            pen.ellipse(x + dx * s, y + 0.1 * s, 0.1 * s, 0.1 * s, _darker(color))
    elif name == "radish":
        pen.ellipse(x, y, 0.7 * s, 0.7 * s, color)
        pen.polygon([(x - 0.4 * s, y + 0.5 * s), (x + 0.4 * s, y + 0.5 * s), (x, y + 1.4 * s)], RGB["white"])
        pen.polygon([(x - 0.5 * s, y - 1.2 * s), (x + 0.5 * s, y - 1.2 * s), (x, y - 0.5 * s)], RGB["leaf"])
    else:  # tomato, onion, beet, kiwi: round, told apart by colour and by what is on top
        pen.ellipse(x, y, 0.85 * s, 0.85 * s, color)
        if name == "onion":
            pen.ellipse(x, y, 0.45 * s, 0.8 * s, _darker(color, 0.85))
            pen.line(x, y - 0.8 * s, x, y - 1.3 * s, 0.25 * s, RGB["wood"])
        elif name == "kiwi":
            pen.ellipse(x, y, 0.55 * s, 0.55 * s, (150, 205, 70))
        elif name == "beet":
            pen.line(x, y - 0.8 * s, x, y - 1.5 * s, 0.4 * s, RGB["leaf"])
        else:
            pen.polygon([(x - 0.5 * s, y - 0.8 * s), (x + 0.5 * s, y - 0.8 * s), (x, y - 0.4 * s)], RGB["leaf"])


def _draw_slice(pen: Pen, name: str, x: float, y: float, r: float) -> None:
    rim = _darker(RGB[name], 0.75)
    heart = {
        "cucumber": (205, 235, 180),
        "eggplant": (235, 225, 200),
        "onion": (240, 215, 235),
        "egg": (250, 190, 40),
        "kiwi": (150, 205, 70),
        "radish": RGB["white"],
    }.get(name, RGB[name])
    pen.ellipse(x, y, r, r, rim)
    pen.ellipse(x, y, 0.75 * r, 0.75 * r, heart)


def draw_vessel(pen: Pen, color: str, kind: str, x: float, y: float) -> None:
    """A container whose bottom stands at height y, centred at x."""
    rgb = RGB[color]
    if kind == "pot":
        pen.box(x - 9, y - 13, x + 9, y, rgb)
        pen.box(x - 12, y - 10, x - 9, y - 7, _darker(rgb))
        pen.box(x + 9, y - 10, x + 12, y - 7, _darker(rgb))
        pen.box(x - 10, y - 14, x + 10, y - 12, _darker(rgb))
    elif kind == "pan":
        pen.polygon([(x - 12, y - 6), (x + 12, y - 6), (x + 9, y), (x - 9, y)], rgb)
        pen.box(x + 11, y - 6, x + 22, y - 3.5, RGB["dark"])
        pen.box(x - 12, y - 7, x + 12, y - 5.5, _darker(rgb))
    else:
        pen.polygon([(x - 11, y - 10), (x + 11, y - 10), (x + 5, y), (x - 5, y)], rgb)
        pen.ellipse(x, y - 10, 11, 2, _darker(rgb))
        pen.box(x - 5, y - 1.5, x + 5, y, _darker(rgb))


VESSEL_TOP = {"pot": 14, "pan": 7, "bowl": 11}  # grid units above the bottom


def _draw_hand(pen: Pen, x: float, y: float) -> None:
    pen.polygon([(x - 3, y - 3), (x + 3, y - 3), (x + 10, y - 24), (x + 3, y - 24)], RGB["skin"])
    pen.ellipse(x, y - 1, 4, 3.2, RGB["skin"])


def _draw_clutter(pen: Pen, thing: str, x: float) -> None:
    if thing == "cup":
        pen.box(x - 2.5, 23, x + 2.5, 29, RGB["steel"])
    elif thing == "plant":
        pen.box(x - 2.5, 25, x + 2.5, 29, RGB["wood"])
        pen.ellipse(x, 21, 4, 5, RGB["leaf"])
    elif thing == "jar":
        pen.box(x - 2.5, 20, x + 2.5, 29, RGB["ice"])
        pen.box(x - 2.5, 19, x + 2.5, 21, RGB["dark"])
    else:
        draw_ingredient(pen, thing, False, x, 26.5, 2.6)


def _draw_slicing(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    pen.box(x - 16, y - 4, x + 16, y, RGB["wood"])
    draw_ingredient(pen, dish.ingredient, False, x - 5, y - 9, 5.5)
    draw_ingredient(pen, dish.ingredient, True, x + 9, y - 7, 3.5)
    edge = y - 5 - 6 * abs(np.sin(3 * np.pi * progress))
    pen.polygon([(x + 1, edge), (x + 3, edge), (x + 3, edge - 13), (x + 1, edge - 11)], RGB["steel"])
    pen.box(x + 0.7, edge - 20, x + 3.3, edge - 12, RGB["dark"])


def _draw_adding(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    top = y - VESSEL_TOP[dish.container]
    height = top - 14 + 6 * progress
    _draw_hand(pen, x, height - 4)
    draw_ingredient(pen, dish.ingredient, dish.sliced, x, height + 1, 5.5)
    draw_vessel(pen, dish.color, dish.container, x, y)


def _draw_pouring(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    top, tilt = y - VESSEL_TOP[dish.container], 2 * progress
    pen.polygon(
        [(x - 16, top - 17 + tilt), (x - 8, top - 20), (x - 1, top - 12), (x - 10, top - 7 + tilt)], RGB[dish.liquid]
    )
    pen.line(x - 2, top - 13, x + 1, top + 1, 2.6, RGB[dish.liquid])
    _draw_hand(pen, x - 12, top - 14 + tilt)
    draw_vessel(pen, dish.color, dish.container, x, y)


def _draw_seasoning(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    """One shaker for all spices: what is in it can't be seen."""
    top, shake = y - VESSEL_TOP[dish.container], 2 * np.sin(6 * np.pi * progress)
    pen.box(x - 3 + shake, top - 13, x + 3 + shake, top - 8, RGB["white"])
    pen.box(x - 3 + shake, top - 8, x + 3 + shake, top - 6, RGB["dark"])
    for dx, fall in ((-2, 0.0), (0, 0.5), (2, 0.25)):
        pen.ellipse(x + dx + shake, top - 5 + 4 * ((3 * progress + fall) % 1), 0.6, 0.6, RGB["dark"])
    _draw_hand(pen, x + shake, top - 13)
    draw_vessel(pen, dish.color, dish.container, x, y)


def _draw_heating(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    pen.box(x - 17, y - 2, x + 17, y + 6, RGB["dark"])
    for i, dx in enumerate((-8, -3, 3, 8)):
        flame = 4 + 2 * np.sin(2 * np.pi * (2 * progress + i / 4))
        pen.polygon([(x + dx - 2, y - 2), (x + dx + 2, y - 2), (x + dx, y - 2 - flame)], RGB["flame"])
    draw_vessel(pen, dish.color, dish.container, x, y - 4)
    for dx in (-4, 4):
        pen.ellipse(x + dx, y - 8 - VESSEL_TOP[dish.container] - 4 * progress, 1.8, 3, RGB["white"])


def _draw_chilling(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    pen.box(x - 19, y - 30, x + 19, y + 4, RGB["steel"])
    pen.box(x - 16, y - 27, x + 16, y + 1, RGB["ice"])
    for dx, dy in ((-11, -23), (0, -25), (11, -22)):
        pen.line(x + dx - 2, y + dy, x + dx + 2, y + dy, 0.8, RGB["blue"])
        pen.line(x + dx, y + dy - 2, x + dx, y + dy + 2, 0.8, RGB["blue"])
    draw_vessel(pen, dish.color, dish.container, x - 2 + 3 * (1 - progress), y)


def _draw_stirring(pen: Pen, dish: Dish, x: float, y: float, progress: float) -> None:
    top, swing = y - VESSEL_TOP[dish.container], 5 * np.sin(4 * np.pi * progress)
    pen.line(x + swing, top + 3, x + 6 + 0.5 * swing, top - 14, 1.8, RGB["wood"])
    pen.ellipse(x + swing, top + 1, 2.6, 1.8, RGB["wood"])
    _draw_hand(pen, x + 6 + 0.5 * swing, top - 13)
    draw_vessel(pen, dish.color, dish.container, x, y)


_SCENES = {
    "slice": _draw_slicing,
    "add": _draw_adding,
    "pour": _draw_pouring,
    "season": _draw_seasoning,
    "heat": _draw_heating,
    "chill": _draw_chilling,
    "stir": _draw_stirring,
}


def _draw_plate(pen: Pen, dish: Dish, x: float, y: float) -> None:
    """The finished dish. Videos never show it: it would give the binding away in a single frame."""
    pen.ellipse(x, y - 4, 19, 9, RGB["white"])
    pen.ellipse(x, y - 4, 15, 6.5, RGB[dish.liquid] if dish.liquid != "milk" else (235, 232, 215))
    draw_ingredient(pen, dish.ingredient, dish.sliced, x, y - 5, 4.5)
    if dish.treatment == "heat":
        for dx in (-6, 0, 6):
            pen.ellipse(x + dx, y - 18, 1.6, 4, RGB["white"])
    elif dish.treatment == "chill":
        for dx in (-11, 11):
            pen.box(x + dx - 2.5, y - 9, x + dx + 2.5, y - 4, RGB["ice"])
    else:
        pen.line(x + 8, y - 5, x + 16, y - 22, 1.8, RGB["wood"])


def draw_frame(
    stage: Stage,
    step: Step | None,
    progress: float,
    rng: np.random.Generator,
    size: int = GRID,
    style: float = 0.0,
    plate: Dish | None = None,
) -> np.ndarray:
    """One picture, uint8 (size, size, 3).

    `step` at `progress` in [0, 1], or the empty counter for None, or a finished dish (`plate`).
    `style` shifts the look away from that of the pretraining pictures; `rng` gives the sensor noise.
    """
    image = Image.new("RGB", (GRID * OVERSAMPLE, GRID * OVERSAMPLE), stage.wall)
    pen = Pen(image)
    pen.box(0, 29, GRID, GRID, stage.counter)
    for thing, spot in stage.clutter:
        _draw_clutter(pen, thing, spot)
    x, y = GRID / 2 + stage.offset[0], 40 + stage.offset[1] / 2
    if plate is not None:
        _draw_plate(pen, plate, x, y)
    elif step is not None:
        _SCENES[step.verb](pen, step.dish, x, y, progress)
    else:
        _draw_hand(pen, x - 10 + 20 * progress, 26)
    return develop(image, rng, size, style)


def develop(image: Image.Image, rng: np.random.Generator, size: int, style: float) -> np.ndarray:
    """From the drawing to a small noisy photograph."""
    if style > 0:
        image = image.filter(ImageFilter.GaussianBlur(1.2 * style * OVERSAMPLE))
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=np.float32)
    if style > 0:
        grey = pixels.mean(axis=2, keepdims=True)
        sepia = grey * np.array([1.05, 0.95, 0.75], dtype=np.float32)
        pixels = (1 - 0.75 * style) * pixels + 0.75 * style * sepia
    pixels += rng.normal(0, 5, size=pixels.shape).astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)
