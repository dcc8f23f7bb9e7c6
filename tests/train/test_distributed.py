"""The contrastive loss, and that several processes compute its gradient over the global batch."""

import copy
import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from minivl.clip.contrastive import symmetric_contrastive
from minivl.train.distributed import gather_with_gradient


def test_by_hand():
    similarity = torch.tensor([[0.5, 0.1], [0.3, 0.2]])
    rows = math.log(1 + math.exp(10 * (0.1 - 0.5))) + math.log(1 + math.exp(10 * (0.3 - 0.2)))
    columns = math.log(1 + math.exp(10 * (0.3 - 0.5))) + math.log(1 + math.exp(10 * (0.1 - 0.2)))
    loss = symmetric_contrastive(similarity, torch.tensor(10.0))
    assert loss.item() == pytest.approx((rows / 2 + columns / 2) / 2, rel=1e-6)


def test_needs_pairs():
    with pytest.raises(ValueError, match="2 texts and 3 videos"):
        symmetric_contrastive(torch.zeros(2, 3), 1.0)


def test_gathering_in_one_process_is_the_identity():
    x = torch.randn(3, 2)
    assert gather_with_gradient(x) is x


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.text, self.video = nn.Linear(5, 4), nn.Linear(6, 4)

    def forward(self, text, video):
        text, video = gather_with_gradient(self.text(text)), gather_with_gradient(self.video(video))
        return symmetric_contrastive(text @ video.T, 3.0)


def half_batch_gradients(rank, model, text, video, folder):
    """One of two data-parallel processes: its half of the batch, then gradients averaged over both."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = slice(2 * rank, 2 * rank + 2)
    loss = model(text[half], video[half])
    loss.backward()
    for p in model.parameters():  # by hand: importing DistributedDataParallel's machinery takes longer than the test
        dist.all_reduce(p.grad)
        p.grad /= 2
    torch.save((loss.detach(), [p.grad for p in model.parameters()]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_compute_the_gradients_of_one(tmp_path):
    torch.manual_seed(0)
    model, text, video = TwoTowers(), torch.randn(4, 5), torch.randn(4, 6)
    mp.spawn(half_batch_gradients, (copy.deepcopy(model), text, video, str(tmp_path)), nprocs=2)

    loss = model(text, video)
    loss.backward()
    for rank in range(2):
        its_loss, gradients = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(its_loss, loss.detach())
        for gradient, p in zip(gradients, model.parameters(), strict=True):
            torch.testing.assert_close(gradient, p.grad, rtol=1e-5, atol=1e-7)
