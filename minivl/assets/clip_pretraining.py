"""Pretraining of the small CLIP on (frame, short caption) pairs of the kitchen world.

The result is an ordinary open_clip folder: `open_clip_config.json`, `open_clip_model.safetensors`, a
tokenizer, and a card with held-out retrieval scores. What it is for: to be to the kitchen world what
OpenAI's CLIP is to the world outside, an image-level model that adaptation starts from.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from minivl.clip import Clip, load_clip
from minivl.clip.contrastive import symmetric_contrastive
from minivl.config import ClipPretrainConfig, WorldConfig
from minivl.data.atomic import replacing, write_text
from minivl.data.images import preprocess
from minivl.data.world import language
from minivl.data.world.meals import Dish, Step, draw_meal, split_of
from minivl.data.world.render import Stage, draw_frame
from minivl.metrics.retrieval import retrieval_metrics
from minivl.progress import tqdm
from minivl.train.distributed import gather_with_gradient
from minivl.train.loop import fit, seed_everything
from minivl.train.precision import products

CARD = Path(__file__).with_name("clip_card.md")
START, END, PAD, UNKNOWN = "<start_of_text>", "<end_of_text>", "<pad>", "<unknown>"


@dataclass(frozen=True)
class CaptionedFrame:
    """One pretraining pair. `fact` says what the picture shows: equal facts, equally right captions; `stage`, where."""

    frame: np.ndarray  # uint8 (size, size, 3)
    caption: str
    fact: tuple
    stage: Stage


def _fact(step: Step | None, plate: Dish | None) -> tuple:
    if plate is not None:
        return ("plate", plate.state, plate.title)
    if step is None:
        return ("idle",)
    dish = step.dish
    details = {
        "slice": (dish.ingredient,),
        "add": (dish.ingredient, dish.sliced, dish.vessel),
        "pour": (dish.liquid, dish.vessel),
    }
    return (step.verb, *details.get(step.verb, (dish.vessel,)))


def _meal_of(split: str, world: WorldConfig, rng: np.random.Generator):
    while split_of(meal := draw_meal(rng, world.dishes, sharing=world.sharing), world.seed, world.sharing) != split:
        pass
    return meal


def draw_picture(split: str, world: WorldConfig, rng: np.random.Generator) -> CaptionedFrame:
    """A random moment of a random meal of a split: mostly steps, some finished dishes, a few empty counters."""
    return picture_of(*draw_moment(split, world, rng), world, rng)


def draw_moment(split: str, world: WorldConfig, rng: np.random.Generator) -> tuple[Step | None, Dish | None]:
    """What a random picture of a split shows: a step, or a finished dish, or neither."""
    dishes = _meal_of(split, world, rng).dishes
    dish = dishes[rng.integers(len(dishes))]
    kind = rng.choice(["step", "plate", "idle"], p=[0.72, 0.25, 0.03])
    step = Step(str(rng.choice(["slice", "add", "add", "pour", dish.treatment])), dish) if kind == "step" else None
    return step, dish if kind == "plate" else None


def picture_of(step: Step | None, plate: Dish | None, world: WorldConfig, rng: np.random.Generator) -> CaptionedFrame:
    """A moment in a room of its own."""
    stage = Stage.draw(rng, world.clutter)
    frame = draw_frame(stage, step, rng.random(), rng, world.image_size, plate=plate)
    return CaptionedFrame(frame, language.pretraining_caption(step, rng, plate), _fact(step, plate), stage)


def draw_pictures(
    split: str, count: int, world: WorldConfig, distinct: bool = False, progress: bool = False
) -> list[CaptionedFrame]:
    """`count` pictures; `distinct` keeps one picture per fact, so that each caption fits exactly one."""
    rng = np.random.default_rng([world.seed, 100, len(split)])
    pictures = [
        draw_picture(split, world, rng)
        for _ in tqdm(range(count), desc=f"drawing {split} pictures", disable=not progress)
    ]
    return list({p.fact: p for p in pictures}.values()) if distinct else pictures


def train_tokenizer(sentences: list[str], vocabulary: int, folder: Path) -> None:
    """Byte-pair tokenizer of the kind CLIP has, saved for transformers' AutoTokenizer.

    `<end_of_text>` gets the largest id, because CLIP reads a text at the position of its largest id.
    Letters are always tokens: any word can be written, known or not.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789'-,.!?")
    tokenizer.train_from_iterator(
        [*sentences, *letters, *(f"{a} {b}{a}" for a in letters for b in letters)],
        trainers.BpeTrainer(
            vocab_size=vocabulary - 2,
            special_tokens=[PAD, UNKNOWN],
            initial_alphabet=letters,
            end_of_word_suffix="</w>",
            min_frequency=50,
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens([START, END])
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD, unk_token=UNKNOWN
    ).save_pretrained(folder)


class ImageTextContrast(nn.Module):
    """CLIP's own objective: matching (image, text) pairs score higher than all others of the batch."""

    clip: Any  # open_clip.CLIP, whose parts have no types

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.clip = clip

    def losses(self, batch: dict) -> dict[str, torch.Tensor]:
        """batch: `image` (B, 3, H, W), `text_ids` (B, L) -> {"contrastive", "total"}."""
        images = gather_with_gradient(self.clip.encode_image(batch["image"], normalize=True))
        texts = gather_with_gradient(self.clip.encode_text(batch["text_ids"], normalize=True))
        loss = symmetric_contrastive(products(texts, images), self.clip.logit_scale.exp().clamp(max=100))
        return {"contrastive": loss, "total": loss}


class CaptionedFrames(torch.utils.data.Dataset):
    """Pictures as CLIP reads them."""

    def __init__(
        self, pictures: list[CaptionedFrame], tokenizer: Any, size: int, mean: Sequence[float], std: Sequence[float]
    ):
        self.frames = np.stack([p.frame for p in pictures])
        self.text_ids = tokenizer([p.caption for p in pictures])
        self.settings = (size, mean, std)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict:
        return {
            "image": preprocess(self.frames[index : index + 1], *self.settings)[0],
            "text_ids": self.text_ids[index],
        }


def write_clip_folder(folder: Path, architecture: dict, vocabulary_size: int) -> None:
    """The configuration of a fresh open_clip model, with CLIP's usual preprocessing."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    text = {**architecture["text_cfg"], "vocab_size": vocabulary_size, "hf_tokenizer_name": "tokenizer.json"}
    colors = {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD}
    reading = {**colors, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": {**architecture, "text_cfg": text}, "preprocess_cfg": reading}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


@torch.inference_mode()
def image_text_retrieval(clip: Clip, pictures: list[CaptionedFrame]) -> dict:
    """Retrieval scores of a loaded Clip on pictures, one caption each (percent, see retrieval_metrics)."""
    data = CaptionedFrames(pictures, clip.tokenizer, clip.image_size, clip.mean, clip.std)
    batches = torch.utils.data.DataLoader(data, batch_size=256)
    device = next(clip.model.parameters()).device
    images = torch.cat([clip.model.encode_image(b["image"].to(device), normalize=True) for b in batches])
    texts = torch.cat([clip.model.encode_text(b["text_ids"].to(device), normalize=True) for b in batches])
    return retrieval_metrics((texts @ images.T).cpu().numpy())


def fresh_clip_folder(folder: Path, config: ClipPretrainConfig, world: WorldConfig) -> Path:
    """Make a folder with a tokenizer and the configuration of a CLIP without weights, and return it."""
    with FileLock(folder.with_suffix(".lock")):  # of several processes one makes it, and the others wait
        if not (folder / "open_clip_config.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            sentences = language.pretraining_sentences(20_000, np.random.default_rng(world.seed))
            train_tokenizer(sentences, config.vocabulary, folder)
            vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
            size = len(vocabulary["model"]["vocab"]) + 2  # start and end come after the learned tokens
            write_clip_folder(folder, config.architecture, size)
    return folder


def pretrain_clip(
    folder: Path, run_dir: Path, config: ClipPretrainConfig, world: WorldConfig, progress: bool = True
) -> dict:
    """Pretrain from nothing, save everything into `folder`, return the held-out scores.

    Interrupted? The same call goes on from the last checkpoint in `run_dir`. Of several processes the first one saves
    and scores; the others return {}.
    """
    from accelerate import PartialState
    from safetensors.torch import save_file

    seed_everything(config.train.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    fresh = fresh_clip_folder(run_dir / "fresh", config, world)
    clip = load_clip(str(fresh), weights=False)
    pictures = draw_pictures("train", config.images, world, progress=progress)
    data = CaptionedFrames(pictures, clip.tokenizer, clip.image_size, clip.mean, clip.std)
    settings = dataclasses.asdict(config) | {"world": dataclasses.asdict(world)}
    fit(ImageTextContrast(clip.model), data, config.train, run_dir, settings=settings, progress=progress)
    if not PartialState().is_main_process:
        return {}
    shutil.copytree(fresh, folder, dirs_exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in clip.model.state_dict().items()}
    with replacing(folder / "open_clip_model.safetensors") as file:
        save_file(state, file)
    return write_card(folder, config, world)


def write_card(folder: Path, config: ClipPretrainConfig, world: WorldConfig) -> dict:
    """Score the model in `folder` on held-out pictures, write `scores.json` and the model card, return the scores."""
    clip = load_clip(str(folder))
    pictures = draw_pictures("test", config.held_out, world, distinct=True)
    scores = image_text_retrieval(clip, pictures)
    write_text(folder / "scores.json", json.dumps(scores, indent=1))
    rows = "\n".join(
        f"| {task} | " + " | ".join(f"{scores[key][name]:.1f}" for name in ("R@1", "R@5", "R@10")) + " |"
        for task, key in (("caption finds picture", "t2v"), ("picture finds caption", "v2t"))
    )
    write_text(
        folder / "README.md",
        CARD.read_text(encoding="utf-8").format(
            parameters=sum(p.numel() for p in clip.model.parameters()),
            vocabulary=clip.model.vocab_size,
            size=clip.image_size,
            images=config.images,
            epochs=config.train.epochs,
            batch=config.train.batch_size,
            pictures=len(pictures),
            chance=100 / len(pictures),
            rows=rows,
        ),
    )
    return scores
