"""The objectives against their equations, written out as loops, at many sizes."""

import itertools
import math

import pytest
import torch

from helpers.written_out import mil_nce_of
from minivl.train.precision import products
from minivl.univl import objectives


def matrix(N, M=None, seed=0, scale=2.0):
    return scale * torch.randn(N, M or N, generator=torch.Generator().manual_seed(seed))


def close(found, expected):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("videos, n, anchors", list(itertools.product((1, 2, 4), (1, 2, 3, 4), ("all", "middle"))))
def test_mil_nce(videos, n, anchors):
    S = matrix(videos * n, seed=videos + 10 * n)
    close(objectives.mil_nce(S, n, anchors), mil_nce_of(S, n, anchors, [1] * len(S)))
    for seed in range(3):
        valid = torch.rand(len(S), generator=torch.Generator().manual_seed(seed)) < 0.6
        close(objectives.mil_nce(S, n, anchors, valid), mil_nce_of(S, n, anchors, valid.tolist()))


@pytest.mark.parametrize("positives", ["own", "own without neighbours"])
def test_nce_beside_mil_nce(positives):
    S, valid = matrix(12), torch.arange(12) % 5 > 0
    close(objectives.mil_nce(S, 3, "all", valid, positives), mil_nce_of(S, 3, "all", valid.tolist(), positives))
    if positives == "own":
        close(objectives.mil_nce(S, 3, positives=positives), objectives.mil_nce(S, 1))


def test_mil_nce_of_large_and_of_hidden_values():
    S = matrix(6, scale=300.0).requires_grad_()  # dot products are not normalised: exp of these overflows
    loss = objectives.mil_nce(S, 3)
    loss.backward()
    assert loss.isfinite() and S.grad.isfinite().all() and S.grad.abs().sum() > 0
    S.grad = None
    loss = objectives.mil_nce(S, 3, valid=torch.zeros(6))
    loss.backward()
    assert loss == 0 and (S.grad == 0).all()


def test_mil_nce_needs_whole_videos():
    with pytest.raises(ValueError, match="4 clips are not a multiple of clips_per_video = 3"):
        objectives.mil_nce(matrix(4), 3)
    with pytest.raises(ValueError, match="4 texts and 6 videos"):
        objectives.mil_nce(matrix(4, 6), 2)


@pytest.mark.parametrize("A, B, first", [(5, 5, 0), (3, 9, 6), (1, 1, 0), (2, 7, 1)])
def test_align(A, B, first):
    S = matrix(A, B)
    rows = [-math.log(math.exp(S[i, first + i]) / sum(math.exp(s) for s in S[i])) for i in range(A)]
    close(objectives.align_loss(S, first), sum(rows) / A)
    valid = torch.arange(A) % 2
    kept = rows[1::2]
    close(objectives.align_loss(S, first, valid), sum(kept) / max(1, len(kept)))


@pytest.mark.parametrize("M, V", [(1, 3), (6, 11)])
def test_cmlm_and_decoder(M, V):
    logits, labels = matrix(M, V), torch.arange(M) * 2 % V
    expected = (
        -sum(
            math.log(math.exp(row[label]) / sum(math.exp(s) for s in row))
            for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
        )
        / M
    )
    close(objectives.cmlm_loss(logits, labels), expected)
    close(objectives.decoder_loss(logits, labels), expected)


def test_cmfm():
    predicted, frames = matrix(4, 5, seed=1, scale=1.0), matrix(9, 5, seed=2, scale=1.0)
    own = torch.tensor([8, 0, 3, 3])
    losses = []
    for p, place in zip(predicted.tolist(), own.tolist(), strict=True):
        scores = [math.exp(sum(x * y for x, y in zip(p, frame, strict=True))) for frame in frames.tolist()]
        losses.append(-math.log(scores[place] / sum(scores)))
    close(objectives.cmfm_loss(predicted, frames, own), sum(losses) / 4)


def test_nothing_masked_gives_zero_and_no_gradient():
    hidden, table = torch.randn(0, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    nothing = torch.zeros(0, dtype=torch.long)
    for loss in (objectives.cmlm_loss(hidden @ table.T, nothing), objectives.cmfm_loss(hidden, table, nothing)):
        loss.backward()
        assert loss == 0 and (table.grad == 0).all()
        table.grad = None


def max_margin_of(S, margin, n, rate):
    N = len(S)
    videos, total = N // n, 0.0
    for i, j in itertools.product(range(N), repeat=2):
        weight = 1.0
        if rate is not None and n > 1 and videos > 1:
            weight = videos * rate if i // n == j // n else videos * (1 - rate) / (videos - 1)
        total += weight * (max(0.0, margin + S[i][j] - S[i][i]) + max(0.0, margin + S[i][j] - S[j][j]))
    return total / N**2


@pytest.mark.parametrize("videos, n, rate", list(itertools.product((1, 2, 5), (1, 2, 3), (None, 0.0, 0.3, 1.0))))
def test_max_margin(videos, n, rate):
    S = matrix(videos * n, seed=videos)
    for margin in (0.1, 2.0):
        close(objectives.max_margin(S, margin, n, rate), max_margin_of(S.tolist(), margin, n, rate))


def test_the_diagonal_of_max_margin_is_a_constant():
    S = (10 * torch.eye(4)).requires_grad_()  # every pair wins by far
    loss = objectives.max_margin(S, 0.1)
    loss.backward()
    close(loss.detach(), 2 * 0.1 / 4)
    assert (S.grad == 0).all()
    with pytest.raises(ValueError, match="2 texts and 3 videos"):
        objectives.max_margin(matrix(2, 3))


def test_products_keep_their_precision_in_mixed_precision():
    a, b = matrix(3, 400, seed=1), matrix(4, 400, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ b.T - torch.einsum("id,jd->ij", a.double(), b.double())).abs().max() > 0.05
        torch.testing.assert_close(products(a, b).double(), a.double() @ b.double().T, rtol=0, atol=1e-3)
