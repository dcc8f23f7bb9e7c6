"""Parts of the models as ONNX: only what has to answer a user; what can be computed before, such as videos, is data.

Every graph has fixed sizes, so padding is computed, too, and masked as in training. Checks of values, which the models
make before they compute ("this id is not in the vocabulary"), are not in a graph: whoever feeds it makes them.
"""

import copy
import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from minivl.config import ConfigError
from minivl.discovla.ivfusion import Layout, class_features, token_index
from minivl.univl import UniVL

OPSET = 18  # of ONNX; onnxruntime-web has read it since 2023


class QueryEncoder(nn.Module):
    """A caption's embedding of length 1, as `DiscoVLA.encode_caption` computes it before it is normalised.

    What follows the end of the text is not hidden: no token sees a later one, and only the last one is read.
    """

    def __init__(self, text: Any):
        super().__init__()
        self.clip = text.clip  # a CLIP, or its text tower alone, with adapted blocks

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (1, L) of start token, words, end token and zeros -> (1, D)."""
        clip, L = self.clip, ids.shape[1]
        end = ids.argmax(dim=-1)  # (1,)
        causal = torch.ones(L, L, dtype=torch.bool).tril()[None]  # (1, L, L)
        x = clip.token_embedding(ids) + clip.positional_embedding[:L]  # (1, L, W)
        x = class_features(clip.transformer, x, Layout(token_index(end), image_mask=causal))  # (1, W)
        return normalize(clip.ln_final(x) @ clip.text_projection, dim=-1)


class CaptionReader(nn.Module):
    """What UniVL's decoder attends to: words and frames after the cross encoder."""

    def __init__(self, univl: UniVL):
        super().__init__()
        self.text, self.cross = univl.text, univl.cross

    def forward(self, ids: Tensor, mask: Tensor, video: Tensor, video_mask: Tensor) -> Tensor:
        """Token ids and mask (1, W), encoded video (1, T, D) and its mask (1, T) -> (1, W+T, D)."""
        text = self.text(input_ids=ids, attention_mask=mask).last_hidden_state  # (1, W, D)
        return self.cross(text, mask, video, video_mask, frame_position=ids.shape[1])[0]


class NextWord(nn.Module):
    """One step of the decoder for several captions of a clip. Nothing is kept between steps: small models are fast."""

    def __init__(self, univl: UniVL):
        super().__init__()
        self.univl = univl

    def forward(self, ids: Tensor, position: Tensor, cross: Tensor, cross_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The words that follow `position` (1,) in captions ids (B, W), which begin with [CLS].

        cross (1, K, D) and cross_mask (1, K) of the clip -> log-probabilities of words (B, V), and the attention over
        words and frames from which they come, mean of layers and heads (B, K). Later words are not seen.
        """
        decoder, tables, B = self.univl.decoder, self.univl.tables(), ids.shape[0]
        clip = cross.expand(B, -1, -1), cross_mask.expand(B, -1)
        inputs = (ids, torch.ones_like(ids), *clip, *tables)
        newest = decoder.hidden(*inputs).index_select(1, position).squeeze(1)  # (B, D)
        attention = decoder.attention_over_memory(*inputs).index_select(1, position).squeeze(1)  # (B, K)
        return decoder.head(newest, tables[0]).log_softmax(-1), attention


def export_query_encoder(text: Any, max_words: int) -> bytes:
    """The ONNX file of a CLIP's text tower: "ids" int64 (1, max_words) -> "vector" (1, D), of length 1.

    text   what encodes captions: a `DiscoVLA` whose text tower has OpenAI's design, or an `AdaptedText`

    Raises ConfigError for text towers of another design.
    """
    if not getattr(text, "own_text", True) or not hasattr(text.clip, "text_projection"):
        raise ConfigError("only text towers of OpenAI's design can be exported; this one is its library's")
    ids = torch.zeros(1, max_words, dtype=torch.int64)
    return _onnx(QueryEncoder(text), {"ids": ids}, ["vector"])


def export_caption_reader(univl: UniVL, words: int, frames: int) -> bytes:
    """The ONNX file of UniVL's text and cross encoder for `words` token ids and `frames` encoded features.

    "ids" and "mask" int64 (1, W), "video" (1, T, D) as `encode_video` makes it, "video_mask" int64 (1, T) -> "memory"
    (1, W+T, D). Raises ConfigError for a model without cross encoder.
    """
    univl.require("cross")
    ids = torch.ones(1, words, dtype=torch.int64)
    video, video_mask = torch.zeros(1, frames, univl.config.hidden_size), torch.ones(1, frames, dtype=torch.int64)
    inputs = {"ids": ids, "mask": torch.ones_like(ids), "video": video, "video_mask": video_mask}
    return _onnx(CaptionReader(univl), inputs, ["memory"])


def export_next_word(univl: UniVL, beams: int, words: int, frames: int) -> bytes:
    """The ONNX file of a step of UniVL's decoder for `beams` captions of a clip, see `NextWord`.

    "ids" int64 (B, W), "position" int64 (1,), "memory" (1, W+T, D), "memory_mask" int64 (1, W+T) -> "log_probs" (B, V)
    and "attention" (B, W+T). Raises ConfigError for a model without decoder.
    """
    univl.require("decoder")
    memory = torch.zeros(1, words + frames, univl.config.hidden_size)
    inputs = {
        "ids": torch.ones(beams, words, dtype=torch.int64),
        "position": torch.zeros(1, dtype=torch.int64),
        "memory": memory,
        "memory_mask": torch.ones(memory.shape[:2], dtype=torch.int64),
    }
    return _onnx(NextWord(univl), inputs, ["log_probs", "attention"])


@torch.no_grad()
def _onnx(module: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str]) -> bytes:
    """A module as one ONNX file, weights included. It needs the package onnx.

    Traced, which torch deprecates: these graphs branch nowhere, and the exporter that replaces it takes twenty times
    as long for the same numbers.
    """
    file: Any = io.BytesIO()  # which it takes, whatever its types say
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that become constants, which they are meant to be
        torch.onnx.export(
            copy.deepcopy(module).cpu().eval(),  # the caller's stays where it is
            tuple(inputs.values()),
            file,
            dynamo=False,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
        )
    return file.getvalue()
