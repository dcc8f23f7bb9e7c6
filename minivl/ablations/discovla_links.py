"""A question that no sum over single frames answers, and what it takes to learn it: which dishes were made?

A video prepares several dishes at once. It is a picture of each step; beside clutter none shows more than one thing
(ingredient, liquid or treatment) and the vessel that it meets. A title ("a plate of sliced carrot soup") says what met
what. Asked is which title of a dish is right, among all that have its ingredient and a liquid and a treatment of the
video: with k dishes k * k titles, so guessing finds one in k * k. Whoever scores frames one by one and adds up can't
find them all: in all of these meals the same things are shown, only in other vessels, which are drawn at random.

The bundled CLIP reads pictures and titles and stays as it is; a head is trained on its vectors of frames. Or CLIP's own
last blocks are trained on, which DiscoVLA makes fusion layers of, and read the class tokens that come out below them.
"""

import time
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import Dataset

from minivl.ablations.discovla import training_of, world_and_rest
from minivl.ablations.runner import Cell, Measured
from minivl.clip import load_clip
from minivl.clip.contrastive import symmetric_contrastive
from minivl.config import Scale, WorldConfig
from minivl.data.images import preprocess
from minivl.data.world.meals import DISH_NAMES, INGREDIENTS, LIQUIDS, TREATMENTS, Meal, draw_split
from minivl.data.world.render import Stage, draw_frame
from minivl.data.world.timeline import schedule
from minivl.discovla.ivfusion import Layout, adapt_tower, first_tokens
from minivl.train.loop import fit, seed_everything

THINGS = tuple(product(INGREDIENTS, ("whole", "sliced")))
TITLES = tuple(DISH_NAMES)  # each a liquid and a treatment
LIQUID = torch.tensor([LIQUIDS.index(liquid) for liquid, _ in TITLES])
TREATMENT = torch.tensor([TREATMENTS.index(treatment) for _, treatment in TITLES])
SCALE = 20.0  # of cosines in the loss


def describe_links(settings: Scale, cell: Cell) -> str:
    """What the videos of a cell show."""
    k = world_and_rest(settings, cell)[0].dishes
    return f"{k} dishes: {3 * k} pictures of each video, and {k * k} titles for each of its dishes"


def run_links(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Train the head of a cell on as many videos as it says, and score.

    The score "links" is the percentage of dishes of test videos whose title is chosen.
    """
    world, chosen = world_and_rest(settings, cell)
    below = chosen.get("blocks", 0)  # how many of CLIP's last blocks are trained
    train, test = links_of("train", chosen["videos"], world, below), links_of("test", world.videos_test, world, below)
    began = time.process_time()
    seed_everything(seed)
    head = FusionBlocks(below, chosen["strategy"], chosen.get("rank")) if below else None
    model = Linker(title_vectors(), head or chosen["head"], chosen.get("layers", 0), chosen.get("told_from", "group"))
    training = training_of(settings, len(train), seed, chosen["rounds"], chosen["batch_size"], chosen["learning_rate"])
    with TemporaryDirectory() as run_dir:
        fit(model, train, training, Path(run_dir), progress=False)
    right = model.eval().cpu().right(test).float().mean(1).numpy() * 100  # of each video
    scores = {
        "links": float(right.mean()),
        "links, training": float(model.right(train).float().mean()) * 100,
        "trained parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "cpu seconds": time.process_time() - began,
    }
    return Measured(scores, {"links": right})


class Links(Dataset):
    """Videos of k dishes: what CLIP makes of their pictures (N, F, D), see `links_of`, and what each dish is.

    thing, title   (N, k) its row and column in `title_vectors`
    """

    def __init__(self, frames: Tensor, thing: Tensor, title: Tensor):
        self.frames, self.thing, self.title = frames, thing, title

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"frames": self.frames[index], "thing": self.thing[index], "title": self.title[index]}


class Linker(nn.Module):
    """Frames see each other, or don't, before their mean meets the titles.

    head     "sum": a perceptron changes each frame by itself; but for a video's length, scores are sums over frames
             "bag": a second one changes the mean
             "attention": a transformer of so many `layers`, in which every frame sees all frames of its video
             or a module of your own, from frames (B, F, D) to frames
    told_from   what the right title is told from in training: "group", all titles that the contents of the video
             allow, or "batch", by the contrastive loss with the title of one dish of each video
    """

    titles: Tensor

    def __init__(self, titles: Tensor, head: str | nn.Module, layers: int = 0, told_from: str = "group"):
        super().__init__()
        D = titles.shape[-1]
        self.register_buffer("titles", titles)  # (things, titles, D)
        self.told_from = told_from
        self.on_titles = nn.Linear(D, D)
        if isinstance(head, nn.Module):
            self.on_frames = head
        else:
            self.on_frames = _transformer(D, layers) if head == "attention" else _perceptron(D)
        self.on_mean = _perceptron(D) if head == "bag" else None

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, F, D) -> videos (B, D), of length 1."""
        changed = self.on_frames(frames)
        mean = (changed if self.on_mean is None else frames + changed).mean(1)
        return normalize(mean if self.on_mean is None else mean + self.on_mean(mean), dim=-1)

    def scores(self, videos: Tensor, thing: Tensor) -> Tensor:
        """Cosines of videos (B, D) with every title of their dishes' ingredients (B, k) -> (B, k, titles)."""
        titles = normalize(self.on_titles(self.titles), dim=-1)[thing]  # (B, k, titles, D)
        return (titles @ videos[:, None, :, None]).squeeze(-1)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """batch: frames (B, F, D), thing and title (B, k) -> {"total"}."""
        videos, thing, title = self.encode(batch["frames"]), batch["thing"], batch["title"]
        if self.told_from == "group":
            scores = SCALE * self.scores(videos, thing).masked_fill(~allowed(title), -torch.inf)
            return {"total": cross_entropy(scores.flatten(0, 1), title.flatten())}
        rows = torch.arange(len(videos))
        dish = torch.randint(thing.shape[1], (len(videos),))  # one of each video
        told = normalize(self.on_titles(self.titles[thing[rows, dish], title[rows, dish]]), dim=-1)  # (B, D)
        return {"total": symmetric_contrastive(told @ videos.T, torch.tensor(SCALE))}

    @torch.inference_mode()
    def right(self, data: Links) -> Tensor:
        """For each dish of each video, whether its title is chosen: (N, k)."""
        scores = self.scores(self.encode(data.frames), data.thing)
        return scores.masked_fill(~allowed(data.title), -torch.inf).argmax(-1) == data.title


def allowed(title: Tensor) -> Tensor:
    """Titles that the contents of each video allow: right titles (N, k) -> (N, 1, titles), for all its dishes."""
    of_titles = (LIQUID.to(title.device), TREATMENT.to(title.device))
    shown = [(of_title[title][..., None] == of_title).any(1) for of_title in of_titles]  # (N, titles) each
    return (shown[0] & shown[1])[:, None]


class FusionBlocks(nn.Module):
    """The last blocks of the bundled CLIP's vision tower as DiscoVLA fuses frames in them, for class tokens alone.

    strategy   "adapter" (IVFusion), "average", "video" or "image", see `IVFusionAttention`
    rank       of LoRA, which is trained with the adapters; None: all weights are trained, beside a LoRA of rank 8
    """

    def __init__(self, blocks: int, strategy: str, rank: int | None = None):
        super().__init__()
        visual = load_clip("kitchen").model.visual
        adapt_tower(visual.transformer, rank or 8, blocks, strategy)
        self.blocks, self.ln_post, self.proj = visual.transformer.resblocks[-blocks:], visual.ln_post, visual.proj
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(rank is None or "lora." in name or "adapter." in name)

    def forward(self, x: Tensor) -> Tensor:
        """Class tokens (B, F, W) as they come into these blocks -> frames (B, F, D), of length 1."""
        B, F, _ = x.shape
        x = x.flatten(0, 1)[:, None]  # (B*F, 1, W): frames that have no patches
        layout = Layout(first_tokens(x), F)
        for block in self.blocks:
            x = block(x, layout)
        return normalize(self.ln_post(x) @ self.proj, dim=-1).view(B, F, -1)


def _perceptron(D: int) -> nn.Module:
    return nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D))


def _transformer(D: int, layers: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(D, 4, 4 * D, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


@lru_cache(maxsize=4)
@torch.no_grad()
def links_of(split: str, count: int, world: WorldConfig, blocks: int = 0) -> Links:
    """The first videos of a split, drawn one by one, as the bundled CLIP sees a picture of each step.

    Its vectors have length sqrt(D), numbers of about 1. `blocks`: its class tokens instead, below so many last blocks.
    """
    clip, meals = load_clip("kitchen"), [meal for _, meal in draw_split(split, count, world, whole_groups=False)]
    if blocks:
        clip.model.visual.transformer.resblocks = clip.model.visual.transformer.resblocks[:-blocks]
        clip.model.visual.ln_post, clip.model.visual.proj = nn.Identity(), None
    frames = []
    for numbers in torch.arange(count).split(64):
        pictures = np.concatenate([pictures_of(meals[number], world, split, number) for number in numbers.tolist()])
        seen = clip.model.encode_image(preprocess(pictures, clip.image_size, clip.mean, clip.std))
        seen = seen if blocks else normalize(seen, dim=-1) * seen.shape[-1] ** 0.5
        frames.append(seen.unflatten(0, (len(numbers), -1)))  # (64, F, D)
    thing = [[THINGS.index((dish.ingredient, dish.state)) for dish in meal.dishes] for meal in meals]
    title = [[TITLES.index((dish.liquid, dish.treatment)) for dish in meal.dishes] for meal in meals]
    return Links(torch.cat(frames), torch.tensor(thing), torch.tensor(title))


def pictures_of(meal: Meal, world: WorldConfig, split: str, number: int) -> NDArray:
    """A picture of each step of the meal of a video, in their order (F, size, size, 3); slicing is left out."""
    time, pixels = np.random.default_rng([world.seed, len(split), number]).spawn(2)  # lengths of splits' names differ
    stage = Stage.draw(pixels, world.clutter)
    steps = [moment.step for moment in schedule(meal, replace(world, filler=0.0), time)]
    return np.stack(
        [
            draw_frame(stage, step, pixels.random(), pixels, world.image_size)
            for step in steps
            if step is not None and step.verb != "slice"
        ]
    )


@torch.no_grad()
def title_vectors() -> Tensor:
    """Titles of every dish as the bundled CLIP reads them: (THINGS, TITLES, D)."""
    clip = load_clip("kitchen")
    texts = [f"a plate of {state} {thing} {DISH_NAMES[made]}" for thing, state in THINGS for made in TITLES]
    return clip.model.encode_text(clip.tokenizer(texts), normalize=True).unflatten(0, (len(THINGS), len(TITLES)))
