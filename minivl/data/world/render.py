"""Draws the kitchen: one picture per moment, with everything that can be seen and nothing else.

A picture is drawn on a 48 x 48 grid (x to the right, y down) at three times the resolution and then
averaged down; `things.py` has what stands on the counter.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from minivl.data.world.meals import INGREDIENTS, Dish, Step
from minivl.data.world.things import GRID, OVERSAMPLE, RGB, VESSEL_TOP, Pen, draw_ingredient, draw_vessel


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
