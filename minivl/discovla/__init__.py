"""DiscoVLA: Discrepancy Reduction in Vision, Language, and Alignment (arXiv 2506.08887)."""

from minivl.discovla.model import DiscoVLA
