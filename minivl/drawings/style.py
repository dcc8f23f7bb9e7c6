"""How drawings look: the colours of minivl.plots, one per module and per method, and ink for light and for dark pages.

A drawing is shown as an image, so it cannot know the page around it. It brings its own paper, and follows the reader's
choice of light or dark (`prefers-color-scheme`) with paper and ink alike. Whatever ignores that, a slide or a printer,
gets the light one, which also stands in the attributes of every shape.
"""

from matplotlib.colors import to_hex

from minivl.plots.picture import COLORS, MATCHING, METHOD_COLORS, OTHER, TEXT, VIDEO

MODULE_COLORS = {"text": to_hex(TEXT), "video": to_hex(VIDEO), "cross": to_hex(COLORS[4]), "decoder": to_hex(COLORS[5])}
STRATEGY_COLORS = {name: to_hex(METHOD_COLORS[name]) for name in ("image", "video", "average", "adapter")}
PART_COLORS = {name: to_hex(METHOD_COLORS[name]) for name in ("LoRA", "IVFusion", "PImgAlign", "AlignDistill")}
RIGHT, WRONG = to_hex(MATCHING), to_hex(OTHER)
GREY = to_hex(COLORS[7])

FONT = '"DejaVu Sans", Verdana, Arial, sans-serif'
SMALLEST = 12  # pixels of letters, in a drawing that is shown at most 760 pixels wide
WIDTH = 760

PAPER, INK, QUIET, LINE = "paper", "ink", "quiet", "line"
LIGHT = {PAPER: "#ffffff", INK: "#1d2433", QUIET: "#545e6e", LINE: "#8a93a2"}
DARK = {PAPER: "#171b22", INK: "#eef1f5", QUIET: "#b3bcc9", LINE: "#7d8796"}


def style_sheet(extra: str = "") -> str:
    """CSS of a drawing: letters, inks of light and dark pages, and `extra` rules, such as those of motion."""

    def inks(of: dict[str, str]) -> str:
        return "".join(f".f-{name}{{fill:{color}}}.s-{name}{{stroke:{color}}}" for name, color in of.items())

    return f"text{{font-family:{FONT}}}{inks(LIGHT)}@media (prefers-color-scheme: dark){{{inks(DARK)}}}{extra}"
