"""What the decoder owes to text and video: exchanged fields, attention, and a model that is left as it was."""

import pytest
import torch

from helpers.univl_processes import random_batch, small_model
from minivl.univl.copying import decoder_sources
from minivl.univl.pretraining_batch import FIELDS_OF

LENGTHS = ([9, 4, 2, 6], [5, 7, 1, 2], [8, 3, 1, 6])


@pytest.mark.parametrize("source, mask", [("frames", "video_mask"), ("text", "attention_mask")])
def test_one_source_is_that_of_the_next_video(source, mask):
    model, batch = small_model().eval(), random_batch(*LENGTHS)
    exchanged = {**batch, **{name: batch[name][[1, 2, 3, 0]] for name in FIELDS_OF[mask] if name in batch}}
    found = decoder_sources(model, batch)
    assert found["loss"] == pytest.approx(model.losses(batch)["decoder"].item())
    assert found[f"another video's {source}"] == pytest.approx(model.losses(exchanged)["decoder"].item())
    assert found[f"another video's {source}"] != pytest.approx(found["loss"])


def test_attention_is_shared_between_words_and_frames():
    """Keys of zeros: every place counts alike, and the share of text is that of its places."""
    model, batch = small_model().eval(), random_batch([6, 6], [2, 2], [3, 3])
    for name, parameter in model.decoder.named_parameters():
        if "cross_attention" in name and "key" in name:
            torch.nn.init.zeros_(parameter)
    assert decoder_sources(model, batch)["attention on text"] == pytest.approx(100 * 6 / 8)


def test_the_model_keeps_its_objectives():
    model = small_model().eval()
    before = model.objectives
    decoder_sources(model, random_batch(*LENGTHS))
    assert model.objectives is before
