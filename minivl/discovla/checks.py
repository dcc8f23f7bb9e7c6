"""Checks of what DiscoVLA is given and computes, with messages that name the rows."""

from torch import Tensor

from minivl.config import DiscoVLAConfig

SHOWN = 5  # rows per error


def require_valid(mask: Tensor, shape: tuple[int, ...], whole: str, part: str) -> None:
    """Raise ValueError unless a mask has this shape (..., n) and every row of it marks something as real.

    The message calls a row `whole` and its entries `part`. On the device "meta" shapes are all there is.
    """
    if mask.shape != shape:
        raise ValueError(f"{whole} mask has shape {tuple(mask.shape)}, it must be {tuple(shape)}")
    if mask.is_meta:  # operations are only counted there
        return
    empty = (mask == 0).all(dim=-1).nonzero().squeeze(-1).tolist()
    if empty:
        raise ValueError(f"{whole} without a valid {part} in rows {empty} of the mask")


def require_known(ids: Tensor, words: int) -> None:
    """Raise ValueError for token ids on the CPU that a vocabulary of so many words does not have."""
    if ids.is_cpu and int(ids.max()) >= words:
        raise ValueError(
            f"token id {int(ids.max())}, but this CLIP has {words} words: use the tokenizer that it was trained with"
        )


def require_frame_captions(batch: dict[str, Tensor], frames: Tensor, config: DiscoVLAConfig) -> None:
    """Raise ValueError unless a batch has one caption for each of its frames (B, F, D)."""
    if "f_text_ids" not in batch:
        raise ValueError(
            f"alpha {config.alpha:g} and beta {config.beta:g} need frame captions: give f_text_ids and f_text_mask "
            "in the batch, or set both to 0"
        )
    ids = batch["f_text_ids"]
    if ids.shape[:2] != frames.shape[:2]:
        raise ValueError(
            f"there must be one caption per frame, but the batch has {ids.shape[1]} captions for "
            f"{frames.shape[1]} frames ({len(ids)} and {len(frames)} videos)"
        )


def require_finite(embeddings: dict[str, Tensor]) -> None:
    """Raise ValueError if there are embeddings (..., D) that are NaN or infinite, with their rows."""
    wrong = {name: (~x.isfinite().all(dim=-1)).nonzero().squeeze(-1).tolist() for name, x in embeddings.items()}
    if any(wrong.values()):
        named = [
            f"{name} {', '.join(map(str, rows[:SHOWN]))}"
            + (f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")
            for name, rows in wrong.items()
            if rows
        ]
        raise ValueError(
            f"embeddings that are NaN or infinite: {'; '.join(named)} (counted from 0 in the batch of all "
            "processes). Look for NaN in these inputs, then in the weights"
        )
