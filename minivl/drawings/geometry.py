"""Rectangles on a page, and how wide words are."""

import functools
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import ImageFont

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, in pixels, y downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height

    @property
    def center(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2

    def overlaps(self, other: "Box", least: float = 0.5) -> bool:
        """Check if the two share more than `least` pixels in both directions."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return across > least and down > least

    def contains(self, other: "Box", slack: float = 0.5) -> bool:
        return (
            self.x - slack <= other.x
            and self.y - slack <= other.y
            and other.x + other.width <= self.x + self.width + slack
            and other.y + other.height <= self.y + self.height + slack
        )


@functools.cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, 100)


def text_width(words: str, size: float, bold: bool = False) -> float:
    """Pixels that a line of text takes."""
    return _font(bold).getlength(words) * size / 100


def together(a: str | None, b: str | None) -> bool:
    """Check if what is shown at two moments can be seen at once; None: always there."""
    return a is None or b is None or a == b


def crosses(a: Point, b: Point, box: Box) -> bool:
    """Check if the line from a to b touches a box, by clipping it to the box."""
    start, end = 0.0, 1.0
    for axis, low, high in ((0, box.x, box.x + box.width), (1, box.y, box.y + box.height)):
        origin, way = a[axis], b[axis] - a[axis]
        if way == 0:
            if not low < origin < high:
                return False
            continue
        first, last = sorted(((low - origin) / way, (high - origin) / way))
        start, end = max(start, first), min(end, last)
    return end - start > 1e-9
