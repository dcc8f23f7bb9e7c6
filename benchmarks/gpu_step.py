"""One training step on a GPU at the papers' sizes: time, memory, and the share of the device's peak that is used.

    python benchmarks/gpu_step.py [--out gpu_step.json] [--repeats 20] [--peak TFLOPS] [--tiny]

Three steps, forward and backward, with random weights and random inputs, in bfloat16 autocast: DiscoVLA on ViT-B/32
with 12 frames per video and all three losses; UniVL-base in stage one (Joint) and in stage two (all five objectives),
48 words and 48 features per clip. Each plain, compiled, and with checkpointed activations. FLOPs are those that torch
counts in the plain step, forward and backward, so the share of the peak does not reward computing anything twice.

The JSON names the device and the command. Without a GPU nothing is measured and the exit code is 3; `--tiny` runs
the same code at tiny sizes on any device, to see that it works. What it printed on one GPU is in gpu_step-h200.txt.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from minivl.config import DiscoVLAConfig, TrainConfig, UniVLConfig
from minivl.discovla import DiscoVLA
from minivl.train.engine import layer_options
from minivl.univl import UniVL

NO_GPU = 3  # exit code
PEAKS = {"A100": 312.0, "H100": 989.0, "H200": 989.0, "L4": 121.0}  # dense 16-bit TFLOP/s of data sheets (SXM)
WORDS, FRAMES = 48, 48  # UniVL


def discovla(args):
    """DiscoVLA on a random CLIP, and a batch of videos with captions."""
    from open_clip.model import CLIP

    size, width, layers = (56, 64, 2) if args.tiny else (224, 768, 12)
    videos, frames, words, vocabulary = (2, 4, 16, 100) if args.tiny else (args.videos, 12, 32, 49408)
    text = {
        "context_length": words,
        "vocab_size": vocabulary,
        "width": width * 2 // 3 // 8 * 8,
        "heads": 8,
        "layers": layers,
    }
    vision = {"image_size": size, "patch_size": size // 7, "width": width, "head_width": 64, "layers": layers}
    fusion = (4, 2) if layers > 4 else (1, 1)
    ids = torch.randint(1, vocabulary - 1, (videos, frames + 1, words))
    ids[..., -1] = vocabulary - 1  # end of text
    batch = {
        "video": torch.randn(videos, frames, 3, size, size),
        "video_mask": torch.ones(videos, frames),
        "text_ids": ids[:, 0],
        "text_mask": torch.ones_like(ids[:, 0]),
        "f_text_ids": ids[:, 1:],
        "f_text_mask": torch.ones_like(ids[:, 1:]),
    }
    return DiscoVLA(CLIP(512, vision, text, quick_gelu=True), DiscoVLAConfig(8, *fusion)), batch


def univl(args, parts):
    """UniVL-base, and a batch of clips, 15% of whose words and features are masked."""
    sizes = UniVLConfig(parts=parts)
    if args.tiny:
        sizes = UniVLConfig(
            hidden_size=32,
            num_heads=2,
            intermediate_size=64,
            text_layers=1,
            video_layers=1,
            cross_layers=1,
            decoder_layers=1,
            vocab_size=200,
            parts=parts,
        )
    clips = 4 if args.tiny else args.clips
    ids = torch.randint(110, sizes.vocab_size, (3, clips, WORDS))
    words, frames = torch.rand(clips, WORDS) < 0.15, torch.rand(clips, FRAMES) < 0.15
    video, real = torch.randn(clips, FRAMES, sizes.video_dim), torch.ones(clips, WORDS).long()
    return UniVL(sizes), {
        "input_ids": ids[0],
        "attention_mask": real,
        "video": video,
        "video_mask": torch.ones(clips, FRAMES).long(),
        "pairs_masked_text": ids[0].masked_fill(words, 103),
        "pairs_token_labels": ids[0].masked_fill(~words, -1),
        "masked_video": video.masked_fill(frames[..., None], 0.0),
        "video_labels_index": torch.arange(FRAMES).expand(clips, -1).masked_fill(~frames, -1),
        "input_caption_ids": ids[1],
        "decoder_mask": real,
        "output_caption_ids": ids[2],
    }


def measure(model, batch, device, repeats, **options):
    """Median seconds of a step and peak memory in bytes (None on a CPU)."""

    def step():
        with torch.autocast(device.type, torch.bfloat16):
            total = model.losses(batch)["total"]
        total.backward()
        model.zero_grad()
        wait(device)

    seconds = []
    with layer_options(model, TrainConfig(**options)):
        for _ in range(3):  # compiles, and fills the allocator
            step()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(repeats):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), torch.cuda.max_memory_allocated() if device.type == "cuda" else None


def flops(model, batch, device):
    """Floating-point operations of one plain step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        with torch.autocast(device.type, torch.bfloat16):
            total = model.losses(batch)["total"]
        total.backward()
    model.zero_grad()
    return counter.get_total_flops()


def wait(device):
    if device.type != "cpu":
        torch.accelerator.synchronize()


def rows(args, device, peak):
    """One row of results per model and option."""
    models = {
        "DiscoVLA ViT-B/32": lambda: discovla(args),
        "UniVL stage one": lambda: univl(args, ()),
        "UniVL stage two": lambda: univl(args, ("cross", "decoder", "heads")),
    }
    variants = {"plain": {}, "compiled": {"compile": True}, "checkpointed": {"activation_checkpointing": True}}
    for name, make in models.items():
        torch.manual_seed(0)
        model, batch = make()
        model, batch = model.to(device).train(), {key: value.to(device) for key, value in batch.items()}
        count = flops(model, batch, device)
        for variant, options in variants.items():
            if args.no_compile and "compile" in options:
                continue
            seconds, memory = measure(model, batch, device, args.repeats, **options)
            yield {
                "model": name,
                "variant": variant,
                "batch": len(batch["video"]),
                "seconds": seconds,
                "peak_memory_bytes": memory,
                "flops": count,
                "flops_per_second": count / seconds,
                "share_of_peak": peak and count / seconds / (peak * 1e12),
            }
        del model, batch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu_step.json"))
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device in 16 bits, if its name is not known here")
    for name, value in {"repeats": 20, "videos": 16, "clips": 48}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on a CPU, too")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    gpu = torch.cuda.is_available()
    if not gpu and not args.tiny:
        print("no GPU here: nothing was measured. --tiny shows on a CPU that this script works", file=sys.stderr)
        return NO_GPU
    device = torch.device("cuda" if gpu else "cpu")
    name = torch.cuda.get_device_name() if gpu else "cpu"
    peak = args.peak or next((value for key, value in PEAKS.items() if key in name), None)
    report = {
        "device": name,
        "torch": torch.__version__,
        "command": " ".join(["python", *sys.argv]),
        "tiny": args.tiny,
        "precision": "bfloat16 autocast",
        "peak_tflops": peak,
        "results": [],
    }
    for row in rows(args, device, peak):
        report["results"].append(row)
        share = "" if row["share_of_peak"] is None else f", {100 * row['share_of_peak']:.1f}% of the peak"
        print("{model:>18} {variant:>12}: {seconds:.4f} s".format(**row) + share, flush=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")  # after each, as compiling takes minutes
    return 0


if __name__ == "__main__":
    sys.exit(main())
