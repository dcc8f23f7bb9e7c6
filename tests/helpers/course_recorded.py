"""Excerpts of the values recorded from released code, for the tasks of the course.

python tests/helpers/course_recorded.py writes them to where the package has them.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TESTS = Path(__file__).resolve().parents[1]


def recorded():
    """{"TASK.INPUT" or "TASK.result": tensor}; Python's numbers are double or int64."""
    univl, discovla, retrieval = (
        load_file(TESTS / "recorded" / f"{name}.safetensors") for name in ("univl", "discovla", "retrieval_metrics")
    )
    scale = json.loads((TESTS / "recorded" / "discovla.json").read_text())["config"]["logit_scale_exp"]
    scores = json.loads((TESTS / "recorded" / "retrieval_metrics.json").read_text())["random"]["t2v"]
    B = len(discovla["out.sim_video"])
    tasks = {
        "joint_similarity": {
            "text": univl["out.text_hidden"],
            "text_mask": univl["in.attention_mask"],
            "video": univl["out.video_hidden"],
            "video_mask": univl["in.video_mask"],
            "result": univl["out.joint_sim"],
        },
        "mil_nce": {
            "similarity": univl["in.sim_np1"],
            "clips_per_video": torch.tensor(1),
            "result": univl["loss.milnce_sim_np1"],
        },
        "cmlm_loss": {
            "logits": univl["out.mlm_logits"],
            "labels": univl["in.pairs_token_labels"],
            "result": univl["loss.stage2_cmlm"],
        },
        "cmfm_loss": {
            "predicted": univl["out.mfm_pred"],
            "frames": univl["out.video_norm"],
            "mask": univl["in.video_mask"],
            "labels": univl["in.video_labels_index"],
            "result": univl["loss.stage2_cmfm"],
        },
        "frame_mean": {
            "frames": discovla["out.frame_V"],
            "mask": discovla["masked.in.video_mask"],
            "result": discovla["masked.out.framevideo_V"],
        },
        "image_level_similarity": {
            "captions": discovla["out.frame_L"],
            "frames": discovla["out.frame_V"],
            "scale": torch.tensor(scale, dtype=torch.float64),
            "result": discovla["out.sim_frame"],
        },
        "alignment_distillation": {
            "video": discovla["out.sim_video"],
            "image": discovla["out.sim_frame"],
            "scale": torch.tensor(scale, dtype=torch.float64),
            "result": discovla["loss.distill"] * B / 100,  # the release has 100 / B², the paper 1 / B
        },
        "recall_at_k": {
            "similarity": retrieval["random.sim"],
            "k": torch.tensor(5),
            "result": torch.tensor(scores["R@5"], dtype=torch.float64),
        },
    }
    return {f"{task}.{name}": value.clone() for task, own in tasks.items() for name, value in own.items()}


if __name__ == "__main__":
    save_file(recorded(), TESTS.parent / "data_samples" / "course" / "recorded.safetensors")
