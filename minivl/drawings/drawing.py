"""A finished drawing, and how a notebook shows it."""

import base64
from dataclasses import dataclass
from pathlib import Path

from minivl.drawings.canvas import Canvas
from minivl.plots.picture import figure_of


@dataclass
class Drawing:
    """A drawing and what it shows in words. A notebook shows it as an image, and where there is no HTML, its words."""

    canvas: Canvas
    title: str
    alt: str

    def __post_init__(self):
        self.svg = self.canvas.svg(self.title, self.alt)

    def save(self, path: Path | str) -> Path:
        """Write the drawing as SVG."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.svg, encoding="utf-8")
        return path

    def html(self) -> str:
        """The drawing as `minivl.plots` shows pictures.

        As an image its style stays its own, it runs no scripts, and GitHub, Jupyter and Sphinx all show it. Browsers do
        not tell an image that less motion is wanted, but the page knows: for that there is one that stands still.
        """
        shown = figure_of(as_source(self.svg), self.alt)
        if not self.canvas.css:
            return shown
        still = as_source(self.svg.replace(self.canvas.css, ""))
        source = f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        return shown.replace("<img ", f"{source}<img ").replace("<figcaption>", "</picture><figcaption>")

    def _ipython_display_(self):
        from IPython.display import display

        display({"text/html": self.html(), "text/plain": self.alt}, raw=True)


def as_source(svg: str) -> str:
    """SVG as the address of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
