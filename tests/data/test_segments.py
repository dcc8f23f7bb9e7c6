"""Segments for retrieval and captioning: which part of the video, which words, which captions."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from minivl.config import BUNDLED, NarrationConfig, WorldConfig
from minivl.data.features import FeatureError
from minivl.data.schema import load_split, make_dataset
from minivl.data.segments import SegmentDataset, segments_of, spoken_within
from minivl.data.wordpiece import decode_tokens, encode_captions, encode_texts, train_wordpiece
from minivl.data.world import build

SETTINGS = NarrationConfig(max_words=10, max_frames=4)
TALK = [
    {"text": "cut it", "start": 0.0, "end": 2.0},
    {"text": "and fry it", "start": 3.0, "end": 6.0},
    {"text": "with oil", "start": 5.0, "end": 8.0},
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    sentences = ["cut it and fry it with oil", "none", "someone cuts the carrot", "a carrot is fried in oil"] * 3
    return train_wordpiece(sentences, 200, tmp_path_factory.mktemp("words"))


@pytest.fixture
def rows(tmp_path):
    """A function that makes rows of one video of 10 seconds, whose features of second t are (t + 1, t + 1)."""

    def make(**columns):
        values = np.arange(1, 11, dtype=np.float32)[:, None].repeat(2, axis=1)
        save_file({"v": values}, tmp_path / "all.safetensors")
        count = len(next(iter(columns.values())))
        return make_dataset(
            {"features": [f"{tmp_path}/all.safetensors::v"] * count, "feature_rate": [1.0] * count, **columns}, "test"
        )

    return make


def text(tokenizer, item):
    return decode_tokens(tokenizer, item["input_ids"][1:])


def test_an_item_has_the_rows_of_its_segment_and_its_caption(rows, tokenizer):
    data = SegmentDataset(
        rows(start=[2.0, 0.0, 20.0], end=[4.5, 9.0, 21.0], caption=["cut it", "fry it", "oil"]), tokenizer, SETTINGS
    )
    items = [data[i] for i in range(len(data))]
    assert [item["video"][:, 0].tolist() for item in items] == [[3, 4, 5, 0], [1, 2, 3, 4], [0, 0, 0, 0]]
    assert [item["video_mask"].tolist() for item in items] == [[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert [text(tokenizer, item) for item in items] == ["cut it", "fry it", "oil"]
    expected = [*encode_texts(tokenizer, ["cut it"], 10), *encode_captions(tokenizer, ["cut it"], 10)]
    names = ["input_ids", "attention_mask", "input_caption_ids", "decoder_mask", "output_caption_ids"]
    assert all(torch.equal(items[0][name], tensor[0]) for name, tensor in zip(names, expected, strict=True))
    assert set(items[0]) == {*names, "video", "video_mask"} and items[0]["video"].dtype == torch.float32


def test_without_start_and_end_a_segment_is_the_whole_video(rows, tokenizer):
    data = SegmentDataset(rows(caption=["cut it"], transcript=[TALK]), tokenizer, SETTINGS, text="transcript")
    assert data[0]["video"][:, 0].tolist() == [1, 2, 3, 4]
    assert text(tokenizer, data[0]) == "cut it and fry it with oil"


def test_the_transcript_is_what_is_said_during_the_segment(rows, tokenizer):
    windows = [(0.0, 2.5), (2.0, 3.0), (5.5, 5.9), (8.0, 9.0), (1.0, 4.0)]
    starts, ends = zip(*windows, strict=True)
    data = SegmentDataset(
        rows(start=starts, end=ends, caption=["fry it"] * 5, transcript=[TALK] * 4 + [None]),
        tokenizer,
        SETTINGS,
        text="transcript",
    )
    assert [text(tokenizer, data[i]) for i in range(5)] == ["cut it", "none", "and fry it with oil", "none", "none"]
    assert decode_tokens(tokenizer, data[1]["output_caption_ids"]) == "fry it", "captions don't depend on speech"
    assert spoken_within(TALK, None, None) == TALK and spoken_within(None, 0, 1) == []


def test_without_text_only_the_two_marks_are_read(rows, tokenizer):
    data = SegmentDataset(rows(caption=["fry it"], transcript=[TALK]), tokenizer, SETTINGS, text=None)
    assert data[0]["input_ids"].tolist() == [2, 3] + [0] * 8 and data[0]["attention_mask"].sum() == 2
    assert decode_tokens(tokenizer, data[0]["output_caption_ids"]) == "fry it"


def test_every_caption_of_a_segment_is_an_item(rows, tokenizer):
    captions = [["cut it", "cuts the carrot"], ["fry it"]]
    data = SegmentDataset(rows(start=[0.0, 5.0], end=[1.0, 6.0], captions=captions), tokenizer, SETTINGS)
    assert len(data) == 3 and data.captions == ["cut it", "cuts the carrot", "fry it"]
    assert data.video_of_text.tolist() == [0, 0, 1] and data.references() == captions
    assert [data[i]["video"][0, 0].item() for i in range(3)] == [1, 1, 6]
    assert [text(tokenizer, data[i]) for i in range(3)] == data.captions
    batches = list(data.segment_batches(1, progress=False))
    assert [batch["video"].shape for batch in batches] == [(1, 4, 2)] * 2 and "input_ids" not in batches[0]
    ids, mask = (torch.cat(parts) for parts in zip(*data.text_batches(2), strict=True))
    assert torch.equal(ids, encode_texts(tokenizer, data.captions, 10)[0]) and mask.shape == (3, 10)


def test_segments_without_captions_can_be_described(rows, tokenizer):
    data = SegmentDataset(
        rows(start=[0.0, 5.0], end=[1.0, 6.0], transcript=[TALK, TALK]), tokenizer, SETTINGS, text="transcript"
    )
    assert len(data) == 2 and set(data[1]) == {"video", "video_mask", "input_ids", "attention_mask"}
    batch = next(data.segment_batches(2, progress=False))
    assert batch["input_ids"].shape == (2, 10) and data.references() == [[], []]
    with pytest.raises(ValueError, match="these segments have no `caption` or `captions`, only features"):
        SegmentDataset(rows(start=[0.0], end=[1.0]), tokenizer, SETTINGS)


def test_what_cannot_be_a_segment(rows, tokenizer):
    with pytest.raises(ValueError, match="text must be 'caption', 'transcript' or None, got 'speech'"):
        SegmentDataset(rows(caption=["a"]), tokenizer, SETTINGS, text="speech")
    with pytest.raises(ValueError, match="segments need `features`: extract them from the videos first"):
        SegmentDataset(load_split(BUNDLED / "kitchen", "test"), tokenizer, SETTINGS)
    with pytest.raises(FeatureError, match="2 numbers per row and 512 are expected"):
        SegmentDataset(rows(caption=["a"]), tokenizer, SETTINGS, feature_size=512)[0]


def test_longer_texts_are_cut(rows, tokenizer):
    item = SegmentDataset(rows(caption=["cut it " * 50]), tokenizer, SETTINGS)[0]
    assert item["attention_mask"].all() and item["input_ids"][-1] == tokenizer.sep_token_id
    assert item["output_caption_ids"][-1] == tokenizer.sep_token_id and item["decoder_mask"].all()


# Videos cut into their steps

STEPS = [{"label": "slice carrot", "start": 0.0, "end": 2.5}, {"label": "heat", "start": 4.0, "end": 8.0}]


def test_each_step_of_a_video_becomes_a_segment(rows):
    videos = rows(
        video_id=["a", "b"],
        task=["soup", "stew"],
        steps=[STEPS, STEPS[1:]],
        transcript=[TALK, None],
        step_captions=[["someone cuts", "someone heats"], ["someone heats"]],
        frame_captions=[["x"], ["y"]],
    )
    segments = segments_of(videos)
    assert list(segments["video_id"]) == ["a", "a", "b"] and list(segments["task"]) == ["soup", "soup", "stew"]
    assert list(segments["caption"]) == ["someone cuts", "someone heats", "someone heats"]
    assert list(segments["label"]) == ["slice carrot", "heat", "heat"]
    assert list(segments["start"]) == [0, 4, 4] and list(segments["end"]) == [2.5, 8, 8]
    assert list(segments["transcript"]) == [TALK[:1], TALK[1:], []]
    assert set(segments.column_names) == {
        "features",
        "feature_rate",
        "video_id",
        "task",
        "label",
        "start",
        "end",
        "caption",
        "transcript",
    }
    distinct = segments_of(videos, distinct=True)
    assert list(distinct["caption"]) == ["someone cuts", "someone heats"] and list(distinct["video_id"]) == ["a", "a"]


def test_videos_that_cannot_be_cut(rows):
    with pytest.raises(ValueError, match="these videos have no 'step_captions', only features"):
        segments_of(rows(steps=[STEPS]))
    with pytest.raises(ValueError, match="none of these 1 videos has a step"):
        segments_of(rows(steps=[[]], step_captions=[[]]))
    with pytest.raises(ValueError, match="shorter"):
        segments_of(rows(steps=[STEPS], step_captions=[["one"]]))


def test_segments_of_rendered_videos_keep_their_file(tmp_path):
    world = WorldConfig(videos_train=1, videos_val=1, videos_test=1, dishes=1, step_seconds=(1.0, 1.5))
    folder = build.write_world(tmp_path, world, build.narrated_clips, progress=False)
    videos = load_split(folder, "train")
    segments = segments_of(videos)
    assert list(segments["caption"]) == videos[0]["step_captions"]
    assert segments[0]["video"] == videos[0]["video"] and segments.features["video"] == videos.features["video"]
