"""UniVL: its four modules, the path of each objective through them, and the two pretraining strategies."""

from contextlib import AbstractContextManager, nullcontext

from minivl.config import UniVLPretrainConfig
from minivl.drawings.canvas import Canvas
from minivl.drawings.drawing import Drawing
from minivl.drawings.geometry import Box, text_width
from minivl.drawings.style import GREY, INK, LINE, MODULE_COLORS, QUIET, RIGHT, WRONG

SAID = ["[CLS]", "heat", "the", "onion", "[SEP]"]
MASKED_WORD, MASKED_FRAME, SECONDS = 3, 2, 5
CLIPS, PER_VIDEO, ANCHOR = 6, 3, 1  # of the matrix of Joint
TEXT, VIDEO, CROSS, DECODER = (MODULE_COLORS[name] for name in ("text", "video", "cross", "decoder"))

NAMES = {"joint": "Joint", "cmlm": "CMLM", "cmfm": "CMFM", "align": "Align", "decoder": "Decoder"}
COMPARED = {
    "joint": (
        "Mean words with mean frames, each text with each video. Green: the texts of the video's own clips, which",
        "count as right for the anchor in the middle. Red: what they have to beat (MIL-NCE).",
    ),
    "cmlm": ("At each masked word, the word head's scores of all V words", "with the word that was there (green)."),
    "cmfm": (
        "At each masked second, what the frame head makes of it with the features of all K real seconds of the batch,",
        "unmasked and only normalised; green: the one that was masked.",
    ),
    "align": (
        "Every text with every video, each pair through the cross encoder. In each row the text's own video (green)",
        "has to win; the columns are not trained.",
    ),
    "decoder": (
        "At each place of the caption, the scores of all V words with the next word of the text (green).",
        "In pretraining the caption is the transcript itself.",
    ),
}


MODULES_IN_WORDS = (
    "UniVL's modules. Words (N, W) go through the text encoder to (N, W, D), S3D features (N, T, F) through the video "
    "encoder to (N, T, D); the cross encoder reads both and gives (N, W+T, D). Joint compares the means of the two "
    "encoders. From the cross encoder, Align reads the place of [CLS], CMLM the masked words, CMFM the masked frames, "
    "and the decoder all of it beside the words written so far (N, C)."
)


def univl_modules(objective: str | None = None) -> Drawing:
    """UniVL's modules with the shapes between them (figure 2 of the paper), or the path of one objective's data.

    objective   "joint", "cmlm", "cmfm", "align" or "decoder"; None: all of the model
    """
    from minivl.univl.pretraining_batch import NEEDS

    active = set(NAMES) if objective is None else {objective}
    masked = objective is not None and "masked" in NEEDS[objective].encodings
    reads_cross = objective is None or "cross" in NEEDS[objective].parts
    page = Canvas(520 if objective is None else 578)
    page.pen = (LINE, 1.8) if objective is None else (INK, 2.6)
    _inputs(page, masked)
    _encoders(page)
    with shown(page, reads_cross):
        _cross(page)
    for name, draw in (("joint", _joint), ("align", _align), ("cmlm", _cmlm), ("cmfm", _cmfm), ("decoder", _decoder)):
        with shown(page, name in active):
            draw(page)
    if objective is None:
        return Drawing(page, "UniVL", MODULES_IN_WORDS)
    state = (
        "Masked: 15% of the words and of the seconds (dashed)"
        + ("; of the words so far, too." if objective == "decoder" else ".")
        if masked
        else "Masked: nothing."
    )
    for number, line in enumerate((state, *COMPARED[objective])):
        page.text((20, 524 + 18 * number), line, 12, "start", bold=number == 0)
    words = f"{NAMES[objective]} in UniVL. {state} Compared: {' '.join(COMPARED[objective])}"
    return Drawing(page, f"UniVL: {NAMES[objective]}", f"{words} The data take this way: {_way(objective)}.")


def shown(page: Canvas, on: bool) -> AbstractContextManager:
    return nullcontext() if on else page.faint()


def _inputs(page: Canvas, masked: bool) -> None:
    words = [("[MASK]" if masked and n == MASKED_WORD else word) for n, word in enumerate(SAID)]
    special = [MASKED_WORD] if masked else []
    page.chips((34 if masked else 37, 16), words, TEXT, special)
    page.film((512, 12), SECONDS, 37, VIDEO, [MASKED_FRAME] if masked else [])


def _encoders(page: Canvas) -> None:
    page.arrow([(145, 43), (145, 100)], "words (N, W)")
    page.arrow([(615, 53), (615, 100)], "S3D (N, T, F)")
    page.node(Box(40, 100, 210, 44), ["Text encoder"], TEXT)
    page.node(Box(510, 100, 210, 44), ["Video encoder"], VIDEO)


def _cross(page: Canvas) -> None:
    page.arrow([(145, 144), (145, 226)], "(N, W, D)")
    page.arrow([(615, 144), (615, 226)], "(N, T, D)")
    page.node(Box(40, 226, 680, 40), ["Cross encoder: words and frames read each other"], CROSS)


def _joint(page: Canvas) -> None:
    page.arrow([(250, 122), (338, 122)], "mean (N, D)", at=(294, 108), anchor="middle")
    page.arrow([(510, 122), (422, 122)], "mean (N, D)", at=(466, 108), anchor="middle")
    positives, negatives = mil_nce_cells(CLIPS, PER_VIDEO, ANCHOR)
    box = Box(344, 86, 72, 72)
    page.matrix(box, CLIPS, CLIPS, negatives, WRONG)
    page.matrix(box, CLIPS, CLIPS, positives, RIGHT)
    page.text((380, 70), "Joint", 14, bold=True)
    page.text((380, 172), "S (N, N)", 12, ink=QUIET)
    page.text((380, 189), "rows: texts, columns: videos", 12, ink=QUIET)


def mil_nce_cells(clips: int, per_video: int, anchor: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Cells (text, video) of S that MIL-NCE counts as right for an anchor, and those that it counts as wrong."""
    same = range(anchor // per_video * per_video, anchor // per_video * per_video + per_video)
    others = [clip for clip in range(clips) if clip not in same]
    return [(j, anchor) for j in same], [(j, anchor) for j in others] + [(anchor, j) for j in others]


def _align(page: Canvas) -> None:
    page.arrow([(95, 266), (95, 326)], "[CLS] (N, D)")
    page.node(Box(30, 326, 130, 36), ["Linear to 1"], CROSS, bold=False)
    page.arrow([(95, 362), (95, 392)])
    page.matrix(Box(61, 396, 68, 68), 4, 4, [(i, i) for i in range(4)], RIGHT)
    _named(page, 95, "S (N, N)", "Align")


def _cmlm(page: Canvas) -> None:
    _masked_places(page, 265, "word", TEXT)
    bars(page, Box(217, 396, 96, 68))
    _named(page, 265, "of V words (M, V)", "CMLM")


def _cmfm(page: Canvas) -> None:
    _masked_places(page, 440, "frame", VIDEO)
    for row in range(2):
        frames = page.film((388, 398 + 34 * row), 3, 30, VIDEO, gap=7)
        if row == 0:
            chosen = frames[1]
            page.rect(Box(chosen.x - 2, chosen.y - 2, 34, 34), None, RIGHT, width=3.5)
    _named(page, 440, "of K seconds (M, K)", "CMFM")


def _masked_places(page: Canvas, x: float, what: str, color: str) -> None:
    """What the cross encoder says at the masked words or frames, through the head that guesses what was there."""
    page.arrow([(x, 266), (x, 326)])
    page.lines_of_text((x + 7, 286), ["at masked", f"{what}s (M, D)"], 12, anchor="start", ink=QUIET)
    page.node(Box(x - 65, 326, 130, 36), [f"{what.capitalize()} head"], color, bold=False)
    page.arrow([(x, 362), (x, 392)])


def _named(page: Canvas, x: float, shape: str, objective: str) -> None:
    """The shape of what is compared, and below it the objective that compares it."""
    page.text((x, 478), shape, 12, ink=QUIET)
    page.text((x, 500), objective, 14, bold=True)


def _decoder(page: Canvas) -> None:
    page.arrow([(610, 266), (610, 326)], "(N, W+T, D)")
    page.node(Box(550, 326, 180, 36), ["Decoder"], DECODER)
    page.arrow([(610, 362), (610, 392)])
    bars(page, Box(562, 396, 96, 68))
    page.text((612, 478), "next word (N, C, V)", 12, ink=QUIET)
    page.arrow([(704, 410), (704, 362)])
    page.lines_of_text((704, 422), ["words so", "far (N, C)"], 12, ink=QUIET)
    page.text((620, 500), "Decoder", 14, bold=True)


def bars(page: Canvas, box: Box) -> None:
    """Scores of some words, of which one is right."""
    heights = (0.3, 0.45, 0.2, 0.95, 0.35, 0.55, 0.25)
    side = box.width / len(heights)
    for number, height in enumerate(heights):
        right = number == 3
        top = box.y + box.height * (1 - height)
        bar = Box(box.x + number * side + 2, top, side - 4, box.height * height)
        page.rect(bar, RIGHT if right else GREY, RIGHT if right else LINE, 0.75 if right else 0.2, radius=1, width=0.8)


def _way(objective: str) -> str:
    from minivl.univl.pretraining_batch import NEEDS

    kind = "masked" if "masked" in NEEDS[objective].encodings else "unmasked"
    steps = [f"{kind} words and frames", "text encoder and video encoder"]
    steps += ["mean of each"] if objective == "joint" else ["cross encoder"]
    steps += {
        "joint": ["a matrix of products (N, N)"],
        "align": ["one number per pair (N, N)"],
        "cmlm": ["word head at masked words (M, V)"],
        "cmfm": ["frame head at masked frames (M, K)"],
        "decoder": ["decoder (N, C, V)"],
    }[objective]
    return ", then ".join(steps)


def staged_pretraining() -> Drawing:
    """StagedP as two frames: which modules there are, and which objectives train them, in stage one and in stage "
    "two."""
    from minivl.univl.pretraining import stages
    from minivl.univl.pretraining_batch import NEEDS

    page, told = Canvas(344), []
    modules = {"cross": ("Cross encoder", CROSS), "decoder": ("Decoder", DECODER), "heads": ("Heads", GREY)}
    for number, stage in enumerate(stages(UniVLPretrainConfig())):
        x, name_of_stage = 10 + 400 * number, f"Stage {('one', 'two')[number]}"
        trained = [NAMES[name] for name, needs in NEEDS.items() if needs.parts <= set(stage.parts)]
        page.rect(Box(x, 10, 340, 324), None, LINE, radius=10)
        page.text((x + 170, 32), f"{name_of_stage}, trained by", 15, bold=True)
        width = sum(text_width(name, 12) + 10 for name in trained) + 5 * (len(trained) - 1)
        page.chips((x + 170 - width / 2, 50), trained, RIGHT)
        page.node(Box(x + 15, 276, 145, 46), ["Text encoder"], TEXT)
        page.node(Box(x + 180, 276, 145, 46), ["Video encoder"], VIDEO)
        for part, box in (
            ("cross", Box(x + 15, 190, 310, 40)),
            ("decoder", Box(x + 15, 100, 145, 40)),
            ("heads", Box(x + 180, 100, 145, 40)),
        ):
            name, color = modules[part]
            if part in stage.parts:
                page.node(box, [name], color)
            else:
                page.rect(box, None, LINE, dashed=True, radius=7)
                page.text(box.center, "not there yet", 12, ink=QUIET)
        if "cross" in stage.parts:
            for at, shape in ((x + 87, "(N, W, D)"), (x + 252, "(N, T, D)")):
                page.arrow([(at, 276), (at, 230)], shape)
                page.arrow([(at, 190), (at, 140)], "(N, W+T, D)")
        parts = "".join(f", {modules[part][0].lower()}" for part in stage.parts)
        told.append(f"{name_of_stage}: text encoder, video encoder{parts}; trained by {', '.join(trained)}.")
    page.arrow([(352, 299), (408, 299)], "weights", at=(380, 284), anchor="middle", color=INK)
    alt = f"StagedP in two frames. {' '.join(told)} The encoders of stage two start with the weights of stage one."
    return Drawing(page, "StagedP", alt)


def enhanced_video() -> Drawing:
    """EnhancedV: one video whose text is hidden beside one whose text is there, and what the decoder can read of "
    "each."""
    hidden = UniVLPretrainConfig().narration.hide_text
    page = Canvas(330)
    told = (f"{1 - hidden:.0%} of videos", SAID), (f"{hidden:.0%} of videos", ["[CLS]", "[SEP]"])
    for number, (title, words) in enumerate(told):
        x, blind = 14 + 382 * number, number == 1
        middle = x + 175
        page.rect(Box(x, 14, 350, 302), None, LINE, radius=10)
        page.text((middle, 36), title, 15, bold=True)
        page.chips((x + 14, 60), words, TEXT)
        if blind:
            page.rect(Box(x + 112, 60, 116, 23), None, TEXT, dashed=True)
            page.text((x + 170, 71.5), "text hidden", 12, ink=QUIET)
        page.film((x + 244, 58), 3, 27, VIDEO)
        page.arrow([(x + 90, 83), (x + 90, 140)], dashed=blind)
        page.lines_of_text(
            (x + 97, 104), ["(N, W)", "nothing to copy" if blind else "can be copied"], 12, anchor="start", ink=QUIET
        )
        page.arrow([(x + 288, 85), (x + 288, 140)], color=INK, width=3.4 if blind else 1.8)
        page.text((x + 281, 112), "(N, T, F)", 12, "end", ink=QUIET)
        page.node(Box(x + 18, 140, 314, 36), ["Encoders, cross encoder"], CROSS)
        page.arrow([(middle, 176), (middle, 212)], "(N, W+T, D)")
        page.node(Box(x + 18, 212, 314, 34), ["Decoder"], DECODER)
        page.arrow([(middle, 246), (middle, 278)], "(N, C, V)")
        page.chips((x + 90, 282), ["heat", "the", "onion", "[SEP]"], DECODER)
    alt = (
        f"EnhancedV. In {1 - hidden:.0%} of videos text and frames are read, and the decoder can copy the text that "
        "it has to "
        f"write. In {hidden:.0%} the whole text is hidden, only [CLS] [SEP] is left, and the same caption has to be "
        "written from the frames alone."
    )
    return Drawing(page, "EnhancedV", alt)
