"""What a slide shows of an executed lesson: a figure, table, equation or printed text, by the id of its cell."""

import html
import re
from collections.abc import Callable
from typing import Any

from latex2mathml.converter import convert

REFERENCE = re.compile(r"(figure|table|equation|output):([\w-]+)(?:/(\d+))?")
IMAGE = re.compile(r'<img src="(data:image/(?:png|svg\+xml);base64,[A-Za-z0-9+/=]+)" alt="([^"]+)"')  # see `figure_of`
TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
EQUATION = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
LONG = 130  # characters of LaTeX that fill the line of a slide


class SlidesError(ValueError):
    """A source of slides that cannot be built; the message says what of it, and why."""


def piece(notebook: Any, reference: str) -> str:
    """HTML of what a reference names, such as "figure:03-27", or "table:06-35/2" for the second one of its cell.

    figure     a picture with the lesson's alternative text
    table      what pandas shows
    equation   between two pairs of dollars, in a cell's text or above a source that it shows
    output     what a cell prints

    Raises SlidesError for a cell that is not there, or has no such thing.
    """
    if not (match := REFERENCE.fullmatch(reference)):
        raise SlidesError(
            f"{reference!r} is no reference: write figure, table, equation or output, ':' and a cell's id"
        )
    kind, cell_id, number = match[1], match[2], int(match[3] or 1)
    cell = next((cell for cell in notebook.cells if cell.id == cell_id), None)
    if cell is None:
        raise SlidesError(f"{reference}: the lesson has no cell with the id {cell_id!r} (any more)")
    found = FINDERS[kind](cell)
    if not 1 <= number <= len(found):
        raise SlidesError(f"{reference}: the cell has {len(found)} of this kind")
    return found[number - 1]


def math(latex: str, display: str = "inline") -> str:
    """MathML of an equation; `display` is "inline" or "block"."""
    return convert(latex.strip(), display=display)


def equation(latex: str) -> str:
    """An equation on a line of its own. Where it is long, its letters are smaller: MathML does not break lines."""
    kind = "long equation" if len(latex) > LONG else "equation"
    return f'<div class="{kind}">{math(latex, "block")}</div>'


def _figures(cell: Any) -> list[str]:
    return [f'<figure><img src="{source}" alt="{alt}"></figure>' for source, alt in IMAGE.findall(_shown(cell))]


def _tables(cell: Any) -> list[str]:
    return [f'<div class="table">{table}</div>' for table in TABLE.findall(_shown(cell))]


def _equations(cell: Any) -> list[str]:
    texts = [cell.source] if cell.cell_type == "markdown" else _data(cell, "text/markdown")
    return [equation(latex) for text in texts for latex in EQUATION.findall(text)]


def _printed(cell: Any) -> list[str]:
    """What a cell prints, as one text, without the banner's line about the machine."""
    streams = [output.text for output in cell.get("outputs", []) if output.output_type == "stream"]
    lines = [line for line in "".join(streams).rstrip().split("\n") if not line.startswith("scale: ")]
    return ["<pre>" + html.escape("\n".join(lines)) + "</pre>"] if any(lines) else []


def _shown(cell: Any) -> str:
    return "\n".join(_data(cell, "text/html"))


def _data(cell: Any, kind: str) -> list[str]:
    """What the outputs of a cell hold of one type."""
    return [output.data[kind] for output in cell.get("outputs", []) if kind in output.get("data", {})]


FINDERS: dict[str, Callable[[Any], list[str]]] = {
    "figure": _figures,
    "table": _tables,
    "equation": _equations,
    "output": _printed,
}
