"""DiscoVLA computed plainly, as the released code computes it, with the weights of a `minivl.discovla.DiscoVLA`.

What the benchmark compares with: attention with all its weights in memory, every block and the read-out computed for
all tokens, although only class and end-of-text tokens are read in the end, captions encoded with all their padding.
"""

import torch
from torch.nn.functional import normalize


def attend(q, k, v, hidden=None):
    """q (B, Q, h, d), k and v (B, K, h, d), hidden (B, 1, Q or 1, K) of 0 and -inf -> (B, Q, h*d)."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    scores = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
    return ((scores if hidden is None else scores + hidden).softmax(-1) @ v).transpose(1, 2).flatten(2)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def block_output(block, x, frames, class_at, own, shared):
    """x (S, N, W), own (S, 1, N, N), shared (B, 1, 1, F*N) or None -> (S, N, W)."""
    attn, (S, N, W) = block.attn, x.shape
    y = block.ln_1(x)
    qkv = y @ attn.in_proj_weight.T + attn.in_proj_bias + y @ attn.lora.A.T @ attn.lora.B.T
    q, k, v = qkv.view(S, N, 3, attn.num_heads, -1).unbind(2)
    out = attn.out_proj(attend(q, k, v, own))
    if frames and attn.strategy == "adapter":
        rows = torch.arange(S)
        B = S // frames
        heads = q.shape[2:]
        video = attend(
            q[rows, class_at].view(B, frames, *heads),
            k.reshape(B, frames * N, *heads),
            v.reshape(B, frames * N, *heads),
            shared,
        )
        adapter = attn.adapter
        image = out[rows, class_at] @ adapter.down.weight.T + adapter.down.bias
        image = quick_gelu(image) @ adapter.up.weight.T + adapter.up.bias
        out = out.clone()
        out[rows, class_at] = attn.out_proj(video).view(S, W) + image
    x = x + out
    y = block.ln_2(x) @ block.mlp.c_fc.weight.T + block.mlp.c_fc.bias
    return x + quick_gelu(y) @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias


def encode_video(model, video):
    """(B, F, 3, H, W) -> mean of normalised frame features (B, D), frame features (B, F, D)."""
    visual, (B, F) = model.clip.visual, video.shape[:2]
    patches = visual.conv1(video.flatten(0, 1)).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(B * F, 1, -1), patches], 1) + visual.positional_embedding
    x, first = visual.ln_pre(x), torch.zeros(B * F, dtype=torch.long)
    for block in visual.transformer.resblocks:
        x = block_output(block, x, F, first, None, None)
    frames = (visual.ln_post(x) @ visual.proj)[:, 0].view(B, F, -1)
    return normalize(frames, dim=-1).mean(1), frames


def encode_text(model, ids, mask, frames=None):
    """(S, L) -> (S, D)."""
    clip, L = model.clip, ids.shape[1]
    padding = torch.zeros(mask.shape).masked_fill(mask == 0, -torch.inf)  # (S, L)
    own = torch.full((L, L), -torch.inf).triu(1) + padding[:, None, None]  # (S, 1, L, L)
    shared = padding.view(len(ids) // frames, 1, 1, -1) if frames else None
    x, end = clip.token_embedding(ids) + clip.positional_embedding[:L], ids.argmax(1)
    for block in clip.transformer.resblocks:
        x = block_output(block, x, frames, end, own, shared)
    return (clip.ln_final(x) @ clip.text_projection)[torch.arange(len(ids)), end]


def total_loss(model, batch):
    """video + 0.3 image + 1.0 distill, the last as in the release."""

    def contrast(M):
        return -((s * M).log_softmax(1).diagonal().mean() + (s * M).log_softmax(0).diagonal().mean()) / 2

    def divergence(S, I):
        log_p, log_q = (s * I).log_softmax(1), (s * S).log_softmax(1)
        return (log_p.exp() * (log_p - log_q)).sum() / S.numel() * 100

    s, (B, F, L) = model.clip.logit_scale.exp(), batch["f_text_ids"].shape
    videos, frames = encode_video(model, batch["video"])
    texts = encode_text(model, batch["text_ids"], batch["text_mask"])
    captions = encode_text(model, batch["f_text_ids"].view(B * F, L), batch["f_text_mask"].view(B * F, L), F)
    S = normalize(texts, dim=-1) @ normalize(videos, dim=-1).T
    K = torch.einsum("atd,bfd->abtf", normalize(captions.view(B, F, -1), dim=-1), normalize(frames, dim=-1))
    halves = [((s * m).softmax(-1) * m).sum(-1) for m in (K.max(3).values, K.max(2).values)]
    I = (halves[0] + halves[1]) / 2
    return contrast(S) + 0.3 * contrast(I) + (divergence(S, I) + divergence(S.T, I.T)) / 2
