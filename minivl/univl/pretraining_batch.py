"""A pretraining batch made ready for the encoders: which objectives are active, and the fields that they read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from minivl.config import ConfigError
from minivl.train.distributed import processes
from minivl.univl.layers import used_length

if TYPE_CHECKING:
    from minivl.univl.model import UniVL

FIELDS_OF = {  # mask -> the fields of a batch that are as long as it is
    "attention_mask": ("input_ids", "attention_mask", "pairs_masked_text", "pairs_token_labels"),
    "video_mask": ("video", "video_mask", "masked_video", "video_labels_index"),
    "decoder_mask": ("input_caption_ids", "decoder_mask", "output_caption_ids"),
}
UNMASKED = {"input_ids", "attention_mask", "video", "video_mask"}
MASKED = {"pairs_masked_text", "masked_video"}


class Needs(NamedTuple):
    """All that an objective needs."""

    parts: set[str]  # of the model, beyond the two encoders
    encodings: set[str]  # that `encode_batch` makes; "cross" is of the masked ones, and needs them
    fields: set[str]  # of a batch, beyond the unmasked ones


NEEDS = {  # of each of OBJECTIVES, in the paper's order
    "joint": Needs(parts=set(), encodings={"unmasked"}, fields=set()),
    "cmlm": Needs({"cross", "heads"}, {"masked", "cross"}, MASKED | {"pairs_token_labels"}),
    "cmfm": Needs({"cross", "heads"}, {"masked", "cross"}, MASKED | {"video_labels_index"}),
    "align": Needs({"cross"}, {"masked"}, MASKED),
    "decoder": Needs({"cross", "decoder"}, {"masked", "cross"}, MASKED | set(FIELDS_OF["decoder_mask"])),
}


class Clips(NamedTuple):
    """The N clips of a batch, in one dimension."""

    fields: dict[str, Tensor]  # (N, ...) each; places that are padding in every clip are cut off
    clips_per_video: int  # neighbouring rows are clips of one video
    frame_position: int  # of the first frame in the cross encoder: the length of the texts before they were cut


def active_objectives(model: "UniVL") -> dict[str, float]:
    """Weights of the objectives that are trained, in the paper's order: those that have a weight and all their parts.

    Raises ConfigError if there is none.
    """
    weights = {
        name: weight
        for name, needs in NEEDS.items()
        if (weight := getattr(model.objectives, name)) and needs.parts <= set(model.config.parts)
    }
    if not weights:
        raise ConfigError(
            f"nothing to train: every objective has weight 0 or needs a part that this model with "
            f"{list(model.config.parts)} does not have"
        )
    return weights


def over_all_processes(model: "UniVL") -> bool:
    """Check if negatives and candidates come from, and means are taken over, the clips of several processes."""
    return model.objectives.global_negatives and processes() > 1


def flat_clips(model: "UniVL", batch: Mapping[str, Tensor]) -> Clips:
    """The fields that active objectives read: (videos, n, ...) or (N, ...) -> (N, ...), without common padding.

    Raises ValueError if one is missing.
    """
    active = active_objectives(model)
    read = UNMASKED.union(*(NEEDS[name].fields for name in active))
    if lacking := sorted(read - set(batch)):
        raise ValueError(f"a batch for {', '.join(active)} must have {', '.join(lacking)}, too")
    ids = batch["input_ids"]
    nested = ids.ndim == 3
    fields = {
        name: batch[name].flatten(0, 1) if nested else batch[name] for name in read | {"text_hidden"} if name in batch
    }
    masks = ["attention_mask"]
    if not over_all_processes(model):  # a tensor that is gathered has the same shape in every process
        masks.append("video_mask")
    if "decoder" in active and not model.objectives.count_padding:  # else [PAD] is a target, too
        masks.append("decoder_mask")
    return Clips(without_padding(fields, *masks), ids.shape[1] if nested else 1, ids.shape[-1])


def without_padding(batch: Mapping[str, Tensor], *masks: str) -> dict[str, Tensor]:
    """A batch in which the fields of these masks end where the longest row does: the rest is padding everywhere."""
    cut = dict(batch)
    for mask in masks:
        length = used_length(batch[mask])
        cut |= {name: batch[name][:, :length] for name in FIELDS_OF[mask] if name in batch}
    return cut
