"""Which encoding each objective reads, and that nothing else is computed."""

import pytest
import torch

from helpers.univl_processes import in_videos, random_batch, small_model
from minivl.config import ObjectiveConfig
from minivl.config.settings import OBJECTIVES
from minivl.univl.pretraining_batch import NEEDS
from minivl.univl.pretraining_step import UNREAD, encode_batch

LENGTHS = ([9, 4, 2, 6], [5, 7, 1, 2], [8, 3, 1, 6])
NOTHING = dict.fromkeys(OBJECTIVES, 0.0)
UNMASKED, MASKED = {"text", "video"}, {"masked_text", "masked_video"}
READS = {
    ("joint",): UNMASKED,
    ("align",): MASKED,
    ("cmlm",): MASKED | {"cross"},
    ("cmfm",): MASKED | {"cross"},
    ("decoder",): MASKED | {"cross"},
    ("joint", "align"): UNMASKED | MASKED,
    ("joint", "decoder"): UNMASKED | MASKED | {"cross"},
}


def model_with(active):
    return small_model(ObjectiveConfig(**{**NOTHING, **dict.fromkeys(active, 1.0)}))


def test_each_objective_says_what_it_needs_and_is_computed():
    assert tuple(NEEDS) == OBJECTIVES
    losses = model_with(OBJECTIVES).losses(random_batch(*LENGTHS))
    assert tuple(losses) == (*OBJECTIVES, "total")


@pytest.mark.parametrize("active", READS)
def test_only_what_active_objectives_read_is_encoded(active):
    model, rows, passes = model_with(active), [], []
    model.text.register_forward_hook(
        lambda module, inputs, kept, output: rows.append(len(kept["input_ids"])), with_kwargs=True
    )
    model.video.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    model.cross.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    encoded = encode_batch(model, random_batch(*LENGTHS))
    read = {name for name in (*UNMASKED, *MASKED, "cross") if getattr(encoded, name) is not UNREAD}
    assert read == READS[active]
    versions = (UNMASKED <= read) + (MASKED <= read)
    assert rows == [4 * versions] * 2 and passes == [4] * ("cross" in read)


def test_each_encoding_is_of_the_clips_that_its_name_says():
    model, batch = small_model(), random_batch(*LENGTHS)
    encoded = encode_batch(model, in_videos(batch, 2))
    W, T = 9, 7  # places that are used
    text_mask, video_mask = batch["attention_mask"][:, :W], batch["video_mask"][:, :T]
    expected = {
        "text": model.encode_text(batch["input_ids"][:, :W], text_mask),
        "masked_text": model.encode_text(batch["pairs_masked_text"][:, :W], text_mask),
        "video": model.encode_video(batch["video"][:, :T], video_mask),
        "masked_video": model.encode_video(batch["masked_video"][:, :T], video_mask),
        "text_mask": text_mask,
        "video_mask": video_mask,
    }
    expected["cross"], _ = model.cross_encode(
        expected["masked_text"], text_mask, expected["masked_video"], video_mask, batch["input_ids"].shape[1]
    )
    for name, value in expected.items():
        torch.testing.assert_close(getattr(encoded, name), value, msg=lambda message, name=name: f"{name}: {message}")
    assert encoded.clips_per_video == 2 and encoded.frame_position == 11 and encoded.valid is None


def test_the_model_called_is_its_losses():
    model, batch = small_model(), random_batch(*LENGTHS)
    called, losses = model(batch), model.losses(batch)
    assert list(called) == list(losses) and all(torch.equal(called[name], losses[name]) for name in called)
