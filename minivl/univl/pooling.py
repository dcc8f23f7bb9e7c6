"""One vector per text and per video, the mean of its hidden states: what Joint and FT-Joint compare."""

from torch import Tensor


def pool_text(text: Tensor, attention_mask: Tensor) -> Tensor:
    """(N, W, D) -> (N, D): the mean without [CLS], with [SEP]."""
    return _masked_mean(text[:, 1:], attention_mask[:, 1:])


def pool_video(video: Tensor, video_mask: Tensor) -> Tensor:
    """(N, T, D) -> (N, D): the mean; a clip without any frame gives 0."""
    return _masked_mean(video, video_mask)


def _masked_mean(x, mask):
    """x (N, K, D), mask (N, K) -> (N, D); 0 for a row without anything real."""
    mask = mask[..., None].to(x.dtype)
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1)
