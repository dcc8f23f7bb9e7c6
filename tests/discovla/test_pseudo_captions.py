"""Pseudo captions from files and from the renderer: what fits, what is refused, what is missing."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from minivl.clip import load_clip
from minivl.config import BUNDLED, ConfigError, scale
from minivl.data.schema import SchemaError
from minivl.data.world.language import frame_caption, things_named
from minivl.discovla.pseudo_captions import (
    VAGUE,
    conditioned_captions,
    pair_key,
    pair_keys,
    read_pseudo_captions,
    rendered_captions,
    with_pseudo_captions,
    write_pseudo_captions,
)
from minivl.tasks.clip import retrieval

KITCHEN, FRAMES = BUNDLED / "kitchen", 4


@pytest.fixture(scope="module")
def clip():
    return load_clip("kitchen")


@pytest.fixture(scope="module")
def settings():
    tiny = scale("tiny")
    assert tiny.inputs.max_frames == FRAMES
    return tiny


@pytest.fixture(scope="module")
def data(clip, settings):
    return retrieval.clips(KITCHEN, "train", clip, settings)


def made_up(data):
    return {key: [f"{number} {i}" for i in range(FRAMES)] for number, key in enumerate(pair_keys(data))}


# Files


def test_files_in_the_released_format(data, tmp_path):
    captions = made_up(data)
    captions[next(iter(captions))][0] = "smørrebrød \u2028 \U0001f600"
    write_pseudo_captions(tmp_path / "new" / "captions.json", captions)
    assert read_pseudo_captions(tmp_path / "new" / "captions.json") == captions
    assert json.loads((tmp_path / "new" / "captions.json").read_bytes()) == captions
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["captions.json"]
    assert pair_key("video7020", "a cartoon of a man") == "video7020_a cartoon of a man"


GOOD = '"a_b": ["x", "y"]'


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not a JSON file in UTF-8"),
        (b'{"a_b": ["x"', "not a JSON file in UTF-8"),
        ('{"a_b": ["Würze"]}'.encode("latin-1"), "not a JSON file in UTF-8"),
        ('{"a_b": ["x"]}'.encode("utf-16"), "not a JSON file in UTF-8"),
        (b"[" * 200_000, "not a JSON file in UTF-8"),
        (b'{"a": ' * 200_000, "not a JSON file in UTF-8"),
        (b"\x80\x04\x95cos\nsystem\n", "not a JSON file in UTF-8"),
        (b"[]", "holds a list: expected"),
        (b"null", "holds a NoneType"),
        (b"{}", "holds no entries"),
        (f'{{{GOOD}, "c_d": "x"}}'.encode(), r"1 of 2 entries are wrong, [\s\S]*'c_d': 'x' is not a list of captions"),
        (f'{{{GOOD}, "c_d": []}}'.encode(), r"'c_d': \[\] is not a list"),
        (f'{{{GOOD}, "c_d": {{"0": "x"}}}}'.encode(), r"'c_d': \{'0': 'x'\} is not a list"),
        (f'{{{GOOD}, "c_d": ["x", 3]}}'.encode(), "'c_d': caption 1 is 3, not a string"),
        (f'{{{GOOD}, "c_d": ["x", null]}}'.encode(), "caption 1 is None"),
        (f'{{{GOOD}, "c_d": [["x"]]}}'.encode(), r"caption 0 is \['x'\]"),
        (f'{{{GOOD}, "c_d": [NaN]}}'.encode(), "caption 0 is nan"),
        (f'{{{GOOD}, "c_d": ["\\ud800"]}}'.encode(), "lone surrogate"),
        (("{" + ", ".join(f'"{i}": 1' for i in range(9)) + "}").encode(), "9 of 9 entries [\\s\\S]*and 4 more"),
    ],
    ids=range(19),
)
def test_files_of_another_form(content, message, tmp_path):
    path = tmp_path / "captions.json"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=message) as caught:
        read_pseudo_captions(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1500


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="captions.json"):
        read_pseudo_captions(tmp_path / "captions.json")


# With a data set


def test_items_have_one_caption_per_frame(data, clip):
    captions = made_up(data)
    item = with_pseudo_captions(data, captions)[3]
    assert item.keys() == {"video", "video_mask", "text_ids", "text_mask", "f_text_ids", "f_text_mask"}
    expected = clip.tokenizer(captions[pair_keys(data)[3]], context_length=item["f_text_ids"].shape[1])
    assert torch.equal(item["f_text_ids"], expected * item["f_text_mask"])
    assert item["f_text_ids"].shape == item["f_text_mask"].shape == (FRAMES, data.text_ids.shape[1])
    assert "f_text_ids" not in data[3] and data.frame_captions is None  # the data set itself stays as it was


def test_missing_captions_are_counted_never_dropped_in_silence(data):
    captions = made_up(data)
    missing = pair_keys(data)[2:9]
    for key in missing:
        del captions[key]
    with pytest.raises(SchemaError, match=r"7 of 16 pairs have no pseudo[\s\S]*and 2 more[\s\S]*allow_missing"):
        with_pseudo_captions(data, captions)
    with pytest.warns(UserWarning, match=f"left out of training: 7 of 16 pairs[\\s\\S]*{missing[0][:60]}"):
        left = with_pseudo_captions(data, captions, allow_missing=True)
    assert len(left) == 9 and not set(pair_keys(left)) & set(missing)
    order = [0, 1, *range(9, 16)]
    for i, before in enumerate(order):
        assert torch.equal(left[i]["text_ids"], data[before]["text_ids"])
        assert torch.equal(left[i]["video"], data[before]["video"])
        assert left.frame_captions[i] == captions[pair_keys(data)[before]]
    with pytest.raises(SchemaError, match="16 of 16 pairs have no"):
        with_pseudo_captions(data, {"other_pair": ["x"] * FRAMES}, allow_missing=True)


@pytest.mark.parametrize("count", [FRAMES - 1, 2 * FRAMES])
def test_a_wrong_number_of_captions(data, count):
    captions = made_up(data)
    captions[pair_keys(data)[5]] = ["x"] * count
    with pytest.raises(SchemaError, match=rf"each of the 4 frames[\s\S]*1 pairs have another number[\s\S]*has {count}"):
        with_pseudo_captions(data, captions, allow_missing=True)
    with pytest.raises(ValueError, match=f"{count} frame captions for 4 frames"):
        data.with_frame_captions(list(captions.values()))
    with pytest.raises(ValueError, match="3 lists of frame captions for 16"):
        data.with_frame_captions([None] * 3)


def write_clips(folder, rows):
    (folder / "train").mkdir()
    source = sorted((KITCHEN / "train").glob("*.mp4"))[0]
    for row in rows:
        shutil.copy(source, folder / "train" / row["file_name"])
    (folder / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_several_captions_of_a_video_have_pseudo_captions_each(tmp_path, clip, settings):
    folder = write_clips(
        tmp_path, [{"file_name": "a.mp4", "captions": ["one", "two"]}, {"file_name": "b.mp4", "captions": ["one"]}]
    )
    data = retrieval.clips(folder, "train", clip, settings)
    captions = {"a_one": ["1"] * 4, "a_two": ["2"] * 4, "b_one": ["3"] * 4, "c_one": ["4"] * 4}
    assert [c[0] for c in with_pseudo_captions(data, captions).frame_captions] == ["1", "2", "3"]


def test_keys_that_do_not_tell_pairs_apart(tmp_path, clip, settings):
    folder = write_clips(tmp_path, [{"file_name": "a.mp4", "caption": "b_c"}, {"file_name": "a_b.mp4", "caption": "c"}])
    with pytest.raises(SchemaError, match=r"same key [\s\S]*\('a', 'b_c'\) and \('a_b', 'c'\)"):
        pair_keys(retrieval.clips(folder, "train", clip, settings))


# The renderer


def test_rendered_captions_say_what_the_frames_show(clip, data):
    eight = retrieval.clips(KITCHEN, "train", clip, scale("small"))
    assert list(rendered_captions(eight).values()) == [row["frame_captions"] for row in eight.rows]
    for captions, row in zip(rendered_captions(data).values(), data.rows, strict=True):
        assert captions == [row["frame_captions"][i] for i in (0, 2, 5, 7)]  # four of eight, spread evenly
    no_step = {frame_caption(None, np.random.default_rng(seed)) for seed in range(20)}
    assert not no_step & set(VAGUE)


def changed(a, b):
    return np.array([[x != y for x, y in zip(a[key], b[key], strict=True)] for key in a])


@pytest.mark.parametrize("kind", ["other", "vague"])
def test_noise_replaces_a_share_and_more_noise_replaces_more(data, kind):
    clean, half, most, all_ = (rendered_captions(data, noise, kind) for noise in (0.0, 0.5, 0.8, 1.0))
    assert rendered_captions(data, 0.5, kind) == half != rendered_captions(data, 0.5, kind, seed=1)
    assert not changed(clean, rendered_captions(data, 0.0, kind, seed=1)).any()
    assert 0.3 < changed(clean, half).mean() < 0.7 and changed(clean, all_).mean() > 0.85
    assert (changed(clean, most) >= changed(clean, half)).all()
    was_replaced = changed(clean, half)
    assert not changed(half, most)[was_replaced].any()
    known = set(VAGUE) if kind == "vague" else {caption for captions in clean.values() for caption in captions}
    assert {caption for captions in all_.values() for caption in captions} <= known


def test_noise_of_another_kind_or_amount(data):
    for noise, kind in ((1.5, "other"), (-0.1, "other"), (0.5, "pink"), (float("nan"), "vague")):
        with pytest.raises(ConfigError, match="noise must be a share from 0 to 1 of kind other or vague"):
            rendered_captions(data, noise, kind)


def test_conditioned_captions_speak_of_what_the_video_is_said_to_show(data):
    kept = 0
    for caption, plain, asked in zip(
        data.captions, rendered_captions(data).values(), conditioned_captions(data).values(), strict=True
    ):
        for seen, said in zip(plain, asked, strict=True):
            shared = things_named(seen) & things_named(caption)
            assert said == seen if shared else said in VAGUE
            kept += bool(shared)
    assert 0 < kept < FRAMES * len(data.captions), "both happen in these clips"


def test_a_model_that_does_not_obey_repeats_the_caption_of_the_video(data):
    repeated = conditioned_captions(data, obeys=False)
    assert list(repeated) == pair_keys(data)
    assert list(repeated.values()) == [[caption] * FRAMES for caption in data.captions]


# Adaptation


@pytest.fixture(scope="module")
def aligned(settings):
    config = dataclasses.replace(settings.discovla, alpha=0.3, beta=0.1, distill="paper")
    return dataclasses.replace(settings, discovla=config)


def test_adaptation_with_frame_captions(data, aligned, tmp_path):
    model = retrieval.adapt_at_scale(aligned, 0, tmp_path / "run", data, progress=False)
    assert model.config == aligned.discovla and model.config.text_fusion_layers == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for row in lines:
        assert row["total"] == pytest.approx(row["video"] + 0.3 * row["image"] + 0.1 * row["distill"], rel=1e-5)
    noisy = with_pseudo_captions(data, rendered_captions(data, 0.5))
    with pytest.raises(RuntimeError, match="frame_captions"):  # a run goes on with the captions it began with
        retrieval.adapt_at_scale(aligned, 0, tmp_path / "run", noisy, progress=False)
    retrieval.adapt_at_scale(aligned, 0, tmp_path / "noisy", noisy, progress=False)
    first = json.loads((tmp_path / "noisy" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["video"] == pytest.approx(lines[0]["video"], rel=1e-5) and first["image"] != lines[0]["image"]
    again = retrieval.DiscoVLA.from_pretrained(tmp_path / "run" / "model")
    assert again.config == model.config


def test_adaptation_without_any_frame_captions(tmp_path, clip, aligned):
    folder = write_clips(tmp_path, [{"file_name": f"{i}.mp4", "caption": "a red pot"} for i in range(8)])
    data = retrieval.clips(folder, "train", clip, aligned)
    with pytest.raises(SchemaError, match="no column `frame_captions`: give them pseudo captions .*alpha and beta"):
        retrieval.adapt_at_scale(aligned, 0, tmp_path / "run", data, progress=False)
