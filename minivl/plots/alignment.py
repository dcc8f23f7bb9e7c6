"""How matching and other pairs of texts and videos are spread."""


import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from minivl.plots.picture import MATCHING, OTHER, Picture


def separation(similarity: np.ndarray) -> dict[str, float]:
    """How well matching pairs (the diagonal) stand out from the others.

    similarity: (N, N). Returns the two means, and `auc`: the chance that a random matching pair scores
    higher than a random other pair (50 is no better than a coin; percent).
    """
    matching = np.diag(similarity)
    others = similarity[~np.eye(len(similarity), dtype=bool)]
    ranks = np.searchsorted(np.sort(others), matching, "left") + np.searchsorted(np.sort(others), matching, "right")
    return {"matching": float(matching.mean()), "other": float(others.mean()),
            "auc": float(100 * ranks.mean() / 2 / len(others))}


def alignment_distributions(similarities: dict[str, np.ndarray]) -> Picture:
    """Densities of the cosine of matching and of non-matching pairs, one panel for each model.

    similarities: name -> (N, N) cosines whose diagonal are the matching pairs.
    """
    figure, axes = plt.subplots(1, len(similarities), figsize=(4.2 * len(similarities), 3.2), squeeze=False)
    words = []
    for axis, (name, matrix) in zip(axes[0], similarities.items(), strict=True):
        off = matrix[~np.eye(len(matrix), dtype=bool)]
        for values, color, style, label in ((off, OTHER, "-", "other pairs"),
                                            (np.diag(matrix), MATCHING, "--", "matching pairs")):
            sns.kdeplot(x=values, ax=axis, fill=True, color=color, linestyle=style, label=label, clip=(-1, 1),
                        warn_singular=False)
        numbers = separation(matrix)
        axis.set(title=f"{name}\nmatching above other: {numbers['auc']:.0f} %", xlabel="cosine of caption and video",
                 ylabel="density")
        axis.legend(fontsize=8)
        words.append(f"{name}: matching {numbers['matching']:.3f}, other {numbers['other']:.3f}, "
                     f"a matching pair scores higher in {numbers['auc']:.1f} % of comparisons")
    figure.tight_layout()
    return Picture(figure, "Cosine similarity of matching and other caption-video pairs. " + "; ".join(words) + ".")
