"""DiscoVLA's recipes: released for MSR-VTT; of the other corpora the paper has results, and no settings are known here.

What is not known follows what the field does with CLIP on these corpora: paragraphs of ActivityNet and DiDeMo are
matched with 64 frames and 64 words.
"""

from dataclasses import replace

from minivl.config import RANDAUGMENT, ClipConfig, CorpusConfig, InputConfig, Scale, scale
from minivl.fullscale.recipes.base import FREE, PAPER, RELEASE, CorpusSize, Recipe, Result

SOURCES = {
    "train": RELEASE,
    "train.num_workers": FREE,
    "train.log_every": FREE,
    "train.checkpoint_every": FREE,
    "inputs": RELEASE,
    "discovla": RELEASE,
    "discovla.mask_padding": "release: padded frames take part",
    "discovla.temporal": "release: the order of frames is not seen",
    "clip": RELEASE,
}
OURS = "ours: not released, as on MSR-VTT"
LONG = "ours: not released, as is usual for paragraphs"
OURS_SOURCES = {
    **SOURCES,
    "train": OURS,
    "inputs": OURS,
    "discovla": OURS,
    "discovla.mask_padding": OURS,
    "discovla.temporal": OURS,
    "clip": OURS,
}
LONG_SOURCES = OURS_SOURCES | {"inputs.max_frames": LONG, "inputs.max_words": LONG}
PARAGRAPHS = InputConfig(max_frames=64, max_words=64, augment=RANDAUGMENT)

DEPARTURES = (
    "torch's AdamW: eps after the bias correction, decay before the step; both differences are of second order",
    "the gradient is that of the global batch; the release's is 1/4 of it on 4 GPUs, so its clip at 1 is ours at 4",
    "the model of the last step is scored; the release takes the best of many evaluations on the test split",
)
UNKNOWN = (*DEPARTURES, "results of the paper on this corpus are not at hand")


def discovla_recipes() -> list[Recipe]:
    """All of DiscoVLA's recipes."""
    b32, b16 = scale("full"), replace(scale("full"), clip=ClipConfig("ViT-B-16", "openai"))
    long = replace(b32, inputs=PARAGRAPHS)
    msrvtt = {"corpus": CorpusConfig("msrvtt", "9k"), "split": "test", "size": CorpusSize(180_000, 10_000, 41)}
    return [
        _recipe(
            "discovla-msrvtt-b32",
            "MSR-VTT, CLIP ViT-B/32",
            b32,
            **msrvtt,
            results=(Result("t2v R@1", 47.0, PAPER), Result("v2t R@1", 47.7, PAPER)),
        ),
        _recipe(
            "discovla-msrvtt-b16", "MSR-VTT, CLIP ViT-B/16", b16, **msrvtt, results=(Result("t2v R@1", 50.5, PAPER),)
        ),
        _recipe(
            "discovla-lsmdc",
            "LSMDC, CLIP ViT-B/32",
            b32,
            CorpusConfig("lsmdc"),
            "test",
            CorpusSize(101_079, 118_081, 158),
            sources=OURS_SOURCES,
            departures=UNKNOWN,
        ),
        _recipe(
            "discovla-activitynet",
            "ActivityNet paragraphs, CLIP ViT-B/32",
            long,
            CorpusConfig("activitynet", "paragraphs"),
            "val",
            CorpusSize(10_009, 20_000, 849),
            sources=LONG_SOURCES,
            departures=UNKNOWN,
        ),
        _recipe(
            "discovla-didemo",
            "DiDeMo paragraphs, CLIP ViT-B/32",
            long,
            CorpusConfig("didemo", "paragraphs"),
            "test",
            CorpusSize(8_395, 10_464, 87),
            sources=LONG_SOURCES,
            departures=UNKNOWN,
        ),
    ]


def _recipe(name, title, settings: Scale, corpus, split, size, **more) -> Recipe:
    more = {"sources": SOURCES, "departures": DEPARTURES} | more
    command = f"minivl adapt --recipe {name} --name {name} --captions captions.json"
    return Recipe(name, title, "adapt", "", corpus, split, settings, size, command, **more)
