"""Text-based video retrieval (section 4.3 of the paper): FT-Joint, FT-Align, and FT-Align on the best of FT-Joint.

    FT-Joint   S[i,j] = cos( mean of text i's words, mean of video j's frames )     each is encoded once: fast
    FT-Align   S[i,j] = w . pooled cross encoding of text i with video j + b        N x N passes: slow

Both are fine-tuned with the max-margin loss, as in the release; its negatives are the other clips of the batch.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from minivl.config import ConfigError, TaskConfig
from minivl.data.schema import captions_of
from minivl.data.segments import SegmentDataset
from minivl.metrics.retrieval import retrieval_metrics
from minivl.progress import tqdm
from minivl.results.queries import place_name, retrieval_table
from minivl.tasks.univl.base import Task, place_of
from minivl.train.distributed import gather_with_gradient, processes
from minivl.train.precision import products
from minivl.univl import UniVL
from minivl.univl.layers import used_length
from minivl.univl.objectives import max_margin
from minivl.univl.pretraining_batch import without_padding

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

PARTS = {"joint": (), "align": ("cross",)}
BLOCK = 32  # texts, and videos, whose pairs go through the cross encoder together
CANDIDATES = 10  # that `Retrieval.predictions` names for a query


class Retrieval(Task):
    """Finds the video segment that a caption describes: rows with `caption` or `captions`, N_text of them in all.

    method   "joint" (FT-Joint) or "align" (FT-Align). Raises ConfigError for another one.

    With several captions per segment each is a training pair of its own. As in the release, two captions of one
    segment in a batch then count as negatives of each other's video.
    """

    kind: ClassVar[str] = "retrieval"
    least: ClassVar[int] = 2

    def __init__(self, univl: UniVL, tokenizer: Any, config: TaskConfig, method: str = "joint"):
        self.parts_for(method)
        super().__init__(univl, tokenizer, config)
        self.method = method

    @classmethod
    def parts_for(cls, method: str = "joint", **settings: Any) -> tuple[str, ...]:
        if method not in PARTS:
            raise ConfigError(f"method must be 'joint' or 'align', not {method!r}")
        return PARTS[method]

    @property
    def section(self) -> str:
        return self.method

    def settings(self) -> dict[str, Any]:
        return {"method": self.method}

    def dataset(self, rows: "Dataset") -> SegmentDataset:
        return self.segments(rows, "caption")

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The max-margin loss of a batch of N pairs, over all N x N similarities.

        With several processes `univl.objectives.global_negatives` decides whether N counts the pairs of all of them
        or, as in the release, those of one.
        """
        return {"total": max_margin(self._similarity(batch))}

    def _similarity(self, batch: dict[str, Tensor]) -> Tensor:
        """S (N, N) of the texts and videos of a batch."""
        univl, position = self.univl, batch["input_ids"].shape[1]
        share = gather_with_gradient if univl.objectives.global_negatives else lambda tensor: tensor
        batch = without_padding(batch, "attention_mask")
        if processes() == 1:  # videos that are gathered have the same shape in every process
            batch = without_padding(batch, "video_mask")
        text, text_mask, video, video_mask = self.encode(batch)  # (N, W, D), (N, W), (N, T, D), (N, T)
        if self.method == "joint":
            texts = normalize(share(univl.pool_text(text, text_mask)), dim=-1)  # (N, D)
            videos = normalize(share(univl.pool_video(video, video_mask)), dim=-1)  # (N, D)
            return products(texts, videos)
        return share(univl.align_similarity(text, text_mask, share(video), share(video_mask), position))

    @torch.inference_mode()
    def predict(self, rows: "Dataset", progress: bool = True) -> np.ndarray:
        """The similarity of every caption with every segment, float32 (N_text, N_video)."""
        if self.method == "align":
            return self.pair_scorer(rows, progress).all(progress)
        self.eval()
        data, univl = self.dataset(rows), self.univl
        texts = torch.cat([univl.pool_text(*text) for text in self._encoded_texts(data)])  # (N_text, D)
        videos = torch.cat([univl.pool_video(*video) for video in self._encoded_videos(data, progress)])
        return (normalize(texts, dim=-1) @ normalize(videos, dim=-1).T).float().cpu().numpy()

    @torch.inference_mode()
    def embeddings(self, rows: "Dataset", progress: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """What FT-Joint takes the means of: captions (N_text, D), already their means; frames (N_video, T, D), masks.

        Unlike `predict` this keeps the frames of all segments.
        """
        self.eval()
        data = self.dataset(rows)
        texts = torch.cat([self.univl.pool_text(*text) for text in self._encoded_texts(data)])  # (N_text, D)
        frames, masks = zip(*self._encoded_videos(data, progress), strict=True)
        return texts, torch.cat(frames), torch.cat(masks)

    @torch.inference_mode()
    def pair_scorer(self, rows: "Dataset", progress: bool = True) -> "PairScorer":
        """FT-Align's similarity for any pairs of captions and segments, which are encoded here, once."""
        self.eval()
        data = self.dataset(rows)
        text = [torch.cat(part) for part in zip(*self._encoded_texts(data), strict=True)]
        video = [torch.cat(part) for part in zip(*self._encoded_videos(data, progress), strict=True)]
        return PairScorer(self.univl, *text, *video)

    def predictions(self, rows: "Dataset", progress: bool = True) -> list[dict[str, Any]]:
        """For each caption {"query"}, the caption, and {"candidates"}: the best segments, CANDIDATES at most.

        candidates   the place of each segment and its "similarity", best first
        """
        similarity, places = self.predict(rows, progress), [place_of(row) for row in rows]
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :CANDIDATES]
        return [
            {"query": query, "candidates": [places[i] | {"similarity": float(scores[i])} for i in numbers]}
            for query, scores, numbers in zip(captions_of(rows)[0], similarity, best, strict=True)
        ]

    def check_truth(self, rows: "Dataset") -> None:
        self.dataset(rows)

    def scores_of(self, predicted: np.ndarray, rows: "Dataset") -> dict[str, float]:
        """`retrieval_metrics` in both directions, flat: "t2v R@1", ..., "v2t MedR", "R@sum".

        A segment with several captions counts once in v2t. Raises ValueError if a segment has none.
        """
        return _flat(retrieval_metrics(predicted, captions_of(rows)[1]))

    def examples_of(self, predicted: np.ndarray, rows: "Dataset") -> "DataFrame":
        captions, video_of_text = captions_of(rows)
        return retrieval_table(predicted, video_of_text, captions, [place_name(place_of(row)) for row in rows])

    @staticmethod
    def baselines(train_rows: "Dataset | None", rows: "Dataset") -> dict[str, dict[str, float]]:
        """The scores of "chance": all similarities equal. These are exact expectations, not one lucky draw."""
        captions, video_of_text = captions_of(rows)
        same = np.zeros((len(captions), len(rows)))
        return {"chance": _flat(retrieval_metrics(same, video_of_text))}

    def _encoded_texts(self, data: SegmentDataset) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of encoded captions (B, W, D) and their masks."""
        yield from (self.encode_text(*text) for text in data.text_batches(self.config.train.batch_size))

    def _encoded_videos(self, data: SegmentDataset, progress: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of encoded segments (B, T, D) and their masks."""
        for batch in data.segment_batches(self.config.train.batch_size, progress):
            batch = self.move(batch)
            yield self.univl.encode_video(batch["video"], batch["video_mask"]), batch["video_mask"]


class PairScorer:
    """FT-Align on A texts and B videos that are encoded already: the cross encoder is all that is left to do.

    univl              a UniVL with a cross encoder, in evaluation mode
    text, text_mask    (A, W, D) and (A, W); W also is the position of the first frame
    video, video_mask  (B, T, D) and (B, T)
    """

    def __init__(self, univl: UniVL, text: Tensor, text_mask: Tensor, video: Tensor, video_mask: Tensor):
        self.univl, self.frame_position = univl, text.shape[1]
        W, T = used_length(text_mask), used_length(video_mask)  # what is padding everywhere need not be computed
        self.text, self.text_mask = text[:, :W], text_mask[:, :W]
        self.video, self.video_mask = video[:, :T], video_mask[:, :T]

    @torch.inference_mode()
    def _block(self, texts: np.ndarray, videos: np.ndarray) -> np.ndarray:
        """Similarity of some texts (a,) with some videos (b,) -> (a, b)."""
        scores = self.univl.align_similarity(
            self.text[texts], self.text_mask[texts], self.video[videos], self.video_mask[videos], self.frame_position
        )
        return scores.float().cpu().numpy()

    def all(self, progress: bool = True) -> np.ndarray:
        """Every text with every video, float32 (A, B)."""
        A, B = len(self.text), len(self.video)
        similarity = np.empty((A, B), np.float32)
        with tqdm(total=A * B, desc="aligning", unit="pair", disable=not progress, leave=False) as bar:
            for texts in np.split(np.arange(A), range(BLOCK, A, BLOCK)):
                for videos in np.split(np.arange(B), range(BLOCK, B, BLOCK)):
                    similarity[np.ix_(texts, videos)] = self._block(texts, videos)
                    bar.update(len(texts) * len(videos))
        return similarity

    def __call__(self, texts: np.ndarray, videos: np.ndarray, progress: bool = False) -> np.ndarray:
        """Text texts[m] with video videos[m], integers (M,) each -> float32 (M,)."""
        texts, videos = np.asarray(texts), np.asarray(videos)
        scores = np.empty(len(texts), np.float32)
        order = np.argsort(texts, kind="stable")
        same_text = np.split(order, np.flatnonzero(np.diff(texts[order])) + 1)  # places in (M,), one array per text
        for places in tqdm(same_text, desc="aligning", unit="text", disable=not progress, leave=False):
            for some in np.split(places, range(BLOCK * BLOCK, len(places), BLOCK * BLOCK)):
                scores[some] = self._block(texts[some[:1]], videos[some])[0]
        return scores


def rerank(joint: np.ndarray, align_of_pairs: Callable, k: int) -> np.ndarray:
    """FT-Align's order for the k best candidates of FT-Joint, FT-Joint's order for the rest, float64 (Q, C).

    joint            (Q, C) similarities of Q queries with C candidates
    align_of_pairs   (queries (M,), candidates (M,)) -> their similarities (M,), for example a `PairScorer`

    The k best have FT-Align's similarities. Those of the others are shifted to below them, so only the order within a
    row means something. For k = C, or more, this is FT-Align's whole matrix. Raises ValueError if k is below 1.
    """
    joint = np.asarray(joint, dtype=np.float64)
    Q, C = joint.shape
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}")
    k = min(k, C)
    best = np.argsort(-joint, axis=1, kind="stable")[:, :k]  # (Q, k)
    aligned = np.asarray(align_of_pairs(np.arange(Q).repeat(k), best.ravel()), dtype=np.float64).reshape(Q, k)
    worst = np.take_along_axis(joint, best[:, -1:], axis=1)  # (Q, 1): of the k best
    result = joint - worst + aligned.min(axis=1, keepdims=True) - 1  # the others are <= worst
    np.put_along_axis(result, best, aligned, axis=1)
    return result


def _flat(metrics: dict) -> dict[str, float]:
    """{"t2v": {"R@1": ...}, ..., "R@sum"} -> {"t2v R@1": ..., ..., "R@sum"}."""
    return {
        **{f"{direction} {name}": value for direction in ("t2v", "v2t") for name, value in metrics[direction].items()},
        "R@sum": metrics["R@sum"],
    }
