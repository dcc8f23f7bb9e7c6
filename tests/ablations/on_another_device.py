"""What minivl computes where models are not on the CPU, as on a GPU: the same."""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from helpers.pretend_device import There, pretend_device
from minivl.ablations import readers
from minivl.ablations.discovla import measured, world_clips
from minivl.ablations.runner import Cell
from minivl.ablations.univl_long import run_long
from minivl.ablations.univl_matrix import run_matrix
from minivl.ablations.univl_parts import STEPS
from minivl.config import override, scale
from minivl.data.wordpiece import load_tokenizer
from minivl.discovla.pseudo_captions import rendered_captions, with_pseudo_captions
from minivl.tasks.clip.retrieval import adapt, evaluate
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.data import CAPTIONER, task_rows
from minivl.train.engine import default_device
from minivl.univl import UniVL

TINY = scale("tiny")


@pytest.fixture
def device():
    with pretend_device() as device:
        yield device


def test_the_device_refuses_what_cuda_refuses(device):
    """Else nothing here would mean anything. Outside of it there is no such device."""
    assert default_device().type == device.type
    here, there = torch.randn(2, 3), torch.randn(2, 3, device=device)
    assert there.device.type == device.type and torch.accelerator.current_accelerator().type == device.type
    first = torch.zeros(1, dtype=torch.long, device=device)
    for mixed in (
        lambda: here + there,
        lambda: torch.nn.Linear(3, 1)(there),
        lambda: torch.cat([here, there]),
        lambda: here[first],
        lambda: there.index_put((first,), here[:1]),
    ):
        with pytest.raises(RuntimeError, match="on the same device"):
            mixed()
    assert there[torch.zeros(1, dtype=torch.long)].device.type == device.type, "indices may be on the CPU"
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(2, generator=torch.Generator(), device=device)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    q = torch.randn(1, 1, 2, 4, device=device)
    with pytest.raises(RuntimeError, match="last dimension must be contiguous"):
        scaled_dot_product_attention(q, q, q, torch.zeros(1, 1, 1, 1, device=device))
    assert scaled_dot_product_attention(q, q, q, torch.zeros(1, 1, 1, 2, device=device)).device.type == device.type
    assert (there + 1).cpu().sub(there.cpu()).tolist() == pytest.approx(np.ones((2, 3)))


def on_both(compute):
    """What a function gives where everything is on the CPU, and on the other device."""
    here = compute()
    with pretend_device():
        return here, compute()


def test_adaptation_gives_the_same_similarities_and_its_probes_run(tmp_path):
    """Scores may differ, as the clips of a group are so alike that rounding decides which of them is first."""
    train, val, test = world_clips(TINY.inputs, TINY.world, None)
    train, config = with_pseudo_captions(train, rendered_captions(train)), override(TINY.discovla, alpha=0.3, beta=1.0)
    runs = iter(("here", "there"))

    def adapted():
        name = next(runs)
        model = adapt("kitchen", None, train, config, TINY.adapt, tmp_path / name, progress=False)
        assert (next(model.parameters()).device.type == "cpu") == (name == "here")
        scores = measured(model, TINY.world, val, test, spent=1.0, order=True).scores
        assert all(np.isfinite(list(scores.values())))
        return evaluate(model, test, progress=False).similarity

    here, there = on_both(adapted)
    assert np.abs(here - there).max() < 1e-3 < np.ptp(here)


@pytest.mark.parametrize("reader", ["caption, mean", "claims, best frame", "pieces in one vector, mean"])
def test_readers_find_the_same(reader):
    test = world_clips(TINY.inputs, TINY.world, None)[2]

    def found():
        readers._embedded.cache_clear()
        return readers.seen_similarities(test, readers.READERS[reader])

    here, there = on_both(found)
    assert np.allclose(here, there, atol=1e-5)
    readers._embedded.cache_clear()


def test_captions_are_the_same():
    rows = task_rows("captioning", "test", TINY, 4)

    def captions():
        univl = UniVL.from_pretrained(CAPTIONER).to(default_device())
        task = Captioning(univl, load_tokenizer(CAPTIONER), TINY.univl_tasks["captioning"])
        return task.predict(rows, progress=False)

    here, there = on_both(captions)
    assert here == there and len(set(here)) > 1


@pytest.mark.usefixtures("small_narrated_worlds")
@pytest.mark.parametrize("run", [run_long, run_matrix], ids=["retrieval, captions, copying", "every task"])
def test_pretraining_and_tasks_run(device, run):
    """Two steps of each: what they find is left to chance, that they run is not."""
    before = There.made
    found = run(TINY, Cell("any", STEPS, world=3), seed=0)
    assert There.made > before + 10_000, "it trains there"
    assert all(np.isfinite(list(found.scores.values())))
