"""UniVL's recipes: two stages of pretraining, and fine-tuning on its five tasks.

All start from `scale("full")`; a recipe says what differs from it.
"""

from dataclasses import replace

from minivl.config import CorpusConfig, TaskConfig, scale
from minivl.fullscale.recipes.base import BOTH, FREE, PAPER, RELEASE, CorpusSize, Recipe, Result

SOURCES = {
    "train": RELEASE,
    "train.num_workers": FREE,
    "train.log_every": FREE,
    "train.checkpoint_every": FREE,
    "narration": RELEASE,
    "narration.hide_text": BOTH,
    "inputs": RELEASE,
    "objectives": RELEASE,
    "model": RELEASE,
    "model.parts": BOTH,
}
OURS = "ours: not released, as in fine-tuning for retrieval"
OURS_SOURCES = SOURCES | {"train": OURS, "inputs": OURS}
ADAMW = (
    "AdamW in place of BertAdam, which has no bias correction: its first thousand steps are longer (see "
    "minivl.train.loop.make_optimizer)"
)
LAST = "the model of the last step is scored; the release takes the epoch that is best on the scored split"

HOWTO100M = CorpusSize(examples=1_200_000, videos=1_200_000, hours=131_400)
YOUCOOK2 = CorpusSize(examples=9_776, videos=2_000, hours=176)
MSRVTT, MSRVTT_CAPTIONS = CorpusSize(180_000, 10_000, 41), CorpusSize(130_260, 10_000, 41)
COIN, CROSSTASK, MOSI = CorpusSize(9_030, 11_827, 476), CorpusSize(540, 2_750, 227), CorpusSize(1_284, 2_199, 2.6)


def ranks(source: str, r1: float, r5: float, r10: float, median: float) -> tuple[Result, ...]:
    """Text-to-video recalls, percent, and the median rank."""
    names = ("t2v R@1", "t2v R@5", "t2v R@10", "t2v MedR")
    return tuple(Result(name, value, source) for name, value in zip(names, (r1, r5, r10, median), strict=True))


def captions(
    source: str, b1: float, b2: float, b3: float, b4: float, meteor: float, rouge: float, cider: float
) -> tuple[Result, ...]:
    """Caption scores, percent but for CIDEr."""
    names = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")
    return tuple(
        Result(name, value, source) for name, value in zip(names, (b1, b2, b3, b4, meteor, rouge, cider), strict=True)
    )


def univl_recipes() -> list[Recipe]:
    """All of UniVL's recipes."""
    return [*_pretraining(), *_retrieval(), *_captioning(), *_unreleased()]


def _pretraining():
    shared = {
        "kind": "pretrain",
        "corpus": CorpusConfig("howto100m"),
        "split": "train",
        "settings": scale("full"),
        "size": HOWTO100M,
        "processes": 8,
        "sources": SOURCES,
        "command": "minivl pretrain runs/univl --scale full --seed 42",
        "departures": (
            ADAMW,
            "micro-batches that fill no step are left out; in the release they go into the next epoch's first update",
        ),
    }
    return [
        Recipe("univl-stage-one", "Pretraining, stage one of StagedP: Joint alone", task="stage-one", **shared),
        Recipe("univl-stage-two", "Pretraining, stage two: all objectives, EnhancedV", task="stage-two", **shared),
    ]


def _fine_tuning(name, title, task, size, split="val", corpus=None, config: TaskConfig | None = None, **more) -> Recipe:
    """A fine-tuning; corpus and config replace those of the full scale."""
    settings, kind = scale("full"), task.partition("-")[0]
    data = {"joint": "retrieval", "align": "retrieval"}.get(kind, kind)
    corpus = corpus or settings.univl_corpora[data]
    settings = replace(
        settings,
        univl_corpora=settings.univl_corpora | {data: corpus},
        univl_tasks=settings.univl_tasks | ({kind: config} if config else {}),
    )
    more = {"sources": SOURCES, "departures": (ADAMW, LAST)} | more
    return Recipe(
        name,
        title,
        "finetune",
        task,
        corpus,
        split,
        settings,
        size,
        f"minivl finetune --recipe {name} --model runs/univl",
        **more,
    )


def _retrieval():
    usual = scale("full").univl_tasks["joint"]
    larger = replace(usual, train=replace(usual.train, batch_size=128, learning_rate=5e-5))
    nine_k = {"size": MSRVTT, "split": "test", "corpus": CorpusConfig("msrvtt", "9k"), "config": larger}
    return [
        _fine_tuning(
            "univl-youcook2-joint",
            "YouCook2 retrieval, FT-Joint",
            "joint",
            YOUCOOK2,
            results=ranks(RELEASE, 22.69, 52.45, 65.86, 5),
        ),
        _fine_tuning(
            "univl-youcook2-align",
            "YouCook2 retrieval, FT-Align",
            "align",
            YOUCOOK2,
            results=(Result("t2v R@1", 28.9, PAPER), *ranks(RELEASE, 28.90, 57.60, 70.00, 4)),
        ),
        _fine_tuning(
            "univl-msrvtt-joint",
            "MSR-VTT retrieval, FT-Joint",
            "joint",
            results=ranks(RELEASE, 27.20, 55.70, 68.70, 4),
            **nine_k,
        ),
        _fine_tuning(
            "univl-msrvtt-align",
            "MSR-VTT retrieval, FT-Align",
            "align",
            results=(Result("t2v R@1", 21.2, PAPER),),
            **nine_k,
            departures=(
                ADAMW,
                LAST,
                "the paper's number need not be of this protocol: the release has the recipe and no number for it",
            ),
        ),
    ]


def _captioning():
    usual = scale("full").univl_tasks["captioning"]
    msrvtt = TaskConfig(replace(usual.train, batch_size=128), max_words=48, max_frames=48)
    silent = "without a transcript the text is empty; the released loader reads the word `none`"
    return [
        _fine_tuning(
            "univl-youcook2-captioning",
            "YouCook2 captioning from transcript and video",
            "captioning",
            YOUCOOK2,
            results=(
                Result("BLEU-4", 17.35, PAPER),
                Result("CIDEr", 1.81, PAPER),
                *captions(RELEASE, 47.46, 33.55, 24.23, 17.79, 22.61, 46.97, 1.8631),
            ),
        ),
        _fine_tuning(
            "univl-youcook2-captioning-video",
            "YouCook2 captioning from video alone",
            "captioning-video",
            YOUCOOK2,
            results=captions(RELEASE, 39.21, 25.22, 16.55, 11.17, 17.69, 40.49, 1.2725),
            departures=(ADAMW, LAST, silent),
        ),
        _fine_tuning(
            "univl-msrvtt-captioning",
            "MSR-VTT captioning from video alone",
            "captioning-raw",
            MSRVTT_CAPTIONS,
            split="test",
            corpus=CorpusConfig("msrvtt", "captioning"),
            config=msrvtt,
            results=captions(RELEASE, 80.51, 66.72, 53.42, 41.79, 28.94, 60.78, 0.5004),
        ),
    ]


def _unreleased():
    """The tasks whose code and recipes were not released."""
    shared = {
        "split": "test",
        "sources": OURS_SOURCES,
        "departures": ("no code, head or recipe was released: all of it is ours and follows the released retrieval",),
    }
    return [
        _fine_tuning(
            "univl-coin",
            "COIN action segmentation",
            "segmentation",
            COIN,
            results=(Result("frame accuracy", 70.02, PAPER),),
            **shared,
        ),
        _fine_tuning(
            "univl-crosstask",
            "CrossTask step localization",
            "localization",
            CROSSTASK,
            results=(Result("average recall", 42.0, PAPER),),
            **shared,
        ),
        _fine_tuning(
            "univl-mosi",
            "CMU-MOSI sentiment",
            "sentiment",
            MOSI,
            results=(Result("correlation", 0.767, PAPER),),
            **shared,
        ),
    ]
