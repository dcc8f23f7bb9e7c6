"""`open_clip_config.json` of a folder that anyone may have written, read by an allow-list of keys, types and sizes.

open_clip passes what it reads on to the constructors of models and tokenizers. So a key that is not listed here is an
error, however harmless it may be: an unknown key can be an argument that runs code or downloads it.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from minivl.config.limits import within
from minivl.data.trust import UntrustedFile, read_json

CONFIG = "open_clip_config.json"

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Layers = Annotated[int, Field(ge=1), AfterValidator(partial(within, "layers"))]
Width = Annotated[int, Field(ge=1), AfterValidator(partial(within, "width"))]
Pixels = Annotated[int, Field(ge=1), AfterValidator(partial(within, "pixels"))]
Tokens = Annotated[int, Field(ge=1), AfterValidator(partial(within, "positions"))]
Vocabulary = Annotated[int, Field(ge=1), AfterValidator(partial(within, "vocabulary"))]
Ratio = Annotated[float, Field(ge=0, le=64, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,100}$")]  # no slash, no colon: nothing on a hub
Channels = tuple[float, float, float]
AboveZero = Annotated[float, Field(gt=0)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class VisionConfig(_Checked):
    """Settings of an image tower."""

    layers: Layers | tuple[Layers, Layers, Layers, Layers] = 12
    width: Width = 768
    head_width: Width = 64
    mlp_ratio: Ratio = 4.0
    patch_size: Pixels | None = 16  # None: timm knows it
    image_size: Pixels | tuple[Pixels, Pixels] = 224
    ls_init_value: float | None = None
    patch_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    attentional_pool: bool | Literal["parallel", "cascade"] = False
    attn_pooler_queries: Tokens = 256
    attn_pooler_heads: Width = 8
    no_ln_pre: bool = False
    pos_embed_type: Name = "learnable"
    final_ln_after_pool: bool = False
    pool_type: Name = "tok"
    output_tokens: bool = False
    act_kwargs: dict[Name, float | int | bool] | None = None
    norm_kwargs: dict[Name, float | int | bool] | None = None
    timm_model_name: Name | None = None
    timm_model_pretrained: Literal[False] = False  # True downloads
    timm_pool: Name = "avg"
    timm_proj: Name | None = "linear"
    timm_proj_bias: bool = False
    timm_drop: Ratio = 0.0
    timm_drop_path: Ratio | None = None

    @model_validator(mode="after")
    def _few_patches(self) -> Self:
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)
        if self.patch_size is not None and self.timm_model_name is None:
            within("positions", (sides[0] // self.patch_size) * (sides[1] // self.patch_size))
        return self


class TokenizerArguments(_Checked):
    """Settings of a tokenizer; `trust_remote_code` is not among it."""

    clean: Name = "whitespace"
    strip_sep_token: bool = False
    language: Name | None = None


class TextConfig(_Checked):
    """Settings of a text tower. Towers of transformers (`hf_model_name`) are not: their sizes come from the hub."""

    context_length: Tokens = 77
    vocab_size: Vocabulary = 49_408
    hf_tokenizer_name: str | None = None  # only says that the folder's own tokenizer.json is read
    tokenizer_mode: Name | None = None
    tokenizer_kwargs: TokenizerArguments | None = None
    width: Width = 512
    heads: Width = 8
    layers: Layers = 12
    mlp_ratio: Ratio = 4.0
    ls_init_value: float | None = None
    embed_cls: bool = False
    pad_id: Count = 0
    eos_id: Count = 2
    no_causal_mask: bool = False
    final_ln_after_pool: bool = False
    pool_type: Name = "argmax"
    proj_bias: bool = False
    proj_type: Name | None = "linear"
    output_tokens: bool = False
    act_kwargs: dict[Name, float | int | bool | str] | None = None
    norm_kwargs: dict[Name, float | int | bool] | None = None


class DecoderConfig(_Checked):
    """The decoder of a CoCa."""

    context_length: Tokens = 77
    vocab_size: Vocabulary = 49_408
    width: Width = 512
    heads: Width = 8
    layers: Layers = 12
    mlp_ratio: Ratio = 4.0
    dim_head: Width = 64
    n_queries: Tokens = 256
    attn_pooler_heads: Width = 8


class ModelConfig(_Checked):
    """The two towers and what joins them."""

    embed_dim: Width
    vision_cfg: VisionConfig
    text_cfg: TextConfig
    multimodal_cfg: DecoderConfig | None = None
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: float | None = None
    init_logit_bias: float | None = None


class Preprocessing(_Checked):
    """Settings by which images become pixels of the model's kind."""

    size: Pixels | tuple[Pixels, Pixels] | None = None
    mode: Literal["RGB"] = "RGB"
    mean: Channels | None = None
    std: tuple[AboveZero, AboveZero, AboveZero] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: Count | Channels = 0


class FolderConfig(_Checked):
    """The whole file."""

    model_cfg: ModelConfig
    preprocess_cfg: Preprocessing = Preprocessing()


def read_folder_config(folder: Path) -> FolderConfig:
    """The checked configuration of an open_clip folder.

    Raises UntrustedFile, which lists every entry that is unknown, of another type, or too large.
    """
    file = folder / CONFIG
    content = read_json(file)
    try:
        return FolderConfig.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problems = []
        for problem in error.errors()[:20]:
            place = ".".join(str(part) for part in problem["loc"] if "[" not in str(part))  # those are pydantic's own
            problems.append(f"  {place or 'the whole file'}: {problem['msg']}")
        raise UntrustedFile(
            "\n".join([f"{file} is not a configuration of open_clip that minivl reads:", *problems])
        ) from error
