"""A student's function is called by the real model, and trains it."""

from helpers.written_out import mil_nce_of
from minivl.course import inside
from minivl.course.tasks import TASKS
from minivl.univl import objectives


def test_a_student_s_mil_nce_trains_univl():
    sizes = []

    def mil_nce(similarity, clips_per_video):
        sizes.append((len(similarity), clips_per_video))
        return objectives.mil_nce(similarity, clips_per_video)

    before = objectives.mil_nce
    losses = inside.train_univl_with(mil_nce)
    assert len(losses) == 2 and losses[1] < losses[0]
    assert sizes[-2:] == [(6, 3), (6, 3)], "two videos of three clips, twice"
    assert objectives.mil_nce is before


def test_a_student_s_fusion_adapts_clip():
    calls = []

    def class_token_attention(q, k, v, frames, output, adapter):
        calls.append((len(q), frames))
        return TASKS["class_token_attention"].reference(q, k, v, frames, output, adapter)

    losses = inside.adapt_clip_with(class_token_attention)
    assert len(losses) == 2 and losses[1] < losses[0]
    assert calls[-2:] == [(12, 4), (12, 4)], "three videos of four frames, twice"


def test_the_place_of_a_student_s_fusion_is_the_package_s():
    """With the reference in it, the tower computes what it computes without."""
    import torch

    from minivl.config import DiscoVLAConfig
    from minivl.discovla.ivfusion import IVFusionAttention, Layout, token_index

    torch.manual_seed(0)
    attention = IVFusionAttention(torch.nn.MultiheadAttention(8, 2, batch_first=True), 2, "adapter")
    torch.nn.init.normal_(attention.adapter.up.weight)
    torch.nn.init.normal_(attention.lora.B)
    assert DiscoVLAConfig().strategy == attention.strategy
    x, layout = torch.randn(6, 5, 8), Layout(token_index(torch.zeros(6, dtype=torch.long)), frames=3)
    expected = attention(x, layout, class_only=True)
    found = inside._fused(attention, TASKS["class_token_attention"].reference, x, layout, class_only=True)
    torch.testing.assert_close(found, expected)


def test_an_answer_that_is_wrong_trains_nothing(capsys):
    def wrong(similarity, clips_per_video):
        return similarity.new_tensor(mil_nce_of(similarity.detach(), 1, "all", [1] * len(similarity)))

    assert inside.train_univl_with(wrong) == []
    assert capsys.readouterr().out.endswith("A right one is needed here.\n")
