"""Slides of the lessons: Markdown sources in notebooks/slides/, and the lessons' own figures, tables and equations.

A deck is one HTML file that needs no network and no server. It is built from

- reveal.js, which knows keys, touch, speaker notes (S), an overview (O) and pages to print (`?print-pdf`). It is taken
  out of the Python package sphinx-revealjs, which carries a released copy and follows its versions; nbconvert's
  exporter of slides leaves reveal.js on another host, and a copy of our own would have to be kept up to date by hand;
- latex2mathml: equations become MathML, which browsers draw themselves. KaTeX would put its fonts into every deck;
- mistune, nbconvert's own reader of Markdown.

`pip install minivl[slides]` brings what is missing.
"""

from minivl.slides.decks import SOURCES, deck, write_deck
from minivl.slides.pieces import SlidesError

__all__ = ["SOURCES", "SlidesError", "deck", "write_deck"]
