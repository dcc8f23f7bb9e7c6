"""What is hidden: the rates of the release, and the places that are spared."""

import pytest
import torch

from minivl.data.masking import mask_frames, mask_tokens
from minivl.data.wordpiece import train_wordpiece

N, W = 4000, 24


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_wordpiece(["cut the carrot and put it into the pot"] * 3, 120, tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def texts(tokenizer):
    """Random texts of random lengths: [CLS] words [SEP] padding."""
    torch.manual_seed(0)
    length = torch.randint(2, W + 1, (N, 1))
    mask = (torch.arange(W) < length).long()
    ids = torch.randint(5, len(tokenizer), (N, W)) * mask
    ids[:, 0] = tokenizer.cls_token_id
    return ids.scatter(1, length - 1, tokenizer.sep_token_id), mask


def share(chosen, of):
    return float((chosen & of).sum() / of.sum())


def test_tokens_are_masked_at_the_rates_of_the_release(tokenizer, texts):
    ids, mask = texts
    torch.manual_seed(1)
    masked, labels = mask_tokens(ids, mask, tokenizer)
    inside = mask.bool().clone()
    inside[:, 0] = False
    inside.scatter_(1, mask.sum(1, keepdim=True) - 1, False)
    selected = labels != -1
    assert masked.dtype == labels.dtype == torch.int64
    assert not (selected & ~inside).any(), "the first, the last and padding are spared"
    assert torch.equal(masked[~selected], ids[~selected]) and torch.equal(labels[selected], ids[selected])
    assert share(selected, inside) == pytest.approx(0.15, abs=0.01)
    became_mask = masked == tokenizer.mask_token_id
    unchanged = masked == ids
    assert share(became_mask, selected) == pytest.approx(0.8 + 0.1 / len(tokenizer), abs=0.02)
    assert share(unchanged, selected) == pytest.approx(0.1 + 0.1 / len(tokenizer), abs=0.02)
    replaced = masked[selected & ~became_mask & ~unchanged]
    assert replaced.min() == 0 and replaced.max() == len(tokenizer) - 1, "from the whole vocabulary"
    assert len(replaced.unique()) > 0.9 * (len(tokenizer) - 1)


def test_every_inner_place_is_masked_as_often(tokenizer):
    ids = torch.full((20000, 6), 7)
    torch.manual_seed(2)
    labels = mask_tokens(ids, torch.ones_like(ids), tokenizer, share=0.5)[1]
    rates = (labels != -1).float().mean(0)
    assert rates[[0, 5]].tolist() == [0, 0] and rates[1:5].sub(0.5).abs().max() < 0.02


def test_captions_spare_their_first_and_their_last_word(tokenizer):
    ids, mask = torch.tensor([[2, 8, 9, 10, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    masked, labels = mask_tokens(ids, mask, tokenizer, share=1.0)
    assert labels.tolist() == [[-1, 8, 9, -1, -1, -1]] and masked[0, [0, 3, 4, 5]].tolist() == [2, 10, 0, 0]


def test_frames_are_zeroed_and_named_by_their_index():
    torch.manual_seed(3)
    video, mask = torch.rand(2000, 3, 16, 4) + 0.1, (torch.arange(16) < torch.randint(0, 17, (2000, 3, 1))).long()
    kept = video.clone()
    masked, labels = mask_frames(video, mask)
    selected = labels != -1
    assert torch.equal(video, kept) and labels.dtype == torch.int64 and labels.shape == mask.shape
    assert not (selected & (mask == 0)).any()
    assert torch.equal(labels[selected], torch.arange(16).expand(mask.shape)[selected]) and (labels == 0).any()
    assert not masked[selected].any() and torch.equal(masked[~selected], video[~selected])
    assert share(selected, mask.bool()) == pytest.approx(0.15, abs=0.01)


def test_nothing_may_be_masked(tokenizer):
    ids, mask = torch.tensor([[2, 3, 0]]), torch.tensor([[1, 1, 0]])
    masked, labels = mask_tokens(ids, mask, tokenizer, share=1.0)
    assert torch.equal(masked, ids) and labels.unique().tolist() == [-1], "[CLS] [SEP] has nothing to mask"
    video = torch.rand(1, 3, 4)
    masked, labels = mask_frames(video, torch.zeros(1, 3), share=1.0)
    assert torch.equal(masked, video) and labels.unique().tolist() == [-1]
    masked, labels = mask_frames(video, torch.ones(1, 3), share=0.0)
    assert torch.equal(masked, video) and labels.unique().tolist() == [-1]


def test_draws_follow_the_seed(tokenizer, texts):
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(mask_tokens(*texts, tokenizer)[0])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
