"""A student's own function in the real model, in the place of the package's.

Models and data are imported where they are needed, so that a notebook's first cell is quick.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from minivl.config import BUNDLED, DiscoVLAConfig, ObjectiveConfig, scale
from minivl.course.check import find, verdict

CAPTIONS = ["a hand puts a carrot into a red pot", "a hand cuts a green pepper", "a lid is put on a blue pan"]


def train_univl_with(mil_nce: Callable, steps: int = 2) -> list[float]:
    """Train a fresh small UniVL on Joint, with a student's `mil_nce`, on bundled videos: the loss before each step.

    An answer that is not right trains nothing, and says so.
    """
    if not _right("mil_nce", mil_nce):
        return []
    from minivl.data.narration import NarratedDataset
    from minivl.data.wordpiece import load_tokenizer
    from minivl.tasks.univl.data import UNIVL, pretraining_videos
    from minivl.train.loop import seed_everything
    from minivl.univl import UniVL, objectives, pretraining_step

    tokenizer, narrated = load_tokenizer(UNIVL), scale("small").univl_pretrain.narration
    data = NarratedDataset(pretraining_videos(scale("small"), 2), tokenizer, narrated, masked=False)
    seed_everything(0)
    batch = torch.utils.data.default_collate([data[i] for i in range(2)])
    model = UniVL(replace(UniVL.from_pretrained(UNIVL).config, parts=()), ObjectiveConfig())

    def joint(similarity: Tensor, clips_per_video: int = 1, *_: Any) -> Tensor:
        return mil_nce(similarity, clips_per_video)

    theirs = SimpleNamespace(**{**vars(objectives), "mil_nce": joint})
    with mock.patch.object(pretraining_step, "objectives", theirs):
        return _train(model, batch, list(model.parameters()), steps)


def adapt_clip_with(class_token_attention: Callable, steps: int = 2) -> list[float]:
    """Adapt the bundled small CLIP, with a student's fusion in its vision tower: the loss before each step.

    The clips are noise: what is seen is that the fusion learns, not what it is good for. An answer that is not right
    adapts nothing, and says so.
    """
    if not _right("class_token_attention", class_token_attention):
        return []
    from minivl.clip import load_clip
    from minivl.data.text import tokenize
    from minivl.discovla import DiscoVLA
    from minivl.train.loop import seed_everything

    clip = load_clip(str(BUNDLED / "clip_kitchen"))
    seed_everything(0)
    model = DiscoVLA(clip.model, DiscoVLAConfig(vision_fusion_layers=1, text_fusion_layers=0, alpha=0, beta=0))
    attention = model.clip.visual.transformer.resblocks[-1].attn
    attention.forward = partial(_fused, attention, class_token_attention)
    ids, mask = tokenize(clip.tokenizer, CAPTIONS, model.clip.context_length)
    video = torch.randn(len(CAPTIONS), 4, 3, *model.clip.visual.image_size)
    batch = {"video": video, "video_mask": torch.ones(len(CAPTIONS), 4), "text_ids": ids, "text_mask": mask}
    return _train(model, batch, model.trainable_parameters(), steps)


def _fused(attention, class_token_attention, x, layout, class_only=False):
    """`IVFusionAttention.forward` of the last block, which computes class tokens alone."""
    q, k, v = attention.project(x)  # (S, N, h, d) each
    return class_token_attention(q, k, v, layout.frames, attention.out_proj, attention.adapter)[:, None]


def _train(model: nn.Module, batch, parameters, steps):
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    losses = []
    model.train()
    for _ in range(steps):
        loss = model(batch)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _right(name, answer):
    warnings.filterwarnings("ignore", "IProgress not found")  # progress bars are text, with or without widgets
    found = verdict(find(name), answer)
    if not found.right:
        print(f"{name}: {found.message.splitlines()[0].rstrip('.')}. A right one is needed here.")
    return found.right
