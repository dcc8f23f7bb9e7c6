"""What the tests of UniVL's tasks share: a small random model, its tokenizer, and segments with random features."""

import numpy as np
import torch

from minivl.config import ObjectiveConfig, TaskConfig, TrainConfig, UniVLConfig
from minivl.data.schema import make_dataset
from minivl.data.wordpiece import train_wordpiece
from minivl.train.loop import seed_everything
from minivl.univl import UniVL

CAPTIONS = ["stir the soup", "peel a red onion", "add salt to the pan", "cut the long carrot"]
FEATURES = 16  # numbers per feature


def tokenizer_in(folder):
    return train_wordpiece(CAPTIONS * 3, 200, folder)


def tiny_univl(tokenizer, parts=("cross", "decoder", "heads"), seed=0, loud=False, **objectives):
    """Dropout is 0, so that what it computes can be compared.

    `loud` enlarges the weights: every detail of the input then shows in the output. It is no good for training.
    """
    seed_everything(seed)
    univl = UniVL(
        UniVLConfig(
            vocab_size=len(tokenizer),
            video_dim=FEATURES,
            hidden_size=32,
            num_heads=2,
            intermediate_size=64,
            text_layers=1,
            video_layers=1,
            cross_layers=2,
            decoder_layers=1,
            text_positions=24,
            video_positions=16,
            cross_positions=40,
            dropout=0.0,
            parts=parts,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
        ),
        ObjectiveConfig(**objectives),
    )
    with torch.no_grad():
        for weight in univl.parameters():
            weight.mul_(8 if loud and weight.ndim > 1 else 1)
    return univl.eval()


def config(steps=1, batch_size=4, learning_rate=3e-3, max_words=12, max_frames=6, **train):
    train = TrainConfig(
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=0.01,
        steps=steps,
        epochs=None,
        log_every=1,
        **train,
    )
    return TaskConfig(train, max_words=max_words, max_frames=max_frames)


def segments(folder, captions=CAPTIONS, frames=5, rate=1.0, seed=0, size=FEATURES, **columns):
    """Rows of one video each, with random features of `frames` rows."""
    rng = np.random.default_rng(seed)
    files = [folder / f"features-{seed}-{number}.npy" for number in range(len(captions))]
    for file in files:
        np.save(file, rng.normal(size=(frames, size)).astype(np.float32))
    kind = "captions" if isinstance(captions[0], list) else "caption"
    return make_dataset(
        {
            "features": [str(file) for file in files],
            "feature_rate": [rate] * len(files),
            kind: list(captions),
            **columns,
        },
        "test",
    )
