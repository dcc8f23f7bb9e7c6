"""The studies of DiscoVLA: cells are settings that exist, one runs end to end, and the probes answer what they ask."""

from dataclasses import fields

import pytest
import torch

from minivl.ablations import discovla as ablation
from minivl.ablations.runner import Cell
from minivl.clip import load_clip
from minivl.config import ConfigError, DiscoVLAConfig, WorldConfig, override, scale
from minivl.data.world.language import in_other_order
from minivl.discovla import DiscoVLA
from minivl.discovla.probes import frame_accuracy, frame_chance, order_accuracy
from minivl.tasks.retrieval import zero_shot

TINY = scale("tiny")


@pytest.fixture(scope="module")
def test_clips():
    return ablation.world_clips("tiny", TINY.world, None)[2]


@pytest.mark.parametrize("cell", [cell for study in ablation.STUDIES.values() for cell in study], ids=lambda c: c.name)
def test_every_cell_names_settings_that_exist(cell):
    own = {"rounds", "batch_size", "videos", "noise", "noise_kind"}
    world = {field.name for field in fields(WorldConfig)} & cell.settings.keys()
    override(WorldConfig(), **{name: cell.settings[name] for name in world})
    override(DiscoVLAConfig(), **{name: value for name, value in cell.settings.items() if name not in world | own})


def test_methods_differ_in_one_part_each_and_lora_has_no_fewer_parameters():
    lora, fused, aligned, distilled = ({**settings} for settings in ablation.METHODS.values())
    assert not fused and lora["vision_fusion_layers"] == 0
    assert set(aligned) == {"alpha"} and aligned.items() < distilled.items()
    assert {name for name in distilled if name not in aligned} <= {"beta", "distill", "distill_scale"}
    counts = [sum(p.numel() for p in DiscoVLA.from_open_clip("kitchen", None, override(
        scale("small").discovla, **{"text_fusion_layers": 0, **settings})).trainable_parameters())
        for settings in (lora, {**aligned, "text_fusion_layers": 1})]
    assert counts[1] <= counts[0] <= 1.05 * counts[1]


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"alpha": 0.3, "noise": 1.0, "videos": 8, "batch_size": 4},
                                      {"dial": 1.0, "temporal": 4}], ids=["zero-shot", "captions", "world"])
def test_one_cell_end_to_end(settings):
    cell = Cell("any", settings)
    scores = ablation.run_cell(TINY, cell, 0)
    assert set(ablation.SCORES) <= scores.keys()
    assert (scores["trained parameters"] == 0) == (settings.get("rounds") == 0)
    again = ablation.run_cell(TINY, cell, 0)
    del scores["cpu seconds"], again["cpu seconds"]
    assert again == scores


def test_studies_are_refused_where_they_cannot_run(tmp_path):
    with pytest.raises(ConfigError, match="components, strategies"):
        ablation.run_study("everything", TINY, [0, 1], tmp_path)
    with pytest.raises(ConfigError, match="--scale small"):
        ablation.run_study("components", scale("full"), [0, 1], tmp_path)


def test_a_study_writes_a_table_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(ablation.STUDIES, "noise", [Cell("zero-shot", {"rounds": 0})])
    table = ablation.run_study("noise", TINY, [0, 1], tmp_path, progress=False)
    assert (table["study"] == "noise").all() and (tmp_path / "discovla_noise.csv").is_file()


def test_captions_in_the_other_order():
    assert in_other_order("a man pours milk then heats it") == "a man heats it then pours milk"
    assert in_other_order("someone a then b then c") == "someone c then b then a"


def test_zero_shot_clip_knows_single_frames_but_not_their_order(test_clips):
    model = zero_shot(load_clip("kitchen"))
    assert frame_accuracy(model, test_clips) > 85 > 3 * frame_chance(test_clips)
    # All frames of a clip count the same: reversing them changes no video embedding, so no order can be told.
    told = order_accuracy(model, test_clips)

    class Backwards:
        encode_caption = staticmethod(model.encode_caption)

        @staticmethod
        def encode_video(video, mask):
            return model.encode_video(video.flip(1), mask.flip(1))

    assert order_accuracy(Backwards, test_clips) == told


def test_order_accuracy_counts_ties_half(test_clips):
    class Constant:
        encode_video = staticmethod(lambda video, mask: (torch.ones(len(video), 2), None))
        encode_caption = staticmethod(lambda ids, mask: torch.ones(len(ids), 2))

    assert order_accuracy(Constant, test_clips) == 50


def test_order_accuracy_of_a_model_that_knows(test_clips):
    """Captions that were turned around score below all others, so a model that reads them as such is always right."""
    own = {tuple(ids[mask.bool()].tolist())
           for ids, mask in zip(test_clips.text_ids, test_clips.text_mask, strict=True)}

    class Knowing:
        encode_video = staticmethod(lambda video, mask: (torch.tensor([[1.0, 0.0]]).repeat(len(video), 1), None))

        @staticmethod
        def encode_caption(ids, mask):
            known = [tuple(i[m.bool()].tolist()) in own for i, m in zip(ids, mask, strict=True)]
            return torch.tensor([[1.0, 0.0] if yes else [0.0, 1.0] for yes in known])

    assert order_accuracy(Knowing, test_clips) == 100


def test_frame_accuracy_of_mixed_up_frames_is_chance(test_clips):
    model, generator = zero_shot(load_clip("kitchen")), torch.Generator().manual_seed(0)

    class Shuffled:
        encode_caption = staticmethod(model.encode_caption)

        @staticmethod
        def encode_video(video, mask):
            pooled, frames = model.encode_video(video, mask)
            return pooled, torch.randn(frames.shape, generator=generator)

    chance = frame_chance(test_clips)
    assert 10 < chance < 45 and abs(frame_accuracy(Shuffled, test_clips) - chance) < 25
