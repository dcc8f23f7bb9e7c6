"""Frame sampling and preprocessing, against what the released DiscoVLA code does."""

import json
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from helpers import RECORDINGS
from minivl.config import InputConfig
from minivl.data.clips import ClipDataset
from minivl.data.images import CLIP_MEAN, CLIP_STD, crop_square, preprocess
from minivl.data.sampling import frame_indices, sample_frames
from minivl.data.schema import load_split
from minivl.data.video import VideoError, write_video

CASES = json.loads((RECORDINGS / "discovla_inputs.json").read_text(encoding="utf-8"))["frame_sampling"]


def numbered_clip(count):
    """Frame i is a plain grey of brightness 5 * i."""
    return np.full((count, 16, 16, 3), 5 * np.arange(count, dtype=np.uint8)[:, None, None, None], np.uint8)


def frame_numbers(frames):
    return np.round(frames.mean(axis=(1, 2, 3)) / 5).astype(int).tolist()


@pytest.mark.parametrize("case", [case for case in CASES if "error" not in case])
def test_the_released_choice(case):
    indices, mask = frame_indices(
        case["n_frames"], case["avg_fps"], case["max_frames"], case["video_framerate"], case["start"], case["end"]
    )
    assert indices == (case["sample_pos"] or [])
    assert mask == case["mask"]
    assert all(type(number) is int for number in indices + mask)


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case])
def test_a_rate_at_which_the_release_fails_is_a_clear_error(case):
    with pytest.raises(ValueError, match="0.4 frames per second is too slow.*fewer than 0.8"):
        frame_indices(case["n_frames"], case["avg_fps"], case["max_frames"], case["video_framerate"])


def test_windows_are_whole_seconds_in_order():
    expected = frame_indices(900, 30.0, 12, 1, 3, 9)
    assert frame_indices(900, 30.0, 12, 1, 3.9, 9.9) == expected
    assert frame_indices(900, 30.0, 12, 1, 9, 3) == expected
    assert frame_indices(900, 30.0, 12, 1, 3, 3) == frame_indices(900, 30.0, 12, 1, 3, 4)
    assert frame_indices(900, 30.0, 12, 1, -5, 9) == frame_indices(900, 30.0, 12, 1, 0, 9)


@pytest.mark.parametrize("arguments", [(10, 4, 0), (10, 4, 8, 0), (10, 4, 8, 1, 2.0), (10, 4, 8, 1, None, 2.0)])
def test_settings_that_make_no_sense(arguments):
    with pytest.raises(ValueError, match="above 0|needs start and end"):
        frame_indices(*arguments)


def test_sampling_a_file(tmp_path):
    write_video(tmp_path / "a.mp4", numbered_clip(40), 4)
    frames, mask = sample_frames(tmp_path / "a.mp4", 8, 4)
    assert frames.shape == (8, 16, 16, 3) and frames.dtype == np.uint8 and mask.tolist() == [1] * 8
    assert frame_numbers(frames) == frame_indices(40, 4.0, 8, 4)[0] == [0, 5, 11, 16, 22, 27, 33, 39]
    assert frame_numbers(sample_frames(tmp_path / "a.mp4", 4, 1, start=2, end=6)[0]) == [8, 12, 16, 24]


def test_a_clip_is_opened_once(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    write_video(tmp_path / "train" / "a.mp4", numbered_clip(40), 4)
    (tmp_path / "train" / "metadata.jsonl").write_text('{"file_name": "a.mp4", "caption": "it gets lighter"}')
    clip = SimpleNamespace(
        tokenizer=lambda texts, context_length: torch.ones(len(texts), context_length, dtype=torch.int64),
        preprocess=lambda frames: preprocess(frames, 16, CLIP_MEAN, CLIP_STD),
    )
    data = ClipDataset(load_split(tmp_path, "train"), clip, InputConfig(max_frames=4))
    opens, av_open = [], av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: opens.append(args) or av_open(*args, **options))
    assert data[0]["video"].shape == (4, 3, 16, 16) and len(opens) == 1
    assert torch.equal(data[0]["video"], data[0]["video"]) and len(opens) == 3


def test_a_clip_of_one_frame_is_repeated(tmp_path):
    write_video(tmp_path / "a.mp4", numbered_clip(1), 4)
    frames, mask = sample_frames(tmp_path / "a.mp4", 3)
    assert frame_numbers(frames) == [0, 0, 0] and mask.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "window, message",
    [((40, 50), r"from 40 to 50 seconds .* clip of 10\.00 seconds"), ((2, None), "needs start and end")],
)
def test_a_window_without_frames_names_file_and_window(tmp_path, window, message):
    write_video(tmp_path / "a.mp4", numbered_clip(40), 4)
    with pytest.raises(VideoError, match=message) as caught:
        sample_frames(tmp_path / "a.mp4", 8, 1, *window)
    assert caught.value.path == tmp_path / "a.mp4"


def test_a_file_slower_than_the_sampling_rate_offers_every_frame(tmp_path):
    write_video(tmp_path / "slow.mp4", numbered_clip(10), 0.4)
    write_video(tmp_path / "fast.mp4", numbered_clip(10), 4)
    slow, mask = sample_frames(tmp_path / "slow.mp4", 10)
    fast, _ = sample_frames(tmp_path / "fast.mp4", 10, 4)
    assert np.array_equal(slow, fast) and mask.all()


# Preprocessing


def test_preprocessing_gives_the_released_values():
    recorded = load_file(RECORDINGS / "preproc.safetensors")
    frame = recorded["in"].numpy()
    for frames in (frame[None], [Image.fromarray(frame)]):
        ours = preprocess(frames, recorded["out"].shape[-1])
        assert ours.shape == (1, *recorded["out"].shape) and ours.dtype == torch.float32
        assert torch.allclose(ours[0], recorded["out"], atol=1e-6, rtol=0)


def test_frames_of_the_right_size_are_only_normalised():
    frames = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    expected = (torch.tensor(frames) / 255 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    assert torch.allclose(preprocess(frames, 24), expected.permute(0, 3, 1, 2), atol=1e-6, rtol=0)
    assert torch.equal(preprocess([Image.fromarray(f) for f in frames], 24), preprocess(frames, 24))


def test_cropping_first_changes_nothing():
    frames = np.random.default_rng(0).integers(0, 256, (2, 30, 50, 3), dtype=np.uint8)
    squares = crop_square(frames, 16)
    assert squares.shape == (2, 16, 16, 3) and squares.dtype == np.uint8
    assert torch.equal(preprocess(squares, 16), preprocess(frames, 16))


def test_own_mean_and_spread_and_pictures_of_several_sizes_and_modes():
    pictures = [Image.new("L", (40, 20), 255), Image.new("RGBA", (20, 30), (255, 255, 255, 255))]
    pixels = preprocess(pictures, 8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
    assert pixels.shape == (2, 3, 8, 8)
    assert pixels[:, :, 4, 4].tolist() == [[2.0, 1.0, 0.5]] * 2


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), [], np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_what_is_not_frames(frames):
    with pytest.raises(ValueError, match="frames"):
        preprocess(frames, 8)
