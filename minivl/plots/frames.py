"""Numbers drawn with the frames that they belong to: captions against frames, and where attention looks."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from minivl.plots.picture import MATCHING, Picture


def caption_frame_maps(
    similarities: dict[str, np.ndarray], captions: list[str], frames: np.ndarray, title: str = ""
) -> Picture:
    """The fit of each caption with each frame, with the frames above: rows captions, columns frames, a panel per model.

    similarities: name -> (C, F) cosines; frames: uint8 (F, H, W, 3). The best frame of each caption has a green box.
    All panels share one colour scale, so that before and after can be compared.
    """
    C, F = len(captions), len(frames)
    wrapped = [textwrap.fill(caption, 34) for caption in captions]
    height = sum(0.17 * (text.count("\n") + 1) + 0.15 for text in wrapped)
    figsize, heights = (2.2 + 0.62 * F * len(similarities), height + 1.7), [0.62, height]
    figure, axes = plt.subplots(2, len(similarities), figsize=figsize, height_ratios=heights, squeeze=False)
    low, high = np.min(list(similarities.values())), np.max(list(similarities.values()))
    words = []
    for (above, axis), (name, matrix) in zip(axes.T, similarities.items(), strict=True):
        above.imshow(np.concatenate(list(frames), axis=1), aspect="auto", extent=(-0.5, F - 0.5, 0, 1))
        above.set_title(name, fontsize=9)
        above.axis("off")
        image = axis.imshow(matrix, cmap="cividis", vmin=low, vmax=high, aspect="auto")
        for row, best in enumerate(matrix.argmax(1)):
            axis.add_patch(plt.Rectangle((best - 0.5, row - 0.5), 1, 1, fill=False, lw=2.5, color=MATCHING))
        axis.set(xticks=range(F), yticks=range(C), xlabel="frame")
        axis.set_yticklabels(wrapped if axis is axes[1, 0] else [], fontsize=7)
        figure.colorbar(image, ax=axis, orientation="horizontal", fraction=0.05, pad=0.5 / height, label="cosine")
        best = zip(captions, matrix.argmax(1), matrix.max(1), strict=True)
        fits = [f"“{caption}” fits frame {frame} best ({cosine:.2f})" for caption, frame, cosine in best]
        words.append(f"{name}: {', '.join(fits)}")
    figure.suptitle(title, fontsize=9)
    return Picture(figure, f"{title} Cosine of {C} captions with {F} frames. {'; '.join(words)}.".strip())


def attention_over_frames(weights: dict[str, np.ndarray], frames: np.ndarray, title: str = "") -> Picture:
    """The patches of frames that a class token reads: a row of frames per token, brighter where it reads more.

    weights: name of the token -> (F, h, w) attention on the patches of every frame, whose sum is at most 1 (the rest
    went to class tokens); frames: uint8 (F, H, W, 3). Below each frame stands its share of the attention in percent.
    Each row has its own scale: the patch that is read most is bright.
    """
    F, H, W, _ = frames.shape
    figure, axes = plt.subplots(
        len(weights) + 1, F, figsize=(1.15 * F + 0.8, 1.35 * (len(weights) + 1) + 0.3), squeeze=False
    )
    for number, axis in enumerate(axes[0]):
        axis.imshow(frames[number])
        axis.set_title(f"frame {number}", fontsize=7)
    words = []
    for row, (name, attention) in zip(axes[1:], weights.items(), strict=True):
        for axis, frame, patches in zip(row, frames, attention, strict=True):
            grey = frame.mean(-1, keepdims=True).repeat(3, axis=-1) / 255
            axis.imshow(grey)
            glow = {"cmap": "inferno", "vmin": 0, "vmax": attention.max(), "alpha": 0.65}
            axis.imshow(patches, extent=(0, W, H, 0), interpolation="nearest", **glow)
            axis.set_xlabel(f"{100 * patches.sum():.0f} %", fontsize=8)
        row[0].set_ylabel(textwrap.fill(name, 16), fontsize=8)
        shares = 100 * attention.sum((1, 2))
        words.append(
            f"{name} reads "
            + ", ".join(f"frame {number} {share:.1f} %" for number, share in enumerate(shares))
            + f", patches in all {shares.sum():.1f} %"
        )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=9)
    return Picture(figure, f"{title} Attention on the patches of {F} frames. {'; '.join(words)}.".strip())
