"""The studies over several worlds, by name: what is asked, what is run, what is compared."""

from minivl.ablations.discovla import LORA, render, run_cell
from minivl.ablations.runner import Cell
from minivl.ablations.study import Contrast, Study

# As many test clips as every world of these settings has meals for, and the quick start's training.
SMALL = {"videos_test": 1160, "batch_size": 32, "learning_rate": 1e-2}

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
    )
}
