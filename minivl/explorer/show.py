"""The explorer in a notebook, and as a file."""

import html
from pathlib import Path

import numpy as np

from minivl.data.atomic import write_text
from minivl.explorer.alignments import Exploration
from minivl.explorer.page import explorer_page
from minivl.plots.alignment import alignment_distributions
from minivl.plots.picture import Picture

HEIGHT = 800  # pixels of the frame in a notebook
DRAWN = 200  # clips, at most, of the still picture


class Explorer:
    """The explorer, which a notebook shows in a frame of its own, with all that it needs: no kernel has to run.

    Viewers of committed notebooks run no scripts; for them there is a picture below.
    """

    def __init__(self, exploration: Exploration):
        self.exploration = exploration

    def _repr_html_(self) -> str:
        return framed(explorer_page(self.exploration), "Explorer of alignment", self.picture())

    def picture(self) -> Picture:
        """The distributions of each model at its last stage, of the first caption of the first clips."""
        clips, models = self.exploration.clips, self.exploration.models
        videos, captions = np.unique(clips.video_of_text, return_index=True)
        videos, captions = videos[:DRAWN], captions[:DRAWN]
        # matplotlib would take what stands between dollars for a formula.
        last = {name.replace("$", r"\$"): list(stages.values())[-1].similarity for name, stages in models.items()}
        return alignment_distributions({name: matrix[np.ix_(captions, videos)] for name, matrix in last.items()})


def framed(page: str, title: str, picture: Picture) -> str:
    """HTML of a page in a frame of its own, and of a picture for who shows no frames."""
    return (
        f'<iframe title="{title}" style="width: 100%; height: {HEIGHT}px; border: 0" '
        f'srcdoc="{html.escape(page)}"></iframe>'
        f"<details><summary>Without scripts: a still picture</summary>{picture.html()}</details>"
    )


def explore(exploration: Exploration) -> Explorer:
    """The explorer of models on the same clips, to be shown in a notebook."""
    return Explorer(exploration)


def write_page(exploration: Exploration, path: Path | str) -> Path:
    """Write the explorer as one HTML file, whole or not at all; its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, explorer_page(exploration))
    return path
