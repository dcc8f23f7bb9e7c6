"""Multimodal sentiment as on CMU-MOSI: how positive is an opinion, from what is said and what is shown? (section 4.3)

The paper gives no head and no code was released. Here the cross encoder's pooled output goes into a linear regression
that is trained with L1, because MAE is the measure that the field reports.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minivl.config import ConfigError, TaskConfig
from minivl.data.schema import SchemaError
from minivl.data.segments import SegmentDataset
from minivl.hub.checkpoints import finite
from minivl.metrics.sentiment import sentiment_metrics
from minivl.results.queries import example_table, place_name
from minivl.tasks.univl.base import Task, place_of
from minivl.tasks.univl.whole_videos import name_of, require_columns
from minivl.univl import UniVL

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

LOWEST, HIGHEST = -3.0, 3.0
MODALITIES = ("text", "video")


def sentiments(rows: "Dataset") -> np.ndarray:
    """The truth of N rows, float32 (N,). Raises SchemaError where it is missing or outside of [-3, 3]."""
    require_columns(rows, "sentiment")
    values = list(rows["sentiment"])
    for number, value in enumerate(values):
        if value is None or not LOWEST <= value <= HIGHEST:
            raise SchemaError(f"{name_of(rows[number])} has the sentiment {value}: expected a number from -3 to 3")
    return np.array(values, dtype=np.float32)


class OpinionDataset(torch.utils.data.Dataset):
    """Opinions with their `sentiment`: an item is that of `SegmentDataset` without captions, and a float."""

    def __init__(self, clips: SegmentDataset):
        self.clips, self.sentiments = clips, torch.from_numpy(sentiments(clips.rows))

    def __len__(self) -> int:
        return len(self.sentiments)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.clips.segment(index) | {"sentiment": self.sentiments[index]}


class Sentiment(Task):
    """sentiment = Linear( pooled ), pooled = tanh( Linear( x_[CLS] ) ) of the cross encoder over words and frames.

    modalities   what is read: ("text", "video"), or one of them. Without text the words are `[CLS] [SEP]`; without
                 video there is no frame.
    """

    kind: ClassVar[str] = "sentiment"
    parts: ClassVar[tuple[str, ...]] = ("cross",)

    def __init__(self, univl: UniVL, tokenizer: Any, config: TaskConfig, modalities: Sequence[str] = MODALITIES):
        super().__init__(univl, tokenizer, config)
        if not modalities or not set(modalities) <= set(MODALITIES):
            raise ConfigError(f"modalities are text, video or both, not {modalities!r}")
        self.modalities = tuple(modalities)
        self.regressor = self.new_head(1)
        univl.similarity.requires_grad_(False)  # Align's, not used
        univl.video.requires_grad_("video" in modalities)

    def settings(self) -> dict[str, Any]:
        return {"modalities": sorted(self.modalities)}

    def clips(self, rows: "Dataset") -> SegmentDataset:
        """Rows as the model reads them."""
        text = "transcript" if "text" in self.modalities else None
        require_columns(rows, "features", "feature_rate", *filter(None, [text]))
        return self.segments(rows, text)

    def dataset(self, rows: "Dataset") -> OpinionDataset:
        return OpinionDataset(self.clips(rows))

    def scores(self, batch: dict[str, Tensor]) -> Tensor:
        """The sentiment of each clip of a batch, (N,), which may leave [-3, 3]."""
        text, text_mask = self.univl.encode_text(batch["input_ids"], batch["attention_mask"]), batch["attention_mask"]
        if "video" in self.modalities:
            video, video_mask = self.univl.encode_video(batch["video"], batch["video_mask"]), batch["video_mask"]
        else:
            video, video_mask = text[:, :0], text_mask[:, :0]  # (N, 0, D), (N, 0)
        _, pooled = self.univl.cross_encode(text, text_mask, video, video_mask)  # (N, D)
        return self.regressor(pooled).squeeze(-1)  # (N, 1) -> (N,)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """L1 = mean |sentiment - truth|."""
        return {"total": F.l1_loss(self.scores(batch), batch["sentiment"])}

    @torch.inference_mode()
    def predict(self, rows: "Dataset", progress: bool = True) -> np.ndarray:
        """The sentiment of each row, cut to [-3, 3]; (N,)."""
        self.eval()
        batches = self.clips(rows).segment_batches(self.config.train.batch_size, progress)
        scores = [self.scores(self.move(batch)) for batch in batches]  # of (<= batch,)
        return finite(torch.cat(scores), "sentiments").clamp(LOWEST, HIGHEST).float().cpu().numpy()

    def predictions(self, rows: "Dataset", progress: bool = True) -> list[dict[str, Any]]:
        """For each row its place and {"sentiment"}, from -3 to 3."""
        scores = self.predict(rows, progress).tolist()
        return [place_of(row) | {"sentiment": score} for row, score in zip(rows, scores, strict=True)]

    def check_truth(self, rows: "Dataset") -> None:
        sentiments(rows)

    def scores_of(self, predicted: np.ndarray, rows: "Dataset") -> dict[str, float]:
        """`sentiment_metrics`: MAE, correlation, and accuracies in percent; two classes in both conventions."""
        return sentiment_metrics(predicted, sentiments(rows))

    def examples_of(self, predicted: np.ndarray, rows: "Dataset") -> "DataFrame":
        truth = sentiments(rows)
        right = {
            "acc-2 non-negative": 100.0 * ((predicted >= 0) == (truth >= 0)),
            "acc-7": 100.0 * (np.round(predicted).clip(-3, 3) == np.round(truth)),
        }
        texts = {"target": [f"{value:g}" for value in truth], "answer": [f"{value:.3f}" for value in predicted]}
        places = [place_name(place_of(row)) for row in rows]
        return example_table(places, texts | {"MAE": np.abs(predicted - truth), **right})

    @staticmethod
    def baselines(train_rows: "Dataset", rows: "Dataset") -> dict[str, dict[str, float]]:
        """The scores of

        mean           of the training sentiments; a constant has no correlation, which is given as 0
        majority sign  1 or -1, as more training opinions are positive or negative
        random         sentiments drawn from the training opinions
        """
        train, truth = sentiments(train_rows), sentiments(rows)
        N = len(truth)
        guesses = {
            "mean": np.full(N, train.mean()),
            "majority sign": np.full(N, 1.0 if (train > 0).sum() >= (train < 0).sum() else -1.0),
            "random": np.random.default_rng(0).choice(train, N),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that constants have no correlation
            return {name: sentiment_metrics(guess, truth) for name, guess in guesses.items()}
