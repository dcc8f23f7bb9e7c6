"""Does the decoder copy the transcript, or does it look? What happens to its loss when one of the two is exchanged."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minivl.univl.pretraining_batch import FIELDS_OF
from minivl.univl.pretraining_step import encode_batch

if TYPE_CHECKING:
    from minivl.univl.model import UniVL


@torch.inference_mode()
def decoder_sources(model: "UniVL", batch: Mapping[str, Tensor]) -> dict[str, float]:
    """The decoder's loss on a pretraining batch, and what it owes to the text and to the video.

    batch   fields of `NarratedDataset`, at least two videos along the first dimension

    Returns {"loss": as it is; "another video's frames", "another video's text": the loss when each video gets those of
    the next one while the caption to write stays; "attention on text": the percentage of cross-attention that goes to
    the places of words, mean over layers, heads and written words}. A decoder that copies is hurt by another text only.
    """
    before = model.objectives
    model.objectives = replace(before, joint=0.0, cmlm=0.0, cmfm=0.0, align=0.0, decoder=1.0)
    try:
        encoded = encode_batch(model, batch)
        words, written = encoded.text_mask.shape[1], encoded.fields["decoder_mask"]  # W, and (N, C)
        cross_mask = torch.cat([encoded.text_mask, encoded.video_mask], dim=1)  # (N, W+T)
        weights = model.decoder.attention_over_memory(
            encoded.fields["input_caption_ids"], written, encoded.cross, cross_mask, *model.tables()
        )  # (N, C, W+T)
        return {
            "loss": model.losses(batch)["decoder"].item(),
            "another video's frames": model.losses(with_next(batch, "video_mask"))["decoder"].item(),
            "another video's text": model.losses(with_next(batch, "attention_mask"))["decoder"].item(),
            "attention on text": 100 * weights[..., :words].sum(-1)[written.bool()].mean().item(),
        }
    finally:
        model.objectives = before


def what_it_copies(model: "UniVL", told: Mapping[str, Tensor], untold: Mapping[str, Tensor]) -> dict[str, float]:
    """`decoder_sources` of the same videos with their texts and without, as losses and what an exchange adds to them.

    told, untold    fields of `NarratedDataset`, with `hide_text` 0 and 1

    Exchanging texts that are all hidden changes nothing, so `untold` has no such entry.
    """
    there, hidden = decoder_sources(model, told), decoder_sources(model, untold)
    return {
        "told, loss": there["loss"],
        "told, other frames cost": there["another video's frames"] - there["loss"],
        "told, other text costs": there["another video's text"] - there["loss"],
        "told, attention on text": there["attention on text"],
        "untold, loss": hidden["loss"],
        "untold, other frames cost": hidden["another video's frames"] - hidden["loss"],
    }


def with_next(batch: Mapping[str, Tensor], mask: str) -> dict[str, Tensor]:
    """The batch in which each row has the next row's fields of this mask's length."""
    return {name: x.roll(-1, 0) if name in FIELDS_OF[mask] else x for name, x in batch.items()}
