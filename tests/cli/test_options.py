"""Options that several commands share, and `--set` in each command that reads settings."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from minivl.cli import app
from minivl.cli.options import changed, length
from minivl.config import ConfigError, scale

READS = ("adapt", "discovla")


def test_options_are_short_for_set():
    given = {"adapt.batch_size": 8, "discovla.alpha": 0.5, "discovla.strategy": "average", "adapt.seed": None}
    options = {**given, **length("adapt", 7), **length("adapt", None)}
    settings = changed(scale("small"), ["adapt.mixed_precision=bf16", "adapt.batch_size=8"], READS, options)
    train = settings.adapt
    assert (train.batch_size, train.steps, train.epochs, train.mixed_precision, train.seed) == (8, 7, None, "bf16", 0)
    assert (settings.discovla.alpha, settings.discovla.strategy) == (0.5, "average")
    assert changed(scale("small"), None, READS) == scale("small")


def test_an_option_and_set_may_not_contradict_each_other():
    with pytest.raises(ConfigError, match="discovla.alpha is given twice, as 0.5 and as 0.1"):
        changed(scale("small"), ["discovla.alpha=0.1"], READS, {"discovla.alpha": 0.5})
    with pytest.raises(ConfigError, match="adapt.epochs is given twice, as none and as 2"):
        changed(scale("small"), ["adapt.epochs=2"], READS, length("adapt", 7))


def test_what_would_change_nothing_is_refused():
    with pytest.raises(ConfigError, match="--set inputs.max_words: .* nothing but adapt, discovla"):
        changed(scale("small"), ["inputs.max_words=9"], READS)
    with pytest.raises(ConfigError, match="chooses adapt.seed itself"):
        changed(scale("small"), ["adapt.seed=9"], READS, own=("adapt.seed",))


class Reached(Exception):
    """A command has got so far."""


# Command, a change, the function that is to do the work, and what its arguments then have in them.
COMMANDS = [
    ("adapt --data x", "adapt.weight_decay=0.125", "tasks.clip.retrieval.clips", "weight_decay=0.125"),
    ("adapt --data x --steps 7", "adapt.warmup=0.5", "tasks.clip.retrieval.clips", "steps=7, epochs=None"),
    ("evaluate", "inputs.max_frames=2", "tasks.clip.retrieval.clips", "max_frames=2"),
    ("pretrain x", "univl_pretrain.stage_one.steps=9", "tasks.univl.pretraining.pretrain_at_scale", "steps=9"),
    (
        "finetune captioning-video",
        "univl_tasks.captioning.max_frames=3",
        "tasks.univl.finetuning.fine_tune",
        "frames=3",
    ),
    (
        "pretrain m --data x",
        "univl_pretrain.staged=no",
        "tasks.univl.pretraining.pretrain_at_scale",
        "own=PosixPath('x",
    ),
    (
        "finetune joint --data x --split test",
        "univl_tasks.joint.train.steps=3",
        "tasks.univl.finetuning.task_rows",
        "own=PosixPath('x",
    ),
    ("world x", "world.dial=0.125", "data.world.build.write_world", "dial=0.125"),
    ("feature-world x", "world.fps=2", "assets.feature_world.write_feature_world", "fps=2.0"),
    ("pretrain-clip x", "clip_pretrain.architecture.embed_dim=64", "assets.clip_pretraining.pretrain_clip", "dim': 64"),
    ("pretrain-s3d x", "s3d_pretrain.net.width=0.5", "assets.s3d_pretraining.pretrain_s3d", "width=0.5"),
    ("ablate univl", "univl_pretrain.objectives.anchors=middle", "ablations.univl.run_ablation", "anchors='middle'"),
    ("ablate univl-regimes", "univl_tasks.joint.max_words=9", "ablations.univl_regimes.run_regimes", "max_words=9"),
    ("ablate univl-tasks", "univl_tasks.sentiment.train.steps=3", "ablations.univl_tasks.run_tasks", "steps=3"),
    ("ablate univl-lessons", "univl_tasks.align.max_words=9", "ablations.univl_lessons.run_lessons", "max_words=9"),
    ("ablate discovla noise", "discovla.pool_scale=0.5", "ablations.discovla.run_study", "pool_scale=0.5"),
    ("ablate discovla-cost", "discovla.lora_rank=2", "ablations.discovla_cost.strategy_costs", "lora_rank=2"),
    ("recipe dry-run univl-coin", "univl_tasks.segmentation.max_words=9", "fullscale.dry_run.dry_run", "max_words=9"),
    ("demo", "adapt.steps=3", "lessons.run_lesson", "adapt.steps=3"),
    ("lesson 01_data_and_world", "seeds=[5]", "lessons.run_lesson", "seeds=[5]"),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls a command in a folder with nothing but data named x; the exception that ended it."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val", "test"):
        (tmp_path / "x" / split).mkdir(parents=True)
        (tmp_path / "x" / split / "metadata.jsonl").touch()
    for name in ("MINIVL_SCALE", "MINIVL_RUNS"):
        monkeypatch.delenv(name, raising=False)

    def call(command, *changes):
        given = [part for change in changes for part in ("--set", change)]
        return CliRunner().invoke(app, [*command.split(), *given]).exception

    return call


@pytest.mark.parametrize("command, change, worker, expected", COMMANDS, ids=[row[0] for row in COMMANDS])
def test_every_command_takes_set(command, change, worker, expected, run, monkeypatch):
    seen = []

    def reached(*arguments, **keywords):
        seen.append(repr((arguments, keywords)))
        raise Reached

    monkeypatch.setattr(f"minivl.{worker}", reached)
    assert isinstance(run(command, change), Reached)
    assert expected in seen[0]


@pytest.mark.parametrize(
    "command, change, message",
    [
        ("adapt", "adapt.rate=1", "adapt has no setting rate; it has batch_size, learning_rate"),
        ("adapt", "univl_pretrain.staged=no", "reads nothing but clip, inputs, discovla, adapt, world"),
        ("adapt --data x", "world.dial=0", "reads nothing but"),
        ("adapt", "discovla.text_fusion_layers=2", "only PImgAlign and AlignDistill read"),
        ("adapt --seed 3", "adapt.seed=4", "given twice, as 3 and as 4"),
        ("adapt --clip kitchen", "clip.name=ViT-B-32", "given twice"),
        ("adapt --scale full", "world.dial=0", "world is None here"),
        ("pretrain x", "univl_pretrain.stage_two.chunk_size=4", "stage two cannot be trained in chunks"),
        ("pretrain x", "univl_pretrain.model.vocab_size=4", "vocab_size cannot be set: it is the tokenizer's"),
        ("finetune joint", "univl_tasks.align.max_words=4", "reads nothing but univl_tasks.joint"),
        ("finetune joint --data x", "narrated=y", "reads nothing but univl_tasks.joint$"),
        ("finetune joint", "univl_tasks.joint.train.chunk_size=4", "tasks cannot be trained in chunks"),
        ("evaluate", "adapt.steps=4", "reads nothing but inputs"),
        ("pretrain-clip x", "world=none", "no world that CLIP is pretrained on"),
        ("ablate univl", "univl_pretrain.stage_one.steps=4", "chooses .* itself"),
        ("ablate discovla", "adapt.learning_rate=4", "chooses adapt.batch_size, adapt.learning_rate"),
        ("recipe dry-run univl-coin", "univl_tasks.joint.max_words=4", "reads nothing but univl_tasks.segmentation"),
        ("demo", "name=mine", "name cannot be set: choose a scale by --scale"),
    ],
)
def test_what_cannot_be_set_is_said(command, change, message, run):
    error = run(command, change)
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise error


def test_mistakes_are_told_before_anything_heavy_is_imported():
    commands = [row[0] for row in COMMANDS]
    code = (
        "import sys; from typer.testing import CliRunner\n"
        "from minivl.cli import app; from minivl.config import ConfigError\n"
        f"for command in {commands!r}:\n"
        "    error = CliRunner().invoke(app, [*command.split(), '--set', 'adapt.rate=1']).exception\n"
        "    assert isinstance(error, ConfigError), (command, error)\n"
        "    heavy = {'torch', 'pandas', 'open_clip', 'transformers', 'datasets', 'av'} & set(sys.modules)\n"
        "    assert not heavy, (command, heavy)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_results_of_other_settings_are_not_mixed(run, monkeypatch):
    def reached(*_):
        raise Reached

    monkeypatch.setattr("minivl.ablations.univl.run_ablation", reached)
    assert isinstance(run("ablate univl --scale tiny"), Reached)
    assert isinstance(run("ablate univl --scale tiny"), Reached)
    error = run("ablate univl --scale tiny", "univl_pretrain.vocabulary=200")
    assert isinstance(error, ConfigError) and "holds results of other settings" in str(error)
    assert isinstance(run("ablate univl --scale tiny --out other", "univl_pretrain.vocabulary=200"), Reached)
