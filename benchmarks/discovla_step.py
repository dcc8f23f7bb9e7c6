"""DiscoVLA's training step and its encoding of videos, here and computed plainly as the released code does.

    python benchmarks/discovla_step.py [--threads 1] [--repeats 7] [--videos 8] [--frames 8]

`plain, anomaly detection` is the released training step as shipped, which looks for NaN in every backward step. The
second table is the cost of the four attention strategies at several numbers of frames; the third, of encoding.
`kept` is what the forward pass keeps in memory for the backward pass. Seconds are CPU seconds, summed over threads.
"""

import argparse
import dataclasses
import platform
import statistics
import time

import torch
from discovla_plain import encode_video, total_loss
from open_clip.model import CLIP

from minivl.config import STRATEGIES, DiscoVLAConfig
from minivl.discovla import DiscoVLA

SIZE, WORDS, VOCABULARY = 64, 32, 1000
CLIP_SIZES = {
    "vision_cfg": {"image_size": SIZE, "patch_size": 8, "width": 256, "head_width": 64, "layers": 6},
    "text_cfg": {"context_length": WORDS, "vocab_size": VOCABULARY, "width": 256, "heads": 4, "layers": 4},
}
CONFIG = DiscoVLAConfig(lora_rank=8, vision_fusion_layers=3, text_fusion_layers=2)


def random_model(**changes):
    """A model as after some training: no LoRA or adapter is zero."""
    torch.manual_seed(0)
    model = DiscoVLA(CLIP(128, **CLIP_SIZES, quick_gelu=True), dataclasses.replace(CONFIG, **changes))
    with torch.no_grad():
        for p in model.trainable_parameters():
            p.normal_(std=0.05)
    return model


def random_batch(videos, frames):
    """Videos, and captions of 8 to 32 tokens."""

    def text(*shape):
        length = torch.randint(8, WORDS + 1, (*shape, 1))
        place = torch.arange(WORDS)
        ids = torch.randint(1, VOCABULARY - 1, (*shape, WORDS)).masked_fill(place == length - 1, VOCABULARY - 1)
        return ids * (place < length), (place < length).long()

    torch.manual_seed(1)
    (ids, mask), (f_ids, f_mask) = text(videos), text(videos, frames)
    return {
        "video": torch.randn(videos, frames, 3, SIZE, SIZE),
        "video_mask": torch.ones(videos, frames),
        "text_ids": ids,
        "text_mask": mask,
        "f_text_ids": f_ids,
        "f_text_mask": f_mask,
    }


def step(model, loss):
    """Forward and backward; the loss and all gradients."""
    model.zero_grad()
    value = loss()
    value.backward()
    return value.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def kept(model, loss):
    """MB that a forward pass keeps for the backward pass, weights not counted."""
    weights, storages = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = (storage.nbytes(), storage)  # holding it keeps its address its own
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss()
    return sum(size for size, _ in storages.values()) / 1e6


def clock(repeats, works):
    """Median CPU seconds of each work, taken in turns; what else the machine does hardly counts."""
    seconds = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if repeat:  # the first turn warms up
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def report(title, seconds, memory=None):
    print(f"\n{title}")
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        extra = "" if memory is None else f"   kept {memory[name]:7.1f} MB"
        print(f"{name:>26}  {value:7.3f} s   {value / first:5.2f}{extra}")


def training(args):
    model, batch = random_model(), random_batch(args.videos, args.frames)

    def plain():
        return total_loss(model, batch)

    def ours():
        return model.losses(batch)["total"]

    def anomaly():
        with torch.autograd.detect_anomaly(check_nan=True):
            step(model, plain)

    (expected, gradients), (actual, our_gradients) = step(model, plain), step(model, ours)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=0, atol=1e-3 * float(gradient.abs().max()))
    memory = {"plain, anomaly detection": kept(model, plain), "plain": kept(model, plain), "ours": kept(model, ours)}
    report(
        f"training step, {args.videos} videos of {args.frames} frames: the same loss ({expected:.3f}) and gradients",
        clock(
            args.repeats,
            {
                "plain, anomaly detection": anomaly,
                "plain": lambda: step(model, plain),
                "ours": lambda: step(model, ours),
            },
        ),
        memory,
    )


def strategies(args):
    models = {strategy: random_model(strategy=strategy) for strategy in STRATEGIES}
    for frames in (4, 8, 16, 32):
        batch = random_batch(max(1, args.videos * args.frames // frames // 2), frames)
        losses = {strategy: (lambda m=model, b=batch: m.losses(b)["total"]) for strategy, model in models.items()}
        report(
            f"training step by strategy, {len(batch['video'])} videos of {frames} frames",
            clock(
                args.repeats, {name: (lambda m=models[name], work=loss: step(m, work)) for name, loss in losses.items()}
            ),
            {name: kept(models[name], loss) for name, loss in losses.items()},
        )


@torch.inference_mode()
def encoding(args):
    models = {strategy: random_model(strategy=strategy).eval() for strategy in STRATEGIES}
    video = random_batch(2 * args.videos, args.frames)["video"]
    model = models["adapter"]
    torch.testing.assert_close(model.encode_video(video)[0], encode_video(model, video)[0], rtol=1e-4, atol=1e-5)
    report(
        f"encoding {len(video)} videos of {args.frames} frames: the same features",
        clock(
            args.repeats,
            {
                "plain": lambda: encode_video(model, video),
                **{name: (lambda m=m: m.encode_video(video)) for name, m in models.items()},
            },
        ),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"threads": 1, "repeats": 7, "videos": 8, "frames": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(
        f"torch {torch.__version__}, {args.threads} threads, {platform.processor() or platform.machine()}; vision "
        f"width 256, 6 layers, 65 tokens, text width 256, 4 layers, {WORDS} words, H_V 3, H_L 2, rank 8"
    )
    training(args)
    strategies(args)
    encoding(args)


if __name__ == "__main__":
    main()
