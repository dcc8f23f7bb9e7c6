"""One pretraining batch through UniVL: which encoding each objective reads, and nothing computed twice.

objective      text       video      through
Joint          unmasked   unmasked   mean pooling
CMLM, CMFM     masked     masked     cross encoder, one pass over the pairs
Decoder        masked     masked     that same pass; the words so far are partly masked, too
Align          masked     masked     cross encoder, every text with every video
"""

import torch

from minivl.config import ConfigError
from minivl.train.distributed import gather_with_gradient, processes
from minivl.univl import objectives
from minivl.univl.layers import used_length

PARTS_OF = {
    "joint": set(),
    "cmlm": {"cross", "heads"},
    "cmfm": {"cross", "heads"},
    "align": {"cross"},
    "decoder": {"cross", "decoder"},
}
TEXT = ("input_ids", "attention_mask", "pairs_masked_text", "pairs_token_labels")
VIDEO = ("video", "video_mask", "masked_video", "video_labels_index")
CAPTION = ("input_caption_ids", "decoder_mask", "output_caption_ids")
MASKED = {"pairs_masked_text", "masked_video"}  # what every objective but Joint reads
ONLY_FOR = {
    "joint": set(),
    "cmlm": MASKED | {"pairs_token_labels"},
    "cmfm": MASKED | {"video_labels_index"},
    "align": MASKED,
    "decoder": MASKED | set(CAPTION),
}


class PretrainingStep:
    """The losses of one batch. `model` is a UniVL, `batch` as `UniVL.pretraining_losses` takes it."""

    def __init__(self, model, batch):
        self.model, self.choices = model, model.objectives
        self.weights = {
            name: weight
            for name, needed in PARTS_OF.items()
            if (weight := getattr(self.choices, name)) and needed <= set(model.config.parts)
        }
        if not self.weights:
            raise ConfigError(
                f"nothing to train: every objective has weight 0 or needs a part that this model with "
                f"{list(model.config.parts)} does not have"
            )
        self.gathers = self.choices.global_negatives and processes() > 1
        self.clips_per_video = batch["input_ids"].shape[1] if batch["input_ids"].ndim == 3 else 1
        self.frame_position = batch["input_ids"].shape[-1]
        self.batch = self._without_padding(self._clips(batch))
        hidden = self.batch.get("text_hidden")
        self.valid = None if hidden is None or self.choices.contrast_hidden_texts else 1 - hidden.long()

    def _clips(self, batch):
        """The fields that are used, with one dimension for all clips: (videos, n, ...) -> (videos*n, ...)."""
        read = {"input_ids", "attention_mask", "video", "video_mask"}.union(*(ONLY_FOR[name] for name in self.weights))
        if lacking := sorted(read - set(batch)):
            raise ValueError(f"a batch for {', '.join(self.weights)} must have {', '.join(lacking)}, too")
        nested = batch["input_ids"].ndim == 3
        return {
            name: batch[name].flatten(0, 1) if nested else batch[name]
            for name in read | {"text_hidden"}
            if name in batch
        }

    def _without_padding(self, batch):
        """Cut off the places that are padding in every row; those of captions only if [PAD] is not a target.

        Videos that are gathered keep theirs, because a gathered tensor has the same shape in every process.
        """
        groups = [(TEXT, "attention_mask")] + [(VIDEO, "video_mask")] * (not self.gathers)
        if "decoder" in self.weights and not self.choices.count_padding:
            groups.append((CAPTION, "decoder_mask"))
        cut = dict(batch)
        for names, mask in groups:
            length = used_length(batch[mask])
            cut |= {name: batch[name][:, :length] for name in names if name in batch}
        return cut

    def pooled(self):
        """All that Joint reads: one text and one video per clip, (videos, n, D) each, and valid (videos, n) if some
        text does not count. Every clip is encoded on its own, so `minivl.train.gradient_cache` can do it in pieces.

        Raises ConfigError if there are other objectives, which read more than that.
        """
        if others := sorted(set(self.weights) - {"joint"}):
            raise ConfigError(
                f"gradient caching is for Joint alone, but this model also trains {', '.join(others)}, "
                "which need more than one embedding per text and video. Leave chunk_size out there"
            )
        self._encode(["joint"])
        return self._pooled()

    def losses(self):
        wanted = list(self.weights)
        self._encode(wanted)
        losses = {name: getattr(self, f"_{name}")() for name in wanted}
        losses["total"] = sum(weight * losses[name] for name, weight in self.weights.items())
        return losses

    def _encode(self, wanted):
        """Masked and unmasked clips go through the encoders as one batch of 2 N, if both are wanted."""
        batch, model = self.batch, self.model
        plain, masked = "joint" in wanted, set(wanted) != {"joint"}
        ids = [batch["input_ids"]] * plain + ([batch["pairs_masked_text"]] if masked else [])
        video = [batch["video"]] * plain + ([batch["masked_video"]] if masked else [])
        text_mask, video_mask = batch["attention_mask"], batch["video_mask"]
        text = model.encode_text(torch.cat(ids), text_mask.repeat(len(ids), 1)).split(len(text_mask))
        video = model.encode_video(torch.cat(video), video_mask.repeat(len(video), 1)).split(len(video_mask))
        self.text, self.video = text[0], video[0]  # unmasked, for Joint
        self.masked_text, self.masked_video = text[-1], video[-1]  # (N, W, D), (N, T, D)
        if {"cmlm", "cmfm", "decoder"} & set(wanted):
            self.cross = model.cross_encode(
                self.masked_text, text_mask, self.masked_video, video_mask, self.frame_position
            )[0]  # (N, W+T, D)

    def _pooled(self):
        model, batch = self.model, self.batch
        pooled = {
            "text": model.pool_text(self.text, batch["attention_mask"]),  # (N, D)
            "video": model.pool_video(self.video, batch["video_mask"]),
        }
        if self.valid is not None:
            pooled["valid"] = self.valid  # (N,)
        return {name: x.unflatten(0, (-1, self.clips_per_video)) for name, x in pooled.items()}

    def _joint(self):
        return joint_loss(self.choices, self._pooled())

    def _cmlm(self):
        """Only the masked words go through the head: its product with the vocabulary is the costly part."""
        labels = self.batch["pairs_token_labels"]  # (N, W)
        hidden = self.cross[:, : labels.shape[1]][labels >= 0]  # (M, D)
        logits = self.model.word_head(hidden, self.model.text.embeddings.word_embeddings.weight)
        return objectives.cmlm_loss(logits, labels[labels >= 0], self.gathers)

    def _cmfm(self):
        model, batch = self.model, self.batch
        W = batch["input_ids"].shape[1]
        masked = batch["video_labels_index"] >= 0  # (N, T)
        predicted = model.frame_head(self.cross[:, W:][masked], model.video.project.weight.T)  # (M, F)
        frames, mask = model.video.normalise(batch["video"]), batch["video_mask"]  # (N, T, F), (N, T)
        first = 0
        if self.choices.detach_frames:
            frames = frames.detach()
        if self.gathers:
            first = torch.distributed.get_rank() * mask.numel()
            frames, mask = gather_with_gradient(frames), gather_with_gradient(mask)
        real = mask.flatten().bool()
        place = real.cumsum(0) - 1  # of a frame among the real
        own = place[first + masked.flatten().nonzero().squeeze(-1)]  # (M,)
        return objectives.cmfm_loss(predicted, frames.flatten(0, 1)[real], own, self.gathers)

    def _align(self):
        batch, video, mask, first = self.batch, self.masked_video, self.batch["video_mask"], 0
        if self.gathers:
            first = torch.distributed.get_rank() * len(mask)
            video, mask = gather_with_gradient(video), gather_with_gradient(mask)
        similarity = self.model.align_similarity(
            self.masked_text, batch["attention_mask"], video, mask, self.frame_position
        )
        return objectives.align_loss(similarity, first, self.valid, self.gathers)

    def _decoder(self):
        model, batch = self.model, self.batch
        cross_mask = torch.cat([batch["attention_mask"], batch["video_mask"]], dim=1)
        return caption_loss(model, batch, self.cross, cross_mask, self.gathers)


def joint_loss(choices, pooled):
    """Joint over the clips of all processes, or of this one only, given what `PretrainingStep.pooled` made of them."""
    clips_per_video = pooled["text"].shape[1]
    if choices.global_negatives:
        pooled = {name: gather_with_gradient(x) for name, x in pooled.items()}
    clips = {name: x.flatten(0, 1) for name, x in pooled.items()}  # (N, D), valid (N,)
    similarity = objectives.products(clips["text"], clips["video"])  # (N, N)
    return objectives.mil_nce(similarity, clips_per_video, choices.anchors, clips.get("valid"))


def caption_loss(model, batch, cross, cross_mask, across_processes: bool = False):
    """The decoder's loss on a batch's caption fields, given the cross encoder's output (N, K, D).

    Only positions with a target go through the head. With `count_padding`, as in the release, every position has one.
    """
    ids, mask, targets = batch["input_caption_ids"], batch["decoder_mask"], batch["output_caption_ids"]  # (N, W)
    words, positions = model.tables()
    hidden = model.decoder.hidden(ids, mask, cross, cross_mask, words, positions)  # (N, W, D)
    kept = torch.ones_like(mask).bool() if model.objectives.count_padding else mask.bool()
    return objectives.decoder_loss(model.decoder.head(hidden[kept], words), targets[kept], across_processes)
