"""The explorer's figures, tables and texts, without data: explorer.js fills them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, Dodge, LinearColorMapper, Range1d
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Button, DataTable, Div, NumberFormatter, Select, Slider, StringFormatter, TableColumn
from bokeh.plotting import figure
from matplotlib.colors import to_hex

from minivl.explorer.alignments import Exploration
from minivl.explorer.views import LIKED, bin_edges
from minivl.plots.picture import MATCHING, METHOD_COLORS, OTHER, TEXT, VIDEO

WIDTH = 580  # pixels of one side
PALETTE, SHARES = "Cividis256", "Greys256"
MATCHING_COLOR, OTHER_COLOR, TEXT_COLOR, VIDEO_COLOR = (to_hex(color) for color in (MATCHING, OTHER, TEXT, VIDEO))
TEACHER_COLOR, STUDENT_COLOR = (to_hex(METHOD_COLORS[name]) for name in ("PImgAlign", "AlignDistill"))
STYLE = """
:host { font-size: 14px; line-height: 1.4; } img { max-width: 100%; } p { margin: 0.3em 0; }
ol, ul { margin: 0.3em 0; padding-left: 2em; } th { text-align: left; font-weight: normal; padding-right: 1em; }
"""


@dataclass
class Side:
    """A column of the page: the figures of one model, and what the script needs to fill them."""

    parts: dict[str, Any]  # sources, texts and controls, by the names that explorer.js uses
    shown: dict[str, list[UIElement]]  # what stands in each section of the page


def make_side(exploration: Exploration, model: int, stage: int) -> Side:
    models = list(exploration.models.items())
    names: list[Any] = [(str(number), name) for number, (name, _) in enumerate(models)]
    stages = len(models[model][1])
    parts: dict[str, Any] = {
        "model": Select(title="Model", value=str(model), options=names, width=300),
        "stage": Slider(
            title="Stage", start=0, end=max(stages - 1, 1), value=stage, show_value=False, width=WIDTH - 40
        ),
        "play": Button(label="Play the stages", width=140),
    }
    sections = {
        "models": [parts["model"], parts["stage"], parts["play"]],
        "distributions": _distributions(exploration, parts),
        "matrix": _matrix(exploration, parts),
        "ranking": _texts(parts, "ranking"),
        "negatives": _negatives(parts),
        "map": _map(parts),
        "frames": _frames(parts),
        "teacher": _teacher(parts),
    }
    return Side(parts, sections)


def _texts(parts: dict[str, Any], *names: str) -> list[UIElement]:
    parts |= {name: _text() for name in names}
    return [parts[name] for name in names]


def _distributions(exploration: Exploration, parts: dict[str, Any]) -> list[UIElement]:
    edges = bin_edges(exploration)
    zeros = np.zeros(len(edges) - 1)
    source = ColumnDataSource({"left": edges[:-1], "right": edges[1:], "matching": zeros, "other": zeros})
    drawn = _figure("Distributions", "similarity of caption and clip", "share of pairs, %", 260)
    for kind, color, hatch in (("other", OTHER_COLOR, " "), ("matching", MATCHING_COLOR, "/")):
        look: dict[str, Any] = {"color": color, "fill_alpha": 0.45, "hatch_pattern": hatch, "hatch_alpha": 0.3}
        drawn.quad(left="left", right="right", bottom=0, top=kind, source=source, legend_label=f"{kind} pairs", **look)
    parts["histogram"] = source
    return [drawn, *_texts(parts, "numbers")]


def _matrix(exploration: Exploration, parts: dict[str, Any]) -> list[UIElement]:
    A, B = len(exploration.clips.captions), len(exploration.clips.names)
    colors = LinearColorMapper(palette=PALETTE, low=0, high=1)
    source = ColumnDataSource({"image": [np.zeros((A, B), np.int16)]})
    cell = _source("x", "y")
    drawn = _figure(
        "Similarity of every caption with every clip",
        "clip",
        "caption",
        520,
        x_range=Range1d(start=0, end=B, bounds="auto"),
        y_range=Range1d(start=A, end=0, bounds="auto"),  # the first caption is on top
        tools="pan,wheel_zoom,box_zoom,reset",
    )
    look: dict[str, Any] = {"x": 0, "y": 0, "dw": B, "dh": A, "color_mapper": colors}
    drawn.image("image", source=source, **look)
    drawn.scatter("x", "y", source=cell, marker="square", size=12, fill_alpha=0, line_color="red", line_width=2)
    parts |= {"matrix": source, "colors": colors, "cell": cell, "matrix_figure": drawn}
    return [drawn, *_texts(parts, "range", "pointed")]


def make_table(
    source: ColumnDataSource, height: int = 260, width: int = WIDTH, **columns: tuple[str, int, Any]
) -> DataTable:
    """A table; columns: name in the source -> (title, width in pixels, formatter)."""
    table = DataTable(
        source=source,
        columns=[TableColumn(field=f, title=t, width=w, formatter=k) for f, (t, w, k) in columns.items()],
        width=width,
        height=height,
        index_position=None,
        reorderable=False,
    )
    # By itself a table goes on showing its old lines when as many others take their place.
    source.js_on_change("data", CustomJS(code="table.change.emit()", args={"table": table}))
    return table


def _negatives(parts: dict[str, Any]) -> list[UIElement]:
    parts["negatives"] = _source("text", "video", "caption", "clip", "margin", "same")
    return [
        make_table(
            parts["negatives"],
            caption=("caption", 330, StringFormatter()),
            clip=("strongest other clip", 110, StringFormatter()),
            margin=("margin", 60, NumberFormatter(format="0.000")),
            same=("", 80, StringFormatter()),
        )
    ]


def _map(parts: dict[str, Any]) -> list[UIElement]:
    drawn = _figure("Embeddings", "first direction", "second direction", 420, tools="pan,wheel_zoom,box_zoom,tap,reset")
    for name, marker, color, label in (
        ("text_points", "triangle", TEXT_COLOR, "captions"),
        ("video_points", "circle", VIDEO_COLOR, "clips"),
    ):
        parts[name] = _source("x", "y")
        look: dict[str, Any] = {"marker": marker, "color": color, "size": 6, "alpha": 0.6, "nonselection_alpha": 0.6}
        drawn.scatter("x", "y", source=parts[name], legend_label=label, **look)
    parts["means"] = _source("x", "y")
    parts["marked"] = ColumnDataSource({"xs": [[0, 1]], "ys": [[0, 1]]})
    drawn.scatter(
        "x", "y", source=parts["means"], marker="x", size=16, line_width=4, color="black", legend_label="means"
    )
    drawn.multi_line("xs", "ys", source=parts["marked"], color="red", line_width=2)
    parts["map_figure"] = drawn
    return [drawn, *_texts(parts, "gap")]


def _frames(parts: dict[str, Any]) -> list[UIElement]:
    """Cosines of captions and frames, and below each row what a softmax makes of it."""
    drawn = _figure(
        "Captions and frames of the chosen pair", "frame, and after each clip's frames the whole clip", "", 220
    )
    for name, palette in (("frames", PALETTE), ("weights", SHARES)):
        colors = LinearColorMapper(palette=palette, low=0, high=1)
        parts |= {name: _source("x", "y", "value", "label", "color", "angle"), f"{name}_colors": colors}
        fill: Any = {"field": "value", "transform": colors}
        # Ranges need something to start from; where a model has no frames, the figure is hidden and this stays.
        parts[name].data = {"x": [0], "y": [0], "value": [0], "label": [""], "color": ["white"], "angle": [0]}
        drawn.rect("x", "y", 1, 1, source=parts[name], fill_color=fill, line_color="white")
        _write(drawn, parts[name], text_align="center", text_color="color", angle="angle")
    drawn.yaxis.visible = drawn.grid.visible = False
    parts["frames_figure"] = drawn
    return [drawn, *_texts(parts, "pair")]


def _teacher(parts: dict[str, Any]) -> list[UIElement]:
    """Two bars for each clip: the share that the teacher gives it, and below that the student's."""
    source = _source("text", "video", "y", "teacher", "student")
    drawn = _figure(
        "Which clips the chosen caption chooses",
        "share of the choice; over all clips they add up to 1",
        "",
        500,
        x_range=Range1d(start=0, end=1.12),  # with room for the number at the end of a bar
        y_range=Range1d(start=LIKED + 0.6, end=-0.6),  # the teacher's favourite is on top
        tools="tap,reset",
    )
    for name, shift, color, hatch in (("teacher", 0.0, TEACHER_COLOR, " "), ("student", 0.26, STUDENT_COLOR, "/")):
        place: Any = {"field": "y", "transform": Dodge(value=shift)}
        look: dict[str, Any] = {"color": color, "hatch_pattern": hatch, "hatch_alpha": 0.4, "nonselection_alpha": 1}
        drawn.hbar(place, right=name, height=0.24, source=source, legend_label=name, **look)
    parts["teacher_labels"] = _source("x", "y", "label")
    _write(drawn, parts["teacher_labels"])
    drawn.yaxis.visible = drawn.ygrid.visible = False
    drawn.legend.location = "bottom_right"
    parts |= {"teacher": source, "teacher_figure": drawn}
    return [drawn, *_texts(parts, "taught")]


def _write(drawn: figure, source: ColumnDataSource, **options: Any) -> None:
    drawn.text("x", "y", text="label", source=source, text_baseline="middle", text_font_size="10px", **options)


def make_changes() -> Side:
    source = _source("text", "caption", "before", "after", "change", "color")
    drawn = _figure(
        "Rank of the right clip",
        "left model",
        "right model",
        420,
        x_axis_type="log",
        y_axis_type="log",
        tools="pan,wheel_zoom,box_zoom,tap,reset",
    )
    drawn.scatter("before", "after", source=source, color="color", size=7, alpha=0.7, nonselection_alpha=0.7)
    number = NumberFormatter(format="0.[0]")
    table = make_table(
        source,
        380,
        caption=("caption", 380, StringFormatter()),
        before=("left", 60, number),
        after=("right", 60, number),
        change=("rose by", 60, number),
    )
    words = _text()
    parts = {"source": source, "words": words, "rose": MATCHING_COLOR, "fell": OTHER_COLOR}
    return Side(parts, {"changes": [drawn, words], "table": [table]})


def _source(*columns: str) -> ColumnDataSource:
    """A source that the script will fill; until then it has a line of ones, as Bokeh warns of axes without data."""
    return ColumnDataSource({name: [1] for name in columns})


def _text() -> Div:
    """A text that the script fills. Formulas are off: Bokeh would fetch what draws them."""
    return Div(text="", disable_math=True, stylesheets=[STYLE], width=WIDTH)


def _figure(title: str, x: str, y: str, height: int, **options: Any) -> figure:
    drawn = figure(
        title=title, x_axis_label=x, y_axis_label=y, width=WIDTH, height=height, toolbar_location="above", **options
    )
    drawn.toolbar.logo = None
    return drawn
