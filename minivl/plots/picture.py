"""A figure with its alternative text, and the one palette."""

import io
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

# One colour for one thing, in every lesson; from seaborn's palette for colour-blind readers.
COLORS = sns.color_palette("colorblind")
METHOD_COLORS = {"zero-shot": COLORS[7], "LoRA": COLORS[0], "LoRA + IVFusion": COLORS[2],
                 "pretrained": COLORS[9], "from scratch": COLORS[5]}
MATCHING, OTHER = COLORS[2], COLORS[3]


@dataclass
class Picture:
    """A figure and what it shows in words."""

    figure: Figure
    alt: str

    def save(self, path: Path) -> Path:
        """Write the figure as PNG, with the alternative text in the file's description."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Description": self.alt})
        return path

    def _ipython_display_(self):
        from IPython.display import Image, display
        from PIL import Image as PilImage

        drawn, small = io.BytesIO(), io.BytesIO()
        self.figure.savefig(drawn, format="png", dpi=80, bbox_inches="tight")
        plt.close(self.figure)
        # 128 colours take a third of the bytes, and notebooks are committed with their pictures.
        PilImage.open(drawn).convert("RGB").quantize(128).save(small, format="png", optimize=True)
        display(Image(small.getvalue(), alt=self.alt))
        print(self.alt)
