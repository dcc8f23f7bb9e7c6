"""Training videos that several viewers tell."""

import torch
from torch import Tensor

from minivl.config import WorldConfig
from minivl.data.clips import ClipDataset
from minivl.data.text import tokenize
from minivl.data.world.build import told_by_viewers


class ToldByViewers(ClipDataset):
    """Clips with several captions each (one list per clip), one of which is drawn whenever a clip is read.

    So a batch never has a clip twice, whose captions would be wrong answers to each other.

    Raises ValueError if the first caption of a clip is not its own.
    """

    def __init__(self, data: ClipDataset, captions: list[list[str]]):
        if [own for own, *_ in captions] != data.captions:
            raise ValueError("the first caption of every clip must be its own")
        vars(self).update(vars(data))  # the same clips, and the frames that were kept of them
        tokens = [tokenize(data.clip.tokenizer, told, data.inputs.max_words) for told in captions]
        self.ids, self.masks = zip(*tokens, strict=True)  # per clip (captions, L) each

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        drawn = int(torch.randint(len(self.ids[index]), ()))
        return super().__getitem__(index) | {"text_ids": self.ids[index][drawn], "text_mask": self.masks[index][drawn]}


def told(train: ClipDataset, world: WorldConfig, viewers: int) -> ClipDataset:
    """The training clips of a world as so many viewers tell them; with one they are as they were."""
    if viewers == 1:
        return train
    return ToldByViewers(train, told_by_viewers("train", len(train), world, viewers))
