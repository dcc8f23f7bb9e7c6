"""Every figure of the lessons: one palette, labelled axes, and a text that says what the picture shows.

A function returns a `Picture`: the figure together with its alternative text, which carries the
numbers behind it. In a notebook a `Picture` displays itself and prints that text below.
"""

from minivl.plots.alignment import alignment_distributions, separation
from minivl.plots.clips import clip_timeline, film_strips, gallery
from minivl.plots.picture import METHOD_COLORS, Picture
from minivl.plots.scores import curves, length_histograms, recall_bars

__all__ = ["METHOD_COLORS", "Picture", "alignment_distributions", "clip_timeline", "curves", "film_strips", "gallery",
           "length_histograms", "recall_bars", "separation"]
