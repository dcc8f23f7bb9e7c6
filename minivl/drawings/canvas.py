"""A page to draw on: boxes, arrows and words whose sizes are known, written as SVG.

Why not a library: drawsvg and its like write the same tags, but none of them measures letters, keeps account of what
stands where, or knows two colour schemes; that is what is here, and the tags themselves are few. Letters are measured
in DejaVu Sans, which matplotlib brings and which is as wide as any common one, so another font leaves room, and what
does not overlap here overlaps nowhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from minivl.drawings.geometry import Box, Point, crosses, text_width, together
from minivl.drawings.style import GREY, INK, LIGHT, LINE, PAPER, QUIET, SMALLEST, WIDTH, style_sheet

SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", SVG)


@dataclass
class Canvas:
    """A page of `width` x `height` pixels. Everything that is drawn comes on top of what was drawn before."""

    height: float
    width: float = WIDTH
    css: str = ""
    words: list[tuple[str, Box, str | None]] = field(default_factory=list)  # text, where, when it is shown
    lines: list[tuple[Point, Point, str | None]] = field(default_factory=list)  # pieces of arrows
    edges: list[tuple[Box, str | None]] = field(default_factory=list)  # of rectangles
    pen: tuple[str, float] = (LINE, 1.8)  # colour and width of arrows

    def __post_init__(self):
        self.root = ElementTree.Element(
            f"{{{SVG}}}svg",
            {
                "viewBox": f"0 0 {self.width:g} {self.height:g}",
                "width": f"{self.width:g}",
                "height": f"{self.height:g}",
                "role": "img",
            },
        )
        self._at, self._moment = self.root, None
        self.rect(Box(0, 0, self.width, self.height), PAPER, stroke=None, radius=6)

    # What is drawn

    def rect(
        self,
        box: Box,
        fill: str | None = None,
        stroke: str | None = LINE,
        opacity: float = 1.0,
        radius: float = 4,
        width: float = 1.4,
        dashed: bool = False,
    ) -> Box:
        """A rectangle. Colours are names of inks, or "#rrggbb"; `opacity` is that of the filling."""
        attributes = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rx": radius}
        self._add("rect", attributes, fill, stroke, opacity, width, dashed)
        if stroke:
            self.edges.append((box, self._moment))
        return box

    def circle(
        self, at: Point, radius: float, fill: str | None, stroke: str | None = None, opacity: float = 1.0
    ) -> Box:
        """A circle around a point."""
        self._add("circle", {"cx": at[0], "cy": at[1], "r": radius}, fill, stroke, opacity)
        return Box(at[0] - radius, at[1] - radius, 2 * radius, 2 * radius)

    def shape(self, path: str, fill: str, opacity: float = 1.0) -> None:
        """A filled outline, as SVG writes paths."""
        self._add("path", {"d": path}, fill, fill, opacity, width=1)

    def text(
        self, at: Point, words: str, size: float = 13, anchor: str = "middle", bold: bool = False, ink: str = INK
    ) -> Box:
        """A line of text whose middle height is at a point; `anchor` is "start", "middle" or "end" of the line."""
        assert size >= SMALLEST, "smaller letters cannot be read"
        width = text_width(words, size, bold)
        x = at[0] - {"start": 0, "middle": width / 2, "end": width}[anchor]
        attributes = {"x": at[0], "y": at[1] + 0.36 * size, "font-size": size, "text-anchor": anchor}
        element = self._add("text", attributes | ({"font-weight": "bold"} if bold else {}), ink, None)
        element.text = words
        box = Box(x, at[1] - 0.5 * size, width, size)
        self.words.append((words, box, self._moment))
        return box

    def lines_of_text(
        self, at: Point, lines: Sequence[str], size: float = 13, step: float = 1.35, **look: Any
    ) -> list[Box]:
        """Several lines, the first of them at a point."""
        return [self.text((at[0], at[1] + n * step * size), line, size, **look) for n, line in enumerate(lines)]

    def node(self, box: Box, words: Sequence[str], color: str, size: float = 13.5, bold: bool = True) -> Box:
        """A module or a thing: a tinted box with its name in the middle."""
        self.rect(box, color, color, opacity=0.2, radius=7, width=2)
        first = box.center[1] - (len(words) - 1) * 0.65 * size
        for number, line in enumerate(words):
            self.text((box.center[0], first + number * 1.3 * size), line, size, bold=bold and number == 0)
        return box

    def arrow(
        self,
        points: Sequence[Point],
        label: str = "",
        color: str = "",
        at: Point | None = None,
        anchor: str = "start",
        head: bool = True,
        dashed: bool = False,
        width: float = 0,
    ) -> None:
        """An arrow through points, and what travels on it: its shape, at a place beside it."""
        color, width = color or self.pen[0], width or self.pen[1]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._add("path", {"d": path, "stroke-linejoin": "round"}, None, color, width=width, dashed=dashed)
        self.lines += [(a, b, self._moment) for a, b in zip(points, points[1:], strict=False)]
        if head:
            self._head(points[-2], points[-1], color)
        if label:
            (x0, y0), (x1, y1) = points[-2], points[-1]
            self.text(at or ((x0 + x1) / 2 + 7, (y0 + y1) / 2), label, 12, anchor, ink=QUIET)

    def _head(self, before: Point, tip: Point, color: str) -> None:
        dx, dy = tip[0] - before[0], tip[1] - before[1]
        length = (dx * dx + dy * dy) ** 0.5
        dx, dy = dx / length, dy / length
        base = tip[0] - 8 * dx, tip[1] - 8 * dy
        corners = [tip, (base[0] - 4 * dy, base[1] + 4 * dx), (base[0] + 4 * dy, base[1] - 4 * dx)]
        self._add("polygon", {"points": " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}, color, None)

    # Pieces that several drawings need

    def chips(
        self, at: Point, words: Sequence[str], color: str, special: Sequence[int] = (), gap: float = 5
    ) -> list[Box]:
        """Tokens as a row of small boxes that begins at a point; those numbered in `special` are dashed and empty."""
        boxes, x = [], at[0]
        for number, word in enumerate(words):
            box = Box(x, at[1], text_width(word, 12) + 10, 23)
            odd = number in special
            self.rect(box, None if odd else color, color, opacity=0.2, dashed=odd, width=1.8 if odd else 1.2)
            self.text(box.center, word, 12)
            boxes.append(box)
            x += box.width + gap
        return boxes

    def film(
        self, at: Point, count: int, size: float, color: str, empty: Sequence[int] = (), gap: float = 5
    ) -> list[Box]:
        """Frames in a row: a pan, in which something moves. Those numbered in `empty` were set to zero."""
        boxes = []
        for number in range(count):
            box = Box(at[0] + number * (size + gap), at[1], size, size)
            boxes.append(box)
            if number in empty:
                self.rect(box, None, color, dashed=True, width=1.8)
                self.text(box.center, "0", 13)
                continue
            self.rect(box, color, color, opacity=0.2, width=1.2)
            middle = box.center
            self.circle(middle, size * 0.3, None, INK)
            turn = [(-0.12, -0.1), (0.1, -0.12), (0.13, 0.08), (-0.05, 0.14), (-0.14, 0.03), (0.02, 0.0)][number % 6]
            self.circle((middle[0] + turn[0] * size, middle[1] + turn[1] * size), size * 0.09, color)
        return boxes

    def matrix(
        self,
        box: Box,
        rows: int,
        columns: int,
        marked: Sequence[tuple[int, int]] = (),
        color: str = GREY,
        others: str = GREY,
    ) -> None:
        """A grid of cells, some of them marked."""
        height, width = box.height / rows, box.width / columns
        self.rect(box, others, LINE, 0.1, radius=0, width=0.8)
        cells = "".join(
            f"M{box.x + j * width:.5g} {box.y + i * height:.5g}h{width:.5g}v{height:.5g}h{-width:.5g}z"
            for i, j in marked
        )
        if cells:
            self._add("path", {"d": cells}, color, None, 0.75)
        across = [f"M{box.x:g} {box.y + i * height:.5g}h{box.width:g}" for i in range(1, rows)]
        down = [f"M{box.x + j * width:.5g} {box.y:g}v{box.height:g}" for j in range(1, columns)]
        self._add("path", {"d": "".join(across + down)}, None, LINE, width=0.8)

    @contextmanager
    def faint(self, opacity: float = 0.28) -> Iterator[None]:
        """What is drawn inside is there, but not what this drawing is about."""
        pen, self.pen = self.pen, (LINE, 1.8)
        with self.group({"opacity": f"{opacity:g}"}):
            yield
        self.pen = pen

    @contextmanager
    def group(self, attributes: dict[str, str], moment: str | None = None) -> Iterator[None]:
        """What is drawn inside belongs together. `moment`: it is only shown then, and cannot collide with other "
        "times."""
        outer, before = self._at, self._moment
        self._at = ElementTree.SubElement(outer, f"{{{SVG}}}g", attributes)
        self._moment = moment if moment is not None else before
        try:
            yield
        finally:
            self._at, self._moment = outer, before

    def _add(self, tag, attributes, fill, stroke, opacity=1.0, width=1.4, dashed=False):
        written = {
            name: f"{value:.5g}" if isinstance(value, int | float) else value for name, value in attributes.items()
        }
        classes = []
        for what, color in (("fill", fill), ("stroke", stroke)):
            if color in LIGHT:
                classes.append(f"{what[0]}-{color}")
            if what == "fill" or color:
                written[what] = LIGHT.get(color, color) if color else "none"
        if opacity < 1 and fill:
            written["fill-opacity"] = f"{opacity:g}"
        if stroke:
            written["stroke-width"] = f"{width:g}"
        if dashed:
            written["stroke-dasharray"] = "4 3"
        if classes:
            written["class"] = " ".join(classes)
        return ElementTree.SubElement(self._at, f"{{{SVG}}}{tag}", written)

    # What comes of it

    def svg(self, title: str, alt: str) -> str:
        """The page as SVG, with a title and its words for those who do not see it."""
        for place, (tag, content) in enumerate((("title", title), ("desc", alt), ("style", style_sheet(self.css)))):
            element = ElementTree.Element(f"{{{SVG}}}{tag}")
            element.text = content
            self.root.insert(place, element)
        return ElementTree.tostring(self.root, encoding="unicode")

    def collisions(self) -> list[str]:
        """Words that overlap other words, are crossed by an arrow or the edge of a box, or leave the page."""
        page, found = Box(0, 0, self.width, self.height), []
        for number, (words, box, moment) in enumerate(self.words):
            if not page.contains(box):
                found.append(f"{words!r} leaves the page")
            for others, other, when in self.words[number + 1 :]:
                if together(moment, when) and box.overlaps(other):
                    found.append(f"{words!r} overlaps {others!r}")
            for a, b, when in self.lines:
                if together(moment, when) and crosses(a, b, box):
                    found.append(f"an arrow crosses {words!r}")
            for edge, when in self.edges:
                if together(moment, when) and box.overlaps(edge) and not edge.contains(box):
                    found.append(f"{words!r} leaves its box")
        return found
