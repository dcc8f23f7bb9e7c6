"""Embeddings of the same kind of thing: maps of two directions, and how pure neighbourhoods are."""

from collections.abc import Sequence

import numpy as np

from minivl.plots.picture import COLORS, Picture, panels

NEIGHBOURS = 10


def neighbour_accuracy(embeddings: np.ndarray, labels: Sequence | np.ndarray, k: int = NEIGHBOURS) -> float:
    """The share of points whose label is that of most of their k nearest others (by cosine), percent.

    embeddings (N, D); labels (N,).
    """
    points = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = points @ points.T
    np.fill_diagonal(similarity, -np.inf)
    kinds, codes = np.unique(labels, return_inverse=True)
    nearest = codes[np.argsort(-similarity, axis=1)[:, :k]]  # (N, k)
    votes = (nearest[:, :, None] == np.arange(len(kinds))).sum(1)  # (N, kinds)
    return float(100 * (votes.argmax(1) == codes).mean())


def embedding_maps(embeddings: dict[str, np.ndarray], labels: Sequence | np.ndarray) -> Picture:
    """Embeddings on the two directions in which their class means differ most, a panel per model, a colour per label.

    embeddings: model -> (N, D), the same things in the same rows; labels (N,).
    """
    labels = np.asarray(labels)
    kinds = list(dict.fromkeys(labels))
    figure, axes = panels(len(embeddings), 4.2 * len(embeddings), 3.8)
    words = []
    for axis, (name, points) in zip(axes, embeddings.items(), strict=True):
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        means = np.stack([points[labels == kind].mean(0) for kind in kinds])
        directions = np.linalg.svd(means - means.mean(0), full_matrices=False)[2][:2]  # (2, D)
        flat = (points - points.mean(0)) @ directions.T
        for number, kind in enumerate(kinds):
            own = flat[labels == kind]
            axis.scatter(own[:, 0], own[:, 1], s=8, color=COLORS[number % len(COLORS)], label=kind)
        accuracy = neighbour_accuracy(points, labels)
        axis.set(title=f"{name}\nright by {NEIGHBOURS} neighbours: {accuracy:.0f} %", xticks=[], yticks=[])
        words.append(f"{name}: the {NEIGHBOURS} nearest neighbours give the right one in {accuracy:.1f} % of cases")
    axes[-1].legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return Picture(
        figure, f"Map of {len(labels)} embeddings, coloured by {', '.join(map(str, kinds))}. " + "; ".join(words) + "."
    )
