"""The command that makes a world of own videos: mistakes are told before anything heavy is imported."""

import subprocess
import sys

import pytest

COMMANDS = {
    "prepare none --out w": "'none' does not exist",
    "prepare empty --out w": "holds no videos",
    "prepare videos --out videos": "is the folder of the videos",
    "prepare videos --out w --shares 0.5 0.1 0.1": "must make 1",
    "prepare videos --out w --s3d none": "no model none: give a folder with S3D weights",
    "prepare videos --out w --labels bad.csv": "bad.csv has rows that cannot be used:\n  line 2: there is no video 'b'",
    "prepare videos --out w --language en": "a.en.srt: holds a text without times",
    "caption videos --subtitles --transcript bad.csv": "leave one of them out",
    "caption videos --language en": "give --subtitles, too",
    "finetune joint --data nowhere": "no folder nowhere",
    "pretrain m --data nowhere": "no folder nowhere",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each command says, and the heavy modules that were imported by then."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("videos", "empty"):
        (folder / name).mkdir()
    (folder / "videos" / "a.mp4").touch()
    (folder / "videos" / "a.en.srt").write_text("words\n")
    (folder / "videos" / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nwords\n")
    (folder / "bad.csv").write_text("video,caption\nb,words\n")
    program = f"""
import sys
from minivl.cli import app
for command in {list(COMMANDS)!r}:
    try:
        app(command.split(), standalone_mode=False)
    except Exception as error:
        heavy = {{"torch", "transformers", "datasets", "av"}} & set(sys.modules)
        print("<command>", getattr(error, "message", error), "heavy:", *heavy)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder)
    return dict(zip(COMMANDS, done.stdout.split("<command>")[1:], strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_mistakes_are_told_at_once(command, answers):
    assert COMMANDS[command] in answers[command]
    assert answers[command].rstrip().endswith("heavy:"), "nothing heavy was imported"
