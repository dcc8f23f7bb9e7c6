"""A pretraining batch made ready for the encoders: which objectives are active, and the fields that they read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from minivl.config import ConfigError
from minivl.train.distributed import processes
from minivl.univl.layers import used_length

if TYPE_CHECKING:
    from minivl.univl.model import UniVL

PARTS_OF = {  # of the model, beyond the two encoders
    "joint": set(),
    "cmlm": {"cross", "heads"},
    "cmfm": {"cross", "heads"},
    "align": {"cross"},
    "decoder": {"cross", "decoder"},
}
ENCODINGS_OF = {  # which of them `encode_batch` makes; "cross" is of the masked ones, and needs them
    "joint": {"unmasked"},
    "cmlm": {"masked", "cross"},
    "cmfm": {"masked", "cross"},
    "align": {"masked"},
    "decoder": {"masked", "cross"},
}
TEXT = ("input_ids", "attention_mask", "pairs_masked_text", "pairs_token_labels")
VIDEO = ("video", "video_mask", "masked_video", "video_labels_index")
CAPTION = ("input_caption_ids", "decoder_mask", "output_caption_ids")
UNMASKED = {"input_ids", "attention_mask", "video", "video_mask"}
MASKED = {"pairs_masked_text", "masked_video"}
FIELDS_OF = {  # of a batch, beyond the unmasked ones
    "joint": set(),
    "cmlm": MASKED | {"pairs_token_labels"},
    "cmfm": MASKED | {"video_labels_index"},
    "align": MASKED,
    "decoder": MASKED | set(CAPTION),
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
        for name, parts in PARTS_OF.items()
        if (weight := getattr(model.objectives, name)) and parts <= set(model.config.parts)
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
    read = UNMASKED.union(*(FIELDS_OF[name] for name in active))
    if lacking := sorted(read - set(batch)):
        raise ValueError(f"a batch for {', '.join(active)} must have {', '.join(lacking)}, too")
    ids = batch["input_ids"]
    nested = ids.ndim == 3
    fields = {
        name: batch[name].flatten(0, 1) if nested else batch[name] for name in read | {"text_hidden"} if name in batch
    }
    return Clips(_without_padding(model, fields, "decoder" in active), ids.shape[1] if nested else 1, ids.shape[-1])


def _without_padding(model, fields, captions):
    """Cut off the places that are padding in every row; those of captions only if [PAD] is not a target.

    Videos that are gathered keep theirs, because a gathered tensor has the same shape in every process.
    """
    groups = [(TEXT, "attention_mask")]
    if not over_all_processes(model):
        groups.append((VIDEO, "video_mask"))
    if captions and not model.objectives.count_padding:
        groups.append((CAPTION, "decoder_mask"))
    cut = dict(fields)
    for names, mask in groups:
        length = used_length(fields[mask])
        cut |= {name: fields[name][:, :length] for name in names if name in fields}
    return cut
