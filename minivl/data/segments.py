"""Segments of videos for UniVL's downstream tasks: retrieval by a caption, and writing the caption."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from minivl.config import NarrationConfig
from minivl.data.features import FeatureReader, clip_features
from minivl.data.schema import captions_of, make_dataset
from minivl.data.wordpiece import encode_captions, encode_texts
from minivl.progress import tqdm

if TYPE_CHECKING:
    from datasets import Dataset

Transcript = Sequence[Mapping[str, Any]]  # {text, start, end} each, seconds
INPUT = ("input_ids", "attention_mask")
CAPTION = ("input_caption_ids", "decoder_mask", "output_caption_ids")
NOTHING_SAID = "none"  # what the release reads where a segment has no transcript
KEPT = ("video", "features", "feature_rate", "video_id", "task", "split")  # columns that segments take from their video


def spoken_within(transcript: Transcript | None, start: float | None, end: float | None) -> list[Any]:
    """The sentences that overlap the seconds from `start` to `end`; all of them without these."""
    if start is None or end is None:
        return list(transcript or [])
    return [said for said in transcript or [] if said["start"] < end and said["end"] > start]


def speech_within(transcript: Transcript | None, start: float | None, end: float | None) -> str:
    """The sentences of `spoken_within` as one text; "" where nobody speaks."""
    return " ".join(said["text"] for said in spoken_within(transcript, start, end))


def segments_of(videos: "Dataset", distinct: bool = False) -> "Dataset":
    """One row per step of videos that have `steps` and `step_captions`, as a `datasets.Dataset` in the one schema.

    `caption` is the step's sentence, `start` and `end` are the step's, `transcript` is what is said meanwhile, and
    `label` is the step's class. `distinct` keeps the first segment of every caption, so that a caption fits only one.
    Raises ValueError if the videos have no such columns, or if a video has another number of steps than of sentences.
    """
    missing = [name for name in ("steps", "step_captions") if name not in videos.column_names]
    if missing:
        raise ValueError(
            f"segments are made of `steps` and `step_captions`; these videos have no {missing[0]!r}, only "
            f"{', '.join(videos.column_names)}"
        )
    kept = [name for name in KEPT if name in videos.column_names]
    segments, seen = [], set()
    for video in videos:
        for step, caption in zip(video["steps"] or [], video["step_captions"] or [], strict=True):
            if distinct and caption in seen:
                continue
            seen.add(caption)
            segments.append(
                {name: video[name] for name in kept}
                | step
                | {"caption": caption, "transcript": spoken_within(video.get("transcript"), step["start"], step["end"])}
            )
    if not segments:
        raise ValueError(f"none of these {len(videos)} videos has a step")
    return make_dataset({name: [segment[name] for segment in segments] for name in segments[0]}, "segments")


class SegmentDataset(torch.utils.data.Dataset):
    """Segments of a `datasets.Dataset` in the one schema, with `features`; `start` and `end` cut them out of a video.

    `text` says what the text encoder reads: the "caption" (retrieval), the "transcript" of the segment ("none" if
    there is none, as in the release), or None for nothing at all, `[CLS] [SEP]` (captions from video only).

    An item is a segment and its `caption`, or a segment and one of its `captions`; without captions, a segment. Each is
    a mapping of tensors (W words, T frames, F numbers per feature):

        input_ids, attention_mask (W,), video (T, F), video_mask (T,)
        input_caption_ids, decoder_mask, output_caption_ids (W,)        where rows have captions

    `captions` are those of all items, `video_of_text` (N_text,) says which segment each belongs to. Segments are not
    widened: one that lies after the last row of features has a video mask of zeros, as in the release.
    Raises ValueError for an unknown `text` and for missing columns, FeatureError when features cannot be read.
    """

    def __init__(
        self,
        rows: "Dataset",
        tokenizer: Any,
        settings: NarrationConfig,
        text: str | None = "caption",
        feature_size: int | None = None,
    ):
        if text not in ("caption", "transcript", None):
            raise ValueError(f"text must be 'caption', 'transcript' or None, got {text!r}")
        if "features" not in rows.column_names:
            raise ValueError(
                "segments need `features`: extract them from the videos first; these have only "
                f"{', '.join(rows.column_names)}"
            )
        self.rows, self.tokenizer, self.settings, self.text = rows, tokenizer, settings, text
        self._read = FeatureReader(feature_size)
        self.captions, self.video_of_text = captions_of(rows)
        if text == "caption" and not self.captions:
            raise ValueError(f"these segments have no `caption` or `captions`, only {', '.join(rows.column_names)}")

    def __len__(self) -> int:
        return len(self.captions) or len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not self.captions:
            return self.segment(index)
        item, caption = self.segment(int(self.video_of_text[index])), [self.captions[index]]
        if self.text == "caption":
            item |= _first(encode_texts(self.tokenizer, caption, self.settings.max_words), INPUT)
        return item | _first(encode_captions(self.tokenizer, caption, self.settings.max_words), CAPTION)

    def segment(self, number: int) -> dict[str, torch.Tensor]:
        """One segment without its captions: `video` and `video_mask`, and the text inputs unless they are captions."""
        row = self.rows[number]
        video, mask = clip_features(
            self._read(row["features"]), row["feature_rate"], row.get("start"), row.get("end"), self.settings.max_frames
        )
        item = {"video": torch.from_numpy(video), "video_mask": torch.from_numpy(mask)}
        if self.text != "caption":
            item |= _first(encode_texts(self.tokenizer, [self._spoken(row)], self.settings.max_words), INPUT)
        return item

    def references(self) -> list[list[str]]:
        """The captions of each segment, in order."""
        references: list[list[str]] = [[] for _ in range(len(self.rows))]
        for caption, number in zip(self.captions, self.video_of_text, strict=True):
            references[number].append(caption)
        return references

    def segment_batches(self, batch_size: int, progress: bool = True) -> Iterator[dict[str, torch.Tensor]]:
        """Every segment once, in order, collated as `segment` does."""
        batches = torch.arange(len(self.rows)).split(batch_size)
        for numbers in tqdm(batches, desc="encoding segments", unit="batch", disable=not progress, leave=False):
            yield torch.utils.data.default_collate([self.segment(int(number)) for number in numbers])

    def text_batches(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Every caption once, in order, as the text encoder reads it: pairs of ids and masks (B, W)."""
        for first in range(0, len(self.captions), batch_size):
            yield encode_texts(self.tokenizer, self.captions[first : first + batch_size], self.settings.max_words)

    def _spoken(self, row: dict) -> str:
        if self.text is None:
            return ""
        return speech_within(row.get("transcript"), row.get("start"), row.get("end")) or NOTHING_SAID


def _first(encoded: tuple[torch.Tensor, ...], names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The only text of a batch of one, named."""
    return {name: tensor[0] for name, tensor in zip(names, encoded, strict=True)}
