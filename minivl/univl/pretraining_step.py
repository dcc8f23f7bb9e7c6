"""One pretraining batch through UniVL, in one direction: batch -> `encode_batch` -> five objectives -> their sum.

objective      text       video      through
Joint          unmasked   unmasked   mean pooling
CMLM, CMFM     masked     masked     cross encoder, one pass over the pairs (in controls, `cross_of`, one more)
Align          masked     masked     cross encoder, every text with every video
Decoder        masked     masked     the pass of CMLM and CMFM; the words so far are partly masked, too

Sizes: N clips of W words and T frames, hidden size D, F numbers per frame, V words in the vocabulary.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from minivl.config import ObjectiveConfig
from minivl.train.distributed import gather_with_gradient
from minivl.train.precision import products
from minivl.univl import objectives
from minivl.univl.pooling import pool_text, pool_video
from minivl.univl.pretraining_batch import NEEDS, active_objectives, flat_clips, over_all_processes

if TYPE_CHECKING:
    from minivl.univl.model import UniVL

UNREAD = torch.empty(0)  # in place of an encoding that no active objective reads: it is not computed


class Encoded(NamedTuple):
    """A batch after the encoders. Text and video of a row belong to the same clip."""

    text: Tensor  # (N, W, D) of the unmasked words: Joint
    video: Tensor  # (N, T, D) of the unmasked frames: Joint
    masked_text: Tensor  # (N, W, D) of the text with masked words: Align
    masked_video: Tensor  # (N, T, D) of the video with masked frames: Align
    cross: Tensor  # (N, W+T, D) of masked text and masked video together: CMLM, CMFM, Decoder
    text_mask: Tensor  # (N, W)
    video_mask: Tensor  # (N, T)
    valid: Tensor | None  # (N,) 0 for hidden texts, which Joint and Align then leave out; None: all count
    fields: dict[str, Tensor]  # of the batch, (N, ...): labels, unmasked frames, captions
    clips_per_video: int
    frame_position: int  # of the first frame in the cross encoder


def pretraining_losses(model: "UniVL", batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The active objectives of one batch and "total", their weighted sum: see `UniVL.forward`."""
    weights = active_objectives(model)
    encoded = encode_batch(model, batch)
    steps = {"joint": joint, "cmlm": cmlm, "cmfm": cmfm, "align": align, "decoder": decoder}
    losses = {name: steps[name](model, encoded) for name in weights}
    first, *others = (weight * losses[name] for name, weight in weights.items())
    losses["total"] = sum(others, first)
    return losses


def encode_batch(model: "UniVL", batch: Mapping[str, Tensor]) -> Encoded:
    """The encodings that the active objectives read, each computed once.

    Unmasked and masked clips go through text and video encoder as one batch of 2 N, if both are read.

    Raises ConfigError if no objective is active, ValueError if a field is missing.
    """
    read = set[str]().union(*(NEEDS[name].encodings for name in active_objectives(model)))
    read_unmasked, read_masked, read_cross = (name in read for name in ("unmasked", "masked", "cross"))

    fields, clips_per_video, frame_position = flat_clips(model, batch)
    text_mask, video_mask = fields["attention_mask"], fields["video_mask"]
    ids, frames = [], []  # (N, W), (N, T, F): unmasked, masked, or both
    if read_unmasked:
        ids.append(fields["input_ids"])
        frames.append(fields["video"])
    if read_masked:
        ids.append(fields["pairs_masked_text"])
        frames.append(fields["masked_video"])
    N, versions = len(text_mask), len(ids)
    texts = model.encode_text(torch.cat(ids), text_mask.repeat(versions, 1)).split(N)  # (N, W, D) each
    videos = model.encode_video(torch.cat(frames), video_mask.repeat(versions, 1)).split(N)  # (N, T, D) each

    cross = UNREAD
    if read_cross:
        cross, _ = model.cross_encode(texts[-1], text_mask, videos[-1], video_mask, frame_position)  # (N, W+T, D)
    hidden = fields.get("text_hidden")
    return Encoded(
        text=texts[0] if read_unmasked else UNREAD,
        video=videos[0] if read_unmasked else UNREAD,
        masked_text=texts[-1] if read_masked else UNREAD,
        masked_video=videos[-1] if read_masked else UNREAD,
        cross=cross,
        text_mask=text_mask,
        video_mask=video_mask,
        valid=None if hidden is None or model.objectives.contrast_hidden_texts else 1 - hidden.long(),
        fields=fields,
        clips_per_video=clips_per_video,
        frame_position=frame_position,
    )


# The objectives, in the paper's order


def joint(model: "UniVL", encoded: Encoded) -> Tensor:
    """Joint, of mean words and mean frames: a scalar. Reads the unmasked text and the unmasked video."""
    return joint_loss(model.objectives, pool_clips(encoded))


def cmlm(model: "UniVL", encoded: Encoded) -> Tensor:
    """CMLM: a scalar. Reads the cross encoder at the masked words.

    Only these go through the head: its product with the vocabulary is the costly part.
    """
    labels = encoded.fields["pairs_token_labels"]  # (N, W), the original word where one is masked, else -1
    masked = labels >= 0
    words = cross_of(model, encoded, model.objectives.cmlm_reads)[:, : labels.shape[1]]  # (N, W, D)
    logits = model.word_head(words[masked], model.text.embeddings.word_embeddings.weight)  # (M, V)
    return objectives.cmlm_loss(logits, labels[masked], over_all_processes(model))


def cmfm(model: "UniVL", encoded: Encoded) -> Tensor:
    """CMFM: a scalar. Reads the cross encoder at the masked frames, and of them and all others what was there before.

    predicted     what the head makes of the M masked frames, from the words and the frames around them
    candidates    the K real frames of the batch, in the order of rows: not encoded, only normalised, none masked
    labels        the place among the candidates of the frame that was masked
    """
    masked = encoded.fields["video_labels_index"] >= 0  # (N, T)
    frames, projection = frames_of(model, encoded)  # (N, T, D), (F, D)
    predicted = model.frame_head(frames[masked], projection)  # (M, F)

    unmasked, real = model.video.normalise(encoded.fields["video"]), encoded.video_mask  # (N, T, F), (N, T)
    if model.objectives.detach_frames or model.objectives.cmfm_reads == "frozen":
        unmasked = unmasked.detach()
    first = 0  # of our rows among those of all processes
    if over_all_processes(model):
        first = torch.distributed.get_rank() * len(real)
        unmasked, real = gather_with_gradient(unmasked), gather_with_gradient(real)  # (all N, T, F), (all N, T)
    real = real.bool()
    candidates = unmasked[real]  # (K, F)
    place = (real.flatten().cumsum(0) - 1).view_as(real)  # (all N, T), of each real frame among the candidates
    labels = place[first : first + len(masked)][masked]  # (M,)
    return objectives.cmfm_loss(predicted, candidates, labels, over_all_processes(model))


def align(model: "UniVL", encoded: Encoded) -> Tensor:
    """Align, by the cross encoder on every pair: a scalar. Reads the masked text and the masked video."""
    video, video_mask = encoded.masked_video, encoded.video_mask
    first = 0  # of our rows among those of all processes
    if over_all_processes(model):
        first = torch.distributed.get_rank() * len(video)
        video, video_mask = gather_with_gradient(video), gather_with_gradient(video_mask)
    similarity = model.align_similarity(
        encoded.masked_text, encoded.text_mask, video, video_mask, encoded.frame_position
    )  # (N, all N)
    return objectives.align_loss(similarity, first, encoded.valid, over_all_processes(model))


def decoder(model: "UniVL", encoded: Encoded) -> Tensor:
    """Decoder, each next word of the caption: a scalar. Reads the cross encoder at all words and frames."""
    cross_mask = torch.cat([encoded.text_mask, encoded.video_mask], dim=1)  # (N, W+T)
    return caption_loss(model, encoded.fields, encoded.cross, cross_mask, over_all_processes(model))


# Their pieces that are used alone


def cross_of(model: "UniVL", encoded: Encoded, reads: str) -> Tensor:
    """The cross encoder's output for masked text and video (N, W+T, D), attending to both or, in controls, to one.

    reads   "both", as in the paper; "text" or "video": the other is there, and nobody attends to it; "frozen": both, in
            a pass of its own
    """
    if reads == "both":
        return encoded.cross
    text_mask = torch.zeros_like(encoded.text_mask) if reads == "video" else encoded.text_mask
    video_mask = torch.zeros_like(encoded.video_mask) if reads == "text" else encoded.video_mask
    texts, videos = (encoded.masked_text, text_mask), (encoded.masked_video, video_mask)
    cross, _ = model.cross_encode(*texts, *videos, encoded.frame_position)
    return cross


def frames_of(model: "UniVL", encoded: Encoded) -> tuple[Tensor, Tensor]:
    """What CMFM guesses masked frames from: outputs at the frames (N, T, D), and its head's tied projection (F, D).

    They are the cross encoder's, as in the paper, or, in controls, what `ObjectiveConfig.cmfm_reads` says.
    """
    reads, projection = model.objectives.cmfm_reads, model.video.project.weight.T
    if reads == "encoder":
        return encoded.masked_video, projection
    if reads == "frozen":
        texts, videos = encoded.masked_text.detach(), encoded.masked_video.detach()
        encoded, projection = encoded._replace(masked_text=texts, masked_video=videos), projection.detach()
    return cross_of(model, encoded, reads)[:, encoded.text_mask.shape[1] :], projection


def pool_clips(encoded: Encoded) -> dict[str, Tensor]:
    """All that Joint reads: "text" and "video", (videos, n, D) each, and "valid" (videos, n) if some text is left out.

    Every clip is encoded on its own, so `minivl.train.gradient_cache` can do it in pieces.
    """
    pooled = {
        "text": pool_text(encoded.text, encoded.text_mask),  # (N, D)
        "video": pool_video(encoded.video, encoded.video_mask),  # (N, D)
    }
    if encoded.valid is not None:
        pooled["valid"] = encoded.valid  # (N,)
    return {name: x.unflatten(0, (-1, encoded.clips_per_video)) for name, x in pooled.items()}


def joint_loss(choices: ObjectiveConfig, pooled: Mapping[str, Tensor]) -> Tensor:
    """Joint over the clips of all processes, or of this one only, given what `pool_clips` made of them."""
    clips_per_video = pooled["text"].shape[1]
    if choices.global_negatives:
        pooled = {name: gather_with_gradient(x) for name, x in pooled.items()}
    clips = {name: x.flatten(0, 1) for name, x in pooled.items()}  # (N, D), valid (N,)
    similarity = products(clips["text"], clips["video"])  # (N, N)
    return objectives.mil_nce(similarity, clips_per_video, choices.anchors, clips.get("valid"), choices.positives)


def caption_loss(
    model: "UniVL", batch: Mapping[str, Tensor], cross: Tensor, cross_mask: Tensor, across_processes: bool = False
) -> Tensor:
    """The decoder's loss on a batch's caption fields (N, C), given the cross encoder's output (N, K, D).

    Only positions with a target go through the head. With `count_padding`, as in the release, every position has one.
    """
    ids, mask, targets = batch["input_caption_ids"], batch["decoder_mask"], batch["output_caption_ids"]  # (N, C)
    words, positions = model.tables()
    hidden = model.decoder.hidden(ids, mask, cross, cross_mask, words, positions)  # (N, C, D)
    kept = torch.ones_like(mask).bool() if model.objectives.count_padding else mask.bool()
    return objectives.decoder_loss(model.decoder.head(hidden[kept], words), targets[kept], across_processes)
