"""Beyond the paper: a model that sees which frame comes first, and training that asks for it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minivl.data.clips import ClipDataset
from minivl.data.text import tokenize


class TemporalEmbedding(nn.Module):
    """One learned vector per place in the video, which weighs what a frame adds to the video's embedding.

        g[f] + W (e[f] * g[f])        e (F, D) runs from -1 to 1 at the start, W (D, D) is zero then

    DiscoVLA itself has nothing of the kind: shuffle the frames of a video and its embedding stays what it was. A vector
    that is added, as one does with words, would not change that here: sum_f (g[f] + e[f]) is the same in every order.
    A product is not. Since W starts at zero, a fresh embedding changes nothing.
    """

    def __init__(self, frames: int, width: int):
        super().__init__()
        self.e = nn.Parameter(torch.linspace(-1, 1, frames)[:, None].repeat(1, width))
        self.W = nn.Parameter(torch.zeros(width, width))

    def forward(self, g: Tensor) -> Tensor:
        """Frame features g (B, F, D) -> (B, F, D). Raises ValueError for more frames than there are places."""
        frames = g.shape[1]
        if frames > len(self.e):
            raise ValueError(
                f"a video has {frames} frames, but the temporal embedding has {len(self.e)} places: raise "
                "`temporal` or sample fewer frames"
            )
        return g + (self.e[:frames] * g) @ self.W.T


class ReversedTwins(torch.utils.data.Dataset):
    """Every clip beside the same clip run backwards, told in the other order: "A then B" and "B then A".

    The two differ in nothing but order, so whoever has to tell them apart must see it. An item has the tensors of a
    clip with a dimension of 2 in front.

    in_other_order   caption -> the caption of the reversed clip, or None for one that tells one thing only

    Raises ValueError if a caption tells one thing only.
    """

    def __init__(self, data: ClipDataset, in_other_order: Callable[[str], str | None]):
        turned = {caption: in_other_order(caption) for caption in data.captions}
        single = [caption for caption in data.captions if turned[caption] is None]
        if single:
            raise ValueError(
                f"twins need captions of the form 'A then B', but {len(single)} of {len(data)} are not: "
                f"{single[0]!r:.80}"
            )
        self.data = data
        backwards = [turned[caption] or "" for caption in data.captions]
        self.text_ids, self.text_mask = tokenize(data.clip.tokenizer, backwards, data.inputs.max_words)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        clip = self.data[index]
        backwards = {name: value.flip(0) for name, value in clip.items()}  # frames, and what belongs to each
        backwards |= {"text_ids": self.text_ids[index], "text_mask": self.text_mask[index]}
        return {name: torch.stack([value, backwards[name]]) for name, value in clip.items()}


def twin_losses(model: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """DiscoVLA's losses of a batch of twins (B, 2, ...): each of the 2B clips has to find its own caption."""
    return model.losses({name: value.flatten(0, 1) for name, value in batch.items()})
