"""Dual encoders of this package in mteb, the benchmark of embeddings: its text-video retrieval tasks and result files.

    encoder = MtebEncoder("runs/mine/model")                 # or any name that `minivl search --model` takes
    mteb.evaluate(encoder, mteb.get_tasks(tasks=["MSRVTTT2V"]))

mteb itself is imported where it is needed: `pip install minivl[mteb]`. Videos are read by this package, with the frames
that the model saw in training, and not as mteb samples them; so torchcodec is not needed.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minivl.config import ConfigError
from minivl.data.sampling import sample_frames
from minivl.data.text import tokenize
from minivl.results.published import LOCAL
from minivl.tasks.clip.models import load_model

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 32  # texts, or videos, at a time
# Task of mteb -> the column of texts in its data set; all have a column `video` and one text per video.
TASKS = {
    "MSRVTTT2V": "caption",
    "MSRVTTV2T": "caption",
    "MSVDT2VRetrieval": "caption",
    "MSVDV2TRetrieval": "caption",
    "DiDeMoT2VRetrieval": "caption",
    "DiDeMoV2TRetrieval": "caption",
    "ActivityNetCaptionsT2VRetrieval": "caption",
    "ActivityNetCaptionsV2TRetrieval": "caption",
    "VATEXT2VRetrieval": "caption",
    "VATEXV2TRetrieval": "caption",
    "YouCook2T2VRetrieval": "sentence",
    "YouCook2V2TRetrieval": "sentence",
}


class MtebEncoder:
    """mteb's EncoderProtocol on a dual encoder, adapted or not.

    name   of a model, see `minivl.tasks.clip.models.find_model`. `revision` and `device` are there because mteb's own
           loaders have them, and are not read: a model is where `minivl.train.engine.default_device` says
    """

    def __init__(self, name: str, revision: str | None = None, *, device: str | None = None, **options: Any):
        self.name = name
        self.clip, self.model, self.inputs = load_model(name)
        self.model.eval()

    @property
    def mteb_model_meta(self) -> Any:
        """How mteb names the model: "minivl/NAME", and as revision a hash of its weights."""
        from mteb.models.model_meta import ModelMeta, ScoringFunction

        path = Path(self.name)
        name = path.resolve().parent.name if path.name == "model" and path.is_dir() else path.name or self.name
        described = {
            "name": f"minivl/{name}",
            "revision": weights_hash(self.model),
            "framework": ["PyTorch"],
            "modalities": ["text", "video"],
            "similarity_fn_name": ScoringFunction.COSINE,
            "n_parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "use_instructions": False,
            "languages": ["eng-Latn"],
        }
        return ModelMeta.create_empty(overwrites=described)

    def encode(self, inputs: Any, *, task_metadata: Any, **options: Any) -> NDArray[np.float32]:
        """Embeddings (N, D) of the texts or of the videos of mteb's loader.

        Raises ConfigError for what has both, or sound or pictures, which this package's models do not read together.
        """
        modalities = sorted({"text", "video", "audio", "image"} & set(inputs.dataset.column_names))
        if modalities not in (["text"], ["video"]):
            named = getattr(task_metadata, "name", "this task")
            raise ConfigError(
                f"{named} asks for {' and '.join(modalities) or 'nothing'} at once: texts or videos are read"
            )
        read = self._texts if modalities == ["text"] else self._videos
        size = options.get("batch_size") or BATCH
        with torch.inference_mode():
            return torch.cat(list(read(inputs.dataset, size))).float().cpu().numpy()

    def _texts(self, data: "Dataset", size: int) -> Iterator[Tensor]:
        device = next(self.model.parameters()).device
        for batch in data.iter(size):
            ids, mask = tokenize(self.clip.tokenizer, list(batch["text"]), self.inputs.max_words)
            yield self.model.encode_caption(ids.to(device), mask.to(device))

    def _videos(self, data: "Dataset", size: int) -> Iterator[Tensor]:
        from datasets import Video

        device = next(self.model.parameters()).device
        for batch in data.cast_column("video", Video(decode=False)).iter(size):
            read = [self._frames(video) for video in batch["video"]]
            pixels, masks = (torch.stack(part).to(device) for part in zip(*read, strict=True))
            yield self.model.encode_video(pixels, masks)[0]

    def _frames(self, video: dict[str, Any]) -> tuple[Tensor, Tensor]:
        with file_of(video) as path:
            frames, mask = sample_frames(path, self.inputs.max_frames, self.inputs.frames_per_second)
        return self.clip.preprocess(frames), torch.as_tensor(mask)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines: (N, D) and (M, D) -> (N, M)."""
        return self.model.similarity(*(torch.as_tensor(values) for values in (embeddings1, embeddings2)))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines of pairs: (N, D) twice -> (N,)."""
        return torch.nn.functional.cosine_similarity(torch.as_tensor(embeddings1), torch.as_tensor(embeddings2))


@contextmanager
def file_of(video: dict[str, Any]) -> Iterator[Path]:
    """A video of a `datasets` column as a file: {"path", "bytes"}, of which one may be None."""
    if video["bytes"] is None:
        yield Path(video["path"])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video{Path(video['path'] or 'video.mp4').suffix}"
        path.write_bytes(video["bytes"])
        yield path


def weights_hash(model: torch.nn.Module) -> str:
    """The beginning of a hash of all weights of a model, which is the same wherever they are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(
            name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()[:16]


def files_hash(folder: Path) -> str:
    """The beginning of a hash of all files of a folder, by their places in it."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            digest.update(file.relative_to(folder).as_posix().encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def run_tasks(name: str, tasks: list[str], out: Path, data: Path | None = None) -> Path:
    """Evaluate a model on tasks of mteb with mteb's own code, which writes its result files below `out`.

    data   a folder with a copy of the one task's data set as on the hub, for a machine without a network

    Returns the folder of results. Raises ConfigError without mteb, for an unknown task, and for several tasks with
    one folder of data.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise ConfigError(f"unknown task {unknown[0]!r}: choose of {', '.join(TASKS)}")
    if data is not None and len({task.replace("V2T", "T2V") for task in tasks}) > 1:
        raise ConfigError("--data is the data set of one task: give one, or both directions of it")
    mteb = require_mteb()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    chosen = mteb.get_tasks(tasks=tasks)
    if data is not None:
        for task in chosen:
            own = {"path": str(data), "revision": LOCAL + files_hash(data)}  # not to be taken for the whole test set
            task.metadata = task.metadata.model_copy(update={"dataset": own})
    mteb.evaluate(
        MtebEncoder(name), chosen, cache=mteb.ResultCache(out), overwrite_strategy="always", co2_tracker=False
    )
    return out / "results"


def require_mteb() -> Any:
    """The package mteb. Raises ConfigError, which says how to install it, where it is missing."""
    try:
        import mteb
    except ImportError as error:
        raise ConfigError(f"mteb is not installed ({error}): pip install minivl[mteb]") from error
    return mteb
