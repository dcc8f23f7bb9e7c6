"""Weights of UniVL's released code, under its own names, for all five kinds of run.

stage one, FT-Joint      bert, visual, normalize_video
FT-Align                 and cross, similarity_dense
caption                  and decoder
stage two                and cls, cls_visual
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from minivl.config import ObjectiveConfig, UniVLConfig
from minivl.hub.checkpoints import CheckpointError, build, count_layers, load_weights, weights_of

# The start of a released name -> the start of ours. The decoder's two attentions are called `.att` inside.
PREFIXES = {
    "bert.embeddings.": "text.embeddings.",
    "bert.encoder.": "text.encoder.",
    "normalize_video.visual_norm2d.": "video.frame_norm.",
    "visual.embeddings.word_embeddings.": "video.project.",
    "visual.embeddings.position_embeddings.": "video.positions.",
    "visual.embeddings.LayerNorm.": "video.norm.",
    "visual.encoder.layer.": "video.layers.",
    "cross.embeddings.position_embeddings.": "cross.positions.",
    "cross.embeddings.token_type_embeddings.": "cross.types.",
    "cross.embeddings.LayerNorm.": "cross.norm.",
    "cross.encoder.layer.": "cross.layers.",
    "cross.pooler.dense.": "cross.pooler.",
    "similarity_dense.": "similarity.",
    "decoder.embeddings.LayerNorm.": "decoder.norm.",
    "decoder.decoder.layer.": "decoder.layers.",
    "decoder.classifier.cls.predictions.transform.LayerNorm.": "decoder.head.norm.",
    "decoder.classifier.cls.predictions.transform.dense.": "decoder.head.dense.",
    "decoder.classifier.cls.predictions.bias": "decoder.head.bias",
    "cls.predictions.transform.LayerNorm.": "word_head.norm.",
    "cls.predictions.transform.dense.": "word_head.dense.",
    "cls.predictions.bias": "word_head.bias",
    "cls_visual.predictions.transform.LayerNorm.": "frame_head.norm.",
    "cls_visual.predictions.transform.dense.": "frame_head.dense.",
    "cls_visual.predictions.bias": "frame_head.bias",
}
INSIDE_LAYERS = {
    "attention.self.": "attention.",
    "attention.output.dense.": "attention.output.",
    "attention.output.LayerNorm.": "attention.norm.",
    "intermediate.dense.": "feed_forward.inner.",
    "output.dense.": "feed_forward.outer.",
    "output.LayerNorm.": "feed_forward.norm.",
    "slf_attn.att.": "self_attention.",
    "slf_attn.output.dense.": "self_attention.output.",
    "slf_attn.output.LayerNorm.": "self_attention.norm.",
    "enc_attn.att.": "cross_attention.",
    "enc_attn.output.dense.": "cross_attention.output.",
    "enc_attn.output.LayerNorm.": "cross_attention.norm.",
}
WORDS = "bert.embeddings.word_embeddings.weight"
TIES = {  # one parameter under several names
    "decoder.embeddings.word_embeddings.weight": WORDS,
    "decoder.classifier.cls.predictions.decoder.weight": WORDS,
    "cls.predictions.decoder.weight": WORDS,
    "decoder.embeddings.position_embeddings.weight": "bert.embeddings.position_embeddings.weight",
    "cls_visual.predictions.weight": "visual.embeddings.word_embeddings.weight",
}
M = TypeVar("M", bound=nn.Module)
UNUSED = ("bert.pooler.", "visual.pooler.")  # computed by the release and read by nothing


def build_from_reference(
    cls: Callable[..., M],
    path_or_state_dict: Path | str | Mapping[str, Tensor],
    num_heads: int,
    bos_token_id: int,
    eos_token_id: int,
    pad_token_id: int,
) -> M:
    """A UniVL (`cls`) with released weights, in evaluation mode; every size but the number of heads is read off shapes.

    Raises CheckpointError, with every mismatch in one message, for weights that do not fit or are not a UniVL, and
    for tensors that the release ties but that differ here.
    """
    state, origin = weights_of(path_or_state_dict)
    state = {_modern(name): tensor for name, tensor in state.items()}
    try:
        config = _config(state, num_heads, bos_token_id, eos_token_id, pad_token_id)
    except KeyError as error:
        raise CheckpointError(f"{origin} are not the weights of a released UniVL: there is no {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{origin} are not the weights of a released UniVL: {error}") from error
    _check_ties(state)
    model = build(lambda: cls(config, ObjectiveConfig.release()), origin)
    load_weights(
        model,
        {our_name(name): tensor for name, tensor in state.items() if name not in TIES and not name.startswith(UNUSED)},
        origin=origin,
    )
    return model.eval()


def our_name(name: str) -> str:
    """The name here of a parameter of the released code; a name that the release does not have stays as it is."""
    start = next((start for start in PREFIXES if name.startswith(start)), None)
    if start is None:
        return name
    rest = name.removeprefix(start)
    if start.endswith(".layer."):
        number, _, rest = rest.partition(".")
        inside = next((part for part in INSIDE_LAYERS if rest.startswith(part)), "")
        rest = f"{number}.{INSIDE_LAYERS.get(inside, '')}{rest.removeprefix(inside)}"
    return PREFIXES[start] + rest


def _modern(name):
    """BERT's first weights called a LayerNorm's weight and bias gamma and beta."""
    return re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name))


def _config(state, num_heads, bos, eos, pad):
    vocabulary, hidden = state[WORDS].shape
    parts = [
        part
        for part, sign in (
            ("cross", "cross.pooler.dense.weight"),
            ("decoder", "decoder.classifier.cls.predictions.bias"),
            ("heads", "cls_visual.predictions.bias"),
        )
        if sign in state
    ]
    if hidden % num_heads:
        raise CheckpointError(
            f"these weights have hidden size {hidden}, which {num_heads} heads do not divide: "
            "give the num_heads that they were trained with"
        )
    return UniVLConfig(
        vocab_size=vocabulary,
        video_dim=state["visual.embeddings.word_embeddings.weight"].shape[1],
        hidden_size=hidden,
        num_heads=num_heads,
        intermediate_size=len(state["bert.encoder.layer.0.intermediate.dense.weight"]),
        text_layers=count_layers(state, "bert.encoder.layer"),
        video_layers=count_layers(state, "visual.encoder.layer"),
        cross_layers=count_layers(state, "cross.encoder.layer"),
        decoder_layers=count_layers(state, "decoder.decoder.layer"),
        text_positions=len(state["bert.embeddings.position_embeddings.weight"]),
        video_positions=len(state["visual.embeddings.position_embeddings.weight"]),
        cross_positions=len(state["cross.embeddings.position_embeddings.weight"]) if "cross" in parts else 1024,
        parts=tuple(parts),
        pad_token_id=pad,
        bos_token_id=bos,
        eos_token_id=eos,
    )


def _check_ties(state):
    different = [
        f"{name} and {tied}"
        for name, tied in TIES.items()
        if name in state and tied in state and not torch.equal(state[name], state[tied])
    ]
    if different:
        raise CheckpointError(
            "these weights must be equal, because the model has one parameter for them: " + "; ".join(different)
        )
