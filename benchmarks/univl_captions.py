"""Captions by beam search, here and as the released code writes them.

    python benchmarks/univl_captions.py [--threads 1] [--repeats 3] [--clips 16] [--beams 5] [--words 20]

The stopping rule is the release's, so that both write the same; that they do is checked.
"""

from univl_plain import WORDS, arguments, captions, clock, random_clips, random_model, report


def main():
    args = arguments(__doc__, repeats=3, clips=16, beams=5, words=20)
    model = random_model(parts=("cross", "decoder")).eval()
    clips = random_clips(args.clips, (args.shortest, WORDS))

    def ours(stopping="release"):
        return model.generate(*clips, num_beams=args.beams, max_length=args.words, stopping=stopping, num_return=1)

    plain, found = captions(model, *clips, args.beams, args.words), ours()
    for (tokens, score), written, total in zip(
        plain, found.tokens[:, 0].tolist(), found.scores[:, 0].tolist(), strict=True
    ):
        assert [token for token in written if token != -1] == tokens and abs(total - score) < 1e-3, (tokens, written)
    print(f"{args.clips} clips, beam {args.beams}: the same captions, {sum(len(t) for t, _ in plain)} words in all")
    report(
        clock(
            args.repeats,
            plain=lambda: captions(model, *clips, args.beams, args.words),
            release=ours,
            finished=lambda: ours("finished"),
        )
    )


if __name__ == "__main__":
    main()
