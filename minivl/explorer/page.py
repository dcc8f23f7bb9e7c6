"""The explorer: one HTML page that needs no server and no network, made with Bokeh.

Bokeh draws a matrix of millions of cells as one image, links figures, tables and controls in the browser alone, and
puts all of its code into the page. `explorer.js`, beside this file, says what clicks do.
"""

import base64
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.embed import file_html
from bokeh.events import DocumentReady
from bokeh.layouts import column, row
from bokeh.models import Column, CustomJS, Row
from bokeh.models.ui import UIElement
from bokeh.models.widgets import DataTable, Div, Select, Slider
from bokeh.plotting import figure
from bokeh.resources import INLINE
from PIL import Image

from minivl.config.limits import how_to_raise, limit
from minivl.explorer.alignments import AlignmentError, Exploration
from minivl.explorer.figures import STYLE, WIDTH, Side, make_changes, make_side
from minivl.explorer.views import bin_edges, view

# Nothing is fetched, whatever a caption says: the browser itself refuses. Bokeh makes functions of texts in the page.
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
TEMPLATE = """\
{% block preamble %}
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width">
<style>body { font-family: sans-serif; margin: 1em; }</style>
<script>{{ script }}</script>
{% endblock %}
"""
INTRODUCTION = (
    "Orange triangles are captions, blue dots are clips; green is what belongs together, vermilion what does not. "
    "Whatever you click, the whole page turns to that caption and clip. All of the page is in this one file."
)
WORDS = {
    "models": "<p>Choose what stands on each side; where a run has checkpoints, the slider goes through them, and the "
    "button plays them.</p>",
    "distributions": "<h2>Do matching pairs stand out?</h2><p>How the similarities of matching pairs and of all other "
    "pairs are spread. <i>Overlap</i> is the share of the two histograms that lies on top of each other: 0 % if a "
    "threshold could tell matching pairs from the others. <i>d′</i> is the distance of the two means in standard "
    "deviations. <i>ROC area</i> is the chance that a matching pair scores higher than another one: 50 % for a coin. "
    "The <i>logit scale</i> multiplies similarities before the softmax.</p>",
    "matrix": "<h2>Every caption with every clip</h2><p>A row for each caption and a column for each clip, in the same "
    "order: matching pairs are on the diagonal, and with a good model brighter than the rest. Point at a cell to see "
    "its value, caption and film strip; click it to choose the pair. Values are kept in 65,534 steps. "
    "The <i>margin</i> of a caption is by how much its own clip beats the strongest other one.</p>",
    "ranking": "<h2>What the chosen caption finds</h2><p>The eight clips that fit it best, in order.</p>",
    "negatives": "<h2>Hardest negatives</h2><p>For each caption the other clip that fits it best, worst first: where "
    "the margin is negative, that clip is ranked above the right one. <i>same words</i>: the other clip has the same "
    "caption, so the model is not wrong. Click a line to choose the pair.</p>",
    "map": "<h2>Where captions and clips lie</h2><p>Embeddings of length 1, on the two directions in which all of them "
    "vary most (PCA). The black crosses are the means of captions and of clips. Red lines lead from the chosen caption "
    "to its own clip and to the chosen one. Click a point to choose it.</p>",
    "frames": "<h2>Image level beside video level</h2><p>Cosines of captions with single frames, and after a gap with "
    "the whole clip: what fits one frame well may fit the clip less. First row, first block: the chosen caption and "
    "its own clip. If another clip was chosen, it is the second block, and its caption the second row. In grey, below "
    "each row: the softmax of its frames' cosines at the logit scale, in percent. PImgAlign weighs frames by it, so "
    "that those count which fit best.</p>",
    "teacher": "<h2>Teacher and student</h2><p>AlignDistill teaches the video level what the image level sees. Here is "
    "the row of the chosen caption in both, each after a softmax over all clips: what frames say, pooled as PImgAlign "
    "does (the teacher), beside what the whole clip says (the student). Drawn are the ten clips that one of them likes "
    "best, and the right one. <i>Entropy</i> is 0 nats if the teacher is sure of one clip, and grows with the number "
    "of clips that it hesitates between. <i>KL</i> is what the student misses of the teacher, and what AlignDistill "
    "makes smaller; in training the softmax runs over a batch, here over all clips. Click a bar to "
    "choose the clip.</p>",
}
CHANGES = (
    "<h2>What changed from left to right</h2><p>Every dot is a caption: the rank of its clip with the left model and "
    "with the right one, 1 is best. Green dots rose, vermilion dots fell, grey ones stayed; the table has the largest "
    "changes first. Click a dot or a line to choose the caption.</p>"
)


def explorer_page(exploration: Exploration) -> str:
    """The page as HTML. Raises AlignmentError if it would be larger than the limit page_mb."""
    sides = [make_side(exploration, model, stage) for model, stage in _first_choices(exploration)]
    order = Select(title="Order of the rows", value="as given", options=_orders(exploration), width=250)
    changes = make_changes() if len(sides) == 2 else None
    root = _layout(exploration, sides, order, changes)
    args = {
        "data": _data(exploration),
        "sides": [side.parts for side in sides],
        "changes": changes and changes.parts,
        "order": order,
    }
    _connect(sides, order, changes)
    document = Document()
    document.add_root(root)
    document.js_on_event(DocumentReady, CustomJS(code="explorer.start(data, sides, changes, order)", args=args))
    script = Path(__file__).with_name("explorer.js").read_text(encoding="utf-8")
    page = standalone(document, "Explorer of alignment", script)
    size = len(page) / 2**20
    if size > limit("page_mb"):
        raise AlignmentError(
            f"the page would have {size:.0f} MB, which browsers bear badly: show fewer clips, models or stages. "
            + how_to_raise("page_mb")
        )
    return page


def standalone(document: Document, title: str, script: str) -> str:
    """A document of Bokeh as one HTML page that fetches nothing, with a script of its own before Bokeh's."""
    variables = {"policy": POLICY, "script": script}
    return file_html(document, INLINE, title, template=TEMPLATE, template_variables=variables)


def _data(exploration: Exploration) -> dict[str, Any]:
    """What the script reads: clips, and the views of all stages of all models."""
    clips, edges = exploration.clips, bin_edges(exploration)
    return {
        "captions": clips.captions,
        "names": clips.names,
        "groups": clips.groups,
        "strips": None if clips.strips is None else [_jpeg(strip) for strip in clips.strips],
        "video_of_text": clips.video_of_text.tolist(),
        "models": [
            {"stages": [{"stage": stage, **view(a, clips, edges)} for stage, a in stages.items()]}
            for stages in exploration.models.values()
        ],
    }


def _jpeg(strip: np.ndarray) -> str:
    """Frames (S, H, W, 3) side by side, as the address of a picture that the page holds itself."""
    drawn = io.BytesIO()
    Image.fromarray(np.concatenate(list(strip), axis=1)).save(drawn, format="jpeg", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(drawn.getvalue()).decode()


def _first_choices(exploration: Exploration) -> list[tuple[int, int]]:
    """(model, stage) of each side at first: two models at their last stages; or one, at its first and last stage."""
    lasts = [(number, len(stages) - 1) for number, stages in enumerate(exploration.models.values())]
    if len(lasts) > 1:
        return lasts[:2]
    return [(0, 0), lasts[0]] if lasts[0][1] else lasts


def _orders(exploration: Exploration) -> list[Any]:
    return [
        "as given",
        *(["group"] if exploration.clips.groups else []),
        "length of the caption",
        "margin, worst first",
    ]


def _layout(exploration: Exploration, sides: list[Side], order: Select, changes: Side | None) -> Column:
    """Sections one below the other, in each the sides beside each other, with the words that explain it."""
    clips = exploration.clips
    count = f"{len(clips.captions)} captions of {len(clips.names)} clips."
    children: list[UIElement] = [_words(f"<h1>Explorer of alignment</h1><p>{count} {INTRODUCTION}</p>")]
    for name, words in WORDS.items():
        children.append(_words(words))
        children += [order] if name == "matrix" else []
        children.append(_beside([side.shown[name] for side in sides]))
    if changes is not None:
        children += [_words(CHANGES), _beside(list(changes.shown.values()))]
    return column(children)


def _words(text: str) -> Div:
    return Div(text=text, disable_math=True, stylesheets=[STYLE], width=2 * WIDTH, styles={"max-width": "95vw"})


def _beside(columns: list[list[UIElement]]) -> Row:
    """Columns beside each other where the window is wide enough; none is wider than the window."""
    for part in itertools.chain(*columns):
        if isinstance(part, figure | Div | DataTable | Slider):
            part.sizing_mode = "stretch_width"
    sides = [column(parts, width=WIDTH, styles={"max-width": "95vw"}) for parts in columns]
    return row(sides, spacing=20, styles={"flex-wrap": "wrap"})


def _connect(sides: list[Side], order: Select, changes: Side | None) -> None:
    """Say which function of explorer.js answers what."""

    def call(code: str, **more: Any) -> CustomJS:
        return CustomJS(code=f"explorer.{code}", args=more)

    for number, side in enumerate(sides):
        parts, this = side.parts, f"explorer.sides[{number}]"
        for control in ("model", "stage"):
            parts[control].js_on_change("value", call(f"showModel({this})"))
        parts["play"].js_on_click(call(f"playStages({this})"))
        drawn = parts["matrix_figure"]
        drawn.js_on_event("mousemove", call(f"hover({this}, cb_obj.x, cb_obj.y)"))
        drawn.js_on_event("tap", call(f"pick({this}, cb_obj.x, cb_obj.y)"))
        parts["text_points"].selected.js_on_change("indices", call("chooseText(cb_obj.indices[0])"))
        parts["video_points"].selected.js_on_change("indices", call("chooseVideo(cb_obj.indices[0])"))
        parts["negatives"].selected.js_on_change(
            "indices", call("chooseLine(source, cb_obj.indices[0])", source=parts["negatives"])
        )
        parts["teacher"].selected.js_on_change(
            "indices", call("chooseLine(source, cb_obj.indices[0])", source=parts["teacher"])
        )
        order.js_on_change("value", call(f"showMatrix({this})"))
    if changes is not None:
        source = changes.parts["source"]
        source.selected.js_on_change("indices", call("chooseLine(source, cb_obj.indices[0])", source=source))
