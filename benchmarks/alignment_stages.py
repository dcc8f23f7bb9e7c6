"""How the cosines of matching and of other pairs move apart while a CLIP is adapted. Lesson 00 shows the result moving.

python benchmarks/alignment_stages.py        writes data_samples/results/alignment_stages.csv, in a few minutes

The training of the quick start (LoRA + IVFusion, small scale, seed 0), looked at between its steps: the test clips
are embedded, and the cosines of all pairs are counted in bins.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from minivl.clip import load_clip
from minivl.config import BUNDLED, runs_dir, scale
from minivl.discovla import DiscoVLA
from minivl.tasks.clip import retrieval
from minivl.train.loop import fit, seed_everything

EDGES = np.linspace(-0.6, 1.0, 49).round(4)  # of the bins
LOOKS = (0, 5, 10, 20, 40, 70)  # steps before which the model is looked at; and after the last one


def main() -> None:
    """Train, look, write the table."""
    settings = scale("small")
    clip = load_clip(settings.clip.name, settings.clip.pretrained)
    folder = retrieval.data_folder(settings)
    train, test = (retrieval.clips(folder, split, clip, settings) for split in ("train", "test"))
    rows, steps = [], iter(range(10**6))

    def look(model: DiscoVLA, step: int) -> None:
        model.eval()
        S = retrieval.evaluate(model, test, progress=False).similarity
        own = np.eye(len(S), dtype=bool)
        for pairs, chosen in (("matching", own), ("other", ~own)):
            counts = np.histogram(S[chosen].clip(EDGES[0], EDGES[-1]), EDGES)[0]
            rows.extend(
                {"step": step, "pairs": pairs, "from": low, "count": n} for low, n in zip(EDGES, counts, strict=False)
            )
        model.train()

    def watched(model: Any, batch: Any) -> dict[str, torch.Tensor]:
        step = next(steps)
        if step in LOOKS:
            state = torch.get_rng_state()
            look(model, step)
            torch.set_rng_state(state)
        return model.losses(batch)

    seed_everything(0)
    model = DiscoVLA.from_open_clip(settings.clip.name, settings.clip.pretrained, settings.discovla)
    fit(model, train, settings.adapt, runs_dir() / "alignment-stages", watched, progress=False)
    look(model, next(steps))
    pd.DataFrame(rows).to_csv(BUNDLED / "results" / "alignment_stages.csv", index=False)


if __name__ == "__main__":
    main()
