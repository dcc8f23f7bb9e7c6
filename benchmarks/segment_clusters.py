"""Intervals of lessons 07 and 08 with test segments drawn one by one, and with all segments of a video drawn together.

python benchmarks/segment_clusters.py        writes data_samples/results/segment_clusters.csv

Nothing is trained: the bundled models are scored as they are. So this says how alike the segments of a video are for
one run, and nothing about the spread of several.
"""

import numpy as np
import pandas as pd

from minivl.ablations.runner import save_results
from minivl.config import BUNDLED, scale
from minivl.data.wordpiece import load_tokenizer
from minivl.metrics.bootstrap import paired_bootstrap
from minivl.metrics.captioning import caption_scores
from minivl.tasks.univl.captioning import Captioning
from minivl.tasks.univl.data import CAPTIONER, UNIVL, task_rows
from minivl.tasks.univl.retrieval import Retrieval


def retrieval_hits(settings, test, scratch: bool) -> np.ndarray:
    """100 where a caption finds its segment first, else 0, before any fine-tuning (N,)."""
    task = Retrieval.start(UNIVL, load_tokenizer(UNIVL), settings.univl_tasks["joint"], scratch=scratch, method="joint")
    return 100.0 * (task.predict(test, progress=False).argmax(1) == np.arange(len(test)))


def captions_score(settings, test) -> dict[str, np.ndarray]:
    """Scores of the bundled captioner on each segment, greedy search."""
    config = settings.univl_tasks["captioning"]
    task = Captioning.start(CAPTIONER, load_tokenizer(CAPTIONER), config, text="transcript")
    task.num_beams = 1
    scores = caption_scores(task.predict(test, progress=False), [[caption] for caption in test["caption"]])
    return {"exact": np.asarray(scores["exact"]), "CIDEr x 100": 100 * np.asarray(scores["CIDEr"])}


def row(what: str, scores: np.ndarray, videos: list[str]) -> dict:
    """Both intervals of a mean over segments."""
    zeros = np.zeros_like(scores)
    by_segment, by_video = paired_bootstrap(scores, zeros), paired_bootstrap(scores, zeros, clusters=videos)
    return {
        "scores": what,
        "segments": len(scores),
        "videos": len(set(videos)),
        "mean": by_segment["difference"],
        **{f"{end} by segment": by_segment[end] for end in ("low", "high")},
        **{f"{end} by video": by_video[end] for end in ("low", "high")},
    }


def main() -> None:
    """Score, write the table and print it."""
    settings = scale("small")
    queries, segments = (task_rows(task, "test", settings) for task in ("retrieval", "captioning"))
    gain = retrieval_hits(settings, queries, scratch=False) - retrieval_hits(settings, queries, scratch=True)
    rows = [row("R@1, pretrained minus scratch, not fine-tuned", gain, queries["video_id"])]
    for score, values in captions_score(settings, segments).items():
        rows.append(row(f"{score}, bundled captioner", values, segments["video_id"]))
    table = pd.DataFrame(rows)
    save_results(table, BUNDLED / "results" / "segment_clusters.csv")
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
