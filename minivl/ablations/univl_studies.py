"""The studies of UniVL over several worlds: what is asked, what is run, what is compared."""

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

# Who is right for a clip in Joint: the texts of its video's clips that stand beside it, or its own alone.
JOINT = {
    "MIL-NCE": {"positives": "neighbours"},
    "NCE": {"positives": "own"},
    "NCE without neighbours": {"positives": "own without neighbours"},
}
SHIFTS = (0, 4, 8)  # seconds; a step takes three to five

# What reads the cross encoder before fine-tuning and after a little of it, and what reads the decoder.
CROSS_SCORES = ("R@sum, Align", "R@sum, FT-Align", "CIDEr")

TOTAL, STAGE_ONE = 300, (0, 50, 100, 200)  # steps of both stages, and those of stage one among them

LONG = {"stage_one": 250, "stage_two": 1000}  # steps, as many as the bundled UniVL had

HIDDEN = (0.0, 0.15, 0.5, 1.0)  # shares of videos whose text EnhancedV hides; names say it in percent

NAMES = {"joint": "Joint", "cmlm": "CMLM", "cmfm": "CMFM", "align": "Align", "decoder": "Decoder"}

UNIVL_STUDIES = (
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
    Study(
        name="cmfm-apart",
        question="Is CMFM worth what it teaches the video encoder, or what it teaches the cross encoder?",
        cells=(
            Cell("everything", STEPS),
            Cell("CMFM on the video encoder", {**STEPS, "cmfm_reads": "encoder"}),
            Cell("CMFM on frozen encoders", {**STEPS, "cmfm_reads": "frozen"}),
            Cell("without CMFM", {**STEPS, "cmfm": 0.0}),
        ),
        contrasts=tuple(
            Contrast(f"{name}, {score}", a, b, score)
            for score in CROSS_SCORES[:2]
            for name, a, b in (
                ("CMFM", "everything", "without CMFM"),
                ("on the video encoder", "CMFM on the video encoder", "without CMFM"),
                ("on frozen encoders", "CMFM on frozen encoders", "without CMFM"),
                ("video encoder or frozen", "CMFM on the video encoder", "CMFM on frozen encoders"),
            )
        ),
        run=run_masked,
        prepare=prepare_parts,
    ),
)
