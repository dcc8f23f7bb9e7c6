"""Does the decoder copy what is said, and what does EnhancedV change about that? Lesson 04 discusses the result.

python benchmarks/univl_copying.py        writes data_samples/results/univl_copying.csv; resumes by itself

UniVL is pretrained as in the ablation (`minivl ablate univl`), without and with EnhancedV, and scored on the test meals
by `what_it_copies`. Both models of a seed share their stage one, in which no text is hidden.
"""

import shutil
from dataclasses import replace

import pandas as pd
import torch

from minivl.ablations.runner import save_results
from minivl.ablations.univl import CELLS, REFERENCE, pretraining_of
from minivl.config import BUNDLED, Scale, runs_dir, scale
from minivl.data.narration import NarratedDataset
from minivl.data.wordpiece import load_tokenizer
from minivl.tasks.univl.data import UNIVL, task_rows
from minivl.tasks.univl.pretraining import pretrain_at_scale
from minivl.train.loop import seed_everything
from minivl.univl.copying import what_it_copies

COMPARED = [cell for name in (REFERENCE, "StagedP + EnhancedV") for cell in CELLS if cell.name == name]
SEEDS = range(2)


def narrated(settings: Scale, hide: float) -> dict[str, torch.Tensor]:
    """The videos of the test meals as one pretraining batch, with so large a share of their texts hidden."""
    seed_everything(0)
    narration = replace(settings.univl_pretrain.narration, hide_text=hide)
    rows = task_rows("segmentation", "test", settings)
    data = NarratedDataset(rows, load_tokenizer(UNIVL), narration, keep_features=True)
    return torch.utils.data.default_collate([data[i] for i in range(len(data))])


def main() -> None:
    """Pretrain, measure, write the table and print it; what is done stands in it after every run."""
    settings, folder, rows = scale("small"), runs_dir() / "univl-copying", []
    told, untold = narrated(settings, 0.0), narrated(settings, 1.0)
    for seed in SEEDS:
        for cell in COMPARED:
            first, run = (folder / f"{name}-seed{seed}" for name in (REFERENCE, cell.name))
            if not run.exists() and first.exists():
                shutil.copytree(first / "stage-one", run / "stage-one")
            config = pretraining_of(cell, settings.univl_pretrain, seed, UNIVL)
            model = pretrain_at_scale(config, settings, None, run, progress=False).eval()
            rows.append({"cell": cell.name, "seed": seed, **what_it_copies(model, told, untold)})
            save_results(pd.DataFrame(rows), BUNDLED / "results" / "univl_copying.csv", digits=4)
    print(pd.DataFrame(rows).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
