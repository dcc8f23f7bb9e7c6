"""Multimodal captioning (section 4.3 of the paper): a sentence for what a video segment shows and what is said.

    L = - mean over words  log p( word_t | words before it, cross encoding of transcript and video )

Fine-tuning trains the decoder's loss alone; unlike in pretraining nothing is masked.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from minivl.config import ConfigError, NarrationConfig, TaskConfig
from minivl.config.limits import within
from minivl.data.segments import SegmentDataset, speech_within
from minivl.data.wordpiece import decode_tokens, encode_captions
from minivl.metrics.captioning import caption_metrics, caption_scores
from minivl.results.queries import example_table, place_name
from minivl.tasks.univl.base import Task, place_of
from minivl.train.loop import SizedDataset
from minivl.univl import UniVL
from minivl.univl.generation import NOTHING
from minivl.univl.pretraining_batch import without_padding
from minivl.univl.pretraining_step import caption_loss

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame


@dataclass
class Beams:
    """The best captions that beam search found for N segments, R each, best first."""

    tokens: Tensor  # (N, R, L) int64, without [CLS]; -1 after the last token
    scores: Tensor  # (N, R) sums of log-probabilities
    texts: list[list[str]]  # N lists of R


class Captioning(Task):
    """Writes a caption for each row; learns from `caption`, or from each of `captions`.

    text         what the text encoder reads beside the video: the "transcript" ("none" where nobody speaks, as in the
                 release), or None, `[CLS] [SEP]`: captions from video alone; "both" learns from every segment with and
                 without its transcript, and so can do either
    references   what captions are compared with. "tokens", the release's way for YouCookII: the captions as their token
                 ids say them, in small letters, punctuation apart, cut to max_words - 1 tokens. "raw", its way for
                 MSR-VTT: the captions as they are
    num_beams, stopping   of the search, see `minivl.univl.generation.beam_search`

    Whether [PAD] is a target of the loss, as in the release, is `univl.objectives.count_padding`.
    Raises ConfigError for values that do not exist.
    """

    kind: ClassVar[str] = "captioning"
    parts: ClassVar[tuple[str, ...]] = ("cross", "decoder")

    def __init__(
        self,
        univl: UniVL,
        tokenizer: Any,
        config: TaskConfig,
        text: str | None = "transcript",
        references: str = "tokens",
        num_beams: int = 5,
        stopping: str = "finished",
    ):
        super().__init__(univl, tokenizer, config)
        if text not in ("transcript", None, "both"):
            raise ConfigError(f"text must be 'transcript', 'both' or None, not {text!r}")
        if references not in ("tokens", "raw"):
            raise ConfigError(f"references must be 'tokens' or 'raw', not {references!r}")
        if stopping not in ("finished", "release"):
            raise ConfigError(f"stopping must be 'finished' or 'release', not {stopping!r}")
        if not isinstance(num_beams, int) or num_beams < 1:
            raise ConfigError(f"num_beams must be a number above 0, not {num_beams!r}")
        within("beams", num_beams)
        self.text, self.references, self.num_beams, self.stopping = text, references, num_beams, stopping
        univl.require("decoder")
        univl.similarity.requires_grad_(False)  # these two are Align's: nothing reads them here
        univl.cross.pooler.requires_grad_(False)

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("text", "references", "num_beams", "stopping")}

    def run_settings(self) -> dict[str, Any]:
        return {"text": self.text, "count_padding": self.univl.objectives.count_padding}

    def dataset(self, rows: "Dataset") -> SizedDataset:
        """One item per caption, two with `text` "both". Raises ValueError if there is none."""
        data = self._segments(rows)
        if not data.captions:
            raise ValueError(
                f"captioning learns from `caption` or `captions`; these {len(rows)} segments have none, "
                f"only {', '.join(rows.column_names)}"
            )
        return data + self._segments(rows, silent=True) if self.text == "both" else data

    def _segments(self, rows: "Dataset", silent: bool = False) -> SegmentDataset:
        return self.segments(rows, None if silent or self.text is None else "transcript")

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        univl, position = self.univl, batch["input_ids"].shape[1]
        batch = without_padding(
            batch, "attention_mask", "video_mask", *([] if univl.objectives.count_padding else ["decoder_mask"])
        )
        text, text_mask, video, video_mask = self.encode(batch)
        cross, _ = univl.cross_encode(text, text_mask, video, video_mask, position)  # (N, W+T, D)
        cross_mask = torch.cat([text_mask, video_mask], dim=1)
        return {"total": caption_loss(univl, batch, cross, cross_mask, across_processes=True)}

    def predict(self, rows: "Dataset", progress: bool = True) -> list[str]:
        """The best caption of each row; rows need no captions."""
        return [texts[0] for texts in self.predict_beams(rows, 1, progress).texts]

    def predictions(self, rows: "Dataset", progress: bool = True) -> list[dict[str, Any]]:
        """For each row its place and {"caption"}."""
        return [place_of(row) | {"caption": text} for row, text in zip(rows, self.predict(rows, progress), strict=True)]

    def predict_beams(self, rows: "Dataset", num_return: int | None = None, progress: bool = True) -> Beams:
        """The best `num_return` captions of each row, by default all that the search ends with."""
        data = self._segments(rows)
        found_tokens: list[Tensor] = []
        scores: list[Tensor] = []
        search: dict[str, Any] = {
            "num_beams": self.num_beams,
            "max_length": self.config.max_words,
            "stopping": self.stopping,
        }
        for batch in data.segment_batches(self.config.train.batch_size, progress):
            found = self.univl.generate(**self.move(batch), num_return=num_return, **search)
            found_tokens += found.tokens.cpu()  # (R, L), L by batch
            scores.append(found.scores.cpu())
        longest = max(rows.shape[1] for rows in found_tokens)
        tokens = torch.stack(
            [torch.nn.functional.pad(rows, (0, longest - rows.shape[1]), value=NOTHING) for rows in found_tokens]
        )  # (N, R, L)
        return Beams(tokens, torch.cat(scores), [[self._text(row) for row in rows] for rows in tokens.tolist()])

    def _text(self, row: list[int]) -> str:
        return decode_tokens(self.tokenizer, [token for token in row if token != NOTHING])

    def evaluate(self, rows: "Dataset", progress: bool = True, meteor: bool = True) -> dict[str, float]:
        """`caption_metrics` of the best captions. Raises ValueError if a row has no caption to compare with."""
        self.check_truth(rows)
        return self.scores_of(self.predict(rows, progress), rows, meteor)

    def check_truth(self, rows: "Dataset") -> None:
        _references(rows)

    def scores_of(self, predicted: list[str], rows: "Dataset", meteor: bool = True) -> dict[str, float]:
        """`caption_metrics` of captions, one for each row."""
        return caption_metrics(predicted, self._truth(rows), meteor)

    def examples_of(self, predicted: list[str], rows: "Dataset") -> "DataFrame":
        truth = self._truth(rows)
        texts = {"text": [" | ".join(captions) for captions in truth], "answer": predicted}
        places = [place_name(place_of(row)) for row in rows]
        return example_table(places, {**texts, **caption_scores(predicted, truth)})

    def _truth(self, rows: "Dataset") -> list[list[str]]:
        """The captions of each row as they are compared."""
        truth = _references(rows)
        if self.references == "raw":
            return truth
        return [as_tokens(self.tokenizer, captions, self.config.max_words) for captions in truth]

    @staticmethod
    def baselines(
        train_rows: "Dataset", rows: "Dataset", tokenizer: Any = None, max_words: int = 48, meteor: bool = True
    ) -> dict[str, dict[str, float]]:
        """The scores of

            majority    the most frequent training caption, for every row
            random      for every row a training caption drawn by chance
            transcript  what is said meanwhile, copied; nothing where nobody speaks

        With a tokenizer all texts are compared as their tokens (see `references` above), else raw.
        """
        train = [caption for captions in _references(train_rows) for caption in captions]
        rng = np.random.default_rng(0)
        guesses = {
            "majority": [Counter(train).most_common(1)[0][0]] * len(rows),
            "random": [train[number] for number in rng.integers(len(train), size=len(rows))],
            "transcript": [speech_within(row.get("transcript"), row.get("start"), row.get("end")) for row in rows],
        }
        truth = _references(rows)
        if tokenizer is not None:
            guesses = {name: as_tokens(tokenizer, texts, max_words) for name, texts in guesses.items()}
            truth = [as_tokens(tokenizer, captions, max_words) for captions in truth]
        return {name: caption_metrics(texts, truth, meteor) for name, texts in guesses.items()}


def as_tokens(tokenizer: Any, texts: list[str], max_words: int) -> list[str]:
    """Texts as a decoder that wrote them without a mistake would have them: made from their target ids."""
    return [decode_tokens(tokenizer, ids) for ids in encode_captions(tokenizer, texts, max_words)[2]]


def _references(rows: "Dataset") -> list[list[str]]:
    """The captions of each row. Raises ValueError if one has none."""
    captions = SegmentDataset(rows, None, NarrationConfig(), text=None).references()
    lacking = [number for number, some in enumerate(captions) if not some]
    if lacking:
        raise ValueError(
            f"{len(lacking)} of {len(rows)} rows have no `caption` or `captions` to compare with, the "
            f"first is row {lacking[0]}: leave them out, or use `predict`"
        )
    return captions
