"""Recipes: what they say is what a run uses, and everything has a source."""

import dataclasses
import json
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.corpora_samples import SIZE, coin, howto100m, msrvtt, youcook2_release
from minivl.cli import app
from minivl.config import BUNDLED, ConfigError, UniVLConfig, scale
from minivl.data import corpora
from minivl.data.wordpiece import train_wordpiece
from minivl.fullscale.recipes import Recipe, base, find_recipe, hyperparameters, recipes
from minivl.tasks.univl.finetuning import KINDS
from minivl.train.loop import _plan
from minivl.univl import UniVL

NAMES = sorted(recipes())
CLIP = sorted((BUNDLED / "kitchen" / "test").glob("*.mp4"))[0]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MINIVL_RUNS", str(tmp_path / "runs"))
    return tmp_path


def run(*arguments):
    """The command line in this process; its errors are raised."""
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.output


@pytest.mark.parametrize("name", NAMES)
def test_every_hyperparameter_has_a_source_and_the_value_of_its_configuration(name):
    recipe = find_recipe(name)
    lines = hyperparameters(recipe)
    for line in lines:
        assert line.value == getattr(recipe.sections[line.section], line.name) and line.source
    told = {(line.section, line.name) for line in lines}
    for section, config in recipe.sections.items():
        for part in dataclasses.fields(config):
            value = getattr(config, part.name)
            assert value is None or dataclasses.is_dataclass(value) or (section, part.name) in told


@pytest.mark.parametrize("name", NAMES)
def test_corpora_splits_and_tasks_exist(name):
    recipe = find_recipe(name)
    corpus = corpora.CORPORA[recipe.corpus.name].CORPUS
    assert recipe.split in corpus.splits and recipe.corpus.protocol in (None, *corpus.protocols)
    assert recipe.kind != "finetune" or recipe.task in KINDS


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_the_training_loop(name):
    recipe = find_recipe(name)
    assert recipe.steps == _plan(recipe.size.examples, recipe.train, 1)[1]


@pytest.mark.parametrize("paper", ["univl", "discovla"])
def test_all_that_the_files_say_is_read(paper):
    content = tomllib.loads((Path(base.__file__).parent / f"{paper}.toml").read_text(encoding="utf-8"))
    known = {field.name for field in dataclasses.fields(Recipe)} - {"name", "settings"} | {"like", "set"}
    entries = [*content["groups"].values(), *content["recipes"].values()]
    assert set().union(*entries) <= known
    assert {name for entry in entries for name in entry.get("departures", ())} == set(content["departures"])
    assert {entry["size"] for entry in entries if "size" in entry} == set(content["sizes"])


def test_the_release_s_numbers():
    """REFERENCE-UNIVL section 5 and REFERENCE-DISCOVLA section 7."""

    def told(name):
        train = find_recipe(name).train
        return train.batch_size * train.gradient_accumulation, train.learning_rate, train.epochs, train.seed

    assert told("univl-stage-one") == (1920, 1e-4, 50, 42) and told("univl-stage-two") == (960, 1e-4, 50, 42)
    for name, per_gpu in (("univl-stage-one", 15), ("univl-stage-two", 2)):
        assert find_recipe(name).train.batch_size / find_recipe(name).processes == per_gpu
    assert told("univl-youcook2-align") == (32, 3e-5, 5, 42) and told("univl-msrvtt-joint") == (128, 5e-5, 5, 42)
    assert told("univl-youcook2-captioning") == (16, 3e-5, 5, 42)
    assert told("univl-msrvtt-captioning") == (128, 3e-5, 5, 42)
    lengths = {
        name: (inputs.max_words, inputs.max_frames)
        for name in NAMES
        if (inputs := find_recipe(name).sections.get("inputs"))
    }
    assert lengths["univl-youcook2-captioning"] == (128, 96) and lengths["univl-msrvtt-captioning"] == (48, 48)
    assert lengths["discovla-msrvtt-b16"] == (32, 12) and lengths["discovla-didemo"] == (64, 64)
    assert find_recipe("discovla-msrvtt-b32").steps == 7030
    assert find_recipe("univl-stage-one").sections["narration"].hide_text == 0
    assert find_recipe("univl-stage-two").sections["narration"].hide_text == 0.15
    assert find_recipe("univl-stage-one").sections["model"].parts == ()


def test_recipes_are_the_full_scale_where_that_is_the_release():
    full = scale("full")
    for name in (
        "univl-stage-one",
        "univl-stage-two",
        "univl-youcook2-joint",
        "univl-youcook2-captioning",
        "univl-coin",
        "discovla-msrvtt-b32",
        "discovla-lsmdc",
    ):
        assert find_recipe(name).settings == full
    changed = dataclasses.replace(find_recipe("discovla-msrvtt-b16").settings, clip=full.clip)
    assert changed == full


def test_what_is_not_released_says_so():
    for name in ("univl-coin", "univl-crosstask", "univl-mosi", "discovla-lsmdc", "discovla-activitynet"):
        assert all(
            line.source.startswith("ours")
            for line in hyperparameters(find_recipe(name))
            if line.section in ("train", "inputs", "discovla")
        )


def test_unknown_recipes_are_errors():
    with pytest.raises(ConfigError, match="no recipe 'best'.*univl-stage-one"):
        find_recipe("best")
    with pytest.raises(ConfigError, match="for minivl adapt.*discovla-lsmdc"):
        find_recipe("univl-coin", "adapt")


def test_list_and_show():
    assert all(name in run("recipe", "list") for name in NAMES)
    shown = run("recipe", "show", "univl-youcook2-align")
    assert "train.learning_rate" in shown and "3e-05" in shown and "28.9" in shown and "BertAdam" in shown
    assert "minivl finetune --recipe univl-youcook2-align" in shown and "steps      1,525 of 32" in shown


def record_fit(monkeypatch, module):
    """Replaces the training loop where `module` calls it; the configurations and data sets it is given."""
    seen = []
    monkeypatch.setattr(f"{module}.fitting", lambda train, *_, **__: train)  # the corpora here are tiny
    monkeypatch.setattr(f"{module}.fit", lambda model, data, train, *rest, **more: seen.append((model, data, train)))
    return seen


def score_nothing(monkeypatch):
    for task, _ in KINDS.values():
        monkeypatch.setattr(task, "predict", lambda *_: [])
        monkeypatch.setattr(task, "scores_of", lambda *_: {"done": 1.0})
    monkeypatch.setattr("minivl.tasks.univl.finetuning.baseline_scores", lambda *arguments: {"chance": {}})


def tiny_univl(folder, captions):
    tokenizer = train_wordpiece(captions * 3, 150, folder)
    UniVL(
        UniVLConfig(
            vocab_size=len(tokenizer),
            video_dim=SIZE,
            hidden_size=16,
            num_heads=2,
            intermediate_size=16,
            text_layers=1,
            video_layers=1,
            cross_layers=1,
            decoder_layers=1,
            text_positions=128,
            video_positions=128,
            cross_positions=256,
        )
    ).save_pretrained(folder, tokenizer)
    return folder


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("univl-youcook2-align", youcook2_release),
        ("univl-coin", coin),
        ("univl-youcook2-captioning-video", youcook2_release),
    ],
)
def test_finetune_trains_with_what_the_recipe_says(name, make, folders, monkeypatch):
    recipe, seen = find_recipe(name), record_fit(monkeypatch, "minivl.tasks.univl.base")
    make(folders / "data" / recipe.corpus.name)
    model = tiny_univl(folders / "runs" / "univl", ["cut the onion", "weld"])
    command = shlex.split(recipe.command.replace("runs/univl", str(model)))[1:]
    score_nothing(monkeypatch)
    assert f"{recipe.split}:" in run(*command)
    ((task, data, train),) = seen
    assert train == recipe.train and len(data) and isinstance(task, KINDS[recipe.task][0])
    assert (task.config.max_words, task.config.max_frames) == (
        recipe.sections["inputs"].max_words,
        recipe.sections["inputs"].max_frames,
    )
    assert (folders / "runs" / name / "model" / "config.json").is_file()


def test_finetune_on_msrvtt_takes_another_corpus_protocol_and_references(folders, monkeypatch):
    recipe, seen = find_recipe("univl-msrvtt-captioning"), record_fit(monkeypatch, "minivl.tasks.univl.base")
    folder = msrvtt(folders / "data" / "msrvtt", b"")
    for path in (folder / "MSRVTT_Videos").glob("*.mp4"):
        shutil.copy(next(howto100m(folders / "h").rglob("*.npy")), path.with_suffix(".npy"))
        path.unlink()
    model = tiny_univl(folders / "runs" / "univl", ["sentence of 0, really", "a cat eats"])
    score_nothing(monkeypatch)
    run("finetune", "--recipe", recipe.name, "--model", model)
    ((task, data, train),) = seen
    assert (task.references, task.text, train.batch_size, len(data)) == ("raw", None, 128, 8)  # 4 videos, 2 sentences


def test_pretrain_runs_both_stages_of_the_recipes(folders, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "minivl.tasks.univl.pretraining.pretrain",
        lambda config, *rest: (
            seen.setdefault("config", config)
            and UniVL(
                dataclasses.replace(
                    config.model,
                    hidden_size=16,
                    num_heads=2,
                    intermediate_size=16,
                    text_layers=1,
                    video_layers=1,
                    cross_layers=1,
                    decoder_layers=1,
                )
            )
        ),
    )
    howto100m(folders / "data" / "howto100m")
    bert = folders / "bert"
    train_wordpiece(["stir the soup"], 100, bert)
    recipe = find_recipe("univl-stage-two")
    run(*shlex.split(recipe.command.replace("runs/univl", str(folders / "univl")))[1:], "--bert", bert)
    config, expected = seen["config"], recipe.settings.univl_pretrain
    assert (config.stage_one, config.stage_two) == (find_recipe("univl-stage-one").train, recipe.train)
    assert (config.narration, config.objectives) == (expected.narration, expected.objectives)
    assert config.text_weights == str(bert) and config.model.video_dim == SIZE
    assert (folders / "univl" / "model.safetensors").is_file()


def adapt_on_msrvtt(folders, monkeypatch, *options):
    """`minivl adapt` on a small MSR-VTT with the bundled CLIP; (model, data, train) of the training loop."""
    seen = record_fit(monkeypatch, "minivl.tasks.clip.retrieval")
    folder = msrvtt(folders / "data" / "msrvtt", CLIP.read_bytes())
    pairs = {
        f"video{n}_sentence {k} of {n}, really": [f"frame {i}" for i in range(12)]
        for n in (0, 1, 6513)
        for k in range(2)
    }
    (folders / "captions.json").write_text(json.dumps(dict(list(pairs.items())[:-1])))
    said = run(
        "adapt",
        "--recipe",
        "discovla-msrvtt-b16",
        "--captions",
        folders / "captions.json",
        "--clip",
        "kitchen",
        *options,
    )
    assert folder.is_dir()
    return seen[0], said


def test_adapt_trains_with_what_the_recipe_says(folders, monkeypatch):
    recipe = find_recipe("discovla-msrvtt-b16")
    with pytest.warns(UserWarning, match="1 of 6 pairs have no pseudo captions"):
        (model, data, train), said = adapt_on_msrvtt(folders, monkeypatch)
    assert train == recipe.train and model.config == recipe.settings.discovla
    assert (data.inputs, len(data), len(data.frame_captions)) == (recipe.settings.inputs, 5, 5)
    assert "test, 2 clips" in said


def test_options_change_a_recipe(folders, monkeypatch):
    with pytest.warns(UserWarning, match="no pseudo captions"):
        (model, _, train), _ = adapt_on_msrvtt(
            folders,
            monkeypatch,
            "--alpha",
            0.5,
            "--beta",
            0,
            "--distill",
            "paper",
            "--strategy",
            "average",
            "--batch-size",
            2,
            "--steps",
            3,
            "--seed",
            7,
            "--fusion-layers",
            1,
        )
    config = model.config
    assert (config.alpha, config.beta, config.distill, config.strategy) == (0.5, 0.0, "paper", "average")
    assert config.vision_fusion_layers == 1
    assert (train.batch_size, train.steps, train.epochs, train.seed) == (2, 3, None, 7)


def test_dry_runs_of_commands_take_their_options(monkeypatch):
    seen = []
    monkeypatch.setattr("minivl.fullscale.dry_run.dry_run", lambda recipe: seen.append(recipe) or recipe.name)
    said = run("pretrain", "x", "--scale", "full", "--hide-text", 0.3, "--dry-run")
    assert said.split() == ["univl-stage-one", "univl-stage-two"]
    assert [recipe.sections["narration"].hide_text for recipe in seen] == [0, 0.3]
    run("adapt", "--recipe", "discovla-lsmdc", "--alpha", 0, "--beta", 0, "--batch-size", 64, "--dry-run")
    assert (seen[-1].train.batch_size, seen[-1].settings.discovla.beta, seen[-1].name) == (64, 0, "discovla-lsmdc")
    run("finetune", "--recipe", "univl-mosi", "--dry-run")
    assert seen[-1] == find_recipe("univl-mosi")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adapt", "--recipe", "univl-coin"], "no recipe 'univl-coin' for minivl adapt"),
        (["adapt", "--recipe", "discovla-lsmdc", "--scale", "tiny"], "leave out --scale tiny"),
        (["adapt", "--recipe", "discovla-lsmdc", "--distill", "both"], "distill must be"),
        (["adapt", "--scale", "tiny", "--captions", __file__], "give --alpha or --beta"),
        (["adapt", "--dry-run"], "--dry-run needs --recipe"),
        (["pretrain", "x", "--dry-run"], "add --scale full"),
        (["finetune"], "give a task or --recipe"),
        (["finetune", "joint", "--recipe", "univl-coin"], "give a task or --recipe"),
        (["recipe", "show", "x"], "no recipe 'x'"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_a_corpus_that_is_not_there_is_named_with_its_layout():
    with pytest.raises(ConfigError, match="lsmdc: lsmdc is looked for there .*`minivl data card lsmdc`"):
        run("adapt", "--recipe", "discovla-lsmdc", "--clip", "kitchen")
