"""Clips as models read them: sampled and preprocessed frames beside tokenized captions."""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from minivl.config import InputConfig
from minivl.data.images import augmented
from minivl.data.sampling import sample_frames
from minivl.data.schema import captions_of
from minivl.data.text import tokenize
from minivl.progress import tqdm

if TYPE_CHECKING:
    from datasets import Dataset


class ClipDataset(torch.utils.data.Dataset):
    """(frames, caption) pairs of a `datasets.Dataset` in the one schema.

    A pair is a clip and its `caption`, or a clip and one of its `captions`. An item is a mapping of tensors:
    `video` (F, 3, size, size) float, `video_mask` (F,), `text_ids` (L,) and `text_mask` (L,). Videos are decoded
    when they are first needed; `keep_frames` then keeps the sampled frames in memory (uint8, as decoded), which
    suits small videos. With frame captions (`with_frame_captions`) an item also has `f_text_ids` and `f_text_mask`
    (F, L), one caption per sampled frame. Items are for training: with `inputs.augment` their frames are augmented,
    those of `video` and `video_batches`, which evaluation reads, are not.

    clip: the CLIP (`minivl.clip`) that reads the items; its tokenizer, image size and colours make them.
    Raises ValueError if the rows have no captions.
    """

    def __init__(self, rows: "Dataset", clip: Any, inputs: InputConfig, keep_frames: bool = False):
        self.rows, self.clip, self.inputs = rows, clip, inputs
        self.paths = [video["path"] for video in rows["video"]]
        self.captions, self.video_of_text = captions_of(rows)
        if not self.captions:
            raise ValueError(f"these clips have no `caption` or `captions` column, only {', '.join(rows.column_names)}")
        self.text_ids, self.text_mask = tokenize(clip.tokenizer, self.captions, inputs.max_words)
        self.frame_captions: list[list[str]] | None = None  # of each pair
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if keep_frames else None

    def __len__(self) -> int:
        return len(self.captions)

    def with_frame_captions(self, frame_captions: list[list[str] | None]) -> "ClipDataset":
        """The same pairs with one caption per sampled frame; pairs that have None instead are left out.

        Raises ValueError if the list is not as long as this data set, or a pair has not as many captions as frames.
        """
        if len(frame_captions) != len(self):
            raise ValueError(f"{len(frame_captions)} lists of frame captions for {len(self)} (clip, caption) pairs")
        given = {i: captions for i, captions in enumerate(frame_captions) if captions is not None}
        for i, captions in given.items():
            if len(captions) != self.inputs.max_frames:
                raise ValueError(
                    f"{len(captions)} frame captions for {self.inputs.max_frames} frames (clip "
                    f"{self.rows['video_id'][int(self.video_of_text[i])]}): there must be one per frame"
                )
        data, kept = copy.copy(self), list(given)
        data.frame_captions = list(given.values())
        data.captions, data.video_of_text = [self.captions[i] for i in kept], self.video_of_text[kept]
        data.text_ids, data.text_mask = self.text_ids[kept], self.text_mask[kept]
        return data

    def frames(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Sampled frames of one clip as decoded, uint8 (F, H, W, 3), and their mask (F,)."""
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        row = self.rows[index]
        sampled = sample_frames(
            self.paths[index], self.inputs.max_frames, self.inputs.frames_per_second, row.get("start"), row.get("end")
        )
        if self._kept is not None:
            self._kept[index] = sampled
        return sampled

    def video(self, index: int, augment: str = "") -> dict[str, torch.Tensor]:
        """One clip as the vision tower reads it: `video` (F, 3, size, size) and `video_mask` (F,).

        augment: a policy of RandAugment, see `minivl.data.images.augmented`; evaluation has none.
        """
        frames, mask = self.frames(index)
        shown = augmented(frames, augment) if augment else frames
        return {"video": self.clip.preprocess(shown), "video_mask": torch.as_tensor(mask)}

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item = {
            **self.video(int(self.video_of_text[index]), self.inputs.augment),
            "text_ids": self.text_ids[index],
            "text_mask": self.text_mask[index],
        }
        if self.frame_captions is not None:  # tokenized when needed: there are F times as many as captions
            item["f_text_ids"], item["f_text_mask"] = tokenize(
                self.clip.tokenizer, self.frame_captions[index], self.inputs.max_words
            )
        return item

    def video_batches(self, batch_size: int, progress: bool = True) -> Iterator[dict[str, Tensor]]:
        """Every clip once, in order, collated as `video` does."""
        batches = torch.arange(len(self.paths)).split(batch_size)
        for indices in tqdm(batches, desc="encoding clips", unit="batch", disable=not progress, leave=False):
            yield torch.utils.data.default_collate([self.video(int(index)) for index in indices])

    def text_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every caption once, in order: pairs of ids and masks (B, L)."""
        yield from zip(self.text_ids.split(batch_size), self.text_mask.split(batch_size), strict=True)
