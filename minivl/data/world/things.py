"""What stands on the counter: ingredients, whole or sliced, and containers, which hide what is in them.

The pictures are drawn with a pen on a grid, see `render.py`.
"""

from collections.abc import Iterable

from PIL import Image, ImageDraw

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
    "kiwi inside": (150, 205, 70),
}


class Pen:
    """Draws filled shapes, in grid units from an origin (x, y), or in units of another size."""

    def __init__(self, image: Image.Image, x: float = 0.0, y: float = 0.0, size: float = 1.0):
        self._image, self._draw = image, ImageDraw.Draw(image)
        self._x, self._y, self._size = x, y, size

    def at(self, x: float, y: float, size: float) -> "Pen":
        """A pen for the same picture with another origin and unit."""
        return Pen(self._image, x, y, size)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: tuple[int, ...]) -> None:
        (x, y), rx, ry = self._place(x, y), rx * self._size, ry * self._size
        s = OVERSAMPLE
        self._draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=color)

    def box(self, left: float, top: float, right: float, bottom: float, color: tuple[int, ...]) -> None:
        (left, top), (right, bottom), s = self._place(left, top), self._place(right, bottom), OVERSAMPLE
        self._draw.rectangle([left * s, top * s, right * s - 1, bottom * s - 1], fill=color)

    def polygon(self, points: Iterable[tuple[float, float]], color: tuple[int, ...]) -> None:
        places = [self._place(*point) for point in points]
        self._draw.polygon([(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in places], fill=color)

    def line(self, x1: float, y1: float, x2: float, y2: float, width: float, color: tuple[int, ...]) -> None:
        (x1, y1), (x2, y2), s = self._place(x1, y1), self._place(x2, y2), OVERSAMPLE
        self._draw.line([x1 * s, y1 * s, x2 * s, y2 * s], fill=color, width=max(1, round(width * self._size * s)))

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return self._x + x * self._size, self._y + y * self._size


def _darker(color, share=0.7):
    return tuple(int(c * share) for c in color)


ROUND = ("ellipse", 1.0, 0, 0, 0.85, 0.85)
# Ingredients that are whole: shapes one over the other, each with its colour (a name of RGB, or a share of
# the ingredient's own) and its numbers as `Pen` takes them, from the ingredient's middle and in units of its size.
SHAPES: dict[str, list[tuple]] = {
    "carrot": [
        ("polygon", 1.0, ((-1, -0.5), (-1, 0.5), (1.2, 0))),
        ("polygon", "leaf", ((-1, 0), (-1.6, -0.6), (-1.6, 0.6))),
    ],
    "cucumber": [("ellipse", 1.0, 0, 0, 1.4, 0.45), ("ellipse", 0.7, 0, -0.1, 1.0, 0.12)],
    "lemon": [("ellipse", 1.0, 0, 0, 1, 0.7), ("ellipse", 1.0, -1, 0, 0.3, 0.2), ("ellipse", 1.0, 1, 0, 0.3, 0.2)],
    "mushroom": [("box", 0.9, -0.3, 0, 0.3, 1), ("ellipse", 1.0, 0, -0.1, 1, 0.6)],
    "eggplant": [
        ("ellipse", 1.0, -0.3, 0, 0.8, 0.7),
        ("ellipse", 1.0, 0.6, 0, 0.7, 0.4),
        ("box", "leaf", 1, -0.25, 1.5, 0.25),
    ],
    "cheese": [("polygon", 1.0, ((-1.1, 0.6), (1.1, 0.6), (1.1, -0.7))), ("ellipse", 0.7, 0.5, 0.1, 0.2, 0.2)],
    "egg": [("ellipse", 1.0, 0, 0, 0.7, 0.95)],
    "potato": [
        ("ellipse", 1.0, 0, 0, 1.1, 0.75),
        ("ellipse", 0.7, -0.4, 0.1, 0.1, 0.1),
        ("ellipse", 0.7, 0.3, 0.1, 0.1, 0.1),
    ],
    "radish": [
        ("ellipse", 1.0, 0, 0, 0.7, 0.7),
        ("polygon", "white", ((-0.4, 0.5), (0.4, 0.5), (0, 1.4))),
        ("polygon", "leaf", ((-0.5, -1.2), (0.5, -1.2), (0, -0.5))),
    ],
    # These are round, told apart by colour and by what is on top.
    "onion": [ROUND, ("ellipse", 0.85, 0, 0, 0.45, 0.8), ("line", "wood", 0, -0.8, 0, -1.3, 0.25)],
    "kiwi": [ROUND, ("ellipse", "kiwi inside", 0, 0, 0.55, 0.55)],
    "beet": [ROUND, ("line", "leaf", 0, -0.8, 0, -1.5, 0.4)],
    "tomato": [ROUND, ("polygon", "leaf", ((-0.5, -0.8), (0.5, -0.8), (0, -0.4)))],
}


def draw_ingredient(pen: Pen, name: str, sliced: bool, x: float, y: float, size: float = 6.0) -> None:
    """An ingredient around (x, y); `size` is about half its width in grid units."""
    if sliced:
        for dx, dy in ((-0.9, 0.35), (0.9, 0.4), (0.0, -0.4)):
            _draw_slice(pen, name, x + dx * size, y + dy * size, 0.62 * size)
        return
    pen = pen.at(x, y, size)
    for shape, color, *numbers in SHAPES[name]:
        getattr(pen, shape)(*numbers, RGB[color] if isinstance(color, str) else _darker(RGB[name], color))


def _draw_slice(pen: Pen, name: str, x: float, y: float, r: float) -> None:
    rim = _darker(RGB[name], 0.75)
    heart = {
        "cucumber": (205, 235, 180),
        "eggplant": (235, 225, 200),
        "onion": (240, 215, 235),
        "egg": (250, 190, 40),
        "kiwi": RGB["kiwi inside"],
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
