"""The text half of DiscoVLA, which a query needs without the other."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minivl.config import DiscoVLAConfig
from minivl.discovla.checks import require_known, require_valid
from minivl.discovla.ivfusion import Layout, adapt_tower, class_features, token_index
from minivl.hub.checkpoints import finite, load_weights, read_part


class AdaptedText(nn.Module):
    """`DiscoVLA` without its vision tower: the same names of parameters, the same embeddings.

    tower    the text tower of a CLIP; it is adapted in place
    config   what was trained, see `DiscoVLA`
    """

    def __init__(self, tower: nn.Module, config: DiscoVLAConfig):
        super().__init__()
        self.clip = tower
        adapt_tower(tower.transformer, config.lora_rank, config.text_fusion_layers, config.strategy)

    def load_adapted(self, file: Path) -> None:
        """Read LoRA and adapters of the text tower from the weights of a `DiscoVLA`. CheckpointError if they misfit."""
        of_clip = tuple(name for name in self.state_dict() if ".lora." not in name and ".adapter." not in name)
        load_weights(self, read_part(file, self.state_dict()), allow_missing=of_clip)

    def encode_caption(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As `DiscoVLA.encode_caption`: ids and mask (B, L) -> (B, D)."""
        require_valid(mask, ids.shape, "caption", "token")
        return finite(encode_text(self.clip, ids, mask), "embeddings of captions")


def encode_text(
    clip: Any, ids: Tensor, mask: Tensor, frames: int | None = None, video_tokens: Tensor | None = None
) -> Tensor:
    """Texts of an adapted CLIP: ids and mask (S, L) -> (S, D), read out at the end-of-text token, the largest id.

    frames         F for captions of frames, S = B * F; None for captions of videos
    video_tokens   (S, L), True for tokens that the whole video may attend to; None: all that are no padding
    """
    S, L = ids.shape
    if L > len(clip.positional_embedding):
        raise ValueError(f"captions have {L} tokens, but this CLIP reads at most {len(clip.positional_embedding)}")
    require_known(ids, len(clip.token_embedding.weight))
    mask, end = mask.bool(), ids.argmax(dim=-1)  # (S, L), (S,)

    used = mask.any(dim=0).index_fill(0, end, True)  # (L,)
    L = int(used.nonzero().max()) + 1  # the rest is padding everywhere
    ids, mask = ids[:, :L], mask[:, :L]  # (S, L) each
    causal = torch.ones(L, L, dtype=torch.bool, device=ids.device).tril()  # (L, L)
    image_mask = causal & mask[:, None]  # (S, L, L)
    video_tokens = mask if video_tokens is None else mask & video_tokens[:, :L]  # (S, L)
    layout = Layout(token_index(end), frames, image_mask, video_tokens)
    x = clip.token_embedding(ids) + clip.positional_embedding[:L]  # (S, L, W)
    x = class_features(clip.transformer, x, layout)  # (S, W)
    return clip.ln_final(x) @ clip.text_projection  # (S, D)
