"""One step of stage-two pretraining, forward and backward, here and as the released code computes it.

    python benchmarks/univl_step.py [--threads 1] [--repeats 5] [--batch 16] [--shortest 8]

`release` is our step with the release's objectives, whose loss and gradients are checked against the plain ones;
`paper` is our step with the paper's, which are the default.
"""

import torch
from univl_plain import FRAMES, SIZES, WORDS, arguments, clock, random_clips, random_model, report, total_loss

from minivl.config import ObjectiveConfig


def random_batch(clips, shortest):
    """As `minivl.data.narration` makes it: 15% of words and frames are masked, captions are like the texts."""
    ids, text_mask, video, video_mask = random_clips(clips, (shortest, WORDS))
    words, frames = (torch.rand(mask.shape) < 0.15 for mask in (text_mask, video_mask))
    words, frames = words & text_mask.bool(), frames & video_mask.bool()
    _, caption_mask, _, _ = random_clips(clips, (shortest, WORDS))
    caption = torch.randint(200, SIZES.vocab_size, (2, clips, WORDS)) * caption_mask
    return {
        "input_ids": ids,
        "attention_mask": text_mask,
        "video": video,
        "video_mask": video_mask,
        "pairs_masked_text": ids.masked_fill(words, 103),
        "pairs_token_labels": ids.masked_fill(~words, -1),
        "masked_video": video.masked_fill(frames[..., None], 0.0),
        "video_labels_index": torch.arange(FRAMES).expand(clips, -1).masked_fill(~frames, -1),
        "input_caption_ids": caption[0],
        "decoder_mask": caption_mask,
        "output_caption_ids": caption[1],
    }


def step(model, loss):
    model.zero_grad()
    value = loss()
    value.backward()
    return value.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def main():
    args = arguments(__doc__, repeats=5, batch=16)
    model, batch = random_model(), random_batch(args.batch, args.shortest)
    plain, gradients = step(model, lambda: total_loss(model, batch))
    ours, our_gradients = step(model, lambda: model.losses(batch)["total"])
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)
    for name, gradient in gradients.items():
        tolerance = 1e-3 * float(gradient.abs().max()) + 1e-6
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=tolerance)
    print(f"batch {args.batch}: the same loss ({plain:.3f}) and gradients as the plain step")

    def ours_with(objectives):
        model.objectives = objectives
        step(model, lambda: model.losses(batch)["total"])

    report(
        clock(
            args.repeats,
            plain=lambda: step(model, lambda: total_loss(model, batch)),
            release=lambda: ours_with(ObjectiveConfig.release()),
            paper=lambda: ours_with(ObjectiveConfig()),
        )
    )


if __name__ == "__main__":
    main()
