"""Pretraining of S3D on narrated videos with MIL-NCE (arXiv 1912.06430), as the released one was on HowTo100M.

A second of video should resemble what is said around it more than what is said elsewhere. The sentence that fits may
come too early or too late, so the few sentences nearest in time are positives together: one that fits is enough. The
other sentences of the same video are negatives, too; telling them apart is what teaches actions.

Sizes: V videos, M seconds of each, S sentences of W words per video, E the width of the shared space.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from minivl.assets.s3d_probing import probe_s3d, report
from minivl.config import S3DPretrainConfig, WorldConfig
from minivl.data.schema import load_split
from minivl.data.world import opinions
from minivl.data.world.build import SPLITS, narrated_clips, write_split
from minivl.s3d.features import seconds_of_video
from minivl.s3d.model import S3D
from minivl.train.distributed import gather_with_gradient
from minivl.train.loop import fit, seed_everything
from minivl.train.precision import products

CARD = Path(__file__).with_name("s3d_card.md")
LOOKS = ("frowns a lot", "frowns", "looks calm", "smiles", "smiles a lot")  # what a face shows, from -1.5 to 1.5


def mil_nce_of_sentences(similarity: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
    """MIL-NCE between C seconds of video and N sentences (equation 1 of its paper), which is not UniVL's own: here the
    negatives of every positive sentence count, there those of one text.

        L_c = -log  sum_{s in P(c)} e^{S[c,s]}/( sum_s e^{S[c,s]}  + sum_{s in P(c)} sum_{k: s not in P(k)} e^{S[k,s]} )

    similarity (C, N); positive (C, N) says which sentences are in P(c), valid (N,) which are real and not padding.
    Every second needs a positive. The mean over seconds is returned.
    """
    none = torch.finfo(similarity.dtype).min
    own = similarity.masked_fill(~positive, none).logsumexp(dim=1)  # (C,)
    sentences = similarity.masked_fill(~valid, none).logsumexp(dim=1)  # (C,)
    other_seconds = similarity.masked_fill(positive | ~valid, none).logsumexp(dim=0)  # (N,)
    seconds = other_seconds.masked_fill(~positive, none).logsumexp(dim=1)  # (C,)
    return (torch.logaddexp(sentences, seconds) - own).mean()


class SentenceEmbedding(nn.Module):
    """The release's text tower: word embeddings -> linear -> relu -> maximum over words -> linear."""

    def __init__(self, vocabulary: int, word_dim: int, hidden: int, embed_dim: int):
        super().__init__()
        self.word_embd = nn.Embedding(vocabulary + 1, word_dim, padding_idx=0)
        self.fc1, self.fc2 = nn.Linear(word_dim, hidden), nn.Linear(hidden, embed_dim)

    def forward(self, words: Tensor) -> Tensor:
        """Word numbers (N, W), 0 for padding -> (N, E)."""
        hidden = torch.relu(self.fc1(self.word_embd(words)))  # (N, W, hidden)
        hidden = hidden * (words > 0)[..., None]  # 0 is the least that relu gives, so padding never is the maximum
        return self.fc2(hidden.amax(dim=1))


class NarratedVideoModel(nn.Module):
    """S3D and a text tower in one space. Only S3D is kept after training."""

    def __init__(self, net: S3D, text: SentenceEmbedding):
        super().__init__()
        self.net, self.text = net, text

    def losses(self, batch: dict) -> dict[str, torch.Tensor]:
        """batch: an item of NarratedSeconds with a leading V -> {"mil_nce", "total"}, over all processes."""
        seconds, words, positive = batch["seconds"], batch["words"], batch["positive"]
        V, M, S = positive.shape
        T, H, W = seconds.shape[2:5]
        video = self.net.segments(seconds.reshape(V * M * T, H, W, 3))  # (V*M, 3, T, H, W)
        video = gather_with_gradient(self.net(video).embedding)  # (V*M, E)
        text = gather_with_gradient(self.text(words.flatten(0, 1)))  # (V*S, E)
        positive = gather_with_gradient(positive.float()).bool()  # (V, M, S)
        valid = gather_with_gradient((words > 0).any(-1).float()).bool().flatten()  # (V*S,)
        same_video = torch.eye(len(positive), device=video.device).bool()
        positive = (same_video[:, None, :, None] & positive[:, :, None]).flatten(0, 1).flatten(1)  # (V*M, V*S)
        loss = mil_nce_of_sentences(products(video, text), positive, valid)
        return {"mil_nce": loss, "total": loss}


class Vocabulary:
    """Words as numbers from 1; unknown words are left out."""

    def __init__(self, sentences: Iterable[str]):
        self.words = sorted({word for sentence in sentences for word in sentence.split()})
        self._number = {word: number for number, word in enumerate(self.words, start=1)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, sentence: str, length: int) -> list[int]:
        """The first `length` known words, then zeros."""
        numbers = [self._number[word] for word in sentence.split() if word in self._number][:length]
        return numbers + [0] * (length - len(numbers))


class NarratedSeconds(torch.utils.data.Dataset):
    """Videos with a `transcript`; an item is all that is said in one, and some random seconds in which it is said.

    `seconds` (M, T, H, W, 3) uint8, `words` (S, W), and `positive` (M, S): the sentences nearest to each second.
    Decoded videos are kept in memory (27 KB per second of the small world). Rows without any narration are left out.

    rows   of the schema, with `video` and `transcript`
    """

    def __init__(self, rows: Iterable[dict], vocabulary: Vocabulary, config: S3DPretrainConfig):
        self.rows = [row for row in rows if row["transcript"]]
        self.config = config
        self.longest = max(len(row["transcript"]) for row in self.rows)
        self.words = [
            torch.tensor([vocabulary.encode(said["text"], config.max_words) for said in row["transcript"]])
            for row in self.rows
        ]
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def video(self, index: int) -> np.ndarray:
        """All seconds of a video, uint8 (seconds, T, H, W, 3)."""
        if index not in self._kept:
            net = self.config.net
            seconds = seconds_of_video(self.rows[index]["video"]["path"], net.frames_per_second, net.image_size)
            self._kept[index] = np.stack(list(seconds))
        return self._kept[index]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        video, M = self.video(index), self.config.seconds_per_video
        chosen = [_second_of(said, len(video)) for said in np.random.choice(self.rows[index]["transcript"], M)]
        words = torch.zeros(self.longest, self.config.max_words, dtype=torch.long)
        words[: len(self.words[index])] = self.words[index]
        positive = torch.zeros(M, self.longest, dtype=torch.bool)
        for m, second in enumerate(chosen):
            positive[m, nearest_sentences(self.rows[index]["transcript"], second + 0.5, self.config.positives)] = True
        return {"seconds": torch.from_numpy(video[chosen]), "words": words, "positive": positive}


def _second_of(said: dict, seconds: int) -> int:
    """A random second of a video while something is said."""
    return min(int(np.random.uniform(said["start"], said["end"])), seconds - 1)


def nearest_sentences(transcript: list[dict], second: float, count: int) -> list[int]:
    """Numbers of the `count` sentences whose middles are nearest to a moment."""
    distance = [abs((said["start"] + said["end"]) / 2 - second) for said in transcript]
    return np.argsort(distance, kind="stable")[:count].tolist()


def mood_clips(split: str, count: int, config: WorldConfig) -> Iterator[tuple[dict, Callable]]:
    """As opinion_clips, but what is said tells, second by second, what the cook's face shows (`mood`, at the end).

    Words about the dish, which real opinions consist of, would teach the network to overlook faces.
    """
    for number in range(count):
        rng = np.random.default_rng([config.seed, 40 + SPLITS.index(split), number])
        opinion = opinions.draw_opinion(rng)
        moods = [
            opinion.face * min(1.0, (second + 0.5) / opinion.seconds) for second in range(math.ceil(opinion.seconds))
        ]
        said = [
            {"text": f"the cook {_look(mood)}", "start": float(second), "end": second + 1.0}
            for second, mood in enumerate(moods)
        ]
        row = {"file_name": f"mood-{split}-{number:05d}.mp4", "mood": opinion.face, "transcript": said}
        yield row, lambda o=opinion, r=rng: np.stack(list(opinions.opinion_frames(o, config, r)))


def _look(mood: float) -> str:
    return LOOKS[int(np.clip((mood + 1.5) / 3.0 * len(LOOKS), 0, len(LOOKS) - 1))]


def render_videos(folder: Path, config: S3DPretrainConfig, progress: bool = True) -> None:
    """Everything that S3D learns from and is tested on: videos of two dishes, of one dish, and of faces."""
    world, single = config.world, dataclasses.replace(config.world, dishes=1)
    parts = [
        ("two", narrated_clips, "train", world.videos_train, world),
        ("one", narrated_clips, "train", config.single_dishes, single),
        ("mood", mood_clips, "train", config.moods, world),
        ("two", narrated_clips, "val", world.videos_val, world),
        ("mood", mood_clips, "val", config.moods, world),
    ]
    for name, make_clips, split, count, knobs in parts:
        if not (folder / name / split / "metadata.jsonl").exists():
            write_split(folder / name / split, make_clips(split, count, knobs), count, world.fps, progress)


def pretrain_s3d(folder: Path, run_dir: Path, config: S3DPretrainConfig, progress: bool = True) -> dict:
    """Train from nothing on the narrated world, save network and card into `folder`, return the scores of `probe_s3d`.

    Interrupted? The same call goes on from the last checkpoint in `run_dir`, where the videos are, too. Of several
    processes the first one probes and saves; the others return {}.
    """
    from accelerate import PartialState

    videos = Path(run_dir) / "videos"
    videos.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(videos.with_suffix(".lock")):  # of several processes one renders, and the others wait
        render_videos(videos, config, progress)
    rows = [row for name in ("two", "one", "mood") for row in load_split(videos / name, "train")]
    vocabulary = Vocabulary(said["text"] for row in rows for said in row["transcript"])
    seed_everything(config.train.seed)
    net = S3D(config.net)
    text = SentenceEmbedding(len(vocabulary), config.word_dim, config.text_hidden, config.net.embed_dim)
    model, seconds = NarratedVideoModel(net, text), NarratedSeconds(rows, vocabulary, config)
    fit(model, seconds, config.train, run_dir, settings=dataclasses.asdict(config), progress=progress)
    if not PartialState().is_main_process:
        return {}
    net.cpu().eval()
    scores = probe_s3d(net, videos, config)
    card = CARD.read_text(encoding="utf-8")
    net.save_pretrained(folder, card.format(table=report(scores), config=config, world=config.world))
    return scores
