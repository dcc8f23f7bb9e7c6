"""Details that captions of frames name and captions of videos leave out: the room that each video was filmed in.

Every rendered video has a wall and a counter of its own colours, of which no caption tells. Here the captions of frames
do, as a multimodal model's would: "a hand above the counter in a red and teal kitchen". The bundled CLIP never read of
rooms; `clip_of_rooms` trains it on with pictures of one moment in several rooms, which their rooms tell apart.
"""

import colorsys
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import Dataset, default_collate

from minivl.ablations.discovla import BATCH, measured, render, training_of, world_and_rest, world_clips
from minivl.ablations.discovla_teachers import Delayed, how_often_right
from minivl.ablations.runner import Cell, Measured
from minivl.assets.clip_pretraining import (
    CaptionedFrames,
    ImageTextContrast,
    draw_moment,
    draw_picture,
    draw_pictures,
    image_text_retrieval,
    picture_of,
)
from minivl.clip import Clip, load_clip
from minivl.config import BUNDLED, Scale, WorldConfig, cache_dir, override
from minivl.data.clips import ClipDataset
from minivl.data.world.build import SPLITS
from minivl.data.world.render import Stage
from minivl.discovla import DiscoVLA
from minivl.discovla.beyond.probes import embed_texts
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.progress import tqdm
from minivl.tasks.clip.retrieval import embeddings, without_idle_fusion, zero_shot
from minivl.train.loop import fit, model_losses, seed_everything

HUES = ("red", "yellow", "green", "teal", "blue", "purple")  # 60 degrees each, red about 0
GREY = 0.12  # saturation below which a colour has no hue

# How CLIP learns rooms: so many of them per moment, passes over all pictures, and the rate.
ROOMS, EPOCHS, RATE = 8, 5, 7e-4


def prepare_rooms(settings: Scale, cell: Cell) -> str:
    """Render the world of a cell and train the CLIP that knows rooms, unless they are there; what splits have."""
    clip_of_rooms(settings, progress=True)  # takes minutes
    return render(settings, cell)


def run_rooms(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Adapt the CLIP that knows rooms as a cell says, whose captions of frames tell rooms or not ("rooms"), and score.

    "late" is the share of the steps before AlignDistill begins.
    Beside the scores of `minivl.ablations.discovla` and how often the teacher is right: "rooms", see `rooms_found`.
    """
    world, chosen = world_and_rest(settings, cell)
    rooms, rounds, batch = chosen.pop("rooms", False), chosen.pop("rounds", 1), chosen.pop("batch_size", BATCH)
    rate, late = chosen.pop("learning_rate"), chosen.pop("late", 0.0)
    train, val, test = world_clips(settings.inputs, world, None)
    config, folder = without_idle_fusion(override(settings.discovla, **chosen)), str(clip_of_rooms(settings))

    began = time.process_time()
    seed_everything(seed)
    model: Any = DiscoVLA.from_open_clip(folder, None, config) if rounds else zero_shot(load_clip(folder))
    if rounds:
        told = _told(train, "train", world, rooms) if config.alpha or config.beta else train
        with TemporaryDirectory() as run_dir:
            training = training_of(settings, len(train), seed, rounds, batch, rate)
            losses = Delayed(int(late * (training.steps or 0))) if late else model_losses
            fit(model, told, training, Path(run_dir), losses, progress=False)
    found = measured(model.eval(), world, val, test, time.process_time() - began if rounds else 0.0)
    found.examples["rooms"] = rooms_found(model, test, world).astype(np.float32)
    found.scores["rooms"] = float(found.examples["rooms"].mean())
    if rounds:
        found.scores.update(how_often_right(model, _told(val, "val", world, rooms), batch))
    return found


@torch.inference_mode()
def rooms_found(model: Any, test: ClipDataset, world: WorldConfig) -> NDArray[np.float64]:
    """For each test video 100 if, of one frame caption with every room, that with its own fits it best, else 0.

    The caption tells no step ("a hand above the counter in a red and teal kitchen"); by chance one room in 49 is right.
    """
    told = list(every_room())
    texts = embed_texts(model, test, [f"a hand above the counter {room}" for room in told])
    videos = embeddings(model, test, progress=False).videos
    best = (normalize(videos, dim=-1) @ normalize(texts, dim=-1).T).argmax(1).tolist()
    return 100.0 * np.array([told[b] == own for b, own in zip(best, rooms_of("test", len(best), world), strict=True)])


def rooms_of(split: str, count: int, world: WorldConfig) -> list[str]:
    """What can be said of the room of each video of a split, as `kitchen_clips` draws it."""
    pixels = (np.random.default_rng([world.seed, SPLITS.index(split), number]).spawn(3)[2] for number in range(count))
    return [room(Stage.draw(stream, world.clutter)) for stream in pixels]


def room(stage: Stage) -> str:
    """The colours of wall and counter in words: "in a red and teal kitchen"."""
    return _said(_color(stage.wall), _color(stage.counter))


def every_room() -> Iterator[str]:
    """All that `room` can say."""
    return (_said(wall, counter) for wall, counter in product((*HUES, "grey"), repeat=2))


def _said(wall: str, counter: str) -> str:
    return f"in a {wall} and {counter} kitchen"


def clip_of_rooms(settings: Scale, progress: bool = False) -> Path:
    """The folder of the bundled CLIP, trained on to tell rooms.

    It is trained at the first call and kept outside the repository.
    """
    config, world = settings.clip_pretrain, settings.world
    assert world is not None  # studies refuse settings without a world
    named = json.dumps([dataclasses.asdict(config), dataclasses.asdict(world), HUES, GREY, ROOMS, EPOCHS, RATE])
    weights = (BUNDLED / "clip_kitchen" / "open_clip_model.safetensors").read_bytes()
    folder = cache_dir() / "clips" / hashlib.sha256(named.encode() + weights).hexdigest()[:12]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _train_on(folder, settings, world, progress)
    return folder


class InManyRooms(Dataset):
    """Of each moment as many pictures as ROOMS, whose captions tell their rooms, and as many others that tell none.

    In an ordinary batch of CLIP's steps tell pictures apart, and rooms need not be read; among pictures of one moment
    they must be. (Drawn at random, two of a moment may be in rooms of the same name.)
    """

    def __init__(self, moments: int, clip: Clip, world: WorldConfig, progress: bool = False):
        rng = np.random.default_rng([world.seed, 200])
        pictures = []
        for _ in tqdm(range(moments), desc="drawing rooms", disable=not progress):
            moment = draw_moment("train", world, rng)
            in_rooms = [picture_of(*moment, world, rng) for _ in range(ROOMS)]
            pictures += [dataclasses.replace(p, caption=f"{p.caption} {room(p.stage)}") for p in in_rooms]
            pictures += [draw_picture("train", world, rng) for _ in range(ROOMS)]
        self.pictures = CaptionedFrames(pictures, clip.tokenizer, clip.image_size, clip.mean, clip.std)

    def __len__(self) -> int:
        return len(self.pictures) // (2 * ROOMS)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`image` (2 * ROOMS, 3, H, W) and `text_ids` (2 * ROOMS, L)."""
        return default_collate([self.pictures[2 * ROOMS * index + number] for number in range(2 * ROOMS)])


class RoomContrast(ImageTextContrast):
    """CLIP's own objective on all pictures of a batch of `InManyRooms`."""

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return super().losses({name: of_moments.flatten(0, 1) for name, of_moments in batch.items()})


def _train_on(folder: Path, settings: Scale, world: WorldConfig, progress: bool) -> None:
    from safetensors.torch import save_file

    config = settings.clip_pretrain
    moments = max(1, config.images // (2 * ROOMS))  # as many pictures as the bundled CLIP has seen
    batch = max(1, config.train.batch_size // (2 * ROOMS))
    training = dataclasses.replace(config.train, batch_size=batch, learning_rate=RATE, epochs=EPOCHS)
    clip = load_clip("kitchen")
    data = InManyRooms(moments, clip, world, progress)
    seed_everything(training.seed)
    model = RoomContrast(clip.model.train())
    with TemporaryDirectory(dir=folder.parent) as scratch:
        fit(model, data, training, Path(scratch) / "run", progress=progress)
        of_others = shutil.ignore_patterns("README.md", "scores.json", "*.safetensors")  # they describe other weights
        made = Path(shutil.copytree(BUNDLED / "clip_kitchen", Path(scratch) / "clip", ignore=of_others))
        state = {name: tensor.contiguous() for name, tensor in clip.model.state_dict().items()}
        save_file(state, made / "open_clip_model.safetensors")
        made.rename(folder)


def _told(data: ClipDataset, split: str, world: WorldConfig, rooms: bool) -> ClipDataset:
    """Clips with the captions of their frames, which tell the room, or don't."""
    captions = rendered_captions(data)
    if rooms:
        of_videos = rooms_of(split, len(data), world)
        captions = {
            key: [f"{caption} {seen}" for caption in of_frames]
            for (key, of_frames), seen in zip(captions.items(), of_videos, strict=True)
        }
    return with_pseudo_captions(data, captions)


def _color(rgb: tuple[int, ...]) -> str:
    hue, saturation, _ = colorsys.rgb_to_hsv(*(value / 255 for value in rgb))
    return "grey" if saturation < GREY else HUES[round(6 * hue) % 6]


@torch.inference_mode()
def recognised(settings: Scale, pictures: int = 600) -> dict[str, float]:
    """Of how many held-out pictures `clip_of_rooms` tells the wall, and the whole room, percent.

    Each picture chooses among its own caption with every room; by chance one wall in 7 is right and one room in 49.
    "step": of how many captions without a room, one for each kind of picture, the picture is found; "step, bundled":
    the same for the bundled CLIP.
    """
    assert settings.world is not None
    clip, rooms = load_clip(str(clip_of_rooms(settings))), list(every_room())
    shown = draw_pictures("test", pictures, settings.world)
    data = CaptionedFrames(shown, clip.tokenizer, clip.image_size, clip.mean, clip.std)
    told = []
    for number, picture in enumerate(shown):
        image = clip.model.encode_image(data[number]["image"][None], normalize=True)
        texts = clip.model.encode_text(clip.tokenizer([f"{picture.caption} {said}" for said in rooms]), normalize=True)
        told.append(rooms[int((texts @ image[0]).argmax())])
    true = [room(picture.stage) for picture in shown]
    walls = [a.split()[2] == b.split()[2] for a, b in zip(told, true, strict=True)]
    kinds = draw_pictures("test", pictures, settings.world, distinct=True)
    found = {
        name: image_text_retrieval(which, kinds)["t2v"]["R@1"]
        for name, which in (("step", clip), ("step, bundled", load_clip("kitchen")))
    }
    return {
        "wall": 100 * sum(walls) / len(shown),
        "room": 100 * sum(a == b for a, b in zip(told, true, strict=True)) / len(shown),
        **found,
    }
