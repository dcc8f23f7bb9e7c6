"""Action segmentation as on COIN: which step does each second of a video show? (section 4.3 of the paper)

A linear classifier on the video encoder's outputs; no text is read. One feature is one frame here, usually a second.
No code was released for this task: what the paper leaves open (windows, background, labels of frames) is chosen here.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minivl.config import ConfigError, TaskConfig
from minivl.data.features import FeatureReader
from minivl.data.schema import SchemaError
from minivl.hub.checkpoints import finite
from minivl.metrics.arrays import percent
from minivl.metrics.segmentation import majority_baseline, segmentation_metrics
from minivl.results.queries import example_table, place_name
from minivl.tasks.univl.base import Task, place_of
from minivl.tasks.univl.whole_videos import in_windows, read_videos, require_columns
from minivl.train.distributed import mean_over_processes
from minivl.train.loop import TrainingError, seed_everything
from minivl.univl import UniVL

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

BACKGROUND = "background"  # the class of frames that show no step
NEEDED = ("features", "feature_rate", "steps")


def frame_labels(steps: list[dict] | None, rate: float, frames: int) -> list[str]:
    """The true label of each of T frames, `rate` of which are a second.

    Frame t has the step that its middle, second (t + 0.5) / rate, lies in, start included; BACKGROUND if there is none.
    Where steps overlap it is the one that began last.
    """
    middles = (np.arange(frames) + 0.5) / rate  # (T,) seconds
    labels = np.full(frames, BACKGROUND, dtype=object)
    for step in sorted(steps or [], key=lambda step: step["start"]):
        labels[(middles >= step["start"]) & (middles < step["end"])] = step["label"]
    return labels.tolist()


def step_classes(rows: "Dataset") -> list[str]:
    """BACKGROUND and then the labels of all steps by name. Raises SchemaError if there is no step at all."""
    labels = {step["label"] for steps in rows["steps"] for step in steps or []}
    if not labels:
        raise SchemaError(f"none of these {len(rows)} videos has a step: there is nothing to learn")
    return [BACKGROUND, *sorted(labels - {BACKGROUND})]


class WindowDataset(torch.utils.data.Dataset):
    """Labelled windows of whole videos. An item is a random one of the windows that a video is predicted in:

        video (M, F), video_mask (M,), labels (M,)      numbers of classes; 0 in padding, which the mask tells

    The draw comes from torch's global generator, which `fit` seeds.
    """

    def __init__(self, rows: "Dataset", classes: list[str], longest: int, feature_size: int):
        self.rows, self.longest, self._read = rows.select_columns(NEEDED), longest, FeatureReader(feature_size)
        self.number = {label: number for number, label in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        row = self.rows[index]
        features = torch.from_numpy(self._read(row["features"]))  # (T, F)
        names = frame_labels(row["steps"], row["feature_rate"], len(features))
        labels = torch.tensor([self.number[name] for name in names])  # (T,)
        whole = {"video": features, "video_mask": torch.ones_like(labels), "labels": labels}
        window = int(torch.randint(-(-len(labels) // self.longest), ()))
        return {name: in_windows(values, self.longest)[window] for name, values in whole.items()}


class Segmentation(Task):
    """p(step | frame t) = softmax( Linear( video_t ) ), video_t from the video encoder.

    classes   labels of steps and BACKGROUND, in the order of the classifier's outputs; by default those of the rows
              that `fit` gets. In `evaluate` a step that is not among them counts as wrong, with a warning.

    Raises ConfigError for classes that are no different strings.
    """

    kind: ClassVar[str] = "segmentation"
    reads_text: ClassVar[bool] = False

    def __init__(self, univl: UniVL, tokenizer: Any, config: TaskConfig, classes: Sequence[str] = ()):
        super().__init__(univl, tokenizer, config)
        if isinstance(classes, str) or len({label for label in classes if isinstance(label, str)}) < len(classes):
            raise ConfigError(f"classes must be different strings, got {classes!r:.100}")
        self.classes = list(classes)
        self.classifier: nn.Linear | None = self.new_head(len(classes)) if classes else None
        univl.text.requires_grad_(False)  # not used

    def fit(self, rows: "Dataset", run_dir: Path, progress: bool = True, data: str | None = None) -> Self:
        """As `Task.fit`; other classes than before begin with a new classifier."""
        require_columns(rows, *NEEDED)
        classes = step_classes(rows)
        if classes != self.classes:
            seed_everything(self.config.train.seed)
            self.classes, self.classifier = classes, self.new_head(len(classes))
        return super().fit(rows, run_dir, progress, data)

    def settings(self) -> dict[str, Any]:
        return {"classes": self.classes}

    def dataset(self, rows: "Dataset") -> WindowDataset:
        return WindowDataset(rows, self.classes, self.config.max_frames, self.univl.config.video_dim)

    def _classify(self, encoded: Tensor) -> Tensor:
        """Encoded frames (..., D) -> logits (..., C). Raises TrainingError before `fit`."""
        if self.classifier is None:
            raise TrainingError("this segmentation knows no steps yet: call fit with labelled videos first")
        logits = self.classifier(encoded)
        return logits if self.training else finite(logits, "scores of steps")

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy, mean over the real frames of all windows; 0 if there is none."""
        real = batch["video_mask"].bool()  # (N, M)
        encoded = self.univl.encode_video(batch["video"], batch["video_mask"])[real]  # (frames, D)
        loss = F.cross_entropy(self._classify(encoded), batch["labels"][real], reduction="none")
        return {"total": mean_over_processes(loss)}

    @torch.inference_mode()
    def predict(self, rows: "Dataset", progress: bool = True) -> list[list[str]]:
        """The label of each frame of each video. `frame_labels` gives the truth in the same form.

        Raises TrainingError before `fit`.
        """
        require_columns(rows, "features")
        self.eval()
        best = [self._classify(encoded).argmax(-1) for _, encoded in self.encoded_videos(rows, progress)]  # of (T,)
        return [[self.classes[number] for number in numbers.tolist()] for numbers in best]

    def predictions(self, rows: "Dataset", progress: bool = True) -> list[dict[str, Any]]:
        """For each video its place, {"feature_rate", "labels"}, one label per frame, and {"segments"}.

        segments   stretches of frames with the same step, {"label", "start", "end"} in seconds
        """
        require_columns(rows, "features", "feature_rate")
        return [
            place_of(row)
            | {"feature_rate": row["feature_rate"], "labels": labels}
            | {"segments": stretches(labels, row["feature_rate"])}
            for row, labels in zip(rows, self.predict(rows, progress), strict=True)
        ]

    def check_truth(self, rows: "Dataset") -> None:
        require_columns(rows, *NEEDED)

    def scores_of(self, predicted: list[list[str]], rows: "Dataset") -> dict[str, float]:
        """`segmentation_metrics` over whole videos."""
        unknown = sorted(set(step_classes(rows)) - set(self.classes))
        if unknown:
            warnings.warn(
                f"{len(unknown)} steps were never trained on and count as wrong: {', '.join(unknown[:5])}", stacklevel=2
            )
        return segmentation_metrics(predicted, _truth(predicted, rows), BACKGROUND)

    def examples_of(self, predicted: list[list[str]], rows: "Dataset") -> "DataFrame":
        """Each video's frame accuracy; over all frames it is the mean weighted by how many a video has."""
        pairs = zip(predicted, _truth(predicted, rows), strict=True)
        right = [percent(np.array(seen) == np.array(shown)) for seen, shown in pairs]
        places = [place_name(place_of(row)) for row in rows]
        return example_table(places, {"weight": [len(seen) for seen in predicted], "frame accuracy": right})

    @staticmethod
    def baselines(train_rows: "Dataset", rows: "Dataset") -> dict[str, dict[str, float]]:
        """The scores of

        majority          the most frequent label of the training frames, everywhere
        random            labels drawn as frequently as they occur in training
        nearest centroid  the class whose mean training feature is nearest to the raw feature of the frame: how much
                          can be read without a video encoder
        """
        for some in (train_rows, rows):
            require_columns(some, *NEEDED)
        train_labels: list[list[str]] = []
        counts: Counter[str] = Counter()
        sums: defaultdict[str, Any] = defaultdict(float)  # label -> sum of features (F,)
        for features, labels in _labelled(train_rows):
            train_labels.append(labels)
            counts.update(labels)
            for label in set(labels):
                sums[label] = sums[label] + features[np.array(labels) == label].sum(0)  # (F,)
        names = sorted(counts)
        centroids = np.stack([sums[name] / counts[name] for name in names])  # (C, F)
        shares = np.array([counts[name] for name in names]) / counts.total()

        rng, truth, drawn, nearest = np.random.default_rng(0), [], [], []
        for features, labels in _labelled(rows):
            truth.append(labels)
            drawn.append(rng.choice(names, len(labels), p=shares))
            closeness = features @ centroids.T - (centroids**2).sum(1) / 2  # (T, C), as -|x - c|² / 2
            nearest.append([names[number] for number in closeness.argmax(1)])
        guesses: dict[str, Sequence] = {
            "majority": majority_baseline(train_labels, truth),
            "random": drawn,
            "nearest centroid": nearest,
        }
        return {name: segmentation_metrics(guess, truth, BACKGROUND) for name, guess in guesses.items()}


def stretches(labels: Sequence[str], rate: float) -> list[dict[str, Any]]:
    """Neighbouring frames with the same step: {"label", "start", "end"}, seconds. BACKGROUND is left out."""
    found, frame = [], 0
    for label, frames in groupby(labels):
        end = frame + len(list(frames))
        if label != BACKGROUND:
            found.append({"label": label, "start": frame / rate, "end": end / rate})
        frame = end
    return found


def _truth(predicted: list[list[str]], rows: "Dataset") -> list[list[str]]:
    """The true label of each frame, for as many frames as were labelled."""
    return [
        frame_labels(row["steps"], row["feature_rate"], len(labels))
        for row, labels in zip(rows, predicted, strict=True)
    ]


def _labelled(rows: "Dataset") -> Iterator[tuple[np.ndarray, list[str]]]:
    """Features (T, F) and labels (T,) of each video."""
    for row, features in read_videos(rows):
        yield features, frame_labels(row["steps"], row["feature_rate"], len(features))
