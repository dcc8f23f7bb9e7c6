"""Retrieval of videos by text, here and as the released code does it.

    python benchmarks/univl_retrieval.py [--threads 1] [--repeats 3] [--clips 1000] [--queries 4] [--top 20]

First FT-Joint: all texts and videos are encoded and compared; the plain way averages again for every block of the
matrix. Then FT-Align, for the first queries only: every video through the cross encoder, and ours also for the best
ones by FT-Joint alone. That the numbers are the same is checked.
"""

import torch
from torch.nn.functional import normalize
from univl_plain import (
    WORDS,
    align,
    arguments,
    clock,
    encode_text,
    encode_video,
    pooled,
    random_clips,
    random_model,
    report,
)

BATCH = 64  # clips that are encoded at a time


@torch.inference_mode()
def plain_joint(model, clips):
    """Encoded clips in batches, and the matrix of cosines."""
    batches = [
        (encode_text(model, ids, text_mask), text_mask, encode_video(model, video, video_mask), video_mask)
        for ids, text_mask, video, video_mask in zip(*(part.split(BATCH) for part in clips), strict=True)
    ]
    rows = []
    for text, text_mask, _, _ in batches:
        means = [pooled(text, text_mask, video, video_mask) for _, _, video, video_mask in batches]
        rows.append(torch.cat([normalize(texts, dim=-1) @ normalize(videos, dim=-1).T for texts, videos in means], 1))
    return [torch.cat(parts) for parts in zip(*batches, strict=True)], torch.cat(rows)


def plain_align(model, text, text_mask, video, video_mask):
    """In blocks of a batch of videos."""
    blocks = zip(video.split(BATCH), video_mask.split(BATCH), strict=True)
    return torch.cat([align(model, text, text_mask, *block) for block in blocks], dim=1)


@torch.inference_mode()
def our_joint(model, clips):
    batches = list(zip(*(part.split(BATCH) for part in clips), strict=True))
    encoded = (
        torch.cat([model.encode_text(batch[0], batch[1]) for batch in batches]),
        clips[1],
        torch.cat([model.encode_video(batch[2], batch[3]) for batch in batches]),
        clips[3],
    )
    return encoded, model.joint_similarity(*encoded, normalize=True)


@torch.inference_mode()
def best_ones(model, encoded, joint, queries, top):
    """The best videos of each query (queries, top), and their scores by FT-Align."""
    text, text_mask, video, video_mask = encoded
    best = joint[:queries].topk(top).indices  # (queries, top)
    query, chosen = torch.arange(queries).repeat_interleave(top), best.flatten()
    return best, model.align_pairs(text[query], text_mask[query], video[chosen], video_mask[chosen]).view_as(best)


def main():
    args = arguments(__doc__, repeats=3, clips=1000, queries=4, top=20)
    model = random_model(parts=("cross",)).eval()
    clips = random_clips(args.clips, (args.shortest, WORDS))
    (encoded, joint), (ours, our_matrix) = plain_joint(model, clips), our_joint(model, clips)
    torch.testing.assert_close(our_matrix, joint, atol=1e-4, rtol=0)
    print(f"{args.clips} texts x {args.clips} videos by FT-Joint: the same matrix")
    report(clock(args.repeats, plain=lambda: plain_joint(model, clips), ours=lambda: our_joint(model, clips)))

    texts, text_mask, videos, video_mask = encoded
    some = (texts[: args.queries], text_mask[: args.queries], videos, video_mask)
    with torch.inference_mode():
        full = plain_align(model, *some)
        torch.testing.assert_close(model.align_similarity(*some), full, atol=1e-3, rtol=1e-3)
    best, scores = best_ones(model, ours, our_matrix, args.queries, args.top)
    torch.testing.assert_close(scores, full.gather(1, best), atol=1e-3, rtol=1e-3)
    print(f"{args.queries} of the texts by FT-Align, {args.clips} or the best {args.top} videos each: the same scores")

    def timed(work):
        with torch.inference_mode():
            work()

    report(
        clock(
            args.repeats,
            plain=lambda: timed(lambda: plain_align(model, *some)),
            all=lambda: timed(lambda: model.align_similarity(*some)),
            best=lambda: best_ones(model, ours, our_matrix, args.queries, args.top),
        )
    )


if __name__ == "__main__":
    main()
