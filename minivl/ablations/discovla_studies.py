"""The studies of DiscoVLA over several worlds: what is asked, what is run, what is compared."""

from typing import Any

from minivl.ablations.discovla import CONVERGED, LORA, render, run_cell
from minivl.ablations.discovla_details import prepare_rooms, run_rooms
from minivl.ablations.discovla_room import run_adapted, run_all_weights, run_reader
from minivl.ablations.discovla_teachers import run_teacher
from minivl.ablations.readers import READERS, TRUE_READERS
from minivl.ablations.runner import Cell
from minivl.ablations.study import Contrast, Study

# As many test clips as every world of these settings has meals for, and the quick start's training.
SMALL = {"videos_test": 1160, "batch_size": 32, "learning_rate": 1e-2}

# Mean pooling makes the teacher right, the scale makes it unsure: chosen in worlds 1 and 2.
SOFT_TEACHER = {"beta": 0.3, "distill": "paper", "distill_scale": 12.0}
MEAN_POOLED = {**SMALL, "alpha": 0.3, "pool_scale": 0.0}

# A sixth of the videos, half of whose ingredients CLIP has neither seen nor read of.
NEW_WORDS = {**SMALL, "videos": 100, "novel": 0.5}
# Captions that tell one step each: of 32 videos in a batch, several do what a caption says.
ONE_STEP = {**MEAN_POOLED, "clauses": 1}
WEIGHTS = (0.3, 3.0)  # of PImgAlign: the paper's, and ten times that

HEAVY = {"beta": 3.0}  # ten times the weight that SOFT_TEACHER has
BATCHES = (32, 128)  # videos per step

# The rate was chosen on validation clips of world 0, of 1e-3 and 3e-4 (100 steps, image level, one run each).
ALL_WEIGHTS = {**SMALL, **CONVERGED, "learning_rate": 3e-4}

LONG = {"rounds": 6}  # 600 steps
# Fusion without an adapter, with the rank of LoRA alone: as many trained parameters.
WITHOUT_ADAPTER: dict[str, dict[str, Any]] = {
    name: {"vision_fusion_layers": 2, "strategy": strategy}
    for name, strategy in (("average", "average"), ("video level", "video"))
}

AMOUNTS_OF_VIDEOS = (600, 9600)  # for training; all take the same number of steps
MANY = {"videos_train": max(AMOUNTS_OF_VIDEOS), **LONG}

TOLD = {"600 videos": (600, 1), "600 videos, 20 viewers": (600, 20), "2400 videos": (2400, 1)}  # viewers of each
FEWER = {"videos_train": 2400, **CONVERGED}
MORE = {**FEWER, "videos": 2400, "viewers": 20}

EMPTY = {"no": 0.0, "many": 6.0}  # moments in which nothing happens: none, and one before each step
FRAMES = (4, 12)  # read of each video

# What a difference in R@sum is a share of, for whole captions: from the frozen CLIP to a reader of all facts and links.
ENDS = {"floor": "caption, mean", "ceiling": "facts, linked"}
IN_ROOM = {**ENDS, "room": "room"}


def _teachers(base: dict[str, Any]) -> tuple[Cell, ...]:
    """PImgAlign, AlignDistill beside it, and AlignDistill whose teacher knows nothing but the right answer."""
    return (
        Cell("PImgAlign", base),
        Cell("AlignDistill", {**base, **SOFT_TEACHER}),
        Cell("AlignDistill, shuffled", {**base, **SOFT_TEACHER, "distill": "shuffled"}),
    )


DISCOVLA_STUDIES = (
    Study(
        name="fusion-and-alignment",
        question="What do IVFusion and PImgAlign do, each without and with the other?",
        cells=(
            Cell("zero-shot", {**SMALL, "rounds": 0}),
            Cell("LoRA", {**SMALL, **LORA}),
            Cell("IVFusion", SMALL),
            Cell("LoRA + PImgAlign", {**SMALL, **LORA, "alpha": 0.3}),
            Cell("IVFusion + PImgAlign", {**SMALL, "alpha": 0.3}),
        ),
        contrasts=(
            Contrast("IVFusion", "IVFusion", "LoRA", "R@sum"),
            Contrast("PImgAlign on LoRA", "LoRA + PImgAlign", "LoRA", "R@sum"),
            Contrast("PImgAlign on IVFusion", "IVFusion + PImgAlign", "IVFusion", "R@sum"),
        ),
        run=run_cell,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="soft-teacher",
        question="Does AlignDistill help where its teacher is right and unsure, and is it what the teacher knows?",
        cells=_teachers(MEAN_POOLED),
        contrasts=(
            Contrast("AlignDistill", "AlignDistill", "PImgAlign", "R@sum"),
            Contrast("AlignDistill or shuffled", "AlignDistill", "AlignDistill, shuffled", "R@sum"),
        ),
        run=run_cell,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="longer-fusion",
        question="Does IVFusion catch up with LoRA when training is three times as long?",
        cells=(Cell("LoRA", {**SMALL, **LORA, **CONVERGED}), Cell("IVFusion", {**SMALL, **CONVERGED})),
        contrasts=(Contrast("IVFusion, 300 steps", "IVFusion", "LoRA", "R@sum"),),
        run=run_cell,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="fusion-at-length",
        question="After 600 steps: do frames that see each other pay, and in which of the paper's ways?",
        cells=(
            Cell("LoRA", {**SMALL, **LORA, **LONG}),
            Cell("IVFusion", {**SMALL, **LONG}),
            *(Cell(name, {**SMALL, **LORA, **LONG, **changes}) for name, changes in WITHOUT_ADAPTER.items()),
        ),
        contrasts=(
            *(Contrast(name, name, "LoRA", "R@sum") for name in ("IVFusion", *WITHOUT_ADAPTER)),
            Contrast("IVFusion or average", "IVFusion", "average", "R@sum"),
        ),
        run=run_cell,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="room",
        question="How much is there to find, and where does CLIP as it is lose it?",
        cells=tuple(Cell(reader, {**SMALL, "reader": reader}) for reader in (*READERS, *TRUE_READERS)),
        contrasts=tuple(
            Contrast(name, a, b, "R@sum")
            for name, a, b in (
                ("best frame, caption whole", "caption, best frame", "caption, mean"),
                ("claims, by the mean", "claims, mean", "caption, mean"),
                ("best frame, by claims", "claims, best frame", "claims, mean"),
                ("seen or true", "claims, best frame", "facts"),
                ("links", "facts, linked", "facts"),
                ("pieces, by the mean", "pieces, mean", "caption, mean"),
                ("best frame, by pieces", "pieces, best frame", "pieces, mean"),
                ("claims in one vector", "claims in one vector, mean", "caption, mean"),
                ("one by one", "claims, best frame", "claims in one vector, mean"),
            )
        ),
        run=run_reader,
        prepare=render,
        **ENDS,
    ),
    Study(
        name="all-weights",
        question="What does training all weights of CLIP reach, and do frames that see each other help there?",
        cells=tuple(Cell(f"{level} level", {**ALL_WEIGHTS, "strategy": level}) for level in ("image", "video")),
        contrasts=(Contrast("video level", "video level", "image level", "R@sum"),),
        run=run_all_weights,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="more-videos",
        question="All weights of CLIP: what are more videos worth, and do frames that see each other pay then?",
        cells=tuple(
            Cell(f"{level} level, {videos} videos", {**ALL_WEIGHTS, **MANY, "videos": videos, "strategy": level})
            for videos in AMOUNTS_OF_VIDEOS
            for level in ("image", "video")
        ),
        contrasts=(
            *(
                Contrast(
                    f"video level, {videos} videos",
                    f"video level, {videos} videos",
                    f"image level, {videos} videos",
                    "R@sum",
                )
                for videos in AMOUNTS_OF_VIDEOS
            ),
            *(
                Contrast(
                    f"more videos, {level} level", f"{level} level, 9600 videos", f"{level} level, 600 videos", "R@sum"
                )
                for level in ("image", "video")
            ),
        ),
        run=run_all_weights,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="more-captions",
        question="All weights of CLIP: are several captions of each video worth as much as more videos?",
        cells=tuple(
            Cell(name, {**ALL_WEIGHTS, **FEWER, "videos": videos, "viewers": viewers, "strategy": "image"})
            for name, (videos, viewers) in TOLD.items()
        ),
        contrasts=tuple(
            Contrast(name, a, b, "R@sum")
            for name, a, b in (
                ("20 viewers", "600 videos, 20 viewers", "600 videos"),
                ("2400 videos", "2400 videos", "600 videos"),
                ("videos or viewers", "2400 videos", "600 videos, 20 viewers"),
            )
        ),
        run=run_all_weights,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="fusion-on-more",
        question="With four times the videos, told by twenty viewers: do frames that see each other pay for LoRA?",
        cells=(
            Cell("LoRA", {**SMALL, **MORE, **LORA}),
            Cell("IVFusion", {**SMALL, **MORE}),
            Cell("video level", {**SMALL, **MORE, **LORA, **WITHOUT_ADAPTER["video level"]}),
            Cell("all weights", {**ALL_WEIGHTS, **MORE, "strategy": "image", "weights": "all"}),
        ),
        contrasts=(
            Contrast("IVFusion", "IVFusion", "LoRA", "R@sum"),
            Contrast("video level", "video level", "LoRA", "R@sum"),
            Contrast("IVFusion or video level", "IVFusion", "video level", "R@sum"),
            Contrast("all weights", "all weights", "LoRA", "R@sum"),
        ),
        run=run_adapted,
        prepare=render,
        **IN_ROOM,
    ),
    Study(
        name="fusion-and-dilution",
        question="Do frames that see each other pay where nothing happens in many of them?",
        cells=tuple(
            Cell(
                f"{method}, {empty} empty, {frames} frames",
                {**SMALL, **changes, "filler": filler, "frames": frames, "frame_captions": frames},
            )
            for empty, filler in EMPTY.items()
            for frames in FRAMES
            for method, changes in (("zero-shot", {"rounds": 0}), ("LoRA", LORA), ("IVFusion", {}))
        ),
        contrasts=(
            *(
                Contrast(
                    f"IVFusion, {empty} empty, {frames} frames",
                    f"IVFusion, {empty} empty, {frames} frames",
                    f"LoRA, {empty} empty, {frames} frames",
                    "R@sum",
                )
                for empty in EMPTY
                for frames in FRAMES
            ),
            *(
                Contrast(
                    f"{method}, many or no empty, {frames} frames",
                    f"{method}, many empty, {frames} frames",
                    f"{method}, no empty, {frames} frames",
                    "R@sum",
                )
                for method in ("LoRA", "IVFusion")
                for frames in FRAMES
            ),
        ),
        run=run_cell,
        prepare=render,
    ),
    Study(
        name="fusion-where-empty",
        question="In new worlds: does fusion cost where every frame shows something, and pay where many show nothing?",
        cells=tuple(
            Cell(
                f"{method}, {empty} empty",
                {**SMALL, **changes, "filler": filler, "frames": max(FRAMES), "frame_captions": max(FRAMES)},
            )
            for empty, filler in EMPTY.items()
            for method, changes in (("LoRA", LORA), ("IVFusion", {}))
        ),
        contrasts=tuple(
            Contrast(f"IVFusion, {empty} empty", f"IVFusion, {empty} empty", f"LoRA, {empty} empty", "R@sum")
            for empty in EMPTY
        ),
        run=run_cell,
        prepare=render,
    ),
    Study(
        name="new-words",
        question="Few videos with new words: does PImgAlign pay there, for whole videos and for single moments?",
        cells=(
            Cell("zero-shot", {**NEW_WORDS, "rounds": 0}),
            Cell("LoRA", {**NEW_WORDS, **LORA}),
            Cell("LoRA + PImgAlign", {**NEW_WORDS, **LORA, "alpha": 1.0}),
            Cell("IVFusion", NEW_WORDS),
            Cell("IVFusion + PImgAlign", {**NEW_WORDS, "alpha": 1.0}),
        ),
        contrasts=(
            *(
                Contrast(f"PImgAlign on {base}, {score}", f"{base} + PImgAlign", base, score)
                for base in ("LoRA", "IVFusion")
                for score in ("R@sum", "moments")
            ),
            Contrast("IVFusion", "IVFusion", "LoRA", "R@sum"),
        ),
        run=run_cell,
        prepare=render,
    ),
    Study(
        name="one-step-captions",
        question="Does AlignDistill help where several videos of a batch do what a caption says?",
        cells=_teachers(ONE_STEP),
        contrasts=tuple(
            Contrast(f"{name}, {score}", "AlignDistill", other, score)
            for score in ("R@sum", "moments")
            for name, other in (("AlignDistill", "PImgAlign"), ("AlignDistill or shuffled", "AlignDistill, shuffled"))
        ),
        run=run_cell,
        prepare=render,
    ),
    Study(
        name="rooms-known",
        question="Captions of frames tell what captions of videos leave out, and CLIP knows it: what is it worth?",
        cells=(
            Cell("zero-shot", {**SMALL, "rounds": 0}),
            Cell("PImgAlign, no rooms told", MEAN_POOLED),
            *(
                Cell(name, {**MEAN_POOLED, **changes, "rooms": True})
                for name, changes in (
                    ("PImgAlign", {}),
                    ("AlignDistill", SOFT_TEACHER),
                    ("AlignDistill, shuffled", {**SOFT_TEACHER, "distill": "shuffled"}),
                    ("AlignDistill, late", {**SOFT_TEACHER, "late": 0.5}),
                )
            ),
        ),
        contrasts=tuple(
            Contrast(f"{name}, {score}", a, b, score)
            for score in ("R@sum", "rooms")
            for name, a, b in (
                ("rooms in PImgAlign", "PImgAlign", "PImgAlign, no rooms told"),
                ("AlignDistill", "AlignDistill", "PImgAlign"),
                ("AlignDistill or shuffled", "AlignDistill", "AlignDistill, shuffled"),
                ("late or from the start", "AlignDistill, late", "AlignDistill"),
            )
        ),
        run=run_rooms,
        prepare=prepare_rooms,
    ),
    Study(
        name="oracle-teacher",
        question="What could AlignDistill teach at best, where several videos of a batch do what a caption says?",
        cells=(
            *(
                cell
                for size in BATCHES
                for cell in (
                    Cell(f"PImgAlign, batch {size}", {**ONE_STEP, "batch_size": size}),
                    Cell(f"AlignDistill, batch {size}", {**ONE_STEP, **SOFT_TEACHER, **HEAVY, "batch_size": size}),
                    Cell(f"oracle, batch {size}", {**ONE_STEP, **HEAVY, "batch_size": size, "oracle": "paper"}),
                )
            ),
            Cell("oracle, shuffled, batch 32", {**ONE_STEP, **HEAVY, "oracle": "shuffled"}),
        ),
        contrasts=tuple(
            Contrast(f"{name}, {score}", a, b, score)
            for score in ("R@sum", "moments")
            for name, a, b in (
                *(
                    (f"{teacher}, batch {size}", f"{teacher}, batch {size}", f"PImgAlign, batch {size}")
                    for size in BATCHES
                    for teacher in ("AlignDistill", "oracle")
                ),
                ("oracle or shuffled", "oracle, batch 32", "oracle, shuffled, batch 32"),
            )
        ),
        run=run_teacher,
        prepare=render,
    ),
    Study(
        name="frames-say-more",
        question="Does PImgAlign pay where frame captions name what the caption of the video leaves out?",
        cells=(
            Cell("zero-shot", {**SMALL, "clauses": 1, "rounds": 0}),
            Cell("LoRA", {**SMALL, **LORA, "clauses": 1}),
            *(
                Cell(f"LoRA + {weight} PImgAlign", {**SMALL, **LORA, "clauses": 1, "alpha": weight})
                for weight in WEIGHTS
            ),
        ),
        contrasts=tuple(
            Contrast(f"{weight} PImgAlign, {score}", f"LoRA + {weight} PImgAlign", "LoRA", score)
            for weight in WEIGHTS
            for score in ("R@sum", "moments")
        ),
        run=run_cell,
        prepare=render,
    ),
)
