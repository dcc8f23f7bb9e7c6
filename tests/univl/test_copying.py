"""What the decoder owes to text and video: exchanged fields, attention, and a model that is left as it was."""

import pytest
import torch

from helpers.univl_processes import random_batch, small_model
from minivl.univl.copying import decoder_sources, what_it_copies
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


def test_told_and_untold_are_compared_by_what_an_exchange_adds():
    model, told, untold = small_model().eval(), random_batch(*LENGTHS), random_batch(*LENGTHS, seed=1)
    there, hidden, found = (
        decoder_sources(model, told),
        decoder_sources(model, untold),
        what_it_copies(model, told, untold),
    )
    assert found["told, loss"] == there["loss"] and found["untold, loss"] == hidden["loss"]
    assert found["told, other text costs"] == there["another video's text"] - there["loss"]
    assert found["told, other frames cost"] == there["another video's frames"] - there["loss"]
    assert found["untold, other frames cost"] == hidden["another video's frames"] - hidden["loss"]
    assert found["told, attention on text"] == there["attention on text"]
