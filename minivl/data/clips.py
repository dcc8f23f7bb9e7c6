"""Clips as models read them: sampled and preprocessed frames beside tokenized captions."""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from minivl.config import InputConfig
from minivl.data.images import preprocess
from minivl.data.sampling import sample_frames
from minivl.data.text import tokenize


class ClipDataset(torch.utils.data.Dataset):
    """(frames, caption) pairs of a `datasets.Dataset` in the one schema.

    An item is a mapping of tensors: `video` (F, 3, size, size) float, `video_mask` (F,), `text_ids` (L,)
    and `text_mask` (L,). Videos are decoded when they are first needed; `keep_frames` then keeps the
    sampled frames in memory (uint8, as decoded), which suits small videos.

    Raises ValueError if the rows have no captions.
    """

    def __init__(self, rows, clip, inputs: InputConfig, keep_frames: bool = False):
        if "caption" not in rows.column_names:
            raise ValueError(f"these clips have no `caption` column, only {', '.join(rows.column_names)}")
        self.rows, self.clip, self.inputs = rows, clip, inputs
        self.paths = [video["path"] for video in rows["video"]]
        self.text_ids, self.text_mask = tokenize(clip.tokenizer, list(rows["caption"]), inputs.max_words)
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if keep_frames else None

    def __len__(self) -> int:
        return len(self.paths)

    def frames(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Sampled frames of one clip as decoded, uint8 (F, H, W, 3), and their mask (F,)."""
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        row = self.rows[index]
        sampled = sample_frames(self.paths[index], self.inputs.max_frames, self.inputs.frames_per_second,
                                row.get("start"), row.get("end"))
        if self._kept is not None:
            self._kept[index] = sampled
        return sampled

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        frames, mask = self.frames(index)
        return {"video": preprocess(frames, self.clip.image_size, self.clip.mean, self.clip.std),
                "video_mask": torch.as_tensor(mask), "text_ids": self.text_ids[index],
                "text_mask": self.text_mask[index]}


def batches(data: Sequence, batch_size: int, description: str, progress: bool = True):
    """The items of a dataset in order, collated, with a progress bar."""
    loader = torch.utils.data.DataLoader(data, batch_size=batch_size)
    yield from tqdm(loader, desc=description, unit="batch", disable=not progress, leave=False)
