"""Alignment of texts and videos: spread of similarities, the gap between the two kinds, softmax rows, their KL."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from scipy.special import log_softmax, softmax

from minivl.plots.picture import COLORS, MATCHING, OTHER, TEXT, VIDEO, Picture, method_color, panels


def separation(similarity: np.ndarray, matches: np.ndarray | None = None) -> dict[str, float]:
    """The distance at which matching pairs stand out from the others.

    similarity: (A, B); matches: which pairs are matching, bool (A, B), by default the diagonal. Returns the means of
    both kinds, `auc`: the chance that a random matching pair scores higher than a random other pair (50 is no better
    than a coin; percent), and `d'`, how many standard deviations lie between the means:

        d' = (mean of matching - mean of other) / sqrt( (variance of matching + variance of other) / 2 )

    d' is NaN where neither kind varies.
    """
    from sklearn.metrics import roc_auc_score

    matches = np.eye(len(similarity), dtype=bool) if matches is None else matches
    matching, other = (similarity[chosen].astype(np.float64) for chosen in (matches, ~matches))
    spread = np.sqrt((matching.var() + other.var()) / 2)
    return {
        "matching": float(matching.mean()),
        "other": float(other.mean()),
        "auc": float(100 * roc_auc_score(matches.ravel(), similarity.ravel())),  # ties count half
        "d'": float((matching.mean() - other.mean()) / spread) if spread > 0 else float("nan"),
    }


def alignment_distributions(similarities: dict[str, np.ndarray]) -> Picture:
    """Densities of the cosine of matching and of non-matching pairs, one panel for each model.

    similarities: name -> (N, N) cosines whose diagonal are the matching pairs.
    """
    figure, axes = panels(len(similarities), 4.2 * len(similarities), 3.2)
    words = []
    for axis, (name, matrix) in zip(axes, similarities.items(), strict=True):
        off = matrix[~np.eye(len(matrix), dtype=bool)]
        look = {"fill": True, "clip": (-1, 1), "warn_singular": False}
        sns.kdeplot(x=off, ax=axis, color=OTHER, linestyle="-", label="other pairs", **look)
        sns.kdeplot(x=np.diag(matrix), ax=axis, color=MATCHING, linestyle="--", label="matching pairs", **look)
        numbers = separation(matrix)
        axis.set(
            title=f"{name}\nmatching above other: {numbers['auc']:.0f} %",
            xlabel="cosine of caption and video",
            ylabel="density",
        )
        axis.legend(fontsize=8)
        words.append(
            f"{name}: matching {numbers['matching']:.3f}, other {numbers['other']:.3f}, "
            f"a matching pair scores higher in {numbers['auc']:.1f} % of comparisons"
        )
    return Picture(figure, "Cosine similarity of matching and other caption-video pairs. " + "; ".join(words) + ".")


def gap_between(texts: np.ndarray, videos: np.ndarray) -> dict[str, float]:
    """The distance between the two kinds: `gap` = | mean(t / |t|) - mean(v / |v|) |, from 0 to 2.

    texts, videos: (N, D), pair i in row i. Beside it stand the mean cosine of `matching` pairs, and within each kind
    that of two different rows (`texts`, `videos`): all embeddings of a kind can lie in a narrow cone.
    """
    texts, videos = _unit(texts), _unit(videos)
    others = ~np.eye(len(texts), dtype=bool)
    return {
        "gap": float(np.linalg.norm(texts.mean(0) - videos.mean(0))),
        "matching": float((texts * videos).sum(1).mean()),
        "texts": float((texts @ texts.T)[others].mean()),
        "videos": float((videos @ videos.T)[others].mean()),
    }


def modality_gap(embeddings: dict[str, tuple[np.ndarray, np.ndarray]], linked: int = 40) -> Picture:
    """Normalised texts and videos on the two directions in which they vary most (PCA), one panel for each model.

    embeddings: name -> (texts (N, D), videos (N, D)), pair i in row i; the first `linked` pairs are joined by a line.
    """
    figure, axes = panels(len(embeddings), 4 * len(embeddings), 3.8)
    words = []
    for axis, (name, (texts, videos)) in zip(axes, embeddings.items(), strict=True):
        points, share = principal_directions(np.concatenate([_unit(texts), _unit(videos)]))  # (2N, 2)
        text, video = points[: len(texts)], points[len(texts) :]
        for a, b in zip(text[:linked], video[:linked], strict=True):
            axis.plot(*zip(a, b, strict=True), color="lightgrey", lw=0.6, zorder=1)
        axis.scatter(text[:, 0], text[:, 1], s=10, marker="^", color=TEXT, label="texts")
        axis.scatter(video[:, 0], video[:, 1], s=10, marker="o", color=VIDEO, label="videos")
        for middle, color in ((text.mean(0), TEXT), (video.mean(0), VIDEO)):
            axis.plot(*middle, "X", color=color, markeredgecolor="black", markersize=10)
        numbers = gap_between(texts, videos)
        axis.set(title=f"{name}\ngap {numbers['gap']:.2f}", xlabel="first direction", ylabel="second direction")
        axis.set_aspect("equal", "datalim")
        axis.legend(fontsize=8)
        words.append(
            f"{name}: gap {numbers['gap']:.3f}, mean cosine of matching pairs {numbers['matching']:.3f}, of "
            f"two texts {numbers['texts']:.3f}, of two videos {numbers['videos']:.3f}; the two directions "
            f"drawn hold {100 * share:.0f} % of the variance"
        )
    return Picture(
        figure,
        "Normalised embeddings of texts and videos; crosses are the means, and the gap is their "
        "distance in all dimensions. " + "; ".join(words) + ".",
    )


def row_softmax(similarity: np.ndarray, scale: float) -> np.ndarray:
    """p[i] = softmax(scale * similarity[i]): whom text i would choose. (N, N), rows sum to 1."""
    return softmax(scale * np.asarray(similarity, dtype=np.float64), axis=1)


def row_divergence(teacher: np.ndarray, student: np.ndarray, scale: float) -> np.ndarray:
    """KL( softmax(scale teacher[i]) || softmax(scale student[i]) ) in nats, (N,): what AlignDistill adds up.

    teacher, student: (N, N) similarities.
    """
    log_p, log_q = (log_softmax(scale * np.asarray(s, dtype=np.float64), axis=1) for s in (teacher, student))
    return (np.exp(log_p) * (log_p - log_q)).sum(1)


def row_distributions(
    alignments: dict[str, np.ndarray], scale: float, rows: Sequence[int] = (0, 1, 2), top: int = 8
) -> Picture:
    """The videos that some texts would choose, with KL from the first alignment (the teacher) to the others.

    alignments: name -> (N, N) similarities. A panel per text shows the `top` videos that the teacher likes best; the
    right one is marked.
    """
    (teacher, reference), *students = alignments.items()
    divergence = {name: row_divergence(reference, matrix, scale) for name, matrix in students}
    chosen = {name: row_softmax(matrix, scale) for name, matrix in alignments.items()}
    figure, axes = panels(len(rows), 3.6 * len(rows), 3.1, sharey=True)
    width, words = 0.8 / len(alignments), []
    for axis, row in zip(axes, rows, strict=True):
        order = np.argsort(-chosen[teacher][row], kind="stable")[:top]
        lanes = np.arange(len(order))
        for place, (name, p) in enumerate(chosen.items()):
            color = method_color(name, COLORS[place])
            axis.bar(lanes + place * width, p[row, order], width, label=name, color=color)
        names = [f"{video}\nright" if video == row else str(video) for video in order]
        axis.set_xticks(lanes + 0.4 - width / 2, names, fontsize=7)
        kl = ", ".join(f"KL to {name} {values[row]:.2f}" for name, values in divergence.items())
        axis.set(title=f"text {row}\n{kl}", xlabel="video")
        axis.title.set_fontsize(9)
        words.append(
            f"text {row}: probability of the right video "
            + ", ".join(f"{name} {p[row, row]:.2f}" for name, p in chosen.items())
            + (f", {kl}" if kl else "")
        )
    axes[0].set_ylabel("probability")
    axes[0].legend(fontsize=8)
    means = "; ".join(f"{name} {values.mean():.3f}" for name, values in divergence.items())
    return Picture(
        figure,
        f"Softmax over videos at scale {scale:g}. "
        + "; ".join(words)
        + f". Mean KL from {teacher} over all {len(reference)} texts: {means or 'nothing to compare with'}.",
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def principal_directions(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Coordinates (N, 2) of points (N, D) on the two directions in which they vary most, and their share of it all."""
    centred = points - points.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T, float((lengths[:2] ** 2).sum() / (lengths**2).sum())
