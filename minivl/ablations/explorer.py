"""The explorer of ablations: differences to a baseline with intervals, and every run, as one page without a server.

explore_ablations(studies)               shows it in a notebook; needs no running kernel
write_ablation_page(studies, "a.html")   one file

Bokeh draws it, as it does the explorer of alignment (`minivl.explorer.page` says why). All differences are computed
here, by `minivl.ablations.comparing`; `ablations.js`, beside this file, only chooses which of them are shown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, FactorRange, HoverTool
from bokeh.models.annotations import Span
from bokeh.models.widgets import DataTable, Div, NumberFormatter, Select, StringFormatter
from bokeh.plotting import figure

from minivl.ablations.comparing import cells_of, differences, run_differences, scores_of, settings_of
from minivl.ablations.runner import AblationError
from minivl.data.atomic import write_text
from minivl.explorer.figures import make_table
from minivl.explorer.page import standalone
from minivl.explorer.show import framed
from minivl.metrics.verdicts import HELPS, HURTS
from minivl.plots.ablations import ablation_bars
from minivl.plots.picture import Picture

TITLE = "Explorer of ablations"
WIDTH = 900  # pixels
MOST = 60_000  # comparisons of a page; each takes some milliseconds
COLORS = {HELPS: "#009e73", HURTS: "#d55e00", "": "#777777"}
STYLE = ":host { font-size: 14px; line-height: 1.4; } p { margin: 0.3em 0; }"
INTRODUCTION = """\
<h1>Explorer of ablations</h1>
<p>Choose a study, a baseline and a score. Each line is a variant minus the baseline: a small dot for every training run
that both have (the same seed, and the same world where there are several), a large one for the mean, and its 95 %
interval. Point at a dot to see the run and the settings of the variant.</p>
<p>Intervals are Student's t over worlds, where there are several, else over seeds. <i>Holm p</i> is corrected for the
comparisons that are shown together, and <i>helps</i> or <i>hurts</i> stands where it is below 0.05; green and vermilion
say the same. <i>Detectable</i> is the smallest effect that would have been called by its name four times in five. Who
looks at many scores and baselines here finds something by chance: no correction knows how often you chose.</p>"""
LEVELS = "<h2>The scores themselves</h2><p>Every run of every variant, those that no other run goes with, too.</p>"


class AblationExplorer:
    """The explorer, which a notebook shows in a frame; below it is a picture for viewers that run no scripts."""

    def __init__(self, studies: Mapping[str, pd.DataFrame]):
        self.studies = studies

    def _repr_html_(self) -> str:
        return framed(ablation_page(self.studies), TITLE, self.picture())

    def picture(self) -> Picture:
        """The first score of the first study."""
        table = next(iter(self.studies.values()))
        return ablation_bars(table, [_first_score(table)])


def explore_ablations(studies: Mapping[str, pd.DataFrame]) -> AblationExplorer:
    """The explorer of results, as `read_results` gives them, to be shown in a notebook."""
    return AblationExplorer(studies)


def write_ablation_page(studies: Mapping[str, pd.DataFrame], path: Path | str) -> Path:
    """Write the explorer as one HTML file, whole or not at all; its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, ablation_page(studies))
    return path


def ablation_page(studies: Mapping[str, pd.DataFrame]) -> str:
    """The page as HTML. Raises AblationError for more than MOST comparisons."""
    count = sum(len(cells_of(table)) ** 2 * len(scores_of(table)) for table in studies.values())
    if count > MOST:
        raise AblationError(f"{count:,} comparisons are more than a page shows ({MOST:,}): give fewer files")
    parts = {**_controls(list(studies)), **_figures(), "words": _text("")}
    choices = row([parts[name] for name in ("study", "baseline", "score")], styles={"flex-wrap": "wrap"})
    shown = [parts[name] for name in ("words", "figure", "table")]
    document = Document()
    document.add_root(column([_text(INTRODUCTION), choices, *shown, _text(LEVELS), parts["levels"]]))
    data = [{"name": name, **_study(table)} for name, table in studies.items()]
    args = {"studies": data, "parts": parts, "colors": COLORS}
    document.js_on_event(DocumentReady, CustomJS(code="ablations.start(studies, parts, colors)", args=args))
    for name in ("study", "baseline", "score"):
        parts[name].js_on_change("value", CustomJS(code=f"ablations.changed('{name}')"))
    return standalone(document, TITLE, Path(__file__).with_name("ablations.js").read_text(encoding="utf-8"))


def _study(table: pd.DataFrame) -> dict[str, Any]:
    """What the script reads of a study: its cells with their settings, its runs, and all comparisons."""
    cells, scores = cells_of(table), scores_of(table)
    return {
        "cells": cells,
        "settings": [settings_of(table, cell) for cell in cells],
        "scores": scores,
        "first": scores.index(_first_score(table)),
        "runs": {
            "cell": table["cell"].tolist(),
            "run": [_run(seed, world) for seed, world in zip(table["seed"], _worlds(table), strict=True)],
            "values": [_numbers(table[score]) for score in scores],
        },
        "counted": "worlds" if "world" in table else "seeds",
        "comparisons": [[_comparison(table, baseline, score) for score in scores] for baseline in cells],
    }


def _comparison(table: pd.DataFrame, baseline: str, score: str) -> dict[str, Any]:
    """All cells minus a baseline in one score, and the runs below that."""
    pairs = run_differences(table, baseline, score)
    found = differences(pairs)
    empty = pd.DataFrame(columns=["cell", "seed", "a", "b", "difference"])
    dots = pd.concat([runs.assign(cell=cell) for cell, runs in pairs.items()] or [empty])
    columns = ("difference", "low", "high", "Holm p", "detectable")
    return {
        "lines": {
            "cell": found["cell"].tolist(),
            "runs": found["runs"].tolist(),
            "verdict": found["verdict"].tolist(),
            **{name: _numbers(found[name]) for name in columns},
        },
        "dots": {
            "cell": dots["cell"].tolist(),
            "run": [_run(seed, world) for seed, world in zip(dots["seed"], _worlds(dots), strict=True)],
            **{name: _numbers(dots[name]) for name in ("a", "b", "difference")},
        },
    }


def _worlds(table: pd.DataFrame) -> list[Any]:
    return table["world"].tolist() if "world" in table else [None] * len(table)


def _run(seed: int, world: int | None) -> str:
    return f"seed {seed}" if world is None else f"world {world}, seed {seed}"


def _numbers(values: pd.Series) -> list[float | None]:
    """As JSON has them: six digits are what results keep, and None stands for what is not there."""
    return [None if np.isnan(value) else float(f"{value:.6g}") for value in values.astype(float)]


def _first_score(table: pd.DataFrame) -> str:
    """R@sum or exact captions, if there are any: what verdicts are mostly about."""
    scores = scores_of(table)
    return next((score for score in ("R@sum", "R@1", "exact, video") if score in scores), scores[0])


def _controls(studies: list[str]) -> dict[str, Any]:
    names: list[Any] = [(str(number), name) for number, name in enumerate(studies)]
    unknown: list[Any] = [("0", "")]  # until the script knows the study
    return {
        "study": Select(title="Study", value="0", options=names, width=280),
        "baseline": Select(title="Baseline", value="0", options=unknown, width=280),
        "score": Select(title="Score", value="0", options=unknown, width=280),
    }


def _text(html: str) -> Div:
    """Formulas are off: Bokeh would fetch what draws them."""
    return Div(text=html, disable_math=True, stylesheets=[STYLE], width=WIDTH, styles={"max-width": "95vw"})


def _figures() -> dict[str, Any]:
    """Figures and table, and the sources that the script fills."""
    first: dict[str, Any] = {"cell": ["-"], "lane": ["-"]}  # Bokeh warns of axes without data
    names = ("difference", "low", "high", "runs", "verdict", "Holm p", "detectable", "run", "a", "b", "value")
    sources = {
        name: ColumnDataSource({**first, **dict.fromkeys(names, [0]), "color": ["white"], "settings": [""]})
        for name in ("lines", "dots", "values")
    }
    drawn, levels = _lanes("difference"), _lanes("score")
    drawn.add_layout(Span(location=0, dimension="height", line_color="#777777"))
    drawn.segment("low", "cell", "high", "cell", source=sources["lines"], color="color", line_width=3)
    drawn.scatter("difference", "cell", source=sources["lines"], size=13, color="color")
    dots = drawn.scatter("difference", "lane", source=sources["dots"], size=7, color="#0072b2", alpha=0.55)
    values = levels.scatter("value", "lane", source=sources["values"], size=7, color="#0072b2", alpha=0.55)
    said = [("variant", "@cell"), ("run", "@run"), ("settings", "@settings")]
    pair = [("difference", "@difference{+0.00}"), ("variant, baseline", "@a{0.00}, @b{0.00}")]
    drawn.add_tools(HoverTool(renderers=[dots], tooltips=[*said, *pair]))
    levels.add_tools(HoverTool(renderers=[values], tooltips=[*said, ("score", "@value{0.00}")]))
    return {**sources, "figure": drawn, "levels": levels, "table": _table(sources["lines"])}


def _lanes(label: str) -> figure:
    """A figure with a lane for each cell."""
    drawn = figure(
        y_range=FactorRange(factors=["-"]),
        x_axis_label=label,
        width=WIDTH,
        max_width=WIDTH,
        height=300,
        sizing_mode="scale_width",
        tools="pan,xwheel_zoom,reset",
        toolbar_location="above",
    )
    drawn.toolbar.logo = None
    return drawn


def _table(source: ColumnDataSource) -> DataTable:
    number, small = NumberFormatter(format="+0.00", nan_format="-"), NumberFormatter(format="0.000", nan_format="-")
    columns: dict[str, Any] = {
        "cell": ("variant", 260, StringFormatter()),
        "difference": ("difference", 80, number),
        "low": ("from", 70, number),
        "high": ("to", 70, number),
        "Holm p": ("Holm p", 70, small),
        "detectable": ("detectable", 80, NumberFormatter(format="0.0", nan_format="-")),
        "runs": ("runs", 50, NumberFormatter(format="0")),
        "verdict": ("verdict", 110, StringFormatter()),
    }
    return make_table(source, width=WIDTH, **columns)
