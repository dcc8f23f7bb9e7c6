"""The tasks, in the order of the lessons, by assignment."""

from minivl.course.task import Task
from minivl.course.tasks import contrastive, discovla, fusion, masked_modelling, masking, parts, retrieval, search

ASSIGNMENTS: dict[str, list[Task]] = {
    "univl_losses": [
        parts.attention,
        parts.causal_mask,
        parts.joint_similarity,
        masking.mask_words,
        masking.mask_frames,
        contrastive.mil_nce,
        masked_modelling.cmlm_loss,
        masked_modelling.cmfm_loss,
        contrastive.align_loss,
        parts.shift_captions,
        search.beam_step,
    ],
    "discovla_parts": [
        retrieval.sample_frames,
        fusion.LoRA,
        fusion.class_token_attention,
        discovla.image_level_similarity,
        discovla.alignment_distillation,
        retrieval.recall_at_k,
    ],
}
TASKS = {task.name: task for tasks in ASSIGNMENTS.values() for task in tasks}
