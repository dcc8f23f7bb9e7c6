"""A figure with its alternative text, panels side by side, and the one palette."""

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Color = str | tuple[float, ...]
# One colour for one thing, in every lesson; from seaborn's palette for colour-blind readers.
COLORS = sns.color_palette("colorblind")
METHOD_COLORS = {
    "zero-shot": COLORS[7],
    "LoRA": COLORS[0],
    "LoRA, rank 8": COLORS[0],
    "LoRA + IVFusion": COLORS[2],
    "IVFusion": COLORS[2],
    "PImgAlign": COLORS[1],
    "AlignDistill": COLORS[4],
    # DiscoVLA's fusion strategies; image-level attention is LoRA alone, the adapter is IVFusion
    "image": COLORS[0],
    "video": COLORS[8],
    "average": COLORS[6],
    "adapter": COLORS[2],
    "pretrained": COLORS[9],
    "StagedP": COLORS[9],
    "from scratch": COLORS[5],
    "no pretraining": COLORS[5],
    "one stage": COLORS[1],
    "StagedP + EnhancedV": COLORS[4],
}
ANY_METHOD = (0.45, 0.5, 0.6)  # of methods that the table does not name
MATCHING, OTHER = COLORS[2], COLORS[3]
TEXT, VIDEO = COLORS[1], COLORS[0]


def method_color(name: str, other: Color = ANY_METHOD) -> Color:
    """The colour of a method, also with a regime before its name ("dial 0.0, LoRA", "strategy adapter"), or `other`."""
    pieces = name, name.split(", ")[-1], name.split()[-1]
    return next((METHOD_COLORS[piece] for piece in pieces if piece in METHOD_COLORS), other)


def panels(count: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in a row; width and height in inches, options of `plt.subplots`."""
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, **options)
    return figure, list(axes[0])


def draw_heat_map(axis: Axes, table: pd.DataFrame, label: str, center: float | None = None, **options: Any) -> None:
    """Draw a table as colours, with a scale that has this label; values below and above `center` have two hues.

    options   of `seaborn.heatmap`
    """
    cmap = "cividis" if center is None else "RdBu_r"
    sns.heatmap(table, ax=axis, cmap=cmap, center=center, cbar_kws={"label": label}, **options)
    axis.tick_params(axis="y", rotation=0)


def draw_bars(axis: Axes, table: pd.DataFrame, seeds: dict[str, Any] | None = None, **options: Any) -> None:
    """Draw means as bars with their standard deviations, and every single row as a dot.

    options   of `seaborn.barplot`; those of x, y and order are the dots', too, beside `seeds` of their own
    """
    sns.barplot(table, ax=axis, errorbar="sd", **options)
    shared = {name: options[name] for name in ("x", "y", "order") if name in options}
    sns.stripplot(table, ax=axis, size=3, **shared, **(seeds or {"color": "black"}))


def draw_lines(axis: Axes, table: pd.DataFrame, hue: str, **options: Any) -> None:
    """Draw a line with points for each value of a column, and the standard deviation of repeated rows.

    options   of `seaborn.lineplot`
    """
    sns.lineplot(table, ax=axis, hue=hue, style=hue, markers=True, errorbar="sd", **options)


def figure_html(png: bytes, alt: str) -> str:
    """HTML of a picture, see `figure_of`."""
    return figure_of(f"data:image/png;base64,{base64.b64encode(png).decode()}", alt)


def figure_of(source: str, alt: str) -> str:
    """HTML of an image; its words are the alternative text, and a description that stays closed until it is wanted."""
    words = html.escape(alt)
    return (
        f'<figure style="margin: 0"><img src="{source}" alt="{words}" style="max-width: 100%">'
        f"<figcaption><details><summary>The figure in words</summary>{words}</details></figcaption></figure>"
    )


@dataclass
class Picture:
    """A figure and what it shows in words. A notebook shows it as HTML, and where there is no HTML, its words."""

    figure: Figure
    alt: str

    def __post_init__(self):
        self.figure.tight_layout()

    def save(self, path: Path | str) -> Path:
        """Write the figure as .png or .svg, with the alternative text in the file's description.

        Raises ValueError for another ending.
        """
        path = Path(path)
        if path.suffix.lower() not in (".png", ".svg"):
            raise ValueError(f"{path}: a figure is saved as .png or .svg, which the name must end in")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Description": self.alt})
        return path

    def html(self) -> str:
        """The figure as `figure_html` writes it; it is closed and cannot be drawn again."""
        from PIL import Image

        drawn, small = io.BytesIO(), io.BytesIO()
        self.figure.savefig(drawn, format="png", dpi=80, bbox_inches="tight")
        plt.close(self.figure)
        # 128 colours take a third of the bytes, and notebooks are committed with their pictures.
        Image.open(drawn).convert("RGB").quantize(128).save(small, format="png", optimize=True)
        return figure_html(small.getvalue(), self.alt)

    def _ipython_display_(self):
        from IPython.display import display

        display({"text/html": self.html(), "text/plain": self.alt}, raw=True)
