"""Pretrained weights that the full scale starts from: are they here, can they be read, and where do they come from?

Nothing is downloaded, and nothing in a file is run: torch files are read as tensors only. A folder that the user
names comes first, then the cache of the Hugging Face hub.
"""

import dataclasses
import pickle
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError

from minivl.clip import ModelError, load_clip
from minivl.config import ConfigError, NarrationConfig, UniVLConfig
from minivl.data.trust import refuse_code
from minivl.data.wordpiece import load_tokenizer
from minivl.hub.checkpoints import CheckpointError
from minivl.s3d import S3D
from minivl.univl import UniVL

ERRORS = (ValueError, OSError, RuntimeError, KeyError, TypeError, ImportError, pickle.UnpicklingError, SafetensorError)


@dataclass(frozen=True)
class Weights:
    """One set of pretrained weights.

    names    of its file or folder in the user's folder
    read     reads the file or folder and says what it is; raises one of ERRORS if it cannot be read
    hub      its name on the hub, and the file there whose presence in the cache tells that it was downloaded
    whole    whether the cached folder is read, or that file alone
    """

    names: tuple[str, ...]
    purpose: str
    licence: str
    source: str
    read: Callable[[Path], str]
    hub: tuple[str, str] | None = None
    whole: bool = True


@dataclass(frozen=True)
class Finding:
    """Finding about one set of weights."""

    weights: Weights
    looked_for: tuple[str, ...]
    place: Path | None = None
    found: str = ""
    problem: str = ""

    def __str__(self):
        name, w = self.weights.names[0], self.weights
        lines = [f"{name}: {w.purpose}"]
        if self.place is None:
            lines += [f"  not here   looked for {', '.join(self.looked_for)}", f"  get it     {w.source}"]
        else:
            lines += [
                f"  here       {self.place}",
                f"  BROKEN     {self.problem}" if self.problem else f"  readable   {self.found}",
            ]
        return "\n".join([*lines, f"  licence    {w.licence}"])


def known_weights() -> list[Weights]:
    """All weights that the recipes start from."""
    clip = [
        Weights(
            (name, f"{name}.safetensors", f"{name}.pt", f"{name}.bin"),
            f"OpenAI's CLIP {name}, for DiscoVLA",
            "MIT, as github.com/openai/CLIP states",
            f"the hub's {hub} (an open_clip folder, or its open_clip_model.safetensors), or let open_clip "
            f"download it: --clip {name}/openai",
            partial(read_clip, name),
            (hub, "open_clip_model.safetensors"),
            whole=False,
        )
        for name, hub in (
            ("ViT-B-32", "timm/vit_base_patch32_clip_224.openai"),
            ("ViT-B-16", "timm/vit_base_patch16_clip_224.openai"),
        )
    ]
    return [
        Weights(
            ("bert-base-uncased",),
            "UniVL's tokenizer and the start of its text encoder",
            "Apache 2.0",
            "the hub's google-bert/bert-base-uncased: config.json, model.safetensors and the tokenizer's files",
            read_bert,
            ("bert-base-uncased", "config.json"),
        ),
        *clip,
        Weights(
            ("univl.pretrained.bin",),
            "UniVL as released, pretrained on HowTo100M",
            "MIT, as its repository states",
            "the releases of github.com/microsoft/UniVL; then minivl weights convert univl FILE FOLDER",
            read_univl,
        ),
        Weights(
            ("s3d_howto100m.pth",),
            "S3D, whose features UniVL reads",
            "Apache 2.0, as its repository states",
            "github.com/antoine77340/S3D_HowTo100M; then minivl weights convert s3d FILE FOLDER",
            read_s3d,
        ),
        Weights(
            ("llava-v1.6-mistral-7b-hf",),
            "LLaVA-NeXT, which writes pseudo captions for DiscoVLA",
            "Apache 2.0, as its card states",
            "the hub's llava-hf/llava-v1.6-mistral-7b-hf (15 GB)",
            read_llava,
            ("llava-hf/llava-v1.6-mistral-7b-hf", "config.json"),
        ),
    ]


def check_weights(folder: Path | str, known: list[Weights] | None = None) -> list[Finding]:
    """Look for all weights in `folder` and in the hub's cache, and read what is there."""
    return [_check(weights, Path(folder)) for weights in known or known_weights()]


def _check(weights: Weights, folder: Path) -> Finding:
    candidates = [folder / name for name in weights.names]
    looked_for = [str(path) for path in candidates]
    if weights.hub:
        looked_for.append(f"the hub's cache of {weights.hub[0]}")
    place = next((path for path in candidates if path.exists()), None) or _cached(weights)
    if place is None:
        return Finding(weights, tuple(looked_for))
    try:
        with _quiet_transformers():
            return Finding(weights, tuple(looked_for), place, weights.read(place))
    except ERRORS as error:
        return Finding(weights, tuple(looked_for), place, problem=_told(error))


def _cached(weights: Weights) -> Path | None:
    """The file, or its folder, in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(*weights.hub) if weights.hub else None
    if not isinstance(path, str):  # None, or a mark that the hub has no such file
        return None
    return Path(path).parent if weights.whole else Path(path)


def _told(error: BaseException) -> str:
    if isinstance(error, pickle.UnpicklingError):
        return "refused: to read it, Python would have to run code. Weights need no code; get it from its source"
    return f"{type(error).__name__}: {error}"


def read_bert(path: Path, sizes: UniVLConfig | None = None) -> str:
    """A transformers folder with a BERT that fits UniVL's text encoder, and its tokenizer."""
    from transformers import BertModel

    with torch.device("meta"):
        expected = UniVL(dataclasses.replace(sizes or UniVLConfig(), parts=())).text.state_dict()
    found = _names_and_shapes(BertModel, path, add_pooling_layer=False)
    wrong = [
        f"{name} is {tuple(found[name])}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name not in found or found[name] != tensor.shape
    ]
    if wrong:
        raise CheckpointError(f"{path} has other sizes than UniVL's text encoder: {wrong[0]}, {len(wrong)} in all")
    words = len(load_tokenizer(path))
    return f"{sum(shape.numel() for shape in found.values()):,} parameters, tokenizer with {words:,} words"


def read_llava(path: Path) -> str:
    """A transformers folder with a LLaVA-NeXT in safetensors. Names and shapes are compared, values are not read."""
    from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

    found = _names_and_shapes(LlavaNextForConditionalGeneration, path, use_safetensors=True)
    processor = LlavaNextProcessor.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if processor.chat_template is None:
        raise ModelError(f"{path} has no chat template: get chat_template.json, too")
    return f"{sum(shape.numel() for shape in found.values()):,} parameters, with its processor"


def _names_and_shapes(cls, path, **options) -> dict[str, torch.Size]:
    """Load a folder as transformers does, on the meta device. Raises CheckpointError for weights that it lacks."""
    if not path.is_dir():
        raise CheckpointError(f"{path} must be a folder with config.json and model.safetensors")
    refuse_code(path)
    model, report = cls.from_pretrained(
        path, device_map="meta", output_loading_info=True, local_files_only=True, trust_remote_code=False, **options
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{path} lacks {len(missing)} of the model's weights, the first is {missing[0]}: they "
            "belong to another model, or the files are not all there"
        )
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def read_clip(architecture: str, path: Path) -> str:
    """An open_clip folder, or a file of weights, of this architecture with OpenAI's activation."""
    if path.is_file():
        model = load_clip(f"{architecture}-quickgelu", str(path)).model
    else:
        model, expected = load_clip(str(path)).model, load_clip(f"{architecture}-quickgelu").model
        if not _shapes(model) == _shapes(expected):
            raise ModelError(f"{path} is a CLIP, but not a {architecture}")
        if type(model.visual.transformer.resblocks[0].mlp.gelu) is torch.nn.GELU:
            raise ModelError(f"{path} has another activation than OpenAI's: set quick_gelu in open_clip_config.json")
    return f"{sum(p.numel() for p in model.parameters()):,} parameters"


def _shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def read_univl(path: Path) -> str:
    """The weights of the released UniVL."""
    model = UniVL.from_reference(path)
    sizes, released = dataclasses.asdict(model.config), dataclasses.asdict(UniVLConfig())
    other = [f"{name} {sizes[name]}" for name in released if sizes[name] != released[name]]
    count = sum(p.numel() for p in model.parameters())
    return f"{count:,} parameters, " + (f"not the released sizes: {', '.join(other)}" if other else "released sizes")


def read_s3d(path: Path) -> str:
    """The weights of the released S3D."""
    return f"{sum(p.numel() for p in S3D.from_reference(path).parameters()):,} parameters"


def convert(kind: str, file: Path, folder: Path, bert: str) -> None:
    """Write released weights as a model folder; UniVL gets the tokenizer of `bert` beside it.

    Raises ConfigError for another kind and for a tokenizer of another size, CheckpointError for unfit weights.
    """
    card = f"Converted from the released `{file.name}` by `minivl weights convert {kind}`.\n"
    if kind == "s3d":
        S3D.from_reference(file).save_pretrained(folder, card)
    elif kind == "univl":
        model, tokenizer, inputs = UniVL.from_reference(file), load_tokenizer(bert), NarrationConfig()
        if len(tokenizer) != model.config.vocab_size:
            raise ConfigError(
                f"the tokenizer of {bert} has {len(tokenizer)} words and {file} has "
                f"{model.config.vocab_size}: give --bert the one that it was trained with"
            )
        model.save_pretrained(folder, tokenizer, card, {"max_words": inputs.max_words, "max_frames": inputs.max_frames})
    else:
        raise ConfigError(f"cannot convert {kind!r}: choose univl or s3d")


@contextmanager
def _quiet_transformers():
    """transformers draws bars and prints reports of what is told here in one line."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
