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

        As an image its style stays its own, it runs no scripts, and GitHub, Jupyter and Sphinx all show it.
        """
        data = base64.b64encode(self.svg.encode()).decode()
        return figure_of(f"data:image/svg+xml;base64,{data}", self.alt)

    def _ipython_display_(self):
        from IPython.display import display

        display({"text/html": self.html(), "text/plain": self.alt}, raw=True)
