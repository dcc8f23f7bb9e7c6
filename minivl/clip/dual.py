"""One small interface to dual encoders, whichever library built them: pictures and texts in, comparable vectors out.

    encoder = dual_encoder(model)
    encoder.encode_frames(pixels)      (N, 3, H, W) -> (N, D)
    encoder.encode_texts(ids, mask)    (N, L) twice -> (N, D)
    encoder.logit_scale                () or (1,), the logarithm of what cosines are multiplied with

`minivl.clip.Clip` adds what feeds it: `preprocess` makes pixels, `tokenize` makes ids and mask.
"""

from typing import Any

import torch
from torch import Tensor, nn


class DualEncoder:
    """A vision and a text tower that share a space; what is left open here depends on the library.

    vision, text   the towers, whose blocks `minivl.discovla` may adapt
    image_size     pixels, (height, width)
    """

    vision: nn.Module
    text: nn.Module
    image_size: tuple[int, int]

    def __init__(self, model: Any):
        self.model = model

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the factor of cosines, () or (1,)."""
        return self.model.logit_scale

    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W), as `Clip.preprocess` makes them -> (N, D), of any length."""
        raise NotImplementedError

    def encode_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Texts as `Clip.tokenize` makes them, ids and mask (N, L) -> (N, D), of any length."""
        raise NotImplementedError


class OpenClipEncoder(DualEncoder):
    """What open_clip builds: CLIP, CustomTextCLIP or CoCa, with towers of its own, timm's or transformers'."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.vision = model.visual
        self.text = text_part(model) if hasattr(model, "text") else model.transformer
        size = model.visual.image_size
        self.image_size = (size, size) if isinstance(size, int) else tuple(size)

    def encode_frames(self, pixels: Tensor) -> Tensor:
        return self.model.encode_image(pixels, normalize=False)

    def encode_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        if reads_until_the_end(text_part(self.model)):  # what follows the end is not seen, but has places
            ids = nn.functional.pad(ids, (0, text_part(self.model).context_length - ids.shape[1]))
        return self.model.encode_text(ids, normalize=False)


class TransformersEncoder(DualEncoder):
    """A CLIP-like model of transformers: CLIP, SigLIP, SigLIP 2, AltCLIP, ChineseCLIP, MetaCLIP 2."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.vision, self.text = model.vision_model, model.text_model
        side = image_size_of(model.config)
        self.image_size = (side, side)

    def encode_frames(self, pixels: Tensor) -> Tensor:
        if not hasattr(self.model.config.vision_config, "num_patches"):
            return self.model.get_image_features(pixels).pooler_output
        patches, grid = _patches(pixels, self.model.config.vision_config.patch_size)
        mask = patches.new_ones(patches.shape[:2], dtype=torch.long)
        shapes = torch.tensor([grid] * len(pixels), device=pixels.device)
        return self.model.get_image_features(patches, pixel_attention_mask=mask, spatial_shapes=shapes).pooler_output

    def encode_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output


def dual_encoder(model: Any) -> DualEncoder:
    """The interface to a model of open_clip or transformers."""
    return OpenClipEncoder(model) if hasattr(model, "visual") else TransformersEncoder(model)


def embedding_width(model: Any) -> int:
    """D, the numbers of an embedding, found by encoding one text."""
    encoder = dual_encoder(model)
    config = getattr(model, "config", None)
    places = config.text_config.max_position_embeddings // 2 if config else text_part(model).context_length
    ids = torch.ones(1, max(places, 1), dtype=torch.long, device=encoder.logit_scale.device)
    with torch.no_grad():
        return encoder.encode_texts(ids, torch.ones_like(ids)).shape[1]


def text_part(model: Any) -> Any:
    """The part of an open_clip model that has the text tower's embeddings, blocks and projection."""
    return getattr(model, "text", model)


def reads_until_the_end(text: Any) -> bool:
    """Whether a text tower of open_clip is read at the largest id and no token sees a later one, as OpenAI's."""
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    return pool == "argmax" and getattr(text, "attn_mask", None) is not None and getattr(text, "cls_emb", None) is None


def image_size_of(config: Any) -> int:
    """Pixels, square, that a CLIP-like configuration of transformers is for; SigLIP 2 takes so many patches."""
    vision = config.vision_config
    if hasattr(vision, "num_patches"):
        return int(vision.num_patches**0.5) * vision.patch_size
    return vision.image_size


def _patches(pixels: Tensor, side: int) -> tuple[Tensor, tuple[int, int]]:
    """Pictures (N, 3, H, W) as SigLIP 2 reads them: (N, P, side * side * 3), row by row, and the grid's shape."""
    N, C, H, W = pixels.shape
    grid = H // side, W // side
    x = pixels.reshape(N, C, grid[0], side, grid[1], side)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(N, grid[0] * grid[1], -1), grid
