"""LLaVA-NeXT as a captioner, end to end with a tiny random model of the real class."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from helpers.tiny_llava import tiny_llava, tiny_processor
from minivl.cli import app
from minivl.clip import ModelError, load_clip
from minivl.config import BUNDLED, ConfigError, scale
from minivl.data.schema import load_split
from minivl.discovla.llava import PLAIN_PROMPT, LlavaCaptioner, caption_clips
from minivl.discovla.pseudo_captions import pair_keys, read_pseudo_captions, with_pseudo_captions
from minivl.tasks.clip import retrieval


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def captioner(folder):
    return LlavaCaptioner.from_pretrained(folder, max_new_tokens=6)


@pytest.fixture(scope="module")
def data():
    return retrieval.clips(BUNDLED / "kitchen", "train", load_clip("kitchen"), scale("tiny"), subset=3)


class Counting:
    """A captioner that counts the images it describes and stops after so many."""

    def __init__(self, captioner, stop_after=10**9):
        self.inner, self.images, self.stop_after = captioner, 0, stop_after
        self.prompt, self.settings = captioner.prompt, captioner.settings

    def describe(self, images, captions):
        if self.images + len(images) > self.stop_after:
            raise KeyboardInterrupt
        self.images += len(images)
        return self.inner.describe(images, captions)


def test_the_prompt_shows_the_captions_words_and_nothing_else_of_it(captioner):
    asked = captioner.ask("someone {puts} {caption} %s \\1")
    assert asked.startswith("<image> This image is one frame") and asked.endswith(" answer :")
    assert 'is described as: "someone {puts} {caption} %s \\1". Describe' in asked
    braces = LlavaCaptioner(captioner.model, captioner.processor, 'Answer {"like": "this"}: {caption}')
    assert 'Answer {"like": "this"}: red' in braces.ask("red")


def test_batches_describe_each_image_as_it_would_be_alone(captioner, data):
    images = [Image.fromarray(frame) for frame in data.frames(0)[0][:2]] + [Image.new("RGB", (90, 30), "red")]
    captions = ["someone puts the carrot into the red pot and the red pot", "red", "hand"]
    together = captioner.describe(images, captions)
    alone = [captioner.describe([image], [caption])[0] for image, caption in zip(images, captions, strict=True)]
    assert together == alone and all(1 <= len(text.split()) <= 6 for text in together)
    assert len(set(together)) > 1, "the answer follows from image and prompt"
    assert captioner.describe(images[:1], ["hand"]) != captioner.describe(images[:1], [captions[0]])


def test_clips_end_to_end(captioner, data, tmp_path):
    path = tmp_path / "new" / "captions.json"
    captions = caption_clips(data, captioner, path, batch_size=8, progress=False)
    assert read_pseudo_captions(path) == captions and list(captions) == pair_keys(data)
    frame = Image.fromarray(data.frames(1)[0][2])
    assert captions[pair_keys(data)[1]][2] == captioner.describe([frame], [data.captions[1]])[0]
    item = with_pseudo_captions(data, captions)[1]
    assert item["f_text_ids"].shape == (4, 32)
    one_by_one = caption_clips(data, captioner, tmp_path / "other.json", batch_size=3, progress=False)
    assert one_by_one == captions
    again = Counting(captioner)
    assert caption_clips(data, again, path, progress=False) == captions and again.images == 0
    assert sorted(file.name for file in path.parent.iterdir()) == ["captions.json", "captions.json.settings"]


def test_the_command_captions_what_adapt_reads(folder, tmp_path):
    out, kitchen = tmp_path / "captions.json", BUNDLED / "kitchen"
    command = ["pseudo-captions", kitchen, "--model", folder, "--out", out, "--split", "val", "--subset", 2]
    command += ["--prompt", PLAIN_PROMPT, "--set", "inputs.max_frames=2", "--scale", "tiny"]
    said = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False).output
    clips = load_split(kitchen, "val").select(range(2))
    assert f"captions of 2 (video, caption) pairs: {out}" in said.replace("\n", "")
    written = read_pseudo_captions(out)
    assert list(written) == [f"{row['video_id']}_{row['caption']}" for row in clips]
    assert all(len(captions) == 2 and all(captions) for captions in written.values())


@pytest.mark.parametrize("torn", [b"", b'["half a li'])
def test_an_interrupted_run_goes_on(captioner, data, tmp_path, torn):
    path = tmp_path / "captions.json"
    for _ in range(2):  # each time one of three clips, with four frames, is finished
        with pytest.raises(KeyboardInterrupt):
            caption_clips(data, Counting(captioner, stop_after=5), path, batch_size=4, progress=False)
        assert not path.exists()
        with (tmp_path / "captions.json.partial").open("ab") as partial:
            partial.write(torn)
    rest = Counting(captioner)
    captions = caption_clips(data, rest, path, batch_size=4, progress=False)
    assert rest.images == 4
    assert captions == caption_clips(data, captioner, tmp_path / "whole.json", progress=False)
    assert read_pseudo_captions(path) == captions and not (tmp_path / "captions.json.partial").exists()


def test_more_clips_are_added_to_a_finished_file(captioner, tmp_path):
    clip = load_clip("kitchen")
    few, more = (retrieval.clips(BUNDLED / "kitchen", "train", clip, scale("tiny"), subset=n) for n in (1, 2))
    first = caption_clips(few, captioner, tmp_path / "a.json", progress=False)
    counting = Counting(captioner)
    both = caption_clips(more, counting, tmp_path / "a.json", progress=False)
    assert counting.images == 4 and first.items() <= both.items() and len(both) == 2
    assert caption_clips(few, counting, tmp_path / "a.json", progress=False) == first
    assert read_pseudo_captions(tmp_path / "a.json") == both
    other = retrieval.ClipDataset(more.rows.select([1]), clip, more.inputs)
    caption_clips(few, captioner, tmp_path / "b.json", progress=False)
    assert caption_clips(other, captioner, tmp_path / "b.json", progress=False).keys() == set(pair_keys(other))
    assert read_pseudo_captions(tmp_path / "b.json") == both  # what it had is kept


def test_without_the_caption_in_the_prompt_each_video_is_described_once(folder, data, tmp_path):
    plain = Counting(LlavaCaptioner.from_pretrained(folder, PLAIN_PROMPT, max_new_tokens=6))
    rows = data.rows.remove_columns("caption").add_column("captions", [["red", "pot"], ["red"], ["hand"]])
    several = retrieval.ClipDataset(rows, data.clip, data.inputs)
    captions = caption_clips(several, plain, tmp_path / "captions.json", progress=False)
    keys = pair_keys(several)
    assert plain.images == 3 * 4 and len(keys) == 4
    assert captions[keys[0]] == captions[keys[1]] != captions[keys[2]]
    assert read_pseudo_captions(tmp_path / "captions.json") == captions


def test_a_file_made_with_another_prompt_is_not_continued(captioner, folder, data, tmp_path):
    path = tmp_path / "captions.json"
    caption_clips(data, captioner, path, progress=False)
    before = path.read_bytes()
    plain = LlavaCaptioner.from_pretrained(folder, PLAIN_PROMPT, max_new_tokens=6)
    with pytest.raises(ConfigError, match="other settings .prompt is 'Describe what[\\s\\S]*name another file"):
        caption_clips(data, plain, path, progress=False)
    (tmp_path / "captions.json.settings").unlink()
    with pytest.raises(ConfigError, match="was not made here"):
        caption_clips(data, captioner, path, progress=False)
    assert path.read_bytes() == before


def test_models_that_cannot_be_had(folder, tmp_path):
    with pytest.raises(ModelError, match="could not be had[\\s\\S]*or a folder"):
        LlavaCaptioner.from_pretrained(tmp_path)
    processor, _ = tiny_processor({"red"})
    processor.chat_template = None
    with pytest.raises(ModelError, match="no chat template"):
        LlavaCaptioner(torch.nn.Linear(1, 1), processor)
    settings = json.loads((folder / "config.json").read_text())
    assert settings["model_type"] == "llava_next"
