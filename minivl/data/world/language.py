"""Language about the world: short captions of single frames, narrative captions of whole clips, transcripts.

A frame caption can be checked against its frame. A narrative caption tells each dish either step by
step ("literal") or as a whole, by the name of what comes out of it. What a dish is called depends on
which liquid and which treatment met the ingredient: no single frame shows that. `dial` is the chance
that a dish is told as a whole. Both ways take about the same number of words, so that the dial moves
what is said and not how much.
"""

import re
from itertools import pairwise

import numpy as np

from minivl.config import WorldConfig
from minivl.data.world.meals import (
    COLORS,
    CONTAINERS,
    DISH_NAMES,
    INGREDIENTS,
    LIQUIDS,
    NOVEL_INGREDIENTS,
    TREATMENTS,
    Dish,
    Meal,
    Step,
    draw_meal,
)
from minivl.data.world.timeline import Moment, frame_count, moment_at

COOKS = ("someone", "a man", "a woman", "the cook", "a person")

_FRAME = {
    "slice": ("a knife slices a {dish.ingredient}", "a {dish.ingredient} on a board under a knife"),
    "add": (
        "a hand puts a {dish.state} {dish.ingredient} into a {dish.vessel}",
        "a {dish.state} {dish.ingredient} above a {dish.vessel}",
    ),
    "pour": ("{dish.liquid} is poured into a {dish.vessel}", "a jug of {dish.liquid} above a {dish.vessel}"),
    "season": ("a hand shakes something over a {dish.vessel}", "a shaker above a {dish.vessel}"),
    "heat": ("a {dish.vessel} on the stove", "fire heats a {dish.vessel}"),
    "chill": ("a {dish.vessel} in the fridge", "the fridge chills a {dish.vessel}"),
    "stir": ("a spoon stirs in a {dish.vessel}", "a hand with a spoon in a {dish.vessel}"),
}
_IDLE = ("a hand above the counter", "an empty counter in a kitchen")
_STEP = {
    "slice": "slices the {dish.ingredient}",
    "add": "puts the {dish.state} {dish.ingredient} into the {dish.vessel}",
    "pour": "pours {dish.liquid} into the {dish.vessel}",
    "season": "seasons the {dish.vessel} with {dish.spice}",
    "heat": "heats the {dish.vessel} on the stove",
    "chill": "chills the {dish.vessel} in the fridge",
    "stir": "stirs the {dish.vessel} with a spoon",
}
_TREAT = {"heat": "heats it", "chill": "chills it", "stir": "stirs it"}
_PLATE = (
    "{dish.state} {dish.title} on a plate",
    "someone prepares a good plate of {dish.state} {dish.title}",
    "a good {dish.state} {dish.title}",
    "a plate of {dish.state} {dish.title}",
)
_PREFIX = (
    "",
    "",
    "",
    "this is ",
    "a photo of ",
    "here we see ",
    "then ",
    "first ",
    "in this picture of a kitchen ",
    "at home in the kitchen we can see that there is ",
    "someone shows all that it takes and then we see ",
)
_CHATTER = (
    "so i hope you are all doing well today",
    "please like and subscribe to my channel",
    "my grandma used to do it this way",
    "you can find the link below the video",
    "it is such a nice day for cooking",
)


def _fill(template: str, dish: Dish) -> str:
    return template.format(dish=dish)


def _choose(rng: np.random.Generator, options) -> str:
    return options[int(rng.integers(len(options)))]


def frame_caption(step: Step | None, rng: np.random.Generator) -> str:
    """Describe what one frame shows, for example "a hand puts a sliced carrot into a red pot"."""
    return _choose(rng, _IDLE) if step is None else _choose(rng, moment_sentences(step))


def moment_sentences(step: Step) -> tuple[str, ...]:
    """Every caption that a frame of a step can have."""
    return tuple(_fill(template, step.dish) for template in _FRAME[step.verb])


def pretraining_caption(step: Step | None, rng: np.random.Generator, plate: Dish | None = None) -> str:
    """A caption for CLIP's pretraining: frame or step language, often with a beginning that says nothing.

    The beginnings let every text position and every function word occur; without them, both would keep
    their random embeddings, which adaptation does not train.
    """
    if plate is not None:
        core = _fill(_choose(rng, _PLATE), plate)
    elif step is not None and rng.random() < 0.5:
        core = f"{_choose(rng, COOKS)} {_fill(_STEP[step.verb], step.dish)}"
    else:
        core = frame_caption(step, rng)
    return _choose(rng, _PREFIX) + core


def pretraining_words() -> frozenset[str]:
    """Every word that `pretraining_caption` can write, and those that narrative captions add."""
    steps = [text for verb in ("slice", "add", "pour", *TREATMENTS) for text in (*_FRAME[verb], _STEP[verb])]
    things = (*INGREDIENTS, *LIQUIDS, *COLORS, *CONTAINERS, *DISH_NAMES.values(), "sliced", "whole", "and", "for")
    texts = re.sub(r"\{.*?\}", " ", " ".join([*steps, *_IDLE, *_PLATE, *_PREFIX, *COOKS, *_TREAT.values()]))
    return frozenset([*texts.split(), *things])


def step_sentence(step: Step) -> str:
    """One step told literally, without a subject: "pours water into the red pot"."""
    return _fill(_STEP[step.verb], step.dish)


def step_captions(moments: list[Moment]) -> list[str]:
    """A clean sentence for each step: "someone pours water into the red pot"."""
    return [f"someone {step_sentence(moment.step)}" for moment in moments if moment.step is not None]


def _whole(dish: Dish) -> str:
    return _fill("prepares all that it takes for a good plate of {dish.state} {dish.title}", dish)


def _literal(dish: Dish) -> str:
    return (
        _fill("puts the {dish.state} {dish.ingredient} and {dish.liquid} into the {dish.vessel} and ", dish)
        + _TREAT[dish.treatment]
    )


def narrative_caption(moments: list[Moment], meal: Meal, config: WorldConfig, rng: np.random.Generator) -> str:
    """Tell the whole clip as a viewer would; the dial decides how. The dish that is ready first comes first."""
    cook = _choose(rng, COOKS)
    steps = [m.step for m in moments if m.step is not None]
    if config.clauses is not None:
        told = sorted(rng.choice(len(steps), size=min(config.clauses, len(steps)), replace=False))
        return f"{cook} " + " then ".join(step_sentence(steps[i]) for i in told)
    ready = sorted(meal.dishes, key=lambda dish: max(i for i, s in enumerate(steps) if s.dish == dish))
    return f"{cook} " + " then ".join(_whole(d) if rng.random() < config.dial else _literal(d) for d in ready)


def told_dishes(caption: str) -> list[dict[str, str]]:
    """What a narrative caption says of each dish: its state, ingredient, liquid, treatment and, step by step, vessel.

    Raises ValueError for a caption that tells single steps (`clauses`).
    """
    told = []
    for said in caption.split(" then "):
        if whole := re.search(r"plate of (?P<state>\w+) (?P<ingredient>\w+) (?P<title>\w+)$", said):
            found = whole.groupdict()
            title = found.pop("title")
            liquid, treatment = next(made for made, name in DISH_NAMES.items() if name == title)
            told.append(found | {"liquid": liquid, "treatment": treatment})
        elif literal := _LITERAL_SAID.search(said):
            told.append(literal.groupdict())
        else:
            raise ValueError(f"this caption does not tell whole dishes: {caption!r}")
    return told


_LITERAL_SAID = re.compile(
    r"puts the (?P<state>\w+) (?P<ingredient>\w+) and (?P<liquid>\w+) "
    r"into the (?P<vessel>\w+ \w+) and (?P<treatment>\w+)s it$"
)


def in_other_order(caption: str) -> str | None:
    """A narrative caption that tells the same things in the reverse order: "someone A then B" -> "someone B then A".

    None for a caption that tells one thing only.
    """
    if " then " not in caption:
        return None
    cook = next(cook for cook in sorted(COOKS, key=len, reverse=True) if caption.startswith(f"{cook} "))
    return f"{cook} " + " then ".join(reversed(caption.removeprefix(f"{cook} ").split(" then ")))


def frame_captions(moments: list[Moment], seconds: list[float], rng: np.random.Generator) -> list[str]:
    """One frame caption for each of the given seconds."""
    return [frame_caption(moment_at(moments, s).step, rng) for s in seconds]


def _narrate(step: Step, config: WorldConfig, rng: np.random.Generator) -> str:
    sentence = "now i " + step_sentence(step).replace("s ", " ", 1)  # "pours water" becomes "pour water"
    if rng.random() < config.transcript_vague:
        sentence = sentence.replace(f"{step.dish.color} ", "").replace(f"{step.dish.state} ", "")
    return sentence


def transcript(moments: list[Moment], config: WorldConfig, rng: np.random.Generator) -> list[dict]:
    """Transcribe the cook, as speech recognition would return it: [{"text", "start", "end"}], seconds.

    Said too early or too late by up to `transcript_shift` seconds, sometimes not at all, sometimes
    vaguely, sometimes about something else. Segments stay within the clip and are ordered by start.
    """
    duration, segments = moments[-1].end, []
    for moment in moments:
        if moment.step is None:
            continue
        if rng.random() < config.transcript_filler:
            segments.append((_choose(rng, _CHATTER), moment.start, moment.end))
        if rng.random() < config.transcript_missing:
            continue
        shift = rng.uniform(-1, 1) * config.transcript_shift
        start = float(np.clip(moment.start + shift, 0, duration - (moment.end - moment.start)))
        segments.append((_narrate(moment.step, config, rng), start, start + moment.end - moment.start))
    return [
        {"text": text, "start": round(start, 2), "end": round(end, 2)}
        for text, start, end in sorted(segments, key=lambda s: s[1])
    ]


def things_named(text: str) -> set[str]:
    """Ingredients, liquids and vessels that a text of the world names: {"carrot", "oil", "green bowl"}."""
    words = text.split()
    known = {*INGREDIENTS, *NOVEL_INGREDIENTS, *LIQUIDS}
    vessels = {f"{a} {b}" for a, b in pairwise(words) if a in COLORS and b in CONTAINERS}
    return known & set(words) | vessels


def caption_seconds(moments: list[Moment], fps: float, count: int) -> list[float]:
    """`count` seconds spread evenly over the frames of the clip, where frame captions are written."""
    last = frame_count(moments, fps) - 1
    return [int(i) / fps for i in np.linspace(0, last, count)]


def pretraining_sentences(count: int, rng: np.random.Generator) -> list[str]:
    """Random pretraining captions, to train a tokenizer on. Novel ingredients do not occur."""
    sentences = []
    for _ in range(count):
        dish = draw_meal(rng, dishes=1).dishes[0]
        step = Step(_choose(rng, dish.verbs()), dish)
        sentences.append(pretraining_caption(step, rng, plate=dish if rng.random() < 0.25 else None))
    return sentences
