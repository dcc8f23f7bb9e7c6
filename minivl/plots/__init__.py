"""Every figure of the lessons: one palette, labelled axes, and a text that says what the picture shows.

A function returns a `Picture`: the figure together with its alternative text, which carries the
numbers behind it. In a notebook a `Picture` displays itself and prints that text below.
"""

from minivl.plots.ablations import ablation_bars, paired_differences
from minivl.plots.alignment import alignment_distributions, separation
from minivl.plots.captions import beam_tree, caption_gallery
from minivl.plots.clips import clip_timeline, film_strips, gallery
from minivl.plots.matrices import attention_map, heat_map, similarity_matrices
from minivl.plots.picture import METHOD_COLORS, Picture
from minivl.plots.scores import curves, length_histograms, recall_bars, truth_scatter
from minivl.plots.timelines import localization_map, segmentation_timeline

__all__ = ["METHOD_COLORS", "Picture", "ablation_bars", "alignment_distributions", "attention_map", "beam_tree",
           "caption_gallery", "clip_timeline", "curves", "film_strips", "gallery", "heat_map", "length_histograms",
           "localization_map", "paired_differences", "recall_bars", "segmentation_timeline", "separation",
           "similarity_matrices", "truth_scatter"]
