"""RandAugment of training frames: one draw for a whole clip, seeded, and never in evaluation."""

import dataclasses

import numpy as np
import pytest
import torch

from minivl.clip import load_clip
from minivl.config import BUNDLED, RANDAUGMENT, ConfigError, scale
from minivl.data.images import augmented, preprocess
from minivl.tasks.clip.retrieval import adapt, clips
from minivl.train.loop import seed_everything

ALWAYS = "rand-m7-n4-mstd0.5-inc1-p1.0"  # nothing is skipped


@pytest.fixture(scope="module")
def clip():
    return load_clip("kitchen")


def data_of(clip, augment, split="train", subset=8):
    settings = scale("tiny")
    settings = dataclasses.replace(settings, inputs=dataclasses.replace(settings.inputs, augment=augment))
    return clips(BUNDLED / "kitchen", split, clip, settings, subset)


class StopsReading(torch.utils.data.Dataset):
    """A data set that is interrupted after so many items."""

    def __init__(self, data, after):
        self.data, self.left = data, after

    def __getattr__(self, name):
        return getattr(self.data, name)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.data[index]


def picture():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_all_frames_get_the_same_operations_with_the_same_strengths():
    frames, changed, results = np.stack([picture()] * 4), 0, []
    for seed in range(40):  # 160 draws from 15 operations
        seed_everything(seed)
        first, *others = (np.asarray(frame) for frame in augmented(frames, ALWAYS))
        assert all(np.array_equal(first, other) for other in others), seed
        changed += not np.array_equal(first, frames[0])
        results.append(first.tobytes())
    assert changed > 35 and len(set(results)) > 35, "clips get different draws"


def test_the_draw_moves_on_from_clip_to_clip_and_follows_from_the_seed():
    frames = picture()[None]
    seed_everything(3)
    first, second = (np.asarray(augmented(frames, ALWAYS)[0]) for _ in range(2))
    assert not np.array_equal(first, second)
    seed_everything(3)
    assert np.array_equal(np.asarray(augmented(frames, ALWAYS)[0]), first)


def test_the_released_policy_skips_half_of_the_operations():
    untouched = 0
    for seed in range(200):
        seed_everything(seed)
        untouched += np.array_equal(np.asarray(augmented(picture()[None], RANDAUGMENT)[0]), picture())
    assert 3 <= untouched <= 30, "4 operations of chance 1/2: one clip in 16 stays as it is"


def test_training_reads_augmented_frames_and_evaluation_does_not(clip):
    plain, changed = data_of(clip, ""), data_of(clip, ALWAYS)
    seed_everything(0)
    assert not torch.equal(plain[0]["video"], changed[0]["video"])
    assert plain[0]["video"].shape == changed[0]["video"].shape
    assert torch.equal(plain[0]["text_ids"], changed[0]["text_ids"])
    for ours, theirs in zip(
        plain.video_batches(4, progress=False), changed.video_batches(4, progress=False), strict=True
    ):
        assert torch.equal(ours["video"], theirs["video"])
    assert torch.equal(plain.video(0)["video"], preprocess(plain.frames(0)[0], clip.image_size, clip.mean, clip.std))


def test_a_run_with_augmentation_resumes_to_the_same_weights(clip, tmp_path):
    settings, train = scale("tiny"), data_of(clip, RANDAUGMENT, subset=16)
    training = dataclasses.replace(settings.adapt, steps=4, checkpoint_every=2, seed=1)
    whole = adapt("kitchen", None, train, settings.discovla, training, tmp_path / "whole", progress=False)
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        adapt("kitchen", None, StopsReading(train, after=24), settings.discovla, training, stopped, progress=False)
    resumed = adapt("kitchen", None, train, settings.discovla, training, stopped, progress=False)
    for one, other in zip(whole.trainable_parameters(), resumed.trainable_parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_unknown_policy_is_named():
    with pytest.raises(ConfigError, match="unknown augmentation 'strong'.*rand-m7"):
        augmented(picture()[None], "strong")


def test_the_recipes_of_discovla_augment_as_released():
    from minivl.fullscale.recipes import find_recipe

    assert find_recipe("discovla-msrvtt-b32").settings.inputs.augment == RANDAUGMENT
    assert scale("small").inputs.augment == ""
