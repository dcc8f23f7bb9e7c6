"""What fine-tuned UniVLs use: the same questions asked again with something shuffled, exchanged or a lie."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from minivl.data.world import meals
from minivl.tasks.univl import whole_videos
from minivl.tasks.univl.segmentation import Segmentation

if TYPE_CHECKING:
    from datasets import Dataset

# Kinds of words of a caption, and those of each kind; verbs without their "s".
KINDS = {
    "verb": {"slice", "put", "pour", "season", "heat", "chill", "stir"},
    "ingredient": set(meals.INGREDIENTS),
    "liquid": set(meals.LIQUIDS),
    "colour": set(meals.COLORS),
    "container": set(meals.CONTAINERS),
    "spice": set(meals.SPICES),
}
# What the cook lies about: each word is exchanged for the next one of its kind.
LIES: dict[str, Sequence[str]] = {"spice": meals.SPICES, "ingredient": meals.INGREDIENTS, "colour": meals.COLORS}


@torch.inference_mode()
def shuffled_labels(task: Segmentation, rows: "Dataset", seed: int = 0) -> list[list[str]]:
    """The label of each second of each video, predicted with the seconds in a random order and put back in order."""
    rng, labels = np.random.default_rng(seed), []
    for _, features in whole_videos.read_videos(rows):
        order = rng.permutation(len(features))
        encoded = whole_videos.encode_frames(task.univl, features[order], task.config.max_frames, 32)  # (T, D)
        back = task.classifier(encoded).argmax(-1).cpu().numpy()[np.argsort(order)]  # type: ignore[misc]
        labels.append([task.classes[number] for number in back])
    return labels


def exchanged(rows: "Dataset", column: str, seed: int = 0) -> "Dataset":
    """The same rows, each with the value that a column has in another row, drawn at random."""
    other = np.random.default_rng(seed).permutation(len(rows))
    return rows.remove_columns(column).add_column(column, [rows[column][int(number)] for number in other])


def words_of(text: str) -> set[str]:
    """The words of a text, "pours" as "pour"."""
    return {word.removesuffix("s") for word in text.split()}


def right_words(captions: Sequence[str], truth: Sequence[str]) -> dict[str, float]:
    """For each kind of word that the truth has, percent of its captions that have the same words of that kind."""
    shares = {}
    for kind, words in KINDS.items():
        pairs = [(words_of(text) & words, words_of(right) & words) for text, right in zip(captions, truth, strict=True)]
        same = [ours == right for ours, right in pairs if right]
        if same:
            shares[kind] = 100 * float(np.mean(same))
    return shares


def lying(rows: "Dataset", words: Sequence[str]) -> "Dataset":
    """The same segments; whoever speaks of one of the words names the next one of them instead."""
    exchange = dict(zip(words, (*words[1:], words[0]), strict=True))

    def untrue(text: str) -> str:
        return " ".join(exchange.get(word, word) for word in text.split())

    def lie(row: dict) -> dict:
        return {"transcript": [sentence | {"text": untrue(sentence["text"])} for sentence in row["transcript"]]}

    return rows.map(lie)


def lies_told(rows: "Dataset") -> Iterator[tuple[str, "Dataset", list[set[str]], list[set[str]]]]:
    """Of each kind of lie the segments in which the true word is said and is to be written, with the lie in its place.

    Yields (kind, rows, words that are true, words that are said instead), one set per row; kinds without any are left
    out.
    """
    said = [" ".join(sentence["text"] for sentence in spoken).split() for spoken in rows["transcript"]]
    written = [caption.split() for caption in rows["caption"]]
    for kind, words in LIES.items():
        exchange = dict(zip(words, (*words[1:], words[0]), strict=True))
        true = [set(words) & set(text) for text in written]
        concerned = [number for number, right in enumerate(true) if right & set(said[number])]
        if concerned:
            yield (
                kind,
                lying(rows.select(concerned), words),
                [true[number] for number in concerned],
                [{exchange[word] for word in true[number]} for number in concerned],
            )
