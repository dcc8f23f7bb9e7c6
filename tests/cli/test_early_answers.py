"""Wrong arguments are answered before torch, open_clip, transformers and the like are imported, which takes seconds."""

import json
import os
import subprocess
import sys

import pytest

from helpers import early_answers
from minivl.config import BUNDLED

KITCHEN, CLIPS, TEXT = (
    BUNDLED / "kitchen",
    BUNDLED / "kitchen" / "test",
    BUNDLED / "kitchen" / "test" / "metadata.jsonl",
)

# What is typed -> a part of what is answered. `empty` is an empty folder; `videos` holds a file, `out` several.
WRONG = {
    "demo --videos nowhere": "'nowhere' does not exist",
    "demo --videos empty": "empty holds no data",
    "demo --scale huge": "unknown scale 'huge'",
    "lesson 99_none": "no lesson '99_none'",
    "numbers nowhere.md": "no file nowhere.md",
    "search soup nowhere": "nowhere does not exist",
    "search '' videos": "the query is empty",
    "search soup empty": "empty",
    "search soup videos --model nosuch": "unknown model 'nosuch'",
    "search soup videos --model empty": "no model in empty",
    "search soup videos --model ViT-B-32/nosuch": "ViT-B-32 has no weights 'nosuch'",
    "search soup videos --model ViT-B-32-quickgelu/nosuch": "ViT-B-32-quickgelu has no weights 'nosuch'",
    "search soup videos --model ViT-B-32/./nosuch.pt": "neither a file",
    "search soup videos --picture a.jpg": "ends in .png",
    "adapt --clip nosuch": "unknown model 'nosuch'",
    "adapt --data nowhere": "no folder nowhere",
    "adapt --recipe nosuch": "no recipe 'nosuch'",
    "adapt --recipe discovla-didemo --data nowhere": "didemo is looked for there",
    "adapt --recipe discovla-didemo": "minivl data card didemo",
    "adapt --scale full": "no folder",
    "adapt --strategy nosuch": "must be one of image, video",
    "adapt --captions nowhere": "'nowhere' does not exist",
    "pseudo-captions nowhere --out x.json": "no folder nowhere",
    "pseudo-captions KITCHEN --out x.json --split dev": "no split 'dev'",
    "pseudo-captions KITCHEN --out x.json --model nosuch": "no model nosuch",
    "pseudo-captions KITCHEN --out empty": "'empty' is a directory",
    "diagnose nowhere": "no folder nowhere",
    "diagnose --model nosuch": "unknown model 'nosuch'",
    "evaluate --model nosuch": "unknown model 'nosuch'",
    "compare empty nowhere": "empty has no results.json",
    "mteb run MSRVTTT2V --out x --model nosuch": "",  # that there is no mteb, or no such model
    "mteb import nowhere x": "no folder nowhere",
    "mteb show nowhere": "'nowhere' does not exist",
    "ablate explore nowhere --out a.html": "nowhere does not exist",
    "evaluate --data nowhere": "no folder nowhere",
    "evaluate --split dev": "no split 'dev'",
    "feature-world x --kind nosuch": "must be one of narrated, opinions",
    "feature-world x --s3d nosuch": "no model nosuch",
    "pretrain x --bert nowhere": "no BERT nowhere",
    "pretrain x --set univl_pretrain.tokenizer=nowhere": "no BERT nowhere",
    "pretrain x --data nowhere": "no folder nowhere",
    "pretrain x --scale full": "howto100m is looked for there",
    "pretrain x --dry-run": "add --scale full",
    "pretrain TEXT": "is a file",
    "finetune nosuch": "unknown task 'nosuch'",
    "finetune joint --model nosuch": "no model nosuch",
    "finetune joint --data nowhere": "no folder nowhere",
    "finetune sentiment --split dev": "no split 'dev'",
    "finetune --recipe nosuch": "no recipe 'nosuch'",
    "finetune joint --scale full": "youcook2 is looked for there",
    "features empty": "empty",
    "features videos --s3d nosuch": "no model nosuch",
    "caption nowhere": "'nowhere' does not exist",
    "caption videos --model empty": "no model in empty",
    "caption videos --suffix .doc": "must be one of .srt",
    "predict --model nosuch --data nowhere": "no folder nowhere",
    "predict --model empty --data KITCHEN": "no fine-tuned task",
    "prepare nowhere --out w": "'nowhere' does not exist",
    "prepare videos --out w --labels nowhere.csv": "nowhere.csv is not there",
    "prepare videos --out w --shares 1 1 1": "must make 1",
    "explore nosuch --out a.html": "unknown model 'nosuch'",
    "explore kitchen --out a.txt": "ends in .html",
    "explore kitchen --out a.html --split dev": "no split 'dev'",
    "explore UNIVL_JOINT --out a.html --split dev": "no split 'dev'",
    "course nosuch": "slides or map",
    "course student nosuch": "no assignment 'nosuch'",
    "course student univl_losses --out out": "univl_losses.ipynb exists",
    "course slides 99": "99",
    "course slides 03 --out out": "03_five_objectives.html exists",
    "course map --out out": "map.md exists",
    "check nosuch": "no assignment, task or lesson 'nosuch'",
    "check 03 nowhere.ipynb": "no notebook nowhere.ipynb",
    "data card nosuch": "no corpus 'nosuch'",
    "data check youcook2 nowhere": "no folder nowhere",
    "data audit nowhere": "no folder nowhere",
    "data audit nowhere --corpus nosuch": "no corpus 'nosuch'",
    "data audit KITCHEN --split dev": "no split 'dev'",
    "models nosuch": "no architecture with 'nosuch'",
    "export-lora empty x": "it has no config.json",
    "import-lora empty x --clip nosuch": "unknown model 'nosuch'",
    "import-lora empty x --clip kitchen": "no adapter_config.json",
    "reality-check --clip nosuch": "unknown model 'nosuch'",
    "reality-check": "this needs the Hugging Face hub",
    "recipe show nosuch": "no recipe 'nosuch'",
    "recipe dry-run nosuch": "no recipe 'nosuch'",
    "recipe dry-run univl-stage-one --gpu x": "no peak is known of x in bf16",
    "recipe dry-run univl-stage-one --gpu v100": "no peak is known of v100 in bf16",
    "weights check --folder nowhere": "'nowhere' does not exist",
    "weights convert nosuch TEXT x": "cannot convert 'nosuch'",
    "weights convert univl TEXT x --bert nowhere": "no BERT nowhere",
    "world x --scale full": "has no world",
    "world x --set world.dail=1": "no setting dail",
    "pretrain-clip x --scale full": "has no world",
    "pretrain-s3d x --scale full": "has no world",
    "push empty a": "no name for the hub",
    "push empty a/b": "holds neither a model",
    "ablate nosuch": "No such command 'nosuch'",
    "ablate univl --out TEXT": "is a file",
    "ablate univl-verdicts empty": "no univl_ablation.csv",
    "ablate discovla nosuch": "unknown study 'nosuch'",
    "ablate study nosuch": "unknown study 'nosuch'",
    "ablate study fusion-and-alignment --scale full": "has no world",
    "nosuch": "No such command 'nosuch'",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What is typed -> exit status and answer, all in one process."""
    folder = tmp_path_factory.mktemp("wrong")
    for made in ("empty", "videos", "out", "univl_joint"):
        (folder / made).mkdir()
    (folder / "videos" / "clip.mp4").touch()
    (folder / "univl_joint" / "config.json").write_text('{"task": {}}', encoding="utf-8")
    for made in ("univl_losses.ipynb", "03_five_objectives.html", "map.md"):
        (folder / "out" / made).touch()
    places = {"KITCHEN": KITCHEN, "TEXT": TEXT, "UNIVL_JOINT": "univl_joint"}
    words = [[str(places.get(word, word)).strip("'") for word in typed.split()] for typed in WRONG]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MINIVL_")}
    done = subprocess.run(
        [sys.executable, early_answers.__file__],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "COLUMNS": "200", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(WRONG, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("typed", WRONG)
def test_wrong_arguments_are_answered_before_heavy_imports(answers, typed):
    status, told = answers[typed]
    assert "was imported" not in told
    assert status in (1, 2) and WRONG[typed] in told and "not foreseen" not in told


def test_every_command_is_in_the_table():
    from typer.main import get_command

    from minivl.cli import app

    def names(command, above=()):
        """The commands below a command, each as its words."""
        below = getattr(command, "commands", None)
        return {above} if below is None else {name for key in below for name in names(below[key], (*above, key))}

    typed = {tuple(words.split()) for words in WRONG}
    without = {name for name in names(get_command(app)) if not any(words[: len(name)] == name for words in typed)}
    # Those that take nothing that could be wrong but --set and --scale, as others do.
    assert without == {
        ("recipe", "list"),
        ("samples",),
        ("ablate", "univl-regimes"),
        ("ablate", "univl-tasks"),
        ("ablate", "univl-lessons"),
        ("ablate", "discovla-cost"),
    }
