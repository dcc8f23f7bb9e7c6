"""The studies of DiscoVLA: cells are settings that exist, one runs end to end, and the probes answer what they ask."""

import copy
from dataclasses import fields

import numpy as np
import pytest
import torch

from minivl.ablations import discovla as ablation
from minivl.ablations.discovla_room import run_adapted
from minivl.ablations.runner import Cell
from minivl.ablations.studies import STUDIES
from minivl.cli import ablate as commands
from minivl.clip import load_clip
from minivl.config import ConfigError, DiscoVLAConfig, WorldConfig, override, scale
from minivl.data.text import tokenize
from minivl.data.world.language import in_other_order
from minivl.discovla import DiscoVLA
from minivl.discovla.beyond.probes import _step_labels, frame_accuracy, order_accuracy
from minivl.discovla.beyond.temporal import ReversedTwins, twin_losses
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.tasks.clip.retrieval import zero_shot

TINY = scale("tiny")
TWO_FRAMES = {"frames": 2, "frame_captions": 2}


@pytest.fixture(scope="module")
def test_clips():
    return ablation.world_clips(TINY.inputs, TINY.world, None)[2]


ALL_CELLS = [
    *(cell for study in ablation.STUDIES.values() for cell in study),
    *(cell for study in STUDIES.values() for cell in study.cells if study.run in (ablation.run_cell, run_adapted)),
]


@pytest.mark.parametrize("cell", ALL_CELLS, ids=lambda c: c.name)
def test_every_cell_names_settings_that_exist(cell):
    own = {"rounds", "batch_size", "learning_rate", "videos", "noise", "noise_kind", "twins", "order"}
    own |= {"frames", "viewers", "weights"}
    world = {field.name for field in fields(WorldConfig)} & cell.settings.keys()
    override(WorldConfig(), **{name: cell.settings[name] for name in world})
    override(DiscoVLAConfig(), **{name: value for name, value in cell.settings.items() if name not in world | own})


def test_methods_differ_in_one_part_each_and_lora_has_no_fewer_parameters():
    lora, fused, aligned, distilled = ({**settings} for settings in ablation.METHODS.values())
    assert not fused and lora["vision_fusion_layers"] == 0
    assert set(aligned) == {"alpha"} and aligned.items() < distilled.items()
    assert {name for name in distilled if name not in aligned} <= {"beta", "distill", "distill_scale"}
    counts = [
        sum(
            p.numel()
            for p in DiscoVLA.from_open_clip(
                "kitchen", None, override(scale("small").discovla, **{"text_fusion_layers": 0, **settings})
            ).trainable_parameters()
        )
        for settings in (lora, {**aligned, "text_fusion_layers": 1})
    ]
    assert counts[1] <= counts[0] <= 1.05 * counts[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"rounds": 0},
        {"alpha": 0.3, "noise": 1.0, "videos": 8, "batch_size": 4},
        {"dial": 1.0, "temporal": 4},
        {"clauses": 2, "temporal": 4, "twins": True, "order": True},
        {**TWO_FRAMES, "alpha": 0.3, "filler": 6.0, "viewers": 3},
    ],
    ids=["zero-shot", "captions", "world", "twins", "frames and viewers"],
)
def test_one_cell_end_to_end(settings):
    cell = Cell("any", settings)
    measured = ablation.run_cell(TINY, cell, 0)
    scores = measured.scores
    for name, values in measured.examples.items():
        assert values.mean() == pytest.approx(scores[name], abs=1e-4) and len(values) == len(measured.clusters) == 8
    assert set(ablation.SCORES) <= scores.keys()
    assert ("order accuracy" in scores) == settings.get("order", False)
    assert (scores["trained parameters"] == 0) == (settings.get("rounds") == 0)
    again = ablation.run_cell(TINY, cell, 0).scores
    del scores["cpu seconds"], again["cpu seconds"]
    assert again == scores


def test_results_say_which_pictures_they_were_measured_on(test_clips):
    """The seed of a world is the cell's. A world that is rendered again may have other bytes, as x264 makes them."""
    hashes = [
        ablation.run_cell(TINY, Cell("any", {"rounds": 0, **settings}, world), 0).test_set
        for settings, world in (
            ({}, None),
            ({}, 0),
            ({}, 1),
            ({"style": 0.5}, 0),
            ({"frames": 2, "frame_captions": 2}, 0),
        )
    ]
    assert hashes[0] == hashes[1] == ablation.hash_of(test_clips) and len(set(hashes)) == 4


def test_studies_are_refused_where_they_cannot_run(tmp_path):
    with pytest.raises(ConfigError, match="components, strategies"):
        ablation.run_study("everything", TINY, [0, 1], tmp_path)
    with pytest.raises(ConfigError, match="--scale small"):
        ablation.run_study("components", scale("full"), [0, 1], tmp_path)


def test_a_study_writes_a_table_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(ablation.STUDIES, "noise", [Cell("zero-shot", {"rounds": 0})])
    table = ablation.run_study("noise", TINY, [0, 1], tmp_path, progress=False)
    assert (table["study"] == "noise").all() and (tmp_path / "discovla_noise.csv").is_file()


def test_the_command_runs_a_study_with_seeds_of_choice(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from minivl.cli import app

    monkeypatch.setitem(ablation.STUDIES, "noise", [Cell("zero-shot", {"rounds": 0})])
    result = CliRunner().invoke(
        app,
        ["ablate", "discovla", "noise", "--seeds", "2", "--first-seed", "7", "--scale", "tiny", "--out", str(tmp_path)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0 and "discovla_noise.csv" in result.output
    assert sorted(path.name for path in (tmp_path / "noise").glob("*.json")) == [
        "zero-shot-seed7.json",
        "zero-shot-seed8.json",
    ]


def test_captions_in_the_other_order():
    assert in_other_order("a man pours milk then heats it") == "a man heats it then pours milk"
    assert in_other_order("someone a then b then c") == "someone c then b then a"


def test_zero_shot_clip_knows_single_frames_but_not_their_order(test_clips):
    model = zero_shot(load_clip("kitchen"))
    assert frame_accuracy(model, test_clips) > 85
    # All frames of a clip count the same, so a clip and the same clip run backwards prefer the same caption.
    assert order_accuracy(model, test_clips, in_other_order) == pytest.approx(50, abs=1e-9)


class OnTheCpu:
    """A model without anything to train, which is where its one parameter is."""

    @staticmethod
    def parameters():
        return iter([torch.zeros(1)])


class Reader(OnTheCpu):
    """Knows in which order a clip is shown and a caption is told: (1, 0) for as recorded, (0, 1) for the reverse."""

    def __init__(self, data):
        self.first = {data.video(i)["video"][0].sum().item() for i in range(len(data.paths))}
        self.told = {tuple(ids[mask.bool()].tolist()) for ids, mask in zip(data.text_ids, data.text_mask, strict=True)}

    def encode_video(self, video, mask):
        return self._codes([clip[0].sum().item() in self.first for clip in video]), None

    def encode_caption(self, ids, mask):
        return self._codes([tuple(i[m.bool()].tolist()) in self.told for i, m in zip(ids, mask, strict=True)])

    @staticmethod
    def _codes(forwards):
        return torch.tensor([[1.0, 0.0] if yes else [0.0, 1.0] for yes in forwards])


def test_order_accuracy_needs_both_to_be_read(test_clips):
    reader = Reader(test_clips)
    assert order_accuracy(reader, test_clips, in_other_order) == 100

    class Likes(Reader):  # reads captions only, and likes those that were told about clips as recorded
        def encode_video(self, video, mask):
            return torch.tensor([[1.0, 0.0]]).repeat(len(video), 1), None

    assert order_accuracy(Likes(test_clips), test_clips, in_other_order) == 50


def test_order_accuracy_counts_ties_half(test_clips):
    class Constant(OnTheCpu):
        encode_video = staticmethod(lambda video, mask: (torch.ones(len(video), 2), None))
        encode_caption = staticmethod(lambda ids, mask: torch.ones(len(ids), 2))

    assert order_accuracy(Constant, test_clips, in_other_order) == 50


def test_twins_differ_in_order_alone(test_clips):
    with pytest.raises(ValueError, match="twins need captions of the form 'A then B'"):
        single = copy.copy(test_clips)
        single.captions = ["someone heats it", *test_clips.captions[1:]]
        ReversedTwins(single, in_other_order)
    data = with_pseudo_captions(test_clips, rendered_captions(test_clips))
    twins, own = ReversedTwins(data, in_other_order)[1], data[1]
    assert len(ReversedTwins(data, in_other_order)) == len(data) and twins.keys() == own.keys()
    for name, value in own.items():
        assert torch.equal(twins[name][0], value)
        if not name.startswith("text"):
            assert torch.equal(twins[name][1], value.flip(0))
    ids, mask = tokenize(data.clip.tokenizer, [in_other_order(data.captions[1])], data.inputs.max_words)
    assert torch.equal(twins["text_ids"][1], ids[0]) and torch.equal(twins["text_mask"][1], mask[0])
    assert not torch.equal(twins["text_ids"][1], own["text_ids"])


def test_without_positions_twins_leave_a_loss_that_no_training_can_lower(test_clips):
    """Each clip has two equal rivals, itself and its twin: at least ln 2 of the loss stays, in both directions."""
    model = DiscoVLA.from_open_clip("kitchen", None, TINY.discovla)
    batch = torch.utils.data.default_collate([ReversedTwins(test_clips, in_other_order)[i] for i in range(4)])
    with torch.no_grad():
        loss = twin_losses(model, batch)["total"]
        video, _ = model.encode_video(batch["video"].flatten(0, 1), batch["video_mask"].flatten(0, 1))
    torch.testing.assert_close(video[::2], video[1::2], atol=1e-6, rtol=0)
    assert loss >= np.log(2) - 1e-5


def test_frame_accuracy_of_mixed_up_frames_is_chance(test_clips):
    model, generator = zero_shot(load_clip("kitchen")), torch.Generator().manual_seed(0)

    class Shuffled(OnTheCpu):
        encode_caption = staticmethod(model.encode_caption)

        @staticmethod
        def encode_video(video, mask):
            pooled, frames = model.encode_video(video, mask)
            return pooled, torch.randn(frames.shape, generator=generator)

    labels = [_step_labels(test_clips, clip) for clip in range(len(test_clips.paths))]
    chance = 100 * np.concatenate([(own[:, None] == own).mean(1) for own in labels]).mean()  # of captions at random
    assert 10 < chance < 45 and abs(frame_accuracy(Shuffled, test_clips) - chance) < 25


def test_the_commands_know_the_studies_by_name():
    assert tuple(ablation.STUDIES) == commands.DISCOVLA and tuple(STUDIES) == commands.STUDIES
