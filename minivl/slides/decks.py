"""From a source of slides to one HTML file.

A source is Markdown. A line of three hyphens separates slides; what stands behind a line "Note:" is for the speaker.
An image names a part of the lesson (`![](figure:03-27)`, minivl/slides/pieces.py), and numbers refer to tables of
results as in the lessons (minivl/prose.py): they are computed when the deck is built.
"""

import html
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import mistune
import nbformat

from minivl.config import NOTEBOOKS, ConfigError
from minivl.prose import DEFINITION, ProseError, rendered
from minivl.slides.pieces import SlidesError, equation, math, piece

SOURCES = NOTEBOOKS / "slides"
HERE = Path(__file__).parent
# Nothing is fetched, whatever a slide says: the browser itself refuses. The speaker's view shows the deck in frames.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "frame-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def write_deck(lesson: str, folder: Path, overwrite: bool = False) -> Path:
    """Write the deck of a lesson into a folder, as LESSON.html. Raises ConfigError for a file that is there already."""
    path = folder / f"{lesson}.html"
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists: give another --out, or --overwrite")
    page = deck(lesson)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def deck(lesson: str, sources: Path = SOURCES) -> str:
    """The slides of a lesson, such as "03_five_objectives", as one HTML page.

    Raises SlidesError for a lesson without a source, or a source with a reference that leads nowhere.
    """
    source = sources / f"{lesson.partition('_')[0]}.md"
    if not source.is_file():
        raise SlidesError(f"there are no slides of lesson {lesson}: {source.name} is not in {sources.name}/")
    notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    try:
        slides = sections(source.read_text(encoding="utf-8"), notebook, sources)
    except (SlidesError, ProseError) as error:
        raise SlidesError(f"{source.name}: {error}") from error
    title = re.search(r"^# (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
    if title is None:
        raise SlidesError(f"{source.name}: the first slide needs a title, a line that begins with '# '")
    reveal = _reveal()
    return Template((HERE / "deck.html").read_text(encoding="utf-8")).substitute(
        policy=POLICY,
        title=html.escape(title[1]),
        styles=_text(reveal / "dist" / "reveal.css") + _text(HERE / "deck.css"),
        slides="\n".join(slides),
        reveal=_text(reveal / "dist" / "reveal.js"),
        notes=_text(reveal / "plugin" / "notes" / "notes.js"),
    )


def sections(text: str, notebook: Any, folder: Path) -> list[str]:
    """The slides of a source, as HTML; `folder` is where its links to tables of results start."""
    text = rendered(text, folder)
    numbers = "\n".join(match[0] for match in DEFINITION.finditer(text))
    parse = mistune.create_markdown(renderer=Slide(notebook), plugins=["math", "table"])

    def markdown(part: str) -> str:
        return str(parse(part))  # its type leaves open a tree

    return [_section(slide, numbers, markdown) for slide in re.split(r"^---$", DEFINITION.sub("", text), flags=re.M)]


def _section(slide: str, numbers: str, markdown: Callable[[str], str]) -> str:
    """One slide; `numbers` are the definitions of all references to results, which any slide may use."""
    shown, _, notes = slide.strip().partition("\nNote:\n")
    kind = "title" if shown.startswith("# ") else "predict" if shown.startswith("## Predict") else "plain"
    shown, notes = (str(markdown(part + "\n\n" + numbers)) if part else "" for part in (shown, notes))
    aside = f'<aside class="notes">{notes}</aside>' if notes else ""
    return f'<section class="{kind}">\n{shown}{aside}</section>'


class Slide(mistune.HTMLRenderer):
    """Markdown of a slide to HTML. Raises SlidesError for what would lead out of the deck."""

    def __init__(self, notebook: Any):
        super().__init__(escape=True)
        self.notebook = notebook

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """A part of the lesson; images of anything else are not shown."""
        return piece(self.notebook, url)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A number that comes from a table of results. A deck has no other links: nobody clicks in a lecture."""
        if not url.endswith(".csv"):
            raise SlidesError(f"a link to {url}: slides link to nothing but tables of results")
        where = html.escape(f"{url.partition('data_samples/')[2]}: {title}")
        return f'<span class="number" title="{where}">{text}</span>'

    def paragraph(self, text: str) -> str:
        """Figures and tables stand by themselves, several of a paragraph side by side."""
        if text.startswith(("<figure", "<div", "<pre")):
            return f'<div class="pieces">{text}</div>\n'
        return super().paragraph(text)

    def inline_math(self, text: str) -> str:
        return math(text)

    def block_math(self, text: str) -> str:
        return f'<div class="pieces">{equation(text)}</div>\n'


def _reveal() -> Path:
    """The folder of reveal.js in the package that carries it, which is not imported."""
    found = importlib.util.find_spec("sphinx_revealjs")
    if found is None or not found.submodule_search_locations:
        raise SlidesError("slides need sphinx-revealjs: pip install minivl[slides]")
    folder = Path(found.submodule_search_locations[0]) / "_static" / "revealjs"
    if not (folder / "dist" / "reveal.js").is_file():
        raise SlidesError(f"this sphinx-revealjs has no {folder}: pip install minivl[slides]")
    return folder


def _text(file: Path) -> str:
    """A file that goes into the page as it is, where it cannot end a script or a style."""
    return re.sub(r"</(script|style)", r"<\\/\1", file.read_text(encoding="utf-8"), flags=re.IGNORECASE)
