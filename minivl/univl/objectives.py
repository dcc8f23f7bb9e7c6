"""UniVL's objectives (section 3.3 of the paper), each a function of features or logits that can be used alone.

A similarity matrix S has texts as rows and videos as columns; text i belongs to video i. `clips_per_video` = n
says that rows kn ... kn+n-1 are clips of one video. Where the released code computes something else than the
equation says, an argument chooses (`ObjectiveConfig` names these choices).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from minivl.train.distributed import mean_over_processes
from minivl.train.precision import products


def mil_nce(
    similarity: Tensor,
    clips_per_video: int = 1,
    anchors: str = "all",
    valid: Tensor | None = None,
    positives: str = "neighbours",
) -> Tensor:
    """Joint: neighbouring clips of a video are positives of each other (MIL-NCE, equation 3 of the paper).

        L_a = -log  sum_{j in G(a)} exp S[j,a]  /  ( sum_j exp S[j,a] + sum_{j not in G(a)} exp S[a,j] )

    G(a) are the clips of a's video. The mean is over "all" clips a, or over the "middle" one of each video as in the
    release. valid (N,) leaves out the texts where it is 0, and their videos as anchors.

    positives   "neighbours": as above. To ask what they are worth: "own": G(a) is a alone, whose neighbours are
                negatives as any other clip (NCE); "own without neighbours": G(a) is a alone, and its neighbours are
                in neither sum

    Raises ValueError if the matrix does not consist of whole videos.
    """
    N = _square(similarity)
    if N % clips_per_video:
        raise ValueError(f"{N} clips are not a multiple of clips_per_video = {clips_per_video}")
    video = torch.arange(N, device=similarity.device) // clips_per_video  # (N,)
    same = video[:, None] == video  # (N, N)
    own = torch.eye(N, dtype=torch.bool, device=similarity.device)
    right = same if positives == "neighbours" else own  # (N, N): [a, j] = is j in G(a)?
    wrong = ~own if positives == "own" else ~same
    kept = torch.ones_like(video).bool() if valid is None else valid.bool()
    none = torch.finfo(similarity.dtype).min

    texts_of_video = similarity.T.masked_fill(~(kept & (right | wrong)), none)  # (N, N): [a, j] = S[j, a]
    other_videos = similarity.masked_fill(~wrong, none)  # (N, N): [a, j] = S[a, j]
    positive = texts_of_video.masked_fill(~right, none).logsumexp(1)
    loss = torch.cat([texts_of_video, other_videos], dim=1).logsumexp(1) - positive  # (N,)

    chosen = kept
    if anchors == "middle":
        position = torch.arange(N, device=similarity.device) % clips_per_video
        chosen = kept & (position == clips_per_video // 2)
    return _mean(loss[chosen])


def align_loss(
    similarity: Tensor, first: int = 0, valid: Tensor | None = None, across_processes: bool = False
) -> Tensor:
    """Align: each text must find its own video among all (equation 6). The other direction is not trained.

        L = - mean_i log softmax_j( S[i, j] )[i]

    similarity (A, B): texts `first` ... first+A-1 of the B videos. valid (A,) leaves out the texts where it is 0.
    """
    own = first + torch.arange(len(similarity), device=similarity.device)
    loss = F.cross_entropy(similarity, own, reduction="none")  # (A,)
    return _mean(loss if valid is None else loss[valid.bool()], across_processes)


def cmlm_loss(logits: Tensor, labels: Tensor, across_processes: bool = False) -> Tensor:
    """CMLM: which words were masked, given the other words and the video (equation 4).

    logits (M, V) at M positions, labels (M,) the original words. Without any masked word the loss is 0.
    """
    return _mean(F.cross_entropy(logits, labels, reduction="none"), across_processes)


def cmfm_loss(predicted: Tensor, frames: Tensor, own: Tensor, across_processes: bool = False) -> Tensor:
    """CMFM: which frame was masked, among all frames of the batch (equation 5, noise contrastive).

        L = - mean_m log softmax_k( predicted_m . frame_k )[own_m]

    predicted (M, F) at M masked frames, frames (K, F) the candidates: all real frames, unmasked and normalised; own
    (M,) which of them was masked. Without any masked frame the loss is 0.
    """
    return _mean(F.cross_entropy(products(predicted, frames), own, reduction="none"), across_processes)


def decoder_loss(logits: Tensor, targets: Tensor, across_processes: bool = False) -> Tensor:
    """Decoder: each next word of the caption (equation 7). logits (M, V), targets (M,)."""
    return _mean(F.cross_entropy(logits, targets, reduction="none"), across_processes)


def max_margin(
    similarity: Tensor, margin: float = 0.1, clips_per_video: int = 1, hard_negative_rate: float | None = None
) -> Tensor:
    """Fine-tuning for retrieval: the right pair must win by a margin, in both directions.

        L = mean_{i,j}  w[i,j] ( relu(m + S[i,j] - S[i,i]) + relu(m + S[i,j] - S[j,j]) )

    As in the release the mean runs over the diagonal, too: a constant 2m/N without gradient. With `hard_negative_rate`
    h and n > 1, w is B h inside the n x n block of a video and B (1-h) / (B-1) outside, for B videos; else w = 1.
    """
    N = _square(similarity)
    own = similarity.diagonal()
    loss = F.relu(margin + similarity - own[:, None]) + F.relu(margin + similarity - own)
    videos = N // clips_per_video
    if hard_negative_rate is not None and clips_per_video > 1 and videos > 1:
        video = torch.arange(N, device=similarity.device) // clips_per_video
        inside = (video[:, None] == video).to(loss.dtype)
        hard, easy = videos * hard_negative_rate, videos * (1 - hard_negative_rate) / (videos - 1)
        loss = loss * (inside * hard + (1 - inside) * easy)
    return loss.mean()


def _mean(values, across_processes=False):
    """The mean, and 0 (with a gradient of 0) for no values: masking can leave a small batch without any."""
    if across_processes:
        return mean_over_processes(values)
    return values.sum() / max(len(values), 1)


def _square(similarity):
    texts, videos = similarity.shape
    if texts != videos:
        raise ValueError(f"text i must belong to video i, but there are {texts} texts and {videos} videos")
    return texts
