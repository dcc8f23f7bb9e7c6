"""Beam search against a search that keeps nothing between words and looks at one clip at a time."""

import pytest
import torch

from helpers.univl_processes import CONFIG, W, lengths_to_mask, random_batch, small_model
from minivl.config import ConfigError
from minivl.univl.generation import NOTHING, Captions

BOS, EOS, PAD = CONFIG.bos_token_id, CONFIG.eos_token_id, CONFIG.pad_token_id
INPUTS = ("input_ids", "attention_mask", "video", "video_mask")
CASES = [(0, 3, 2.0), (3, 4, 2.0), (4, 5, 2.0), (6, 2, 1.0), (3, 1, 2.0)]  # seed, beams, bias of [SEP]
LENGTHS = ([8, 5, 3, 11], [4, 8, 0, 2], [3, 3, 3, 3])


def writer(seed=0, eos=2.0, **changes):
    """A model whose captions depend on the clips and end now and then; `eos` makes them end sooner."""
    model = small_model(seed=seed, **changes).eval()
    with torch.no_grad():
        model.decoder.head.bias[EOS] += eos
        for layer in model.decoder.layers:
            layer.cross_attention.output.weight *= 0.4  # so that captions depend on their own words, too
            layer.feed_forward.outer.weight *= 0.2
    return model


def clips_of(**options):
    batch = random_batch(*LENGTHS, **options)
    return [batch[name] for name in INPUTS]


@torch.no_grad()
def next_words(model, clip, prefixes):
    """Log-probabilities of the word after each prefix (B lists), by a full pass over everything."""
    ids, mask, video, video_mask = clip
    text = model.encode_text(ids, mask)
    cross, _ = model.cross_encode(text, mask, model.encode_video(video, video_mask), video_mask)
    captions = torch.tensor([[BOS, *prefix] for prefix in prefixes])
    logits = model.decode(
        captions,
        torch.ones_like(captions),
        cross.repeat(len(captions), 1, 1),
        torch.cat([mask, video_mask], 1).repeat(len(captions), 1),
    )
    return logits[:, -1].log_softmax(-1).tolist()


def search_one(model, clip, beams, max_length, stopping):
    """All captions (tokens, score) of the last beam for one clip, best first."""
    beam = [([], 0.0)]
    for _ in range(max_length):
        grown = []
        for (tokens, score), gains in zip(beam, next_words(model, clip, [tokens for tokens, _ in beam]), strict=True):
            if stopping == "finished" and EOS in tokens:
                grown.append((tokens, score))
                continue
            grown += [
                (tokens + [word], score + gain)
                for word, gain in enumerate(gains)
                if stopping == "release" or word not in (PAD, BOS)
            ]
        # a finished caption is fed to the model as it is, so all must be equally long
        beam = sorted(grown, key=lambda caption: -caption[1])[:beams]
        if (
            stopping == "release"
            and beam[0][0][-1] == EOS
            or stopping == "finished"
            and all(EOS in tokens for tokens, _ in beam)
        ):
            break
        longest = max(len(tokens) for tokens, _ in beam)
        beam = [(tokens + [EOS] * (longest - len(tokens)), score) for tokens, score in beam]
    cut = (lambda t: t[: t.index(EOS) + 1] if EOS in t else t) if stopping == "finished" else (lambda t: t)
    return [(cut(tokens), score) for tokens, score in beam]


def written(captions, clip):
    return [
        ([token for token in row if token != NOTHING], score)
        for row, score in zip(captions.tokens[clip].tolist(), captions.scores[clip].tolist(), strict=True)
    ]


def assert_captions(found, expected):
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=2e-4)


@pytest.mark.parametrize("stopping", ["finished", "release"])
@pytest.mark.parametrize("seed, beams, eos", CASES)
def test_search(seed, beams, eos, stopping):
    model, clips = writer(seed, eos), clips_of(seed=seed)
    captions = model.generate(*clips, num_beams=beams, max_length=6, stopping=stopping)
    for i in range(len(clips[0])):
        expected = search_one(model, [part[i : i + 1] for part in clips], beams, 6, stopping)
        assert_captions(written(captions, i), expected)


def test_the_cases_above_are_of_all_kinds():
    found = []
    for seed, beams, eos in CASES:
        captions = writer(seed, eos).generate(*clips_of(seed=seed), num_beams=beams, max_length=6)
        found += [tokens for i in range(4) for tokens, _ in written(captions, i)]
    assert {len(tokens) for tokens in found} == {1, 2, 3, 4, 5, 6}
    assert sum(len(set(tokens)) > 2 for tokens in found) > 20


@pytest.mark.parametrize("stopping", ["finished", "release"])
def test_one_beam_is_greedy(stopping):
    model, clips = writer(4, 1.0), clips_of(seed=4)
    captions = model.generate(*clips, num_beams=1, max_length=8, stopping=stopping)
    for i in range(len(clips[0])):
        tokens, total = [], 0.0
        while len(tokens) < 8 and EOS not in tokens:
            gains = torch.tensor(next_words(model, [part[i : i + 1] for part in clips], [tokens])[0])
            if stopping == "finished":
                gains[[PAD, BOS]] = -torch.inf
            tokens.append(int(gains.argmax()))
            total += float(gains.max())
        assert_captions(written(captions, i), [(tokens, total)])


def test_as_wide_as_the_vocabulary_nothing_is_missed():
    """With as many beams as words a search of two words sees all captions that can be."""
    model, clips = writer(4, 1.0, vocab_size=12), clips_of(seed=4)
    clips[0] = clips[0] % 12
    captions = model.generate(*clips, num_beams=10, max_length=2)
    for i in range(len(clips[0])):
        clip = [part[i : i + 1] for part in clips]
        allowed = [word for word in range(12) if word not in (PAD, BOS)]
        first = next_words(model, clip, [[]])[0]
        every = [([EOS], first[EOS])]
        for word, gains in zip(allowed, next_words(model, clip, [[word] for word in allowed]), strict=True):
            every += [([word, then], first[word] + gains[then]) for then in allowed if word != EOS]
        assert_captions(written(captions, i), sorted(every, key=lambda caption: -caption[1])[:10])


@torch.no_grad()
def test_step_by_step_is_the_same_as_all_at_once():
    model, batch = writer(), random_batch(*LENGTHS)
    text = model.encode_text(batch["input_ids"], batch["attention_mask"])
    video = model.encode_video(batch["video"], batch["video_mask"])
    cross, _ = model.cross_encode(text, batch["attention_mask"], video, batch["video_mask"])
    cross_mask = torch.cat([batch["attention_mask"], batch["video_mask"]], dim=1)
    B, L = 3, 7
    captions = torch.randint(CONFIG.vocab_size, (4, B, L), generator=torch.Generator().manual_seed(1))
    flat = captions.flatten(0, 1)
    expected = model.decode(
        flat, torch.ones_like(flat), cross.repeat_interleave(B, 0), cross_mask.repeat_interleave(B, 0)
    ).view(4, B, L, -1)
    cache = model.decoder.start(cross, cross_mask)
    for place in range(L):
        found = model.decoder.step(captions[..., place], cache, *model.tables())
        torch.testing.assert_close(found, expected[:, :, place], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stopping", ["finished", "release"])
def test_other_clips_and_padding_do_not_matter(stopping):
    model, clips = writer(3, 2.0), clips_of(seed=3)
    together = model.generate(*clips, num_beams=3, max_length=9, stopping=stopping)
    for i in range(len(clips[0])):
        alone = model.generate(*(part[i : i + 1] for part in clips), num_beams=3, max_length=9, stopping=stopping)
        assert_captions(written(together, i), written(alone, 0))


def test_fewer_captions_are_the_best_of_more():
    model, clips = writer(4, 2.0), clips_of(seed=4)
    everything = model.generate(*clips, num_beams=5, max_length=9)
    for count in (1, 2):
        for i in range(len(clips[0])):
            some = model.generate(*clips, num_beams=5, max_length=9, num_return=count)
            assert_captions(written(some, i), written(everything, i)[:count])


def test_length_penalty_ranks_finished_captions_anew():
    model, clips = writer(3, 2.0), clips_of(seed=3)
    plain = model.generate(*clips, num_beams=4, max_length=6)
    ranked = model.generate(*clips, num_beams=4, max_length=6, length_penalty=1.5)
    changed = 0
    for i in range(len(clips[0])):
        expected = sorted(
            ((tokens, score / len(tokens) ** 1.5) for tokens, score in written(plain, i)),
            key=lambda caption: -caption[1],
        )
        assert_captions(written(ranked, i), expected)
        best = model.generate(*clips, num_beams=4, max_length=6, length_penalty=1.5, num_return=1)
        assert_captions(written(best, i), expected[:1])
        changed += expected[0][0] != written(plain, i)[0][0]
    assert changed


def test_unwanted_tokens_are_never_written():
    model, clips = writer(), clips_of()
    with torch.no_grad():
        model.decoder.head.bias[[PAD, BOS]] += 50.0
    assert (model.generate(*clips, num_beams=2, max_length=4, stopping="release").tokens == PAD).any()
    tokens = model.generate(*clips, num_beams=2, max_length=4).tokens
    assert not ((tokens == PAD) | (tokens == BOS)).any()


def test_best():
    tokens = torch.tensor(
        [
            [[5, 6, EOS, 7], [1, 1, 1, 1]],
            [[5, PAD, EOS, NOTHING], [1, 1, 1, 1]],
            [[EOS, NOTHING, NOTHING, NOTHING], [1, 1, 1, 1]],
            [[8, 9, 6, 5], [1, 1, 1, 1]],
        ]
    )
    assert Captions(tokens, torch.zeros(4, 2)).best(EOS, PAD) == [[5, 6], [5], [], [8, 9, 6, 5]]


def test_shapes_and_modes():
    model, clips = writer(eos=-50.0), clips_of()
    captions = model.train().generate(*clips, num_beams=3, max_length=100, num_return=2)
    assert captions.tokens.shape == (4, 2, CONFIG.text_positions) and captions.scores.shape == (4, 2)
    assert captions.tokens.dtype == torch.int64
    assert model.training and model.decoder.training
    with pytest.raises(ConfigError):
        model.generate(*clips, stopping="never")
    assert model.training and not model.eval().generate(*clips, max_length=1).tokens.requires_grad
    assert not model.training


def test_longer_padding_of_videos_changes_nothing():
    model, clips = writer(), clips_of()
    more = (*clips[:2], torch.nn.functional.pad(clips[2], (0, 0, 0, 3)), torch.nn.functional.pad(clips[3], (0, 3)))
    found, expected = model.generate(*more, max_length=4), model.generate(*clips, max_length=4)
    for i in range(4):
        assert_captions(written(found, i), written(expected, i))


def test_the_place_of_frames_follows_the_padded_length_of_texts():
    """As in training, where texts are padded to max_words, which is not cut off in the positions."""
    model, clips = writer(), clips_of()
    short = [clips[0][:, :5], lengths_to_mask([5, 5, 3, 4], 5), *clips[2:]]
    padded = [torch.nn.functional.pad(short[0], (0, W - 5), value=PAD), lengths_to_mask([5, 5, 3, 4], W), *clips[2:]]
    different = model.generate(*short, max_length=3).scores - model.generate(*padded, max_length=3).scores
    assert different.abs().max() > 1e-3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"stopping": "soon"}, "'finished' or 'release'"),
        ({"num_beams": 0}, "1 <= num_return"),
        ({"num_return": 0}, "got 0"),
        ({"num_beams": 2, "num_return": 3}, "got 3, 2"),
        ({"max_length": 0}, "max_length >= 1"),
        ({"num_beams": 36}, "<= 35 words"),
        ({"num_beams": 38, "stopping": "release"}, "<= 37 words"),
        ({"stopping": "release", "length_penalty": 1.0}, "no length penalty"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ConfigError, match=message):
        writer().generate(*clips_of(), **settings)
