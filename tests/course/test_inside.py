"""A student's function is called by the real model, and trains it."""

import math

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


def test_a_student_s_beam_search_writes_what_the_package_s_does():
    """Up to ties, and up to [CLS], which the package never writes and a trained decoder does not want to."""
    import torch

    from minivl.data.wordpiece import decode_tokens, load_tokenizer
    from minivl.tasks.univl.data import CAPTIONER
    from minivl.univl import UniVL

    answers = (TASKS[name].reference for name in ("beam_step", "search_ended", "rank_captions"))
    batch = inside._narrated(1)
    clip = {name: batch[name][0, :1] for name in ("input_ids", "attention_mask", "video", "video_mask")}
    found = UniVL.from_pretrained(CAPTIONER).generate(**clip, num_beams=3, max_length=inside.MAX_WORDS)
    tokenizer, lines = load_tokenizer(CAPTIONER), found.tokens[0].where(found.tokens[0] >= 0, torch.tensor(0))
    assert inside.caption_with(*answers) == [decode_tokens(tokenizer, line) for line in lines.tolist()]


def test_an_answer_that_is_wrong_trains_nothing(capsys):
    def wrong(similarity, clips_per_video):
        return similarity.new_tensor(mil_nce_of(similarity.detach(), 1, "all", [1] * len(similarity)))

    assert inside.train_univl_with(wrong) == []
    assert capsys.readouterr().out.endswith("A right one is needed here.\n")
    assert inside.rerank_with(lambda joint, align, k: joint) == {}
    assert math.isnan(inside.encode_with(lambda **_: None, TASKS["cross_input"].reference))
    assert inside.caption_with(*[TASKS["beam_step"].reference] * 3) == []
