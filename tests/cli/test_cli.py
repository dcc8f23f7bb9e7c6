"""The program as a user meets it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from helpers.program import minivl
from minivl import __version__
from minivl.config import BUNDLED

TEST = BUNDLED / "kitchen" / "test"


def started(*arguments, **environment):
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "minivl", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_help_names_the_commands_and_imports_nothing_heavy():
    answer = started("--help")
    assert answer.returncode == 0
    assert all(command in answer.stdout for command in ("demo", "search", "adapt", "evaluate", "world", "lesson"))
    code = (
        "import sys, minivl.cli; heavy = {'torch', 'numpy', 'pandas', 'av', 'open_clip', 'transformers', "
        "'datasets', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_version():
    answer = started("--version")
    assert answer.returncode == 0 and answer.stdout == f"minivl {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("minivl pse", {"pseudo-captions"}),
        ("minivl finetune captioning-", {"captioning-video", "captioning-both", "captioning-raw"}),
        ("minivl adapt --recipe discovla-msr", {"discovla-msrvtt-b32", "discovla-msrvtt-b16"}),
    ],
)
def test_a_shell_completes_commands_and_names(typed, known):
    code = "import sys; sys.argv = ['minivl']; from minivl.__main__ import main; main()"
    asked = {"_MINIVL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked})
    assert set(answer.stdout.split()) == known


def test_both_names_are_the_same_program():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="minivl")
    assert script.value == "minivl.__main__:main"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adapt", "--scale", "huge"], "unknown scale 'huge'"),
        (["search", "soup", "no-such-folder"], "no-such-folder does not exist"),
        (["search", "soup", TEST, "--model", "nonsense"], "unknown model 'nonsense'"),
        (["evaluate", "--split", "dev"], "no split 'dev', only test, train, val"),
        (["lesson", "99_none"], "no lesson '99_none'"),
        (["world", "somewhere", "--set", "world.dail=1"], "world has no setting dail"),
        (["world", "somewhere", "--set", "world.dial=much"], "Input should be a valid number"),
        (["world", "somewhere", "--set", "dial"], "write SECTION.FIELD=VALUE"),
        (["world", TEST / "metadata.jsonl" / "below-a-file"], "is the place right, writable"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(arguments, message, tmp_path):
    answer = minivl(*arguments, MINIVL_RUNS=str(tmp_path))
    assert answer.returncode == 1
    assert message in answer.stderr and "Traceback" not in answer.stderr


def test_a_lesson_that_stops_says_why_and_keeps_what_it_had(tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / "clips" / split).mkdir(parents=True)
        (tmp_path / "clips" / split / "metadata.jsonl").write_text('{"file_name": "gone.mp4"}\n')
    answer = minivl("demo", "--videos", tmp_path / "clips", "--scale", "tiny", "--out", tmp_path / "out")
    assert answer.returncode == 1
    assert "the lesson stopped: SchemaError" in answer.stderr and "gone.mp4" in answer.stderr
    assert "Traceback" not in answer.stderr and (tmp_path / "out" / "00_quickstart.ipynb").is_file()


def test_search_prints_the_best_first_and_draws(tmp_path):
    picture = tmp_path / "answers.png"
    answer = minivl(
        "search",
        "a hand puts a sliced carrot into a red pot",
        TEST,
        "--top",
        3,
        "--picture",
        picture,
        "--index",
        tmp_path / "index",
    )
    (manifest,) = (tmp_path / "index").glob("test-*/manifest.json")
    assert len(json.loads(manifest.read_text())["files"]) == 40
    assert answer.returncode == 0, answer.stderr
    scores = [float(line.split()[1]) for line in answer.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert picture.stat().st_size > 1000


def test_search_names_what_it_skipped_once_and_takes_a_single_file(tmp_path):
    good = sorted(TEST.glob("*.mp4"))[0]
    shutil.copy(good, tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    cache = {"MINIVL_CACHE": str(tmp_path / "cache")}
    answer = minivl("search", "soup", tmp_path, **cache)
    assert answer.returncode == 0 and good.name in answer.stdout
    assert answer.stderr.count("broken.mp4") == 1 and "skipped 1 of 2 videos" in answer.stderr
    assert "broken.mp4: " in minivl("search", "soup", tmp_path / "broken.mp4", **cache).stderr


def test_captions_of_broken_videos_alone_are_an_error(tmp_path):
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    result = minivl("caption", tmp_path)
    assert result.returncode == 1 and not result.stdout
    assert "minivl: 1 of 1 videos have no captions:\n" in result.stderr and "list.mp4: is no video" in result.stderr
    assert "Warning" not in result.stderr


def test_world_adapt_evaluate(tmp_path):
    world = tmp_path / "world"
    knobs = [
        a
        for k in ("videos_train=8", "videos_val=4", "videos_test=4", "dial=0", "frame_captions=4")
        for a in ("--set", f"world.{k}")
    ]
    assert started("world", world, *knobs).returncode == 0
    assert json.loads((world / "world.json").read_text())["dial"] == 0
    adapted = started("adapt", "--data", world, "--scale", "tiny", "--steps", 1, MINIVL_RUNS=str(tmp_path / "runs"))
    assert adapted.returncode == 0 and "t2v R@1" in adapted.stdout, adapted.stderr
    card = (tmp_path / "runs" / "adapt" / "model" / "README.md").read_text()
    frames = (world / "train" / "frames.sha256").read_text().strip()
    run = json.loads((tmp_path / "runs" / "adapt" / "config.json").read_text())
    assert frames in json.dumps(run) and f"(frames {frames[:12]})" in card
    assert "| val, t2v R@1 |" in card and "    minivl adapt --data" in card and "One run, so there is no spread" in card
    scored = started("evaluate", "--model", tmp_path / "runs" / "adapt" / "model", "--data", world)
    assert scored.returncode == 0 and "within group" in scored.stdout, scored.stderr
