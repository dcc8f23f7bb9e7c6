"""UniVL computed plainly, as the released code computes it, with the weights of a `minivl.univl.UniVL`.

What the benchmarks compare with: text and video are encoded for all padding, and the masked clips separately; the
cross encoder reads the masked clips twice, and every pair in full, five texts at a time; every head predicts at every
position; LayerNorm, gelu and attention are written out; generation keeps nothing between words. No dropout.
"""

import argparse
import math
import platform
import statistics
import time

import torch
import torch.nn.functional as F

from minivl.config import ObjectiveConfig, UniVLConfig
from minivl.univl import UniVL

SIZES = UniVLConfig(
    vocab_size=4000,
    video_dim=256,
    hidden_size=256,
    num_heads=4,
    intermediate_size=1024,
    text_layers=4,
    video_layers=2,
    cross_layers=2,
    decoder_layers=2,
    dropout=0.0,
)
WORDS, FRAMES = 32, 32


# The four modules


def normalise(norm, x):
    """LayerNorm with the parameters of `norm`."""
    x = x - x.mean(-1, keepdim=True)
    return norm.weight * (x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + norm.eps)) + norm.bias


def gelu(x):
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def attend(query, key, value, x, memory, bias, heads):
    """Attention before its output matrix: x (N, Q, D) reads memory (N, K, D), bias (N, 1, 1 or Q, K) -> (N, Q, D)."""
    q, k, v = (
        linear(y).unflatten(-1, (heads, -1)).transpose(1, 2)
        for linear, y in ((query, x), (key, memory), (value, memory))
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def attention(module, x, memory, bias):
    found = attend(module.query, module.key, module.value, x, memory, bias, module.num_heads)
    return normalise(module.norm, module.output(found) + x)


def feed_forward(module, x):
    return normalise(module.norm, module.outer(gelu(module.inner(x))) + x)


def bias_of(mask):
    return (1.0 - mask[:, None, None].float()) * -10_000.0


def encode_text(model, ids, mask):
    """(N, W) -> (N, W, D)."""
    tables, places = model.text.embeddings, torch.arange(ids.shape[1])
    x = normalise(
        tables.LayerNorm,
        tables.word_embeddings(ids)
        + tables.position_embeddings(places)
        + tables.token_type_embeddings(torch.zeros_like(ids)),
    )
    for layer in model.text.encoder.layer:
        own, out = layer.attention.self, layer.attention.output
        found = attend(own.query, own.key, own.value, x, x, bias_of(mask), model.config.num_heads)
        x = normalise(out.LayerNorm, out.dense(found) + x)
        x = normalise(layer.output.LayerNorm, layer.output.dense(gelu(layer.intermediate.dense(x))) + x)
    return x


def encode_video(model, video, mask):
    """(N, T, F) -> (N, T, D)."""
    module = model.video
    x = module.project(normalise(module.frame_norm, video)) + module.positions(torch.arange(video.shape[1]))
    return through(module.layers, normalise(module.norm, x), mask)


def cross_encode(model, text, text_mask, video, video_mask):
    """(N, W, D), (N, T, D) -> (N, W+T, D), (N, D), (N, W+T)."""
    module, mask = model.cross, torch.cat([text_mask, video_mask], 1)
    types = torch.cat([torch.zeros_like(text_mask), torch.ones_like(video_mask)], 1)
    x = torch.cat([text, video], 1)
    x = normalise(module.norm, x + module.positions(torch.arange(x.shape[1])) + module.types(types))
    x = through(module.layers, x, mask)
    return x, module.pool(x[:, 0]), mask


def through(layers, x, mask):
    for layer in layers:
        x = feed_forward(layer.feed_forward, attention(layer.attention, x, x, bias_of(mask)))
    return x


def decode(model, ids, mask, cross, cross_mask):
    """(N, W) -> (N, W, V)."""
    tables, module, W = model.text.embeddings, model.decoder, ids.shape[1]
    x = normalise(module.norm, tables.word_embeddings(ids) + tables.position_embeddings(torch.arange(W)))
    hidden = torch.ones(W, W).triu(1).bool() | (mask[:, None, None] == 0)
    for layer in module.layers:
        x = attention(layer.self_attention, x, x, hidden.float() * -10_000.0)
        x = feed_forward(layer.feed_forward, attention(layer.cross_attention, x, cross, bias_of(cross_mask)))
    return predict(module.head, x, tables.word_embeddings.weight)


def predict(head, x, table):
    """(..., D), (outputs, D) -> (..., outputs)."""
    return normalise(head.norm, gelu(head.dense(x))) @ table.T + head.bias


# Similarity


def pooled(text, text_mask, video, video_mask):
    """The means of texts, without [CLS], and of videos."""
    words = text_mask.clone()
    words[:, 0] = 0
    return (
        (text * words[..., None]).sum(1) / words.sum(1, keepdim=True),
        (video * video_mask[..., None]).sum(1) / video_mask.sum(1, keepdim=True).clamp(min=1),
    )


def align(model, text, text_mask, video, video_mask, at_once=5):
    """(A, W, D), (B, T, D) -> (A, B)."""
    rows = []
    for words, mask in zip(text.split(at_once), text_mask.split(at_once), strict=True):
        A, B = len(words), len(video)
        _, first, _ = cross_encode(
            model,
            words.repeat_interleave(B, 0),
            mask.repeat_interleave(B, 0),
            video.repeat(A, 1, 1),
            video_mask.repeat(A, 1),
        )
        rows.append(model.similarity(first).view(A, B))
    return torch.cat(rows)


# One step of pretraining


def total_loss(model, batch):
    """The sum of the five objectives, for one clip per video."""
    text_mask, video_mask, video = batch["attention_mask"], batch["video_mask"], batch["video"]
    W, table = text_mask.shape[1], model.text.embeddings.word_embeddings.weight
    text, seen = encode_text(model, batch["input_ids"], text_mask), encode_video(model, video, video_mask)
    texts, videos = pooled(text, text_mask, seen, video_mask)
    S = texts @ videos.T
    others = S.masked_fill(torch.eye(len(S)).bool(), -1e12)
    joint = (torch.cat([S.T, others], 1).logsumexp(1) - S.diagonal()).mean()

    masked = (
        encode_text(model, batch["pairs_masked_text"], text_mask),
        text_mask,
        encode_video(model, batch["masked_video"], video_mask),
        video_mask,
    )
    cross, _, mask = cross_encode(model, *masked)
    words = predict(model.word_head, cross[:, :W], table).flatten(0, 1)  # (N*W, V)
    cmlm = F.cross_entropy(words, batch["pairs_token_labels"].flatten(), ignore_index=-1)
    cmfm = frame_loss(model, cross[:, W:], batch)
    again, _, _ = cross_encode(model, *masked)
    logits = decode(model, batch["input_caption_ids"], batch["decoder_mask"], again, mask)
    decoder = F.cross_entropy(logits.flatten(0, 1), batch["output_caption_ids"].flatten(), ignore_index=-1)
    return joint + cmlm + cmfm + decoder - align(model, *masked).log_softmax(1).diagonal().mean()


def frame_loss(model, hidden, batch):
    predicted = predict(model.frame_head, hidden, model.video.project.weight.T).flatten(0, 1)  # (N*T, F)
    real = batch["video_mask"].flatten().bool()
    logits = predicted @ normalise(model.video.frame_norm, batch["video"]).flatten(0, 1).T  # (N*T, N*T)
    logits = logits.masked_fill(~(real[:, None] & real), -1e8)
    return -logits.log_softmax(1).diagonal()[batch["video_labels_index"].flatten() >= 0].mean()


# Captions


@torch.no_grad()
def captions(model, ids, text_mask, video, video_mask, beams=5, max_length=20):
    """The best captions and their scores, as lists; stops as the release does."""
    text, seen = encode_text(model, ids, text_mask), encode_video(model, video, video_mask)
    beam = {clip: [([model.config.bos_token_id], 0.0)] for clip in range(len(ids))}
    active = list(beam)
    for _ in range(max_length):
        clips = torch.tensor([clip for clip in active for _ in range(beams)])
        prefixes = [beam[clip][min(i, len(beam[clip]) - 1)][0] for clip in active for i in range(beams)]
        cross, _, mask = cross_encode(model, text[clips], text_mask[clips], seen[clips], video_mask[clips])
        so_far = torch.tensor(prefixes)
        gains = decode(model, so_far, torch.ones_like(so_far), cross, mask)[:, -1].log_softmax(-1)
        for clip, own in zip(active, gains.split(beams), strict=True):
            own = own[: len(beam[clip])]  # one beam at first
            totals, places = (own + torch.tensor([score for _, score in beam[clip]])[:, None]).flatten().topk(beams)
            beam[clip] = [
                (beam[clip][place // own.shape[1]][0] + [place % own.shape[1]], total)
                for total, place in zip(totals.tolist(), places.tolist(), strict=True)
            ]
        active = [clip for clip in active if beam[clip][0][0][-1] != model.config.eos_token_id]
        if not active:
            break
    return [(best[0][0][1:], best[0][1]) for best in beam.values()]


# Models, data, clock


def random_model(parts=("cross", "decoder", "heads"), objectives=None):
    """A UniVL of the benchmark's size. Its matrices are larger than when training starts, so that outputs differ."""
    model = UniVL(UniVLConfig(**{**vars(SIZES), "parts": parts}), objectives or ObjectiveConfig.release())
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def random_clips(clips, lengths=(8, WORDS)):
    """Texts, masks and videos of random length: ids (N, W), mask (N, W), video (N, T, F), mask (N, T)."""

    def masks(size):
        real = torch.randint(lengths[0], lengths[1] + 1, (clips, 1))
        return (torch.arange(size) < real).long()

    text_mask, video_mask = masks(WORDS), masks(FRAMES)
    ids = torch.randint(200, SIZES.vocab_size, (clips, WORDS)) * text_mask
    return ids, text_mask, torch.randn(clips, FRAMES, SIZES.video_dim) * video_mask[..., None], video_mask


def clock(repeats, **works):
    """Median CPU seconds of each work, taken in turns, so that whatever else the machine does slows all of them."""
    seconds = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if repeat:  # the first turn warms up
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def arguments(description, repeats, **more):
    """Command line of a benchmark; prints what the numbers depend on."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, value in {"threads": 1, "repeats": repeats, "shortest": 8, **more}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {args.threads} threads, {platform.machine()}; hidden {SIZES.hidden_size}, "
        f"{SIZES.num_heads} heads, text {SIZES.text_layers}, video {SIZES.video_layers}, cross {SIZES.cross_layers}, "
        f"decoder {SIZES.decoder_layers} layers, vocabulary {SIZES.vocab_size}, features {SIZES.video_dim}, "
        f"{WORDS} words and {FRAMES} frames of which {args.shortest} to {WORDS} are real"
    )
    return args


def report(seconds):
    plain = seconds["plain"]
    for name, value in seconds.items():
        print(f"{name:>20}  {value:8.3f} CPU s   {value / plain:6.3f} of plain")
