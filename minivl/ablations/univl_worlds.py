"""UniVL's objectives in several narrated worlds: what its studies render, train and score.

A cell's settings are names of ObjectiveConfig and of WorldConfig (how the cooks speak), and "steps". All cells of a
world read the same features: only what is said, and when, is drawn anew.
"""

import dataclasses
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from minivl.ablations.runner import Cell, Measured, at_most
from minivl.assets.feature_world import DOWNSTREAM, Part, renarrate, write_feature_world
from minivl.config import NARRATED_WORLD, ObjectiveConfig, Scale, WorldConfig, cache_dir, override
from minivl.config.settings import OBJECTIVES
from minivl.data.wordpiece import load_tokenizer
from minivl.data.world.build import VERSION
from minivl.metrics.retrieval import scores_by_video
from minivl.s3d import S3D
from minivl.tasks.univl.data import S3D_WEIGHTS, UNIVL, task_rows
from minivl.tasks.univl.pretraining import pretrain_at_scale
from minivl.tasks.univl.retrieval import Retrieval
from minivl.train.engine import default_device

# Half of the bundled videos for pretraining, and two and a half times those for testing.
PARTS = (Part("pretrain", "train", 0, 500, ("transcript",)), Part("test", "test", 0, 200, DOWNSTREAM))
BY_SEGMENT = ("R@sum", "t2v R@1")  # scores that are kept for each test segment, too


def prepare_joint(settings: Scale, cell: Cell) -> str:
    """Render the world of a cell, unless it is there, and say how many segments its test split has."""
    told = replace(settings, narrated=narrated_world(cell))
    test = task_rows("retrieval", "test", told)
    return f"test: {len(test):,} segments with different captions, of {len(set(test['video_id'])):,} videos"


def run_joint(settings: Scale, cell: Cell, seed: int) -> Measured:
    """Pretrain text and video encoder with Joint alone, and find the segments of captions, without any fine-tuning."""
    chosen = dict(cell.settings)
    steps = at_most(chosen.pop("steps"), settings.univl_pretrain.stage_one)
    objectives = {name: value for name, value in chosen.items() if hasattr(settings.univl_pretrain.objectives, name)}
    told = replace(settings, narrated=narrated_world(cell))
    pretraining = settings.univl_pretrain
    config = replace(
        pretraining,
        tokenizer=str(UNIVL),
        staged=False,
        model=replace(pretraining.model, parts=()),
        objectives=ObjectiveConfig(**{name: 0.0 for name in OBJECTIVES} | {"joint": 1.0} | objectives),
        narration=replace(pretraining.narration, hide_text=0.0),
        stage_two=replace(pretraining.stage_one, steps=steps, seed=seed, checkpoint_every=10_000),
    )
    began = time.process_time()
    with TemporaryDirectory() as run_dir:
        univl = pretrain_at_scale(config, told, None, Path(run_dir), progress=False).eval()
    spent = time.process_time() - began

    test = task_rows("retrieval", "test", told)
    task = Retrieval(univl, load_tokenizer(UNIVL), settings.univl_tasks["joint"], method="joint")
    by_segment = scores_by_video(task.predict(test, progress=False))
    scores = {name: float(values.mean()) for name, values in by_segment.items()} | {"cpu seconds": spent}
    _, videos = np.unique(test["video_id"], return_inverse=True)
    features = told.narrated / "test"  # its rows point to where the features are
    return Measured(
        scores, {name: by_segment[name].astype(np.float32) for name in BY_SEGMENT}, videos, hash_of_features(features)
    )


def narrated_world(cell: Cell) -> Path:
    """The narrated feature world of a cell, rendered at the first call; with other speech, the same features."""
    world, speech = told_in(cell)
    source = cache_dir() / "worlds" / f"narrated-{_named(world)}"
    write_feature_world(source, "narrated", S3D.from_pretrained(S3D_WEIGHTS).to(default_device()), world, parts=PARTS)
    folder = cache_dir() / "worlds" / f"narrated-{_named(override(world, **speech))}"
    if folder == source or all((folder / part.name / "metadata.jsonl").exists() for part in PARTS):
        return folder
    return renarrate(source, folder, world, PARTS, **speech)


def told_in(cell: Cell) -> tuple[WorldConfig, dict]:
    """The world of a cell as the cooks usually speak there, and what the cell changes of their speech."""
    knobs = {field.name for field in dataclasses.fields(WorldConfig)} & cell.settings.keys()
    world = override(NARRATED_WORLD, **({} if cell.world is None else {"seed": cell.world}))
    return world, {name: cell.settings[name] for name in knobs}


def _named(world: WorldConfig) -> str:
    settings = {"version": VERSION, "parts": [dataclasses.astuple(part) for part in PARTS], **dataclasses.asdict(world)}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def hash_of_features(split: Path) -> str:
    """A hash of the features and captions of a split."""
    found = hashlib.sha256()
    rows = [json.loads(line) for line in (split / "metadata.jsonl").open(encoding="utf-8")]
    for file in sorted({row["feature_file"].partition("::")[0] for row in rows}):
        found.update((split / file).read_bytes())  # an absolute path stays what it is
    found.update(repr([row["step_captions"] for row in rows]).encode())
    return found.hexdigest()[:16]
