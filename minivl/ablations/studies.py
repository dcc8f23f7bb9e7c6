"""The studies over several worlds, by name: what is asked, what is run, what is compared."""

from typing import Any

from minivl.ablations.discovla import CONVERGED, LORA, render, run_cell
from minivl.ablations.discovla_room import run_all_weights, run_reader
from minivl.ablations.discovla_teachers import run_teacher
from minivl.ablations.readers import READERS, TRUE_READERS
from minivl.ablations.runner import Cell
from minivl.ablations.study import Contrast, Study
from minivl.ablations.univl_align import METHODS, TUNED, run_align
from minivl.ablations.univl_hidden import AMOUNTS, run_hidden
from minivl.ablations.univl_long import run_long
from minivl.ablations.univl_masked import run_masked
from minivl.ablations.univl_matrix import SCORES, run_matrix
from minivl.ablations.univl_parts import STEPS, prepare_parts, run_parts
from minivl.ablations.univl_staging import run_staged
from minivl.ablations.univl_worlds import prepare_joint, run_joint

# As many test clips as every world of these settings has meals for, and the quick start's training.
SMALL = {"videos_test": 1160, "batch_size": 32, "learning_rate": 1e-2}

# Who is right for a clip in Joint: the texts of its video's clips that stand beside it, or its own alone.
JOINT = {
    "MIL-NCE": {"positives": "neighbours"},
    "NCE": {"positives": "own"},
    "NCE without neighbours": {"positives": "own without neighbours"},
}
SHIFTS = (0, 4, 8)  # seconds; a step takes three to five

# Mean pooling makes the teacher right, the scale makes it unsure: chosen in worlds 1 and 2.
SOFT_TEACHER = {"beta": 0.3, "distill": "paper", "distill_scale": 12.0}
MEAN_POOLED = {**SMALL, "alpha": 0.3, "pool_scale": 0.0}

# A sixth of the videos, half of whose ingredients CLIP has neither seen nor read of.
NEW_WORDS = {**SMALL, "videos": 100, "novel": 0.5}
# Captions that tell one step each: of 32 videos in a batch, several do what a caption says.
ONE_STEP = {**MEAN_POOLED, "clauses": 1}
WEIGHTS = (0.3, 3.0)  # of PImgAlign: the paper's, and ten times that

# Teachers with ten times the weight of SOFT_TEACHER.
HEAVY = {**ONE_STEP, "beta": 3.0}
TEACHER = {"distill": SOFT_TEACHER["distill"], "distill_scale": SOFT_TEACHER["distill_scale"]}
BATCHES = {32: {"batch_size": 32}, 128: {"batch_size": 128}}

# The rate was chosen on validation clips of world 0, of 1e-3 and 3e-4 (100 steps, image level, one run each).
ALL_WEIGHTS = {**SMALL, **CONVERGED, "learning_rate": 3e-4}

AMOUNTS_OF_VIDEOS = (600, 9600)  # for training; all take the same number of steps
MANY = {"videos_train": max(AMOUNTS_OF_VIDEOS), "rounds": 6}

TOLD = {"600 videos": (600, 1), "600 videos, 20 viewers": (600, 20), "2400 videos": (2400, 1)}  # who tells each of them
FEWER = {"videos_train": 2400, **CONVERGED}

# What reads the cross encoder before fine-tuning and after a little of it, and what reads the decoder.
CROSS_SCORES = ("R@sum, Align", "R@sum, FT-Align", "CIDEr")

TOTAL, STAGE_ONE = 300, (0, 50, 100, 200)  # steps of both stages, and those of stage one among them

LONG = {"stage_one": 250, "stage_two": 1000}  # steps, as many as the bundled UniVL had

HIDDEN = (0.0, 0.15, 0.5, 1.0)  # shares of videos whose text EnhancedV hides; names say it in percent

NAMES = {"joint": "Joint", "cmlm": "CMLM", "cmfm": "CMFM", "align": "Align", "decoder": "Decoder"}


def _teachers(base: dict[str, Any]) -> tuple[Cell, ...]:
    """PImgAlign, AlignDistill beside it, and AlignDistill whose teacher knows nothing but the right answer."""
    return (
        Cell("PImgAlign", base),
        Cell("AlignDistill", {**base, **SOFT_TEACHER}),
        Cell("AlignDistill, shuffled", {**base, **SOFT_TEACHER, "distill": "shuffled"}),
    )


STUDIES = {
    study.name: study
    for study in (
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
        ),
        Study(
            name="joint-and-shift",
            question="Is it worth it to count neighbouring clips as right, when speech comes too early or too late?",
            cells=tuple(
                Cell(f"{name}, shift {shift}", {"steps": 100, "transcript_shift": float(shift), **positives})
                for shift in SHIFTS
                for name, positives in JOINT.items()
            ),
            contrasts=tuple(
                Contrast(
                    f"MIL-NCE or {other}, shift {shift}", f"MIL-NCE, shift {shift}", f"{other}, shift {shift}", "R@sum"
                )
                for shift in SHIFTS
                for other in list(JOINT)[1:]
            ),
            run=run_joint,
            prepare=prepare_joint,
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
        ),
        Study(
            name="longer-fusion",
            question="Does IVFusion catch up with LoRA when training is three times as long?",
            cells=(Cell("LoRA", {**SMALL, **LORA, **CONVERGED}), Cell("IVFusion", {**SMALL, **CONVERGED})),
            contrasts=(Contrast("IVFusion, 300 steps", "IVFusion", "LoRA", "R@sum"),),
            run=run_cell,
            prepare=render,
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
            floor="caption, mean",
            ceiling="facts, linked",
        ),
        Study(
            name="all-weights",
            question="What does training all weights of CLIP reach, and do frames that see each other help there?",
            cells=tuple(Cell(f"{level} level", {**ALL_WEIGHTS, "strategy": level}) for level in ("image", "video")),
            contrasts=(Contrast("video level", "video level", "image level", "R@sum"),),
            run=run_all_weights,
            prepare=render,
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
                        f"more videos, {level} level",
                        f"{level} level, 9600 videos",
                        f"{level} level, 600 videos",
                        "R@sum",
                    )
                    for level in ("image", "video")
                ),
            ),
            run=run_all_weights,
            prepare=render,
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
                for name, other in (
                    ("AlignDistill", "PImgAlign"),
                    ("AlignDistill or shuffled", "AlignDistill, shuffled"),
                )
            ),
            run=run_cell,
            prepare=render,
        ),
        Study(
            name="oracle-teacher",
            question="What could AlignDistill teach at best, where several videos of a batch do what a caption says?",
            cells=(
                *(
                    cell
                    for size, training in BATCHES.items()
                    for cell in (
                        Cell(f"PImgAlign, batch {size}", {**ONE_STEP, **training}),
                        Cell(f"AlignDistill, batch {size}", {**HEAVY, **training, **TEACHER}),
                        Cell(f"oracle, batch {size}", {**HEAVY, **training, "oracle": "paper"}),
                    )
                ),
                Cell("oracle, shuffled, batch 32", {**HEAVY, **BATCHES[32], "oracle": "shuffled"}),
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
        Study(
            name="parts-by-use",
            question="What are CMLM, CMFM, Align and EnhancedV worth to what reads the cross encoder and the decoder?",
            cells=(
                Cell("everything", STEPS),
                Cell("without CMLM", {**STEPS, "cmlm": 0.0}),
                Cell("without CMFM", {**STEPS, "cmfm": 0.0}),
                Cell("without Align", {**STEPS, "align": 0.0}),
                Cell("no text hidden", {**STEPS, "hide_text": 0.0}),
                Cell("half of the texts hidden", {**STEPS, "hide_text": 0.5}),
            ),
            contrasts=(
                *(
                    Contrast(f"{part}, {score}", "everything", f"without {part}", score)
                    for part in ("CMLM", "CMFM", "Align")
                    for score in CROSS_SCORES
                ),
                Contrast("EnhancedV, CIDEr", "everything", "no text hidden", "CIDEr"),
                Contrast("half hidden, CIDEr", "half of the texts hidden", "no text hidden", "CIDEr"),
            ),
            run=run_parts,
            prepare=prepare_parts,
        ),
        Study(
            name="every-task",
            question="Which of UniVL's objectives is which of its tasks worth?",
            cells=(
                Cell("everything", STEPS),
                *(Cell(f"without {NAMES[objective]}", {**STEPS, objective: 0.0}) for objective in NAMES),
                Cell("no pretraining", {**STEPS, "scratch": True}),
            ),
            contrasts=tuple(
                Contrast(f"{part}, {score}", "everything", other, score)
                for part, other in (
                    *((name, f"without {name}") for name in NAMES.values()),
                    ("pretraining", "no pretraining"),
                )
                for score, _ in SCORES.values()
            ),
            run=run_matrix,
            prepare=prepare_parts,
        ),
        Study(
            name="staged-at-equal-time",
            question="Of the same processor time, how much should stage one have?",
            cells=tuple(
                Cell(f"{one} and {TOTAL - one}", {"stage_one": one, "stage_two": TOTAL - one}) for one in STAGE_ONE
            ),
            contrasts=tuple(
                Contrast(f"{one} steps, {score}", f"{one} and {TOTAL - one}", f"0 and {TOTAL}", score)
                for one in STAGE_ONE[1:]
                for score in CROSS_SCORES
            ),
            run=run_staged,
            prepare=prepare_parts,
        ),
        Study(
            name="hidden-texts",
            question="How many texts should EnhancedV hide, and does it matter how many captioned videos there are?",
            cells=tuple(Cell(f"{round(100 * share)} hidden", {**STEPS, "hide_text": share}) for share in HIDDEN),
            contrasts=tuple(
                Contrast(
                    f"{round(100 * share)} hidden, {videos} videos",
                    f"{round(100 * share)} hidden",
                    "0 hidden",
                    f"CIDEr, {videos} videos",
                )
                for share in HIDDEN[1:]
                for videos in AMOUNTS
            ),
            run=run_hidden,
            prepare=prepare_parts,
        ),
        Study(
            name="align-and-steps",
            question="Does FT-Align catch up with FT-Joint given many steps, hard negatives, or candidates to re-rank?",
            cells=tuple(Cell(method, STEPS) for method in (*METHODS, "re-ranked")),
            contrasts=tuple(
                Contrast(f"{name}, {steps} steps", a, b, f"R@1, {steps} steps")
                for name, a, b in (
                    ("FT-Align", "FT-Align", "FT-Joint"),
                    ("hard negatives", "FT-Align, hard negatives", "FT-Align"),
                    ("re-ranking", "re-ranked", "FT-Joint"),
                )
                for steps in TUNED
                if steps or name == "FT-Align"
            ),
            run=run_align,
            prepare=prepare_parts,
        ),
        Study(
            name="long-pretraining",
            question="What does four times as much pretraining change for FT-Joint, FT-Align, captions and EnhancedV?",
            cells=(Cell("short", STEPS), Cell("long", LONG), Cell("long, no text hidden", {**LONG, "hide_text": 0.0})),
            contrasts=(
                *(
                    Contrast(f"longer, {score}", "long", "short", score)
                    for score in ("R@1, FT-Joint", "R@1, FT-Align", "R@1, FT-Align minus FT-Joint", "CIDEr")
                ),
                *(
                    Contrast(f"EnhancedV, {score}", "long", "long, no text hidden", score)
                    for score in ("R@1, FT-Joint", "R@1, FT-Align", "CIDEr")
                ),
            ),
            run=run_long,
            prepare=prepare_parts,
        ),
        Study(
            name="long-align",
            question="Does FT-Align reach FT-Joint when long pretraining and hard negatives come together?",
            cells=(
                Cell("short, hard negatives", {**STEPS, "method": "FT-Align, hard negatives"}),
                *(Cell(method, {**LONG, "method": method}) for method in (*METHODS, "re-ranked, hard negatives")),
            ),
            contrasts=tuple(
                Contrast(f"{name}, {steps} steps", a, b, f"R@1, {steps} steps")
                for steps in TUNED[1:]
                for name, a, b in (
                    ("hard negatives", "FT-Align, hard negatives", "FT-Align"),
                    ("long pretraining", "FT-Align, hard negatives", "short, hard negatives"),
                    ("FT-Align", "FT-Align, hard negatives", "FT-Joint"),
                    ("re-ranking", "re-ranked, hard negatives", "FT-Joint"),
                )
            ),
            run=run_align,
            prepare=prepare_parts,
        ),
        Study(
            name="masked-apart",
            question="Is it the link between text and video that CMFM and CMLM are worth?",
            cells=(
                Cell("everything", STEPS),
                Cell("CMFM without text", {**STEPS, "cmfm_reads": "video"}),
                Cell("without CMFM", {**STEPS, "cmfm": 0.0}),
                Cell("CMLM without video", {**STEPS, "cmlm_reads": "text"}),
            ),
            contrasts=tuple(
                Contrast(f"{name}, {score}", a, b, score)
                for name, a, b in (
                    ("text in CMFM", "everything", "CMFM without text"),
                    ("CMFM without text", "CMFM without text", "without CMFM"),
                    ("video in CMLM", "everything", "CMLM without video"),
                )
                for score in CROSS_SCORES[1:]
            ),
            run=run_masked,
            prepare=prepare_parts,
        ),
    )
}
