"""A small random CLIP, DiscoVLA on it, and batches of random clips and captions."""

import dataclasses

import torch
from open_clip.model import CLIP

from minivl.config import DiscoVLAConfig
from minivl.discovla import DiscoVLA

SIZE, CONTEXT, VOCABULARY = 16, 10, 50
VISION = {"image_size": SIZE, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3}
TEXT = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 32, "heads": 2, "layers": 2}
CONFIG = DiscoVLAConfig(lora_rank=2, vision_fusion_layers=2, text_fusion_layers=1, alpha=0, beta=0)


def small_clip(vision=VISION, text=TEXT, seed=0):
    torch.manual_seed(seed)
    return CLIP(24, vision, text, quick_gelu=True).eval()


def captions(*lengths, context=CONTEXT):
    """Token ids and mask of random captions with that many tokens, the end-of-text token last."""
    ids = torch.zeros(len(lengths), context, dtype=torch.long)
    for row, length in zip(ids, lengths, strict=True):
        row[: length - 1] = torch.randint(1, VOCABULARY - 2, (length - 1,))
        row[length - 1] = VOCABULARY - 1
    return ids, (torch.arange(context) < torch.tensor(lengths)[:, None]).long()


def small_batch(videos=3, frames=4):
    ids, mask = captions(*range(3, 3 + videos))
    return {
        "video": torch.randn(videos, frames, 3, SIZE, SIZE),
        "video_mask": torch.ones(videos, frames),
        "text_ids": ids,
        "text_mask": mask,
    }


def trained(model):
    """Give LoRA and adapters values as after some training."""
    with torch.no_grad():
        for p in model.trainable_parameters():
            p.normal_(std=0.2)
    return model


ALIGNED = dataclasses.replace(CONFIG, alpha=0.3, beta=1.0)


def build(**changes):
    model = DiscoVLA(small_clip(), dataclasses.replace(ALIGNED, **changes))
    torch.manual_seed(0)
    return trained(model)


def aligned_batch(videos=3, frames=4):
    torch.manual_seed(1)
    batch = small_batch(videos, frames)
    ids, mask = captions(*(2 + i % 7 for i in range(videos * frames)))
    return batch | {"f_text_ids": ids.view(videos, frames, -1), "f_text_mask": mask.view(videos, frames, -1)}
