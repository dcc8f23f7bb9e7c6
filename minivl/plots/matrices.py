"""Tables of numbers as pictures: similarities, gradients, attention."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from minivl.plots.picture import Picture, draw_heat_map, panels


def heat_map(table: pd.DataFrame, title: str, label: str, center: float | None = None, numbers: str = ".2f") -> Picture:
    """A small table with its numbers, NaN for an empty field. `center` gives values below and above it two hues."""
    figure, axis = plt.subplots(figsize=(1.0 * len(table.columns) + 2.2, 0.45 * len(table) + 1.4))
    draw_heat_map(axis, table, label, center, annot=True, fmt=numbers, annot_kws={"fontsize": 8})
    axis.set_title(title, fontsize=10)
    axis.tick_params(axis="x", rotation=30)
    words = "; ".join(
        f"{row}: " + ", ".join(f"{column} {value:{numbers}}" for column, value in table.loc[row].dropna().items())
        for row in table.index
    )
    return Picture(figure, f"{title}. {label}. {words}.")


def similarity_matrices(matrices: dict[str, np.ndarray]) -> Picture:
    """Similarities of texts and videos side by side; matching pairs are on the diagonal. matrices: name -> (N, N)."""
    figure, axes = panels(len(matrices), 3.6 * len(matrices), 3.3)
    words = []
    for axis, (name, matrix) in zip(axes, matrices.items(), strict=True):
        picture = axis.imshow(matrix, cmap="cividis")
        figure.colorbar(picture, ax=axis, fraction=0.046)
        found = float(100 * (matrix.argmax(1) == np.arange(len(matrix))).mean())
        axis.set(title=name, xlabel="video", ylabel="text")
        words.append(f"{name}: the diagonal is the largest of its row in {found:.0f} % of rows")
    return Picture(figure, "Similarity matrices. " + "; ".join(words) + ".")


def attention_map(weights: np.ndarray, words: list[str], sources: list[str], title: str) -> Picture:
    """The sources that each written word read. weights: (words, sources), rows sum to 1."""
    figure, axis = plt.subplots(figsize=(0.33 * len(sources) + 2, 0.3 * len(words) + 1.6))
    draw_heat_map(axis, pd.DataFrame(weights, index=words, columns=sources), "attention")
    axis.set_title(title, fontsize=9)
    axis.tick_params(axis="x", rotation=90, labelsize=7)
    axis.tick_params(axis="y", labelsize=8)
    strongest = ", ".join(
        f"{word} from {sources[row.argmax()]} ({row.max():.2f})" for word, row in zip(words, weights, strict=True)
    )
    return Picture(figure, f"{title}. Most attention of each word: {strongest}.")
