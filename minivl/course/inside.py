"""A student's own function in the real model, in the place of the package's.

Models and data are imported where they are needed, so that a notebook's first cell is quick.
"""

import math
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

MAX_WORDS = 20  # of a caption that is written
CAPTIONS = ["a hand puts a carrot into a red pot", "a hand cuts a green pepper", "a lid is put on a blue pan"]


def train_univl_with(mil_nce: Callable, steps: int = 2) -> list[float]:
    """Train a fresh small UniVL on Joint, with a student's `mil_nce`, on bundled videos: the loss before each step.

    An answer that is not right trains nothing, and says so.
    """
    if not _right("mil_nce", mil_nce):
        return []
    from minivl.tasks.univl.data import UNIVL
    from minivl.univl import UniVL, objectives, pretraining_step

    batch = _narrated(2)
    model = UniVL(replace(UniVL.from_pretrained(UNIVL).config, parts=()), ObjectiveConfig())

    def joint(similarity: Tensor, clips_per_video: int = 1, *_: Any) -> Tensor:
        return mil_nce(similarity, clips_per_video)

    theirs = SimpleNamespace(**{**vars(objectives), "mil_nce": joint})
    with mock.patch.object(pretraining_step, "objectives", theirs):
        return _train(model, batch, list(model.parameters()), steps)


def encode_with(embed_frames: Callable, cross_input: Callable) -> float:
    """Run two bundled videos through the bundled small UniVL, with a student's embeddings before its layers.

    Returns the largest difference from what the package's cross encoder makes of them: a right answer gives hardly more
    than 0. One that is not right gives NaN, and says so.
    """
    if not (_right("embed_frames", embed_frames) and _right("cross_input", cross_input)):
        return math.nan
    from minivl.tasks.univl.data import UNIVL
    from minivl.univl import UniVL

    model, batch = UniVL.from_pretrained(UNIVL), _narrated(2)
    ids, text_mask, video, mask = (
        batch[name].flatten(0, 1) for name in ("input_ids", "attention_mask", "video", "video_mask")
    )
    with torch.inference_mode():
        text = model.encode_text(ids, text_mask)
        expected, _ = model.cross_encode(text, text_mask, model.encode_video(video, mask), mask)
        encoder, cross = model.video, model.cross
        x = embed_frames(video, encoder.frame_norm, encoder.project, encoder.positions.weight, encoder.norm)
        x = _through(encoder.layers, x, mask)
        x = cross_input(text, text_mask, x, mask, cross.positions.weight, cross.types.weight, cross.norm)
        return (_through(cross.layers, *x) - expected).abs().max().item()


def rerank_with(rerank: Callable, k: int = 5) -> dict[str, float]:
    """R@1, text to video, of the bundled small UniVL on steps of eight test videos, before and after reranking.

    The model is pretrained and not fine-tuned for retrieval. An answer that is not right ranks nothing, and says so.
    """
    if not _right("rerank", rerank):
        return {}
    from minivl.data.wordpiece import load_tokenizer
    from minivl.tasks.univl.data import UNIVL, task_rows
    from minivl.tasks.univl.retrieval import Retrieval
    from minivl.univl import UniVL

    rows, settings = task_rows("retrieval", "test", scale("small"), subset=8), scale("small").univl_tasks["joint"]
    model = Retrieval(UniVL.from_pretrained(UNIVL, parts=("cross",)), load_tokenizer(UNIVL), settings)
    joint = torch.from_numpy(model.predict(rows, progress=False))
    scorer, own = model.pair_scorer(rows, progress=False), torch.arange(len(joint))

    def align(queries: Tensor, candidates: Tensor) -> Tensor:
        return torch.from_numpy(scorer(queries.numpy(), candidates.numpy()))

    first = {"by their means": joint.argmax(1), f"cross encoder on the best {k}": rerank(joint, align, k)[:, 0]}
    return {f"{name}, {len(own)} steps": 100 * (best == own).double().mean().item() for name, best in first.items()}


def caption_with(beam_step: Callable, search_ended: Callable, rank_captions: Callable, beams: int = 3) -> list[str]:
    """Captions of a bundled video by the bundled captioner, with a student's beam search, best first.

    An answer that is not right writes nothing, and says so.
    """
    answers = {"beam_step": beam_step, "search_ended": search_ended, "rank_captions": rank_captions}
    if not all(_right(name, answer) for name, answer in answers.items()):
        return []
    from minivl.data.wordpiece import decode_tokens, load_tokenizer
    from minivl.tasks.univl.data import CAPTIONER
    from minivl.univl import UniVL

    model, tokenizer, batch = UniVL.from_pretrained(CAPTIONER), load_tokenizer(CAPTIONER), _narrated(1)
    ids, text_mask, video, mask = (
        batch[name][0, :1] for name in ("input_ids", "attention_mask", "video", "video_mask")
    )
    with torch.inference_mode():
        cross, _ = model.cross_encode(
            model.encode_text(ids, text_mask), text_mask, model.encode_video(video, mask), mask
        )
        cross, cross_mask = cross.expand(beams, -1, -1), torch.cat([text_mask, mask], 1).expand(beams, -1)
        tokens = torch.full((beams, 1), tokenizer.cls_token_id)
        scores = torch.tensor([0.0, *[-torch.inf] * (beams - 1)])  # all captions are alike at first: one may go on
        finished = torch.zeros(beams, dtype=torch.bool)
        for words in range(1, MAX_WORDS + 1):
            logits = model.decode(tokens, torch.ones_like(tokens), cross, cross_mask)[:, -1]
            scores, parents, new = beam_step(scores, logits, finished, tokenizer.pad_token_id)
            tokens = torch.cat([tokens[parents], new[:, None]], 1)
            finished = finished[parents] | (new == tokenizer.sep_token_id)
            if search_ended(finished, beams, 0.0, words, MAX_WORDS):
                break
        lines, _ = rank_captions(tokens[:, 1:], scores, tokenizer.sep_token_id, 0.0)
    return [decode_tokens(tokenizer, line) for line in lines]


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


def _narrated(videos):
    """A batch of bundled narrated videos, the same at each call, which also seeds what comes after it."""
    from minivl.data.narration import NarratedDataset
    from minivl.data.wordpiece import load_tokenizer
    from minivl.tasks.univl.data import UNIVL, pretraining_videos
    from minivl.train.loop import seed_everything

    tokenizer, settings = load_tokenizer(UNIVL), scale("small").univl_pretrain.narration
    data = NarratedDataset(pretraining_videos(scale("small"), videos), tokenizer, settings, masked=False)
    seed_everything(0)
    return torch.utils.data.default_collate([data[i] for i in range(videos)])


def _through(layers, x, mask):
    from minivl.univl.layers import padding_bias

    for layer in layers:
        x = layer(x, padding_bias(mask))
    return x


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
