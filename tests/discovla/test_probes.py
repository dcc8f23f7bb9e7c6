"""Moments: a query is right with any clip that shows it."""

import numpy as np
import torch

from minivl.discovla.beyond import probes


class Clips:
    """Three clips; the embedding of each is its number, as a direction."""

    rows = {
        "frame_captions": [["pours water", "an empty counter"], ["pours water", "heats a pot"], ["an empty counter"]]
    }

    def video_batches(self, batch_size, progress):
        yield {"video": torch.eye(3), "video_mask": torch.ones(3, 1)}


class Model(torch.nn.Linear):  # which has parameters, and so a device
    def encode_video(self, videos, mask):
        return videos, None


def found(nearest, monkeypatch):
    """Scores where each sentence is nearest to the clip of that number."""
    monkeypatch.setattr(probes, "embed_texts", lambda model, data, said: torch.eye(3)[[nearest[one] for one in said]])
    shown = [{"pours water", "jug of water"}, {"pours water", "heats a pot"}, {"stirs"}]
    return probes.moment_scores(Model(1, 1), Clips(), shown)


def test_any_clip_that_shows_a_moment_is_right_and_idle_frames_ask_nothing(monkeypatch):
    right = found({"pours water": 1, "heats a pot": 1}, monkeypatch)
    np.testing.assert_array_equal(right, [100, 100, np.nan])
    np.testing.assert_array_equal(found({"pours water": 2, "heats a pot": 1}, monkeypatch), [0, 50, np.nan])
