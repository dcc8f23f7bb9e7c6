"""CLIP's text tower alone, for whoever encodes texts and no pictures: without open_clip, whose import takes seconds.

It reads the text half of a folder that `minivl.clip.load_clip` reads, and gives the same embeddings, bit for bit.
"""

import html
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from minivl.clip.folder_config import ModelConfig, TextConfig
from minivl.clip.model import TOKENIZER, WEIGHTS, checked_config
from minivl.clip.quick_gelu import QuickGELU
from minivl.clip.transformers_folder import is_transformers_folder
from minivl.data.trust import read_json
from minivl.hub.checkpoints import CheckpointError, load_weights, read_part

SIZES = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "hf_tokenizer_name"}
GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")  # transformers' names for "all is in tokenizer.json"


class TextTower(nn.Module):
    """A causal transformer over tokens; its parameters have the names that they have in `open_clip.CLIP`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        text = config.text_cfg
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(torch.zeros(text.context_length, text.width))
        self.transformer = TextTransformer(text, config.quick_gelu)
        self.ln_final = nn.LayerNorm(text.width)
        self.text_projection = nn.Parameter(torch.zeros(text.width, config.embed_dim))


class TextTransformer(nn.Module):
    """The blocks of the tower, for `minivl.discovla.ivfusion.adapt_tower`."""

    def __init__(self, text: TextConfig, quick_gelu: bool):
        super().__init__()
        self.width = text.width
        self.resblocks = nn.ModuleList(TextBlock(text, quick_gelu) for _ in range(text.layers))


class TextBlock(nn.Module):
    """The parts of one block, for `minivl.discovla.ivfusion.IVFusionBlock` to run."""

    def __init__(self, text: TextConfig, quick_gelu: bool):
        super().__init__()
        width, inner = text.width, int(text.width * text.mlp_ratio)
        layers = {"c_fc": nn.Linear(width, inner), "gelu": QuickGELU() if quick_gelu else nn.GELU()}
        self.ln_1, self.ls_1 = nn.LayerNorm(width), nn.Identity()
        self.attn = nn.MultiheadAttention(width, text.heads, batch_first=True)
        self.ln_2, self.ls_2 = nn.LayerNorm(width), nn.Identity()
        self.mlp = nn.Sequential(OrderedDict(**layers, c_proj=nn.Linear(inner, width)))


class FolderTokenizer:
    """The tokenizer of a folder's `tokenizer.json`, called as open_clip's tokenizers are."""

    def __init__(self, file: Path, context_length: int):
        from tokenizers import Tokenizer

        try:
            self._tokenizer, self.context_length = Tokenizer.from_file(str(file)), context_length
        except Exception as error:  # tokenizers has no kinds of errors
            raise CheckpointError(f"{file} is no tokenizer that can be read: {str(error)[:500]}") from error

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Ids (N, context_length) of texts, padded with 0; of longer texts the last words are lost."""
        from ftfy import fix_text

        length = context_length or self.context_length
        self._tokenizer.enable_truncation(length)
        cleaned = [" ".join(html.unescape(html.unescape(fix_text(text))).split()) for text in texts]  # as open_clip
        ids = torch.zeros(len(texts), length, dtype=torch.int64)
        for row, encoding in zip(ids, self._tokenizer.encode_batch(cleaned), strict=True):
            row[: len(encoding.ids)] = torch.tensor(encoding.ids)
        return ids


def load_text_tower(folder: Path) -> tuple[TextTower, FolderTokenizer] | None:
    """Text tower and tokenizer of an open_clip folder; None if they are of a kind that only its library builds.

    The weights of the vision tower are not read. Raises ModelError and CheckpointError as `load_clip`.
    """
    if is_transformers_folder(folder):
        return None
    config = checked_config(folder)
    if not _is_plain(config, folder):
        return None
    tower = TextTower(config).requires_grad_(False).eval()
    load_weights(tower, read_part(folder / WEIGHTS, tower.state_dict()))
    return tower, FolderTokenizer(folder / TOKENIZER, config.text_cfg.context_length)


def _is_plain(config: ModelConfig, folder: Path) -> bool:
    """Check that the text tower differs from OpenAI's in sizes only, and that its tokenizer is all in one file."""
    text, file = config.text_cfg, folder / "tokenizer_config.json"
    if config.custom_text or config.multimodal_cfg or not text.model_dump(exclude_defaults=True).keys() <= SIZES:
        return False
    settings = read_json(file) if text.hf_tokenizer_name and file.is_file() else None
    return isinstance(settings, dict) and settings.get("tokenizer_class") in GENERIC
