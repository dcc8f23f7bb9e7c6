"""Narrated videos as UniVL's training clips: pairs of what is said and what is shown at that time."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from minivl.config import NarrationConfig
from minivl.data.features import FeatureReader, clip_features, row_window
from minivl.data.masking import mask_frames, mask_tokens
from minivl.data.wordpiece import encode_captions, encode_texts

if TYPE_CHECKING:
    from datasets import Dataset

NEEDED = ("features", "feature_rate", "transcript")


def grow_clip(sentences: Sequence[dict], chosen: int, min_seconds: float) -> tuple[int, int]:
    """First and last sentence of the clip around a sentence.

    While it is shorter than `min_seconds`, the clip takes in the neighbour that leaves it shorter, the previous one if
    both do so equally. sentences: {text, start, end}, in the order of their starts.
    """
    first = last = chosen
    while sentences[last]["end"] - sentences[first]["start"] < min_seconds:
        before = sentences[last]["end"] - sentences[first - 1]["start"] if first > 0 else np.inf
        after = sentences[last + 1]["end"] - sentences[first]["start"] if last + 1 < len(sentences) else np.inf
        if before == after == np.inf:
            break
        first, last = (first - 1, last) if before <= after else (first, last + 1)
    return first, last


def clip_groups(count: int, size: int) -> list[list[int]]:
    """Chunks of `size` consecutive sentences, the last of which goes on at the beginning.

    7 sentences in threes: [0, 1, 2], [3, 4, 5], [6, 0, 1]; 2 sentences: [0, 1, 0].
    """
    return [[(first + place) % count for place in range(size)] for first in range(0, count, size)]


def widen_window(spans: Sequence[tuple[float, float]], number: int, rate: float, rows: int) -> tuple[float, float]:
    """Start and end in seconds of clip `number` of a group, widened until it holds a row of features.

    spans: (start, end) of all clips of the group. A clip without any of the `rows` rows takes in the start of the clip
    to its left, then the end of the one to its right, and so on; what the whole group does not reach stays empty.
    """
    left = right = number
    take_left = True
    while not _holds_rows(spans[left][0], spans[right][1], rate, rows) and (left > 0 or right + 1 < len(spans)):
        if take_left:
            left = max(left - 1, 0)
        else:
            right = min(right + 1, len(spans) - 1)
        take_left = not take_left
    return spans[left][0], spans[right][1]


def spoken_rows(rows: "Dataset") -> list[int]:
    """Numbers of the rows of a `datasets.Dataset` in whose `transcript` a sentence has words.

    Arrow columns are searched as they are: a million transcripts as Python objects would take minutes to make.
    """
    import pyarrow.compute as pc

    spoken, first = [], 0
    for batch in rows.select_columns("transcript").with_format("arrow").iter(batch_size=1024):
        for said in batch["transcript"].chunks:
            texts = pc.struct_field(pc.list_flatten(said), "text")
            worded = pc.not_equal(pc.utf8_trim_whitespace(texts), "")
            owners = pc.list_parent_indices(said).filter(worded, null_selection_behavior="drop")
            spoken += (np.unique(owners.to_numpy(zero_copy_only=False)) + first).tolist()
            first += len(said)
    return spoken


class NarratedDataset(torch.utils.data.Dataset):
    """Videos with `features` and a `transcript` (rows of a `datasets.Dataset` in the one schema) for pretraining.

    An item is one video: a random chunk of n = `settings.clips_per_video` consecutive sentences, each grown into a clip
    of at least `settings.min_seconds`. W words, T frames, F numbers per feature:

        input_ids, attention_mask (n, W)      [CLS] what is said [SEP]
        video (n, T, F), video_mask (n, T)    what is shown meanwhile
        text_hidden (n,)                      1 where EnhancedV hid the text (always all n clips of a video)
        pairs_masked_text, pairs_token_labels (n, W), masked_video (n, T, F), video_labels_index (n, T)
        input_caption_ids, decoder_mask, output_caption_ids (n, W)    the same words as the decoder's task

    EnhancedV leaves `[CLS] [SEP]` of the input texts, never of the captions. With `masked=False` (stage one) the last
    two lines are left out and no text is hidden. Draws come from torch's global generator, which `fit` seeds.

    Videos that nobody speaks in are left out, and one warning counts them. `keep_features` keeps all features in
    memory; `feature_size` is F, if that is to be checked.
    Raises ValueError if no video is left or a column is missing, FeatureError when features cannot be read.
    """

    def __init__(
        self,
        rows: "Dataset",
        tokenizer: Any,
        settings: NarrationConfig,
        masked: bool = True,
        keep_features: bool = False,
        feature_size: int | None = None,
    ):
        missing = [name for name in NEEDED if name not in rows.column_names]
        if missing:
            raise ValueError(
                f"narrated videos need the columns {', '.join(NEEDED)}; these have no {missing[0]!r}, "
                f"only {', '.join(rows.column_names)}"
            )
        self.rows = rows.select_columns(NEEDED)
        self.tokenizer, self.settings, self.masked = tokenizer, settings, masked
        self._read = FeatureReader(feature_size, keep_features)
        self.spoken = spoken_rows(self.rows)
        silent = len(self.rows) - len(self.spoken)
        if not self.spoken:
            raise ValueError(f"none of {len(self.rows)} videos has a transcript: there is nothing to learn from")
        if silent:
            warnings.warn(f"{silent} of {len(self.rows)} videos have no transcript and are left out", stacklevel=2)

    def __len__(self) -> int:
        return len(self.spoken)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.rows[self.spoken[index]]
        sentences = _sentences(row["transcript"])
        groups = clip_groups(len(sentences), self.settings.clips_per_video)
        group = groups[int(torch.randint(len(groups), ()))]
        clips = [grow_clip(sentences, chosen, self.settings.min_seconds) for chosen in group]
        texts = [" ".join(sentence["text"] for sentence in sentences[first : last + 1]) for first, last in clips]
        spans = [(sentences[first]["start"], sentences[last]["end"]) for first, last in clips]

        hidden = self.masked and bool(torch.rand(()) < self.settings.hide_text)
        ids, mask = encode_texts(self.tokenizer, [""] * len(texts) if hidden else texts, self.settings.max_words)
        video, video_mask = self._video(row, spans)
        item = {
            "input_ids": ids,
            "attention_mask": mask,
            "video": video,
            "video_mask": video_mask,
            "text_hidden": torch.full((len(texts),), int(hidden)),
        }
        return item | self._tasks(item, texts) if self.masked else item

    def _video(self, row: dict, spans: list[tuple[float, float]]) -> tuple[torch.Tensor, torch.Tensor]:
        features, rate = self._read(row["features"]), row["feature_rate"]
        windows = [widen_window(spans, number, rate, len(features)) for number in range(len(spans))]
        clips = [clip_features(features, rate, *window, self.settings.max_frames) for window in windows]
        video, mask = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
        return video, mask  # (n, T, F), (n, T)

    def _tasks(self, item: dict, texts: list[str]) -> dict[str, torch.Tensor]:
        """The tasks of stage two: masked words, masked frames, and the caption, whose input is masked, too."""
        share = self.settings.mask_share
        words, word_labels = mask_tokens(item["input_ids"], item["attention_mask"], self.tokenizer, share)
        frames, frame_labels = mask_frames(item["video"], item["video_mask"], share)
        read, read_mask, written = encode_captions(self.tokenizer, texts, self.settings.max_words)
        return {
            "pairs_masked_text": words,
            "pairs_token_labels": word_labels,
            "masked_video": frames,
            "video_labels_index": frame_labels,
            "input_caption_ids": mask_tokens(read, read_mask, self.tokenizer, share)[0],
            "decoder_mask": read_mask,
            "output_caption_ids": written,
        }


def _sentences(transcript: list[dict] | None) -> list[dict]:
    """The sentences that have words, in the order of their starts."""
    return sorted((said for said in transcript or [] if said["text"].strip()), key=lambda said: said["start"])


def _holds_rows(start: float, end: float, rate: float, rows: int) -> bool:
    first, last = row_window(rate, start, end)
    return first < min(last, rows)
