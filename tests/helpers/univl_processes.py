"""A small UniVL, random batches, and a check that needs two processes: run by test_univl.py.

python univl_processes.py FOLDER
"""

import dataclasses
import sys

import torch
import torch.distributed as dist

from minivl.config import ObjectiveConfig, UniVLConfig
from minivl.univl import UniVL

# No size equals another one, and no special token has its usual id.
CONFIG = UniVLConfig(
    vocab_size=37,
    video_dim=7,
    hidden_size=24,
    num_heads=3,
    intermediate_size=40,
    text_layers=2,
    video_layers=1,
    cross_layers=2,
    decoder_layers=2,
    text_positions=16,
    video_positions=12,
    cross_positions=30,
    dropout=0.0,
    pad_token_id=4,
    bos_token_id=9,
    eos_token_id=2,
)
W, T, C = 11, 8, 10  # places for words, frames and words of captions


def small_model(objectives=None, seed=0, **changes):
    """Its matrices are larger than at the start of training, so that a wrong number shows."""
    torch.manual_seed(seed)
    model = UniVL(dataclasses.replace(CONFIG, **changes), objectives)
    for name, parameter in model.named_parameters():
        norm = parameter.ndim == 1 and name.endswith("weight")
        torch.nn.init.normal_(parameter, mean=float(norm), std=0.1 if parameter.ndim == 1 else 0.3)
    return model


def lengths_to_mask(lengths, places):
    return (torch.arange(places) < torch.tensor(lengths)[:, None]).long()


def random_batch(texts, videos, captions, masked=0.4, seed=0):
    """A pretraining batch of clips with these numbers of words, frames and words of captions."""
    draw = torch.Generator().manual_seed(seed)
    N, pad = len(texts), CONFIG.pad_token_id
    text_mask, video_mask, caption_mask = (
        lengths_to_mask(lengths, places) for lengths, places in ((texts, W), (videos, T), (captions, C))
    )
    words = torch.randint(10, CONFIG.vocab_size, (N, W), generator=draw)
    last = torch.arange(W) == text_mask.sum(1, keepdim=True) - 1
    ids = words.masked_fill(last, CONFIG.eos_token_id).masked_fill(text_mask == 0, pad)
    ids[:, 0] = CONFIG.bos_token_id
    chosen = (torch.rand(N, W, generator=draw) < masked) & (ids >= 10)
    replaced = torch.randint(0, 10, (N, W), generator=draw)  # any special token, as random replacement can give
    video = torch.randn(N, T, CONFIG.video_dim, generator=draw) * video_mask[..., None]
    hidden = (torch.rand(N, T, generator=draw) < masked) & (video_mask > 0)
    caption = torch.randint(10, CONFIG.vocab_size, (2, N, C), generator=draw).masked_fill(caption_mask == 0, pad)
    return {
        "input_ids": ids,
        "attention_mask": text_mask,
        "video": video,
        "video_mask": video_mask,
        "pairs_masked_text": torch.where(chosen, replaced, ids),
        "pairs_token_labels": ids.masked_fill(~chosen, -1),
        "masked_video": video * ~hidden[..., None],
        "video_labels_index": torch.arange(T).expand(N, T).masked_fill(~hidden, -1),
        "input_caption_ids": caption[0],
        "decoder_mask": caption_mask,
        "output_caption_ids": caption[1],
        "text_hidden": torch.arange(N) % 3 == 1,
    }


def in_videos(batch, n):
    """(videos*n, ...) -> (videos, n, ...)."""
    return {name: value.unflatten(0, (-1, n)) for name, value in batch.items()}


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def gradients_of(model, batch, objective="total"):
    model.zero_grad()
    loss = model.losses(batch)[objective]
    loss.backward()
    return loss.detach(), gradients(model)


def assert_same_gradients(found, expected, tolerance=2e-5):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=tolerance, atol=tolerance, msg=lambda message, name=name: f"{name}: {message}"
        )


def whole_batch():
    """Four videos of two clips; the first two videos have more words and much more that is masked."""
    batch = random_batch([11, 9, 10, 8, 4, 3, 5, 3], [8, 6, 8, 5, 2, 0, 3, 1], [9, 10, 8, 7, 2, 1, 3, 2], seed=5)
    batch["pairs_token_labels"][5:] = -1
    assert (batch["pairs_token_labels"][:4] >= 0).sum() > 3 * (batch["pairs_token_labels"][4:] >= 0).sum() > 0
    return in_videos(batch, 2)


def half_of_the_batch(rank, folder, expected):
    """In each of two processes: its half of the videos; losses and gradients averaged over both."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = {name: value[2 * rank : 2 * rank + 2] for name, value in whole_batch().items()}
    for objectives, losses_expected, gradients_expected in expected:
        model = small_model(objectives)
        losses = model.losses(half)
        losses["total"].backward()
        found = gradients(model)
        for tensor in (*found.values(), *(loss.data for loss in losses.values())):
            dist.all_reduce(tensor)
            tensor /= 2
        for name, loss in losses_expected.items():
            torch.testing.assert_close(losses[name].data, loss, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        assert_same_gradients(found, gradients_expected, tolerance=1e-4)
    dist.destroy_process_group()


def of_one_process(objectives, batches):
    """Mean over batches of the losses and of the gradients of the total."""
    results = []
    for batch in batches:
        model = small_model(objectives)
        losses = model.losses(batch)
        losses["total"].backward()
        results.append(({name: loss.detach() for name, loss in losses.items()}, gradients(model)))
    return tuple(
        {name: sum(result[i][name] for result in results) / len(results) for name in results[0][i]} for i in range(2)
    )


def main(folder):
    torch.set_num_threads(1)  # forked processes have no thread pool
    batch = whole_batch()
    halves = [{name: value[i : i + 2] for name, value in batch.items()} for i in (0, 2)]
    everywhere = [
        ObjectiveConfig(),
        ObjectiveConfig(count_padding=True, anchors="middle", detach_frames=False),
        ObjectiveConfig(contrast_hidden_texts=False, cmlm=0.5, align=2.0),
    ]
    local = [ObjectiveConfig.release(), ObjectiveConfig(global_negatives=False)]
    expected = [(choices, *of_one_process(choices, [batch])) for choices in everywhere]
    expected += [(choices, *of_one_process(choices, halves)) for choices in local]
    torch.multiprocessing.start_processes(half_of_the_batch, (folder, expected), nprocs=2, start_method="fork")


if __name__ == "__main__":
    main(sys.argv[1])
