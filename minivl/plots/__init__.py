"""Every figure of the lessons: one palette, labelled axes, and a text that says what the picture shows.

A function returns a `Picture`: the figure together with its alternative text, which carries the
numbers behind it. In a notebook a `Picture` displays itself, with that text for whoever opens or needs it.
"""

from minivl.plots.ablations import (
    ablation_bars,
    across_worlds,
    cost_against_frames,
    gain_against,
    paired_differences,
    regime_differences,
    regime_map,
    shares_of_room,
)
from minivl.plots.alignment import (
    alignment_distributions,
    gap_between,
    modality_gap,
    row_distributions,
    row_divergence,
    row_softmax,
    separation,
)
from minivl.plots.audit import mention_shares, pair_map
from minivl.plots.captions import beam_tree, caption_gallery
from minivl.plots.clips import clip_timeline, film_strips, gallery
from minivl.plots.embeddings import embedding_maps, neighbour_accuracy
from minivl.plots.frames import attention_over_frames, caption_frame_maps
from minivl.plots.matrices import attention_map, heat_map, similarity_matrices
from minivl.plots.picture import METHOD_COLORS, Picture, method_color
from minivl.plots.results import probes, recall_curves, score_changes, score_intervals
from minivl.plots.scores import amounts, curve_panels, curves, length_histograms, recall_bars, truth_scatter
from minivl.plots.timelines import localization_map, segmentation_timeline
