"""Multimodal sentiment as on CMU-MOSI: how positive is an opinion, from what is said and what is shown? (section 4.3)

The paper gives no head and no code was released. Here the cross encoder's pooled output goes into a linear regression
that is trained with L1, because MAE is the measure that the field reports.
"""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from minivl.config import ConfigError
from minivl.data.schema import SchemaError
from minivl.data.segments import SegmentDataset
from minivl.metrics.sentiment import sentiment_metrics
from minivl.tasks.univl.base import Task
from minivl.tasks.univl.whole_videos import name_of, require_columns
from minivl.univl.layers import init_weights

LOWEST, HIGHEST = -3.0, 3.0
MODALITIES = ("text", "video")


def sentiments(rows) -> np.ndarray:
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

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.clips.segment(index) | {"sentiment": self.sentiments[index]}


class Sentiment(Task):
    """sentiment = Linear( pooled ), pooled = tanh( Linear( x_[CLS] ) ) of the cross encoder over words and frames.

    modalities   what is read: ("text", "video"), or one of them. Without text the words are `[CLS] [SEP]`; without
                 video there is no frame.
    """

    parts = ("cross",)

    def __init__(self, univl, tokenizer, config, modalities: tuple[str, ...] = MODALITIES):
        super().__init__(univl, tokenizer, config)
        if not modalities or not set(modalities) <= set(MODALITIES):
            raise ConfigError(f"modalities are text, video or both, not {modalities!r}")
        self.modalities = tuple(modalities)
        self.regressor = nn.Linear(univl.config.hidden_size, 1)
        self.regressor.apply(init_weights)
        univl.similarity.requires_grad_(False)  # Align's, not used
        univl.video.requires_grad_("video" in modalities)

    def settings(self) -> dict:
        return {"modalities": sorted(self.modalities)}

    def clips(self, rows) -> SegmentDataset:
        """What the model reads of rows."""
        require_columns(rows, "features", "feature_rate", *(["transcript"] if "text" in self.modalities else []))
        text = "transcript" if "text" in self.modalities else None
        return SegmentDataset(rows, self.tokenizer, self.inputs, text, feature_size=self.univl.config.video_dim)

    def dataset(self, rows) -> OpinionDataset:
        return OpinionDataset(self.clips(rows))

    def scores(self, batch) -> torch.Tensor:
        """The sentiment of each clip of a batch, (N,), which may leave [-3, 3]."""
        text, text_mask = self.univl.encode_text(batch["input_ids"], batch["attention_mask"]), batch["attention_mask"]
        if "video" in self.modalities:
            video, video_mask = self.univl.encode_video(batch["video"], batch["video_mask"]), batch["video_mask"]
        else:
            video, video_mask = text[:, :0], text_mask[:, :0]  # (N, 0, D), (N, 0)
        _, pooled = self.univl.cross_encode(text, text_mask, video, video_mask)  # (N, D)
        return self.regressor(pooled).squeeze(-1)  # (N, 1) -> (N,)

    def losses(self, batch) -> dict[str, torch.Tensor]:
        """L1 = mean |sentiment - truth|."""
        return {"total": F.l1_loss(self.scores(batch), batch["sentiment"])}

    @torch.inference_mode()
    def predict(self, rows, progress: bool = True) -> np.ndarray:
        """The sentiment of each row, cut to [-3, 3]; (N,)."""
        self.eval()
        batches = self.clips(rows).segment_batches(self.config.train.batch_size, progress)
        scores = [self.scores(self.move(batch)) for batch in batches]  # of (<= batch,)
        return torch.cat(scores).clamp(LOWEST, HIGHEST).float().cpu().numpy()

    def evaluate(self, rows, progress: bool = True) -> dict[str, float]:
        """`sentiment_metrics`: MAE, correlation, and accuracies in percent; two classes in both conventions."""
        truth = sentiments(rows)
        return sentiment_metrics(self.predict(rows, progress), truth)

    @staticmethod
    def baselines(train_rows, rows) -> dict[str, dict[str, float]]:
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
