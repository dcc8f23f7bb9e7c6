"""Narrated videos become clips: how they grow, which belong together, and what a training example holds."""

import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from minivl.config import NarrationConfig
from minivl.data.features import FeatureError
from minivl.data.narration import NarratedDataset, clip_groups, grow_clip, spoken_rows, widen_window
from minivl.data.schema import make_dataset
from minivl.data.wordpiece import encode_texts, train_wordpiece

WORDS = ("carrot", "pot", "milk", "egg", "salt", "pan", "knife")
SETTINGS = NarrationConfig(clips_per_video=3, min_seconds=0.0, max_words=8, max_frames=4)


def say(*times, texts=WORDS):
    return [
        {"text": text, "start": float(start), "end": float(end)}
        for text, (start, end) in zip(texts, times, strict=False)
    ]


TALK = say(*((3 * i, 3 * i + 2) for i in range(7)))  # 7 sentences of 2 seconds, one second of silence between them


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_wordpiece([" ".join(WORDS)] * 3, 200, tmp_path_factory.mktemp("words"))


@pytest.fixture
def videos(tmp_path):
    """A function that makes rows of transcripts; the features of second t are (t + 1, video's number)."""

    def make(*transcripts, seconds=22, rate=1.0, size=2):
        features = {
            f"v{n}": np.stack([np.arange(1, seconds * rate + 1), np.full(int(seconds * rate), n)], axis=1).repeat(
                size // 2, axis=1
            )
            for n in range(len(transcripts))
        }
        save_file({name: values.astype(np.float16) for name, values in features.items()}, tmp_path / "all.safetensors")
        return make_dataset(
            {
                "features": [f"{tmp_path}/all.safetensors::{name}" for name in features],
                "feature_rate": [rate] * len(features),
                "transcript": list(transcripts),
            },
            "test",
        )

    return make


def test_spoken_rows_are_those_in_which_a_sentence_has_words(videos):
    silent = [[], say((0, 1), texts=[""]), say((0, 1), (2, 3), texts=[" \t", "\n"])]
    spoken = [TALK, say((0, 1), (2, 3), texts=["", "pot"]), say((0, 1), texts=["égg"])]
    rows = videos(silent[0], spoken[0], silent[1], silent[2], spoken[1], spoken[2])
    assert spoken_rows(rows) == [1, 4, 5]
    assert spoken_rows(rows.select([5, 0, 4, 2, 1])) == [0, 2, 4], "numbers are those of the selection"
    many = rows.select([0, 1] * 3000)  # several batches
    assert spoken_rows(many) == list(range(1, 6000, 2))


@pytest.mark.parametrize(
    "chosen, min_seconds, clip",
    [
        (3, 0.0, (3, 3)),
        (3, 2.0, (3, 3)),  # long enough
        (3, 2.1, (2, 3)),  # both sides give 5 seconds: the previous one
        (3, 5.1, (1, 3)),  # then 3..11 and 6..14 are 8 seconds each: again the previous one
        (0, 4.0, (0, 1)),
        (6, 4.0, (5, 6)),
        (0, 1e9, (0, 6)),
        (4, 1e9, (0, 6)),
    ],
)
def test_clips_grow_by_the_nearer_neighbour(chosen, min_seconds, clip):
    assert grow_clip(TALK, chosen, min_seconds) == clip


def test_the_neighbour_that_leaves_the_clip_shorter_is_taken():
    far_before = say((0, 2), (10, 12), (13, 15))
    assert grow_clip(far_before, 1, 4.0) == (1, 2) and grow_clip(far_before, 1, 6.0) == (0, 2)
    long_after = say((7, 9), (10, 12), (13, 30))
    assert grow_clip(long_after, 1, 4.0) == (0, 1)
    assert grow_clip(say((0, 1)), 0, 5.0) == (0, 0), "the only sentence stays as it is"


def test_groups_are_chunks_that_go_on_at_the_beginning():
    assert clip_groups(7, 3) == [[0, 1, 2], [3, 4, 5], [6, 0, 1]]
    assert clip_groups(2, 3) == [[0, 1, 0]] and clip_groups(1, 3) == [[0, 0, 0]] and clip_groups(1, 1) == [[0]]
    assert clip_groups(6, 3) == [[0, 1, 2], [3, 4, 5]] and clip_groups(3, 1) == [[0], [1], [2]]


def test_empty_clips_are_widened_within_their_group():
    spans = [(0.0, 3.0), (12.0, 14.0), (20.0, 24.0)]
    assert widen_window(spans, 0, 1.0, rows=10) == (0.0, 3.0), "it has rows"
    assert widen_window(spans, 1, 1.0, rows=10) == (0.0, 14.0), "to the left first"
    assert widen_window(spans, 2, 1.0, rows=10) == (0.0, 24.0), "as far as needed"
    wrapped = [(20.0, 24.0), (0.0, 3.0), (4.0, 6.0)]
    assert widen_window(wrapped, 0, 1.0, rows=10) == (20.0, 3.0), "nothing to the left; reversed is allowed"
    assert widen_window(spans[1:], 0, 1.0, rows=10) == (12.0, 24.0), "nothing in the whole group: stays empty"
    assert widen_window([(3.0, 3.0)], 0, 1.0, rows=2) == (3.0, 3.0)
    assert widen_window([(2.0, 3.0)], 0, 2.0, rows=5) == (2.0, 3.0), "row 4 of 5, at two rows per second"


def test_an_item_is_a_group_of_clips(videos, tokenizer):
    data = NarratedDataset(videos(TALK[:3]), tokenizer, SETTINGS)
    item = data[0]
    shapes = {name: tuple(value.shape) for name, value in item.items()}
    texts, frames = (3, 8), (3, 4)
    assert shapes == {
        "input_ids": texts,
        "attention_mask": texts,
        "video": (3, 4, 2),
        "video_mask": frames,
        "text_hidden": (3,),
        "pairs_masked_text": texts,
        "pairs_token_labels": texts,
        "masked_video": (3, 4, 2),
        "video_labels_index": frames,
        "input_caption_ids": texts,
        "decoder_mask": texts,
        "output_caption_ids": texts,
    }
    assert {name for name, value in item.items() if value.dtype == torch.float32} == {"video", "masked_video"}
    assert all(value.dtype == torch.int64 for name, value in item.items() if "video" != name != "masked_video")
    assert torch.equal(item["input_ids"], encode_texts(tokenizer, list(WORDS[:3]), 8)[0])
    assert item["video"][:, :, 0].tolist() == [[1, 2, 3, 0], [4, 5, 6, 0], [7, 8, 9, 0]]
    assert item["video_mask"].tolist() == [[1, 1, 1, 0]] * 3 and not item["text_hidden"].any()
    assert item["output_caption_ids"][:, :2].tolist() == [
        [number, tokenizer.sep_token_id] for number in tokenizer.convert_tokens_to_ids(list(WORDS[:3]))
    ]
    assert item["decoder_mask"].sum(1).tolist() == [2, 2, 2]


def test_clips_grow_and_their_sentences_are_joined_in_order(videos, tokenizer):
    settings = NarrationConfig(clips_per_video=1, min_seconds=4.0, max_words=12, max_frames=9)
    shuffled = [TALK[2], TALK[0], TALK[1]]
    data, seen = NarratedDataset(videos(shuffled), tokenizer, settings, masked=False), set()
    torch.manual_seed(0)
    for _ in range(20):
        item = data[0]
        seen.add((tokenizer.decode(item["input_ids"][0, 1:5]), tuple(item["video"][0, :, 0].int().tolist())))
    first = ("carrot pot [SEP] [PAD]", (1, 2, 3, 4, 5, 6, 0, 0, 0))
    assert seen == {first, ("pot milk [SEP] [PAD]", (4, 5, 6, 7, 8, 9, 0, 0, 0))}


def test_every_group_is_drawn_and_the_seed_decides(videos, tokenizer):
    data = NarratedDataset(videos(TALK), tokenizer, SETTINGS, masked=False)

    def draw(seed):
        torch.manual_seed(seed)
        return [tuple(data[0]["input_ids"][:, 1].tolist()) for _ in range(30)]

    numbers = tokenizer.convert_tokens_to_ids(list(WORDS))
    groups = {tuple(numbers[i] for i in group) for group in ([0, 1, 2], [3, 4, 5], [6, 0, 1])}
    assert set(draw(1)) == groups and draw(1) == draw(1) != draw(2)


def test_stage_one_has_no_tasks_and_hides_nothing(videos, tokenizer):
    settings = NarrationConfig(clips_per_video=3, max_words=8, max_frames=4, hide_text=1.0)
    item = NarratedDataset(videos(TALK), tokenizer, settings, masked=False)[0]
    assert set(item) == {"input_ids", "attention_mask", "video", "video_mask", "text_hidden"}
    assert not item["text_hidden"].any() and (item["attention_mask"].sum(1) > 2).all()


def test_enhanced_v_hides_all_texts_of_a_video_and_no_caption(videos, tokenizer):
    settings = NarrationConfig(clips_per_video=3, max_words=8, max_frames=4, hide_text=0.15, mask_share=1.0)
    data = NarratedDataset(videos(TALK), tokenizer, settings)
    torch.manual_seed(0)
    items = [data[0] for _ in range(400)]
    hidden = [item for item in items if item["text_hidden"].any()]
    assert 0.1 < len(hidden) / len(items) < 0.2
    for item in hidden:
        assert item["text_hidden"].tolist() == [1, 1, 1] and item["attention_mask"].sum(1).tolist() == [2, 2, 2]
        assert item["input_ids"][:, :3].tolist() == [[tokenizer.cls_token_id, tokenizer.sep_token_id, 0]] * 3
        assert item["pairs_token_labels"].unique().tolist() == [-1], "nothing to predict from these texts"
        assert (item["decoder_mask"].sum(1) > 2).all() and (item["output_caption_ids"] > 4).any(1).all()
        assert (item["video_labels_index"] >= 0).sum() == item["video_mask"].sum()


def test_the_caption_is_masked_where_it_is_read_and_not_where_it_is_written(videos, tokenizer):
    settings = NarrationConfig(clips_per_video=1, min_seconds=1e9, max_words=16, max_frames=4, mask_share=1.0)
    data = NarratedDataset(videos(TALK), tokenizer, settings)
    words = tokenizer.convert_tokens_to_ids(list(WORDS))
    torch.manual_seed(0)
    read = torch.cat([data[0]["input_caption_ids"] for _ in range(60)])
    assert (read[:, 0] == tokenizer.cls_token_id).all() and (read[:, 7] == words[-1]).all() and not read[:, 8:].any()
    assert 0.7 < (read[:, 1:7] == tokenizer.mask_token_id).float().mean() < 0.9
    assert data[0]["output_caption_ids"].tolist() == [[*words, tokenizer.sep_token_id] + [0] * 8]


def test_silent_videos_are_counted_and_left_out(videos, tokenizer):
    blank = say((0, 2), texts=["  "])
    rows = videos(TALK, None, [], blank, TALK[:2])
    with pytest.warns(UserWarning, match="3 of 5 videos have no transcript and are left out"):
        data = NarratedDataset(rows, tokenizer, SETTINGS)
    assert len(data) == 2 and [data[i]["video"][0, 0, 1].item() for i in range(2)] == [0, 4]
    with pytest.raises(ValueError, match="none of 2 videos has a transcript"):
        NarratedDataset(videos([], None), tokenizer, SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NarratedDataset(videos(TALK), tokenizer, SETTINGS)


def test_speech_after_the_end_of_the_video(videos, tokenizer):
    rows = videos(TALK[:2], say((90, 92), (94, 96)), seconds=2)  # the second sentence, and all of video 1, see nothing
    settings = NarrationConfig(clips_per_video=2, min_seconds=0.0, max_words=8, max_frames=4)
    data = NarratedDataset(rows, tokenizer, settings)
    assert data[0]["video_mask"].tolist() == [[1, 1, 0, 0]] * 2, "widened by its neighbour"
    assert not data[1]["video_mask"].any() and not data[1]["video"].any(), "no row in the whole group"
    assert data[1]["video_labels_index"].unique().tolist() == [-1]


def test_features_of_another_kind_and_missing_columns(videos, tokenizer):
    data = NarratedDataset(videos(TALK), tokenizer, SETTINGS, feature_size=1024)
    with pytest.raises(FeatureError, match="v0 has 2 numbers per row and 1024 are expected"):
        data[0]
    with pytest.raises(ValueError, match="narrated videos need .* these have no 'transcript', only features, feature_"):
        NarratedDataset(videos(TALK).remove_columns("transcript"), tokenizer, SETTINGS)


def test_kept_features_are_read_once(videos, tokenizer, tmp_path):
    kept = NarratedDataset(videos(TALK), tokenizer, SETTINGS, keep_features=True)
    kept[0]
    (tmp_path / "all.safetensors").unlink()
    assert kept[0]["video_mask"].any()


def test_worker_processes_make_the_same_batches(videos, tokenizer):
    data = NarratedDataset(videos(TALK, TALK[:2]), tokenizer, SETTINGS, masked=False)
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=2, num_workers=1)))
    assert batch["input_ids"].shape == (2, 3, 8) and batch["video"].shape == (2, 3, 4, 2)
    assert batch["video"][:, 0, 0, 1].tolist() == [0, 1]
